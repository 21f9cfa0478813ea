"""slurm.sh, run with stand-ins for Slurm, Ray and Python: who starts when, with which token, and what is left."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import PINNED_RAY, Call, calls, install

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    # once for all nodes of a step, and slowly for the head: who does not wait for it is there before it
    "srun": """
[[ "$*" != *--head* ]] || sleep 1
while [[ "$1" == --* ]]; do shift; done
exec "$@\"""",
    "scontrol": r'[ "$*" = "show hostnames node[1-3]" ] && printf "%s\n" $FAKE_NODES',
    "hostname": '[ "$*" = -I ] && echo "10.0.0.1 172.17.0.1"',
    "sleep": "exec /bin/sleep 0.05",
    "ray": """
case "$*" in
    --version) echo "ray, version $FAKE_VERSION" ;;
    health-check*) [ -e "$CALLS.head" ] ;;
    *--head*) [ -n "$FAKE_HEALTH" ] && touch "$CALLS.head" && until_term "$@" ;;
    start*) until_term "$@" ;;
esac""",
    "python": """
if [ "$1" = cluster/ready.py ]; then # the workers' srun and one of its tasks
    [ "$3" = 1 ] || until [ "$(grep -o -- --address=10 "$CALLS" | wc -l)" = 2 ]; do sleep 1; done
    exit
fi
[ -z "$FAKE_LONG" ] || until_term "$@"
exit "$FAKE_EXIT\"""",
}


@dataclass(frozen=True)
class Job:
    """A checkout on a shared file system, from which jobs are submitted."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def calls(self) -> list[Call]:
        return calls(self.folder / "calls")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(ROOT / "cluster/slurm.sh"), *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=30)
        return process.returncode, output + errors


@pytest.fixture
def job(tmp_path: Path) -> Job:
    install(tmp_path / "bin", PROGRAMS)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").write_text(f"PATH={tmp_path / 'bin'}:$PATH\n")
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    environment = {
        "PATH": os.environ["PATH"],
        "CALLS": str(tmp_path / "calls"),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "2",
        "RAY_AUTH_TOKEN": "of-another-cluster",
        "RAY_ADDRESS": "another-cluster:6379",
        "FAKE_NODES": "node1 node2 node3",
        "FAKE_VERSION": PINNED_RAY,
        "FAKE_HEALTH": "yes",
        "FAKE_LONG": "",
        "FAKE_EXIT": "0",
    }
    return Job(tmp_path, environment)


def sequence(job: Job) -> list[str]:
    """Who started and ended, in order; ready.py runs while the workers start."""
    names = {"--head": "head", "--address=10.0.0.1:6379": "workers"}
    happened: list[str] = []
    for call in job.calls:
        if call.program in ("ray", "ray-ended") and call.arguments[0] == "start":
            who = next(names[word] for word in call.arguments if word in names)
            happened.append(who if call.program == "ray" else f"{who} ended")
        elif call.program in ("python", "python-ended") and call.arguments[0] != "cluster/ready.py":
            happened.append("sweep" if call.program == "python" else "sweep ended")
    return happened


def test_is_bash() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "cluster/slurm.sh")], check=True)


def test_starts_the_head_then_the_workers_then_the_sweep_and_ends_them_in_turn(job: Job) -> None:
    code, output = job.run("--trials", "3")
    assert code == 0, output
    assert sequence(job) == ["head", "workers", "sweep", "workers ended", "head ended"]


def test_one_node_is_the_head_and_all_others_are_workers(job: Job) -> None:
    job.run()
    head, workers = [call.arguments for call in job.calls if call.program == "srun"]
    assert {"--nodes=1", "--ntasks=1", "--nodelist=node1", "--cpus-per-task=8", "--export=ALL"} <= set(head)
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--exclude=node1", "--cpus-per-task=8"} <= set(workers)
    assert "--export=ALL" in workers
    assert {"--node-ip-address=10.0.0.1", "--port=6379", "--dashboard-host=127.0.0.1"} <= set(head)
    for step in (head, workers):
        assert {"--block", "--num-cpus=8", "--num-gpus=2"} <= set(step)


def test_ray_and_slurm_know_the_options(job: Job) -> None:
    from ray.scripts.scripts import cli

    job.run()
    starts = [call.arguments for call in job.calls if call.program == "ray" and call.arguments[0] == "start"]
    assert len(starts) == 2  # the stand-in for srun starts one worker
    for arguments in starts:
        cli.commands["start"].make_context("start", list(arguments[1:]))  # refuses what it does not know
    options = re.findall(r"^#SBATCH (--[a-z-]+)", (ROOT / "cluster/slurm.sh").read_text(), re.MULTILINE)
    known = {"--job-name", "--nodes", "--ntasks-per-node", "--cpus-per-task", "--gpus-per-node", "--exclusive"}
    assert set(options) == known | {"--time", "--signal", "--output"}


def test_a_job_of_one_node_has_no_workers(job: Job) -> None:
    code, output = job.run(FAKE_NODES="node1")
    assert code == 0, output
    assert sequence(job) == ["head", "sweep", "head ended"]


def test_all_have_the_same_token_which_is_new_for_each_job(job: Job) -> None:
    tokens: list[str] = []
    for _ in range(2):
        for left in job.folder.glob("calls*"):
            left.unlink()
        job.run()
        parts = [call for call in job.calls if call.environment["RAY_AUTH_MODE"]]
        assert {call.program for call in parts} >= {"srun", "ray", "python"}
        assert len(parts) >= 7
        assert {call.environment["RAY_AUTH_MODE"] for call in parts} == {"token"}
        assert [call for call in job.calls if call not in parts] == [job.calls[0]], "all but `ray --version`"
        assert all(call.environment["RAY_AUTH_TOKEN"] == "" for call in parts), "Ray would prefer it to the file"
        (token,) = {call.token for call in parts}
        assert re.fullmatch(r"[0-9a-f]{64}", token)
        assert token not in " ".join(" ".join(call.arguments) for call in job.calls), "all users see command lines"
        tokens.append(token)
    assert tokens[0] != tokens[1]


def test_the_token_is_for_its_owner_only_and_gone_afterwards(job: Job) -> None:
    peek = 'stat -c %a "$RAY_AUTH_TOKEN_PATH" "${RAY_AUTH_TOKEN_PATH%/*}" >"$SLURM_SUBMIT_DIR/modes"; exit 0'
    install(job.folder / "bin", {"python": peek})
    _, output = job.run()
    assert (job.folder / "modes").read_text().split() == ["600", "700"]
    assert not list(job.folder.glob(".kdray-job-*"))
    assert "auth_token" in output, "the log says where it is"


def test_the_sweep_gets_the_flags_the_cluster_and_a_shared_store(job: Job) -> None:
    job.run("--trials", "3", "method.name=a b")
    ready, sweep = [call for call in job.calls if call.program == "python"]
    assert ready.arguments == ("cluster/ready.py", "--nodes", "3", "--timeout", "10")
    store = str(job.folder / "store")
    assert sweep.arguments == (
        *("sweeps/tune_rte.py", "--address", "auto", "--store", store),
        *("--trials", "3", "method.name=a b"),
    )
    assert {call.environment["RAY_ADDRESS"] for call in (ready, sweep)} == {"10.0.0.1:6379"}
    assert all(call.environment["RAY_ADDRESS"] == "" for call in job.calls if call.arguments[:1] == ("start",))


def test_ends_with_the_sweeps_exit_code(job: Job) -> None:
    code, _ = job.run(FAKE_EXIT="3")
    assert code == 3
    assert sequence(job)[-2:] == ["workers ended", "head ended"]


def test_when_the_time_is_over_the_sweep_ends_first(job: Job) -> None:
    process = job.start(FAKE_LONG="yes")
    assert process.stdout is not None
    assert "dashboard" in process.stdout.readline()
    while "sweep" not in sequence(job):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert sequence(job)[-3:] == ["sweep ended", "workers ended", "head ended"]
    assert not list(job.folder.glob(".kdray-job-*"))


def test_refuses_another_version_of_ray(job: Job) -> None:
    code, output = job.run(FAKE_VERSION="2.61.0")
    assert code == 2
    assert PINNED_RAY in output
    assert sequence(job) == []


def test_a_head_that_does_not_start_gives_a_message(job: Job) -> None:
    code, output = job.run(FAKE_HEALTH="")
    assert code == 1
    assert "the head did not start on node1" in output
    assert sequence(job) == ["head"]
    assert not list(job.folder.glob(".kdray-job-*"))


def test_slurm_gives_a_node_to_one_job_and_time_to_end() -> None:
    """Ray's ports are fixed; the signal goes to the script (B:), which passes it on."""
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", (ROOT / "cluster/slurm.sh").read_text(), re.MULTILINE))
    assert "exclusive" in options
    assert options["ntasks-per-node"] == "1"
    assert re.fullmatch(r"B:TERM@\d{2,}", options["signal"])

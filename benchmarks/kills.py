"""A search whose driver is killed again and again: `python benchmarks/kills.py --corpus mrpc --trials 24 --kills 5`.

Runs the corpus's sweep as a user would, kills its driver with SIGKILL at random moments, each time goes on with
`--resume`, and counts: trials that ended, trials that ended twice, scores that changed, suggestions that an unbroken
search of the same seed did not make (`--unbroken` runs that one too; trials then run one at a time, so that they end in
the same order). With `--drivers 2` nothing is killed: so many drivers work at once on one study in a database server,
the machine's own PostgreSQL if `--storage` names none.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from family import database

from kdray.cli.main import guarded
from kdray.errors import RunError
from kdray.experiments.study import WITHDRAWN

ROOT = Path(__file__).parent.parent
SWEEPS = ROOT / "sweeps"
Ended = dict[int, tuple[str, float | None]]


def main() -> None:
    arguments = _parser().parse_args()
    folder = Path(arguments.store)
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.drivers > 1:
        with nullcontext(arguments.storage) if arguments.storage else database() as storage:
            found = _drivers(arguments, folder, storage)
    else:
        found = _kills(arguments, folder)
    Path(arguments.out).write_text(json.dumps({"command": sys.argv, **found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    if found["wrong"]:
        raise RunError("; ".join(found["wrong"]))


def _kills(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    seconds = random.Random(arguments.seed)
    command = _command(arguments, "killed")
    seen: Ended = {}
    wrong: list[str] = []
    moments: list[dict[str, Any]] = []
    begun, code = time.monotonic(), 0
    for turn in range(arguments.kills + 1):
        resume = ["--resume"] if turn else []
        with (folder / f"killed-{turn}.log").open("w") as log:
            driver = subprocess.Popen([*command, *resume], stdout=log, stderr=log)
            if turn < arguments.kills:
                _wait(folder, driver, partial(_another_ended, folder, "killed", len(seen)))
                time.sleep(seconds.uniform(0, arguments.spread))
                driver.kill()
            code = driver.wait()
        now = _ended(folder, "killed")
        wrong += [f"trial {n} was {was}, is {now.get(n)}" for n, was in seen.items() if now.get(n) != was]
        seen = now
        moments.append({"second": round(time.monotonic() - begun), "exit": code, "ended": len(now)})
        print(json.dumps(moments[-1]), flush=True)
    trials = _study(folder, "killed").trials
    wrong += _miscounted(trials, arguments.trials)
    wrong += [f"the last driver ended with {code}"] if code else []
    starts = _starts([folder / f"killed-{turn}.log" for turn in range(arguments.kills + 1)])
    found: dict[str, Any] = {
        "trials": len(trials),
        "states": dict(Counter(t.state.name for t in trials)),
        "drivers": moments,
    }
    found["starts"] = {"in all": sum(starts.values()), "more than once": {n: c for n, c in starts.items() if c > 1}}
    if arguments.unbroken:
        with (folder / "unbroken.log").open("w") as log:
            subprocess.run(_command(arguments, "unbroken"), stdout=log, stderr=log, check=False)
        whole = {trial.number: trial for trial in _study(folder, "unbroken").trials}
        other = [t.number for t in trials if t.params != whole[t.number].params]
        scores = [t.number for t in trials if t.values != whole[t.number].values]
        wrong += [f"trials {other} were suggested otherwise than without a break"] if other else []
        found |= {"suggested as without a break": len(trials) - len(other), "other score": scores}
    return found | {"wrong": wrong}


def _drivers(arguments: argparse.Namespace, folder: Path, storage: str) -> dict[str, Any]:
    """Several drivers at once on one study in a database server."""
    command = [*_command(arguments, "shared"), "--storage", storage]
    logs = [folder / f"shared-{number}.log" for number in range(arguments.drivers)]
    with ExitStack() as files:
        opened = [files.enter_context(log.open("w")) for log in logs]
        drivers = [subprocess.Popen(command, stdout=opened[0], stderr=opened[0])]
        _wait(folder, drivers[0], (folder / "sweeps" / "shared").exists)  # what the others go on with
        drivers += [subprocess.Popen([*command, "--resume"], stdout=log, stderr=log) for log in opened[1:]]
        codes = [driver.wait() for driver in drivers]
    trials = optuna.load_study(study_name="shared", storage=storage).trials
    counted = [trial for trial in trials if not trial.user_attrs.get(WITHDRAWN)]
    by_driver = [_starts([log]) for log in logs]
    drivers_of = Counter(number for starts in by_driver for number in starts)
    twice = sorted(number for number, count in drivers_of.items() if count > 1)
    wrong = _miscounted(counted, arguments.trials)
    wrong += [f"trials {twice} were started by more than one driver"] if twice else []
    wrong += [f"drivers ended with {codes}"] if any(codes) else []
    wrong += ["a driver had nothing to do"] if not all(by_driver) else []
    states = dict(Counter(trial.state.name for trial in counted))
    return {"trials": len(counted), "states": states, "by driver": [sorted(s) for s in by_driver], "wrong": wrong}


def _command(arguments: argparse.Namespace, name: str) -> list[str]:
    sweep = str(SWEEPS / f"tune_{arguments.corpus}.py")
    return [
        *(sys.executable, sweep, "--corpus", arguments.corpus, "--trials", str(arguments.trials), "--name", name),
        *("--store", arguments.store, "--seeds", str(arguments.seeds), "--cpus-per-trial", str(arguments.cpus)),
        *arguments.overrides,
    ]


def _study(folder: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'sweeps' / name / 'study.db'}")


def _ended(folder: Path, name: str) -> Ended:
    """State and score of every trial that has ended."""
    if not (folder / "sweeps" / name / "study.db").exists():
        return {}
    trials = _study(folder, name).trials
    return {t.number: (t.state.name, t.values[0] if t.values else None) for t in trials if t.state.is_finished()}


def _wait(folder: Path, driver: "subprocess.Popen[bytes]", until: Callable[[], bool]) -> None:
    while not until():
        if driver.poll() is not None:
            raise RunError(f"the driver ended by itself with {driver.returncode}; look into its log in {folder}.")
        time.sleep(1)


def _another_ended(folder: Path, name: str, than: int) -> bool:
    """Whether this driver has ended a trial: else every kill would hit the start."""
    try:
        return len(_ended(folder, name)) > than
    except Exception:  # the driver is just making its database
        return False


def _miscounted(trials: list[Any], asked: int) -> list[str]:
    numbers = Counter(trial.number for trial in trials)
    wrong = [f"{len(trials)} trials, {asked} were asked for"] if len(trials) != asked else []
    wrong += [f"trial {number} is there {count} times" for number, count in numbers.items() if count > 1]
    return wrong + [f"trial {t.number} is {t.state.name}" for t in trials if not t.state.is_finished()]


def _starts(logs: list[Path]) -> Counter[int]:
    """How often each trial was started, as the drivers said; a killed one is started again."""
    said = (line.partition("trial ")[2].split() for log in logs for line in log.read_text().splitlines())
    return Counter(int(words[0]) for words in said if len(words) > 1 and words[1] == "starts:")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Kill a sweep's driver again and again, and count its trials.")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of the sweep's base")
    parser.add_argument("--corpus", default="mrpc")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--spread", type=float, default=60.0, help="a kill comes up to so many seconds after a trial")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--seeds", type=int, default=3, help="of the confirmation")
    parser.add_argument("--cpus", type=int, default=1, help="processors of one trial")
    parser.add_argument("--unbroken", action="store_true", help="also run the same search without a kill, and compare")
    parser.add_argument("--drivers", type=int, default=1, help="so many at once, instead of kills")
    parser.add_argument("--storage", help="URL of the study's database, for several drivers")
    parser.add_argument("--store", default="store/kills")
    parser.add_argument("--out", default="kills.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))

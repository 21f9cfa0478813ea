"""The flags that all programs in `sweeps/` share: what is refused before anything starts."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from kdray.cli.flags import add_flags, check_flags, method_settings, run_config
from kdray.cli.sweep import keeping
from kdray.config import RunConfig, SweepConfig
from kdray.corpora import read_corpus
from kdray.errors import ConfigError


def given(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, SweepConfig, "rte")
    return parser.parse_args(words)


@pytest.mark.parametrize("name", ["../x", "a/b", "a/../../x", "..", "/x", "", "a b"])
def test_a_name_that_could_leave_the_sweeps_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--name .*: use letters, digits"):
        check_flags(given(f"--name={name}"), SweepConfig)


def test_an_ordinary_name_is_taken() -> None:
    check_flags(given("--name", "rte-1.b"), SweepConfig)


def test_an_address_is_looked_at_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="--address nonsense: give HOST:PORT"):
        check_flags(given("--address", "nonsense"), SweepConfig)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--seeds", "0"], "--seeds 0: it must be 1 or more."),
        (["--cpus-per-trial", "-1"], "--cpus-per-trial -1: it must be 1 or more."),
        (["--gpus-per-trial", "-0.5"], "--gpus-per-trial -0.5: it must be 0 or more."),
        (["--trials", "0"], "--trials 0: it must be 1 or more."),
        (["--max-hours", "0"], "--max-hours 0: it must be above 0."),
    ],
)
def test_numbers_are_in_range(flags: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_flags(given(*flags), SweepConfig)
    assert str(caught.value) == sentence


def run_of(*words: str, base: dict[str, Any] | None = None) -> RunConfig:
    return run_config("rte", given(*words), base or {}, {})


def test_values_of_flags_are_not_parsed_as_yaml() -> None:
    assert run_of("--corpus", "sample", "--store", "runs #2").store == "runs #2"
    assert run_of("--corpus", "sample", "--store", "2024", "--epochs", "7").train.epochs == 7


def test_ones_own_rows_are_a_corpus_by_the_flag_and_by_the_setting() -> None:
    settings = ["corpus.path=data", "corpus.labels=[no, yes]"]
    base: dict[str, Any] = {"teachers": [{"name": "a", "init_from": "mnli", "train": {"epochs": 9}}]}
    run = run_of("--corpus", "folder", *settings, base=base)
    assert (run.corpus.name, run.corpus.path, run.corpus.labels) == ("folder", "data", ("no", "yes"))
    assert (run.teachers[0].init_from, run.teachers[0].train.epochs) == (None, 9)
    assert run_of("corpus.name=folder", *settings, base=base) == run


def test_an_unknown_corpus_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"name = rtf is unknown; the nearest is rte"):
        run_of("--corpus", "rtf")


def test_the_command_lines_settings_of_the_method_hold_for_every_method_that_has_them() -> None:
    words = ("--corpus", "sample", "method.direction=reverse", "method.temperature=3")
    run = run_of(*words)
    held = method_settings(given(*words), run)
    assert held == {"direction": "reverse", "temperature": 3}

    def space(trial: Any, run: RunConfig) -> dict[str, Any]:
        return {"method": {"name": trial, **({"temperature": 8.0} if trial == "kd" else {})}}

    kept = keeping(space, held)
    assert kept("kd", run) == {"method.direction": "reverse", "method.name": "kd", "method.temperature": 8.0}
    assert kept("mtbert", run) == {"method.temperature": 3, "method.name": "mtbert"}
    assert kept("ens_u", run) == {"method.direction": "reverse", "method.temperature": 3, "method.name": "ens_u"}
    assert kept("finetune", run) == {"method.name": "finetune"}
    whole = ("--corpus", "sample", "method={name: kd, alpha: 0.25}")
    assert method_settings(given(*whole), run_of(*whole)) == {"alpha": 0.25}


def test_a_folder_drops_the_bases_first_task_and_a_line_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = {"teachers": [{"name": "one", "init_from": "mnli"}, {"name": "two"}]}
    words = ["corpus.path=data", "corpus.labels=[bad, good]"]
    run = run_config("rte", given("--corpus", "folder", *words), base, {})
    assert [teacher.init_from for teacher in run.teachers] == [None, None]
    line = "on your folder these teachers are trained without init_from, which the base has for rte: one\n"
    assert capsys.readouterr().out == line


def test_a_base_that_is_made_for_a_folder_keeps_its_first_task(capsys: pytest.CaptureFixture[str]) -> None:
    base = {
        "corpus": {"name": "folder", "path": "data", "labels": ["bad", "good"]},
        "teachers": [{"name": "one", "init_from": {"corpus": {"name": "sst2"}}}],
    }
    assert run_config("rte", given("--corpus", "folder"), base, {}).teachers[0].init_from is not None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("rows", "limit"), [(40, None), (160, None), (161, 160)])
def test_a_smoke_run_takes_a_folder_of_few_rows_whole(rows: int, limit: int | None, tmp_path: Path) -> None:
    for split, number in (("train", rows), ("test", 8)):
        lines = [f"text {i},{('bad', 'good')[i % 2]}" for i in range(number)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,label", *lines]))
    words = [f"corpus.path={tmp_path}", "corpus.labels=[bad, good]", "corpus.fields=[{name: text, role: body}]"]
    run = run_config("rte", given("--smoke", "--corpus", "folder", *words), {}, {})
    assert run.corpus.limit == limit
    assert read_corpus(run.corpus, data_dir=None).splits["test"].num_rows == 8  # a limit above the rows is refused
    small = run_config("rte", given("--smoke", "--corpus", "folder", *words, "corpus.limit=30"), {}, {})
    assert small.corpus.limit == 30

"""Settings by the names of earlier versions: taken with one warning that gives the new name, never silently."""

import logging

import pytest

from kdray.cli.main import main
from kdray.config import load, merge, parse
from kdray.errors import ConfigError

OLD = [
    ("prune.protect", "prune.keep_medoids", "none"),
    ("prune.stats", "prune.fit_on", "split"),
    ("outputs.preflight", "outputs.quality_check", False),
    ("teaching", "teacher_training", "separate"),
    ("corpus.select_fraction", "corpus.validation_fraction", 0.2),
    ("teachers.0.init_from.merge", "teachers.0.init_from.label_map", {"no": "yes"}),
    ("teachers.0.init_from.corpus.select_fraction", "teachers.0.init_from.corpus.validation_fraction", 0.2),
    ("prune.policy.rho", "prune.policy.rate", 0.25),
]
FILE = """
corpus: {name: sample}
prune: {policy: {name: match_rate, rate: 0.5}, embedders: minilm}
teachers: [{name: t, init_from: {corpus: {name: sample}}}]
"""
BARE = FILE.replace(", rate: 0.5", "")


@pytest.fixture
def run_file(tmp_path):
    (tmp_path / "run.yaml").write_text(FILE)
    return tmp_path / "run.yaml"


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(("old", "new", "value"), OLD)
def test_an_old_name_on_the_command_line_is_taken_with_a_warning(old, new, value, run_file, caplog):
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else str(value).replace("'", "")
    found = load(run_file, [f"{old}={text}"])
    assert warnings(caplog) == [f"{old} is now {new}"]
    assert found == load(run_file, [f"{new}={text}"])


@pytest.mark.parametrize(("old", "new", "value"), OLD)
def test_an_old_name_in_settings_is_taken_with_a_warning(old, new, value, run_file, caplog):
    plain = merge(load(run_file).model_dump(mode="json"), {new: value})
    wanted = parse(plain, source="test")
    section = plain
    for part in new.split(".")[:-1]:
        section = section[int(part)] if part.isdecimal() else section[part]
    section[old.split(".")[-1]] = section.pop(new.split(".")[-1])
    assert parse(plain, source="test") == wanted
    assert warnings(caplog) == [f"{old} is now {new}"]


def test_a_file_with_old_names_reads_words_as_texts(run_file, caplog):
    run_file.write_text(BARE.replace("init_from: {", "init_from: {merge: {no: yes}, ") + "teaching: separate\n")
    found = load(run_file, ["prune.policy.rate=0.5"])
    assert found.teachers[0].init_from.label_map == {"no": "yes"}
    assert warnings(caplog) == [
        "teachers.0.init_from.merge is now teachers.0.init_from.label_map",
        "teaching is now teacher_training",
    ]


def test_the_level_example_is_now_row(run_file, caplog):
    assert load(run_file, ["prune.level=example"]).prune.level == "row"
    assert warnings(caplog) == ["prune.level = example is now prune.level = row"]


def test_both_names_are_refused(run_file):
    sentence = "prune.stats is the old name of prune.fit_on, and both are given; remove prune.stats."
    for given in (["prune.stats=train", "prune.fit_on=split"], ["prune.fit_on=split", "prune.stats=train"]):
        with pytest.raises(ConfigError) as caught:
            load(run_file, given)
        assert str(caught.value) == sentence
    run_file.write_text(FILE.replace("prune: {", "prune: {fit_on: train, stats: split, "))
    with pytest.raises(ConfigError) as caught:
        load(run_file)
    assert str(caught.value) == sentence


def test_an_override_replaces_what_a_file_has_under_the_old_name(run_file, caplog):
    run_file.write_text(FILE.replace("prune: {", "prune: {stats: split, "))
    assert load(run_file, ["prune.fit_on=train"]).prune.fit_on == "train"
    assert warnings(caplog) == ["prune.stats is now prune.fit_on"]


def test_an_old_name_elsewhere_is_refused_as_unknown(run_file):
    with pytest.raises(ConfigError, match=r"unknown setting train\.stats"):
        load(run_file, ["train.stats=train"])


def test_the_command_distil_is_distill(tmp_path, capsys):
    assert main(["distil", str(tmp_path / "missing.yaml")]) == 2
    assert "missing.yaml: No such file or directory; give a file of settings (YAML)." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "distil " not in capsys.readouterr().out

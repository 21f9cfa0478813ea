"""A sweep as a file: its space gives what a space in Python gives, and what cannot work is refused in one sentence."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from kdray.cli import compare
from kdray.cli.sweep import _folds, _formats, _limit, _parser, keeping
from kdray.config import ComparisonConfig, SweepConfig, load_comparison, load_sweep, merge, parse
from kdray.config.sweep import NO_FLAGS, Range
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of

FILE = Path(__file__).parents[2] / "sweeps" / "sample.yaml"


@pytest.fixture
def sweep() -> SweepConfig:
    return load_sweep(FILE)


def changed(tmp_path: Path, old: str, new: str) -> SweepConfig:
    text = FILE.read_text()
    assert old in text
    (tmp_path / "sweep.yaml").write_text(text.replace(old, new))
    return load_sweep(tmp_path / "sweep.yaml")


def parsed(given: SweepConfig, *words: str) -> Any:
    """The flags of a command that starts this file."""
    parser = _parser("rte")
    parser.set_defaults(**given.flags())
    return parser.parse_args(words)


def test_every_flag_of_the_command_is_a_setting_of_the_file(sweep: SweepConfig) -> None:
    only_here = {"resume", "retry_failed", "smoke", "json", "debug", "verbose", "address", "allow_network", "overrides"}
    plain = vars(_parser("rte").parse_args([]))
    assert set(plain) - only_here == set(SweepConfig.model_fields) - NO_FLAGS
    unset = SweepConfig(space={})
    assert {name: plain[name] for name in set(plain) - only_here - {"corpus"}} == {
        name: getattr(unset, name) for name in set(plain) - only_here - {"corpus"}
    }
    given = sweep.model_copy(update={"bundle": True, "max_hours": 2.5, "pruning": "none"})
    given.model_fields_set.update({"bundle", "max_hours", "pruning"})
    found = parsed(given)
    assert (found.bundle, found.max_hours, found.pruning, found.trials, found.seeds) == (True, 2.5, "none", 4, 2)
    assert (found.corpus, found.candidates) == ("sample", 3)


def test_a_flag_replaces_what_the_file_sets(sweep: SweepConfig) -> None:
    assert parsed(sweep, "--trials", "9").trials == 9
    assert parsed(sweep).trials == 4


def test_a_trial_has_what_its_method_has(sweep: SweepConfig) -> None:
    run = parse(sweep.base(), source="test")
    kd = optuna.trial.FixedTrial({"method.name": "kd", "method.temperature": 4.0, "train.learning_rate": 1e-4})
    plain = optuna.trial.FixedTrial({"method.name": "finetune", "train.learning_rate": 1e-4})
    chosen = sweep.suggest(kd, run)
    assert chosen == {"method.name": "kd", "method.temperature": 4.0, "train.learning_rate": 1e-4}
    assert sweep.suggest(plain, run) == {"method.name": "finetune", "train.learning_rate": 1e-4}
    assert parse(merge(sweep.base(), chosen), source="test").method.model_dump()["temperature"] == 4.0


def test_trial_0_is_the_unchanged_run(sweep: SweepConfig) -> None:
    run = parse(sweep.base(), source="test")
    sweep.check(run)
    wanted: dict[str, Any] = {"method.name": "kd", "method.temperature": 5.0, "train.learning_rate": 3e-4}
    assert sweep.starts(run) == [{"label": "defaults", "params": wanted}]


def test_whole_ends_of_a_range_stand_for_fractions_where_the_setting_takes_them(sweep: SweepConfig) -> None:
    def drawn(key: str, low: float, high: float) -> optuna.distributions.BaseDistribution:
        space = {key: Range(low=low, high=high)}
        trial = optuna.create_study().ask()
        sweep.model_copy(update={"space": space}).suggest(trial, parse(sweep.base(), source="test"))
        return trial.distributions[key]

    assert drawn("method.temperature", 1, 20) == drawn("method.temperature", 1.0, 20.0)
    assert drawn("method.temperature", 1, 20) == optuna.distributions.FloatDistribution(1.0, 20.0)
    assert drawn("method.alpha", 0, 1) == optuna.distributions.FloatDistribution(0.0, 1.0)
    assert drawn("train.epochs", 1, 4) == optuna.distributions.IntDistribution(1, 4)


def test_the_run_at_hand_decides_whether_a_range_has_fractions(sweep: SweepConfig) -> None:
    run = parse(merge(sweep.base(), {"prune.policy": {"name": "match_rate", "rate": 0.5}}), source="test")
    trial = optuna.create_study().ask()
    sweep.model_copy(update={"space": {"prune.policy.rate": Range(low=0, high=1)}}).suggest(trial, run)
    assert trial.distributions["prune.policy.rate"] == optuna.distributions.FloatDistribution(0.0, 1.0)


def test_a_range_of_fractions_of_the_student_cannot_be_listed(sweep: SweepConfig) -> None:
    run = parse({"student": {"architecture": {"name": "naive_bayes"}}, "method": {"name": "finetune"}}, source="test")
    space = {"student.architecture.smoothing": Range(low=1, high=2)}
    with pytest.raises(ConfigError, match=r"student\.architecture\.smoothing has a range of fractions; .* list them"):
        sweep.model_copy(update={"space": space, "run": run}).shapes()


def test_a_value_that_is_no_choice_of_the_space_is_refused(sweep: SweepConfig) -> None:
    narrow = sweep.model_copy(update={"space": {"method.temperature": (1, 2)}})
    with pytest.raises(ConfigError, match=r"temperature of the run is 5\.0, which is none of the choices 1, 2;"):
        narrow.starts(parse(sweep.base(), source="test"))
    empty = sweep.model_copy(update={"space": {"method.temperature": ()}})
    with pytest.raises(ConfigError, match=r"which is not in its list, which is empty;"):
        empty.starts(parse(sweep.base(), source="test"))


def test_a_value_of_the_run_outside_the_space_is_refused(sweep: SweepConfig) -> None:
    run = parse(merge(sweep.base(), {"train.learning_rate": 1e-3}), source="test")
    with pytest.raises(
        ConfigError, match=r"space: train\.learning_rate of the run is 0\.001, which is outside 5e-05 to"
    ):
        sweep.starts(run)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "method.temperature",
            "method.temprature",
            r"space: unknown setting method\.temprature of kd, finetune; did you mean method\.temperature\?",
        ),
        ("train.learning_rate:", "train.rate:", r"space: unknown setting train\.rate"),
        ("high: 20.0", "high: 2000.0", r"space: method\.temperature = 2000\.0: allowed is"),
    ],
)
def test_a_space_that_cannot_work_is_refused(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    found = changed(tmp_path, old, new)
    with pytest.raises(ConfigError, match=sentence):
        found.check(parse(found.base(), source="test"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("low: 1.0", "low: 30.0", r"sweep\.yaml: space\.method\.temperature.*low must be below high"),
        ("trials: 4", "trials: 0", r"sweep\.yaml: trials = 0: allowed is a number of 1 or more"),
        ("run:\n", "run:\n  corpus: {name: rte}\n", r"corpus = sample, but run\.corpus\.name = rte; leave one out"),
        ("trials: 4", "trial: 4", r"sweep\.yaml: unknown setting trial; did you mean trials\?"),
        ("layers: 3", "layers: 0", r"sweep\.yaml: run: student\.layers = 0: allowed is"),
    ],
)
def test_a_file_that_is_not_a_sweep_is_refused(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        changed(tmp_path, old, new)


def test_the_corpus_of_the_run_is_the_one_that_is_searched_on(tmp_path: Path) -> None:
    found = changed(tmp_path, "corpus: sample\nrun:\n", "run:\n  corpus: {name: rte}\n")
    assert parsed(found).corpus == "rte"


def test_choices_of_students_are_combined_and_left_out_of_the_rest(sweep: SweepConfig) -> None:
    space = {**sweep.space, "student.layers": Range(low=2, high=3), "student.vocabulary": ("full", "trim")}
    found = sweep.model_copy(update={"space": space})
    shapes = [(each["student.layers"], each["student.vocabulary"]) for each in found.shapes()]
    assert shapes == [(2, "full"), (2, "trim"), (3, "full"), (3, "trim")]
    assert found.without_student() == sweep
    assert sweep.shapes() == [{}]
    fractions = sweep.model_copy(update={"space": {"student.width": Range(low=0.5, high=2)}})
    with pytest.raises(ConfigError, match=r"space: student\.width has a range of fractions"):
        fractions.shapes()


@pytest.mark.parametrize("given", ["2", "ms", "0ms", "-1ms", "2 min", "1e3ms"])
def test_a_limit_is_a_time_above_0(given: str) -> None:
    assert (_limit("2ms"), _limit(".5 ms"), _limit("0.01s"), _limit(None)) == (2.0, 0.5, 10.0, None)
    with pytest.raises(ConfigError, match=r"--under .*: expected a time above 0 such as 2ms"):
        _limit(given)


@pytest.mark.parametrize("given", ["hf", "onnx,onnx", ""])
def test_formats_are_those_whose_latency_is_measured(given: str) -> None:
    assert _formats("onnx-int8,onnx") == ("onnx-int8", "onnx")
    with pytest.raises(ConfigError, match="give onnx, onnx-int8, or both"):
        _formats(given)


def test_folds_are_a_number_or_auto(sweep: SweepConfig, tmp_path: Path) -> None:
    for given, folds in (("3", 3), ("auto", "auto"), ("0", 0)):
        file = changed(tmp_path, "trials: 4", f"trials: 4\nfolds: {given}")
        assert _folds(str(parsed(file).folds)) == _folds(parsed(sweep, "--folds", given).folds) == folds
    assert _folds(str(parsed(sweep).folds)) == 0
    for given in ("1", "101", "-2", "three"):
        with pytest.raises(ConfigError, match=rf"--folds {given}: give 0, auto, or a number from 2 to 100\."):
            _folds(given)
    with pytest.raises(ConfigError, match="folds"):
        changed(tmp_path, "trials: 4", "trials: 4\nfolds: some")


OWN = """
from kdray.methods import KD, Batch, MethodOutput


class MyKD(KD):
    warmth: float = 2.0

    def terms(self, step: Batch) -> MethodOutput:
        return super().terms(step)
"""


@pytest.mark.parametrize("base", ["kd", "own_method.py:MyKD"])
def test_a_method_from_outside_has_its_settings_searched(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_method.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    names = ["kd", "own_method.py:MyKD"]
    space = {
        "method.name": names,
        "method.temperature": {"low": 1, "high": 9.0},
        "method.warmth": {"low": 1, "high": 3},
    }
    run = parse({"method": {"name": base}}, source="test")
    sweep = SweepConfig.model_validate({"run": run, "space": space})
    sweep.check(run)
    own, start = base != "kd", sweep.starts(run)[0]["params"]
    assert start == {"method.name": base, "method.temperature": 5.0} | ({"method.warmth": 2.0} if own else {})
    for name in names:
        fixed = optuna.trial.FixedTrial({"method.name": name, "method.temperature": 4.0, "method.warmth": 3})
        chosen = sweep.suggest(fixed, run)
        assert set(chosen) == set(space) - ({"method.warmth"} if name == "kd" else set())
        assert parse(merge(run.model_dump(mode="json"), chosen), source="test").method.model_dump()["temperature"] == 4
        shared = keeping(sweep.suggest, {"direction": "reverse", "warmth": 1.5})(fixed, run)
        assert shared["method.direction"] == "reverse"
        assert shared.get("method.warmth") == (3 if name != "kd" else None)


@pytest.mark.parametrize("first", ["kd", "own_method.py:MyKD"])
def test_a_setting_of_one_method_without_its_section_is_named_with_it(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_method.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    names = [first, *({"kd", "own_method.py:MyKD"} - {first})]
    sweep = SweepConfig.model_validate({"space": {"method.name": names, "warmth": [1.0, 2.0]}})
    with pytest.raises(ConfigError, match=r"^space: unknown setting warmth; did you mean method\.warmth\?$"):
        sweep.check(sweep.run)


METHODS = FILE.with_name("methods.yaml")


def test_every_flag_of_a_comparison_is_a_setting_of_its_file() -> None:
    found = set(vars(compare._parser("", "rte").parse_args([])))
    only_here = {"smoke", "json", "debug", "verbose", "address", "allow_network", "overrides"}
    assert found - only_here == set(ComparisonConfig.model_fields) - NO_FLAGS


def test_every_variant_of_the_shipped_file_can_be_trained() -> None:
    given = load_comparison(METHODS)
    run = parse(merge(given.base(), {"corpus": {"name": "sample"}}), source="test")
    found = {each.label: each.run.method for each in candidates_of(given.variants, run)}
    assert [*found][: len(given.variants)] == [*given.variants]
    assert found["hot KD"].model_dump()["temperature"] == 10


@pytest.mark.parametrize(
    ("load", "file", "command"), [(load_sweep, METHODS, "compare"), (load_comparison, FILE, "sweep")]
)
def test_a_file_of_the_other_kind_is_refused_with_its_command(load: Any, file: Path, command: str) -> None:
    with pytest.raises(ConfigError, match=rf"is a key of another kind of file; start it by kdray {command} .*yaml\.$"):
        load(file)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("variants: {}", "variants is empty; give at least one."),
        ("variants: {a: 3}", "variants.a is a section of settings, found 3."),
        ("variants: {a: {}}\ntrials: 3", "unknown setting trials"),
        ("variants: {a: {}}\nmethod: {name: kd}", "method is a setting of a run: put it under run:"),
        ("seeds: 3", "variants: it is missing."),
    ],
)
def test_what_a_comparison_file_cannot_hold_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as found:
        load_comparison(tmp_path / "c.yaml")
    assert sentence in str(found.value)
    assert "\n" not in str(found.value)

"""What the page claims about the winner, the uncomfortable cases first."""

from typing import Any

import made_up
import pytest

from kdray.methods import METHODS
from kdray.report import render
from kdray.report.formatting import metric
from kdray.report.summary import (
    compared,
    comparison_findings,
    comparison_verdict,
    not_beaten,
    rows_and_points,
    sweep_findings,
    sweep_verdict,
    winner_first,
    winner_on_seeds,
)
from kdray.results import ComparisonResult, Difference, SweepResult, parse_result

_ACCURACY = metric("accuracy", 277)


def _checked(result: dict[str, Any]) -> SweepResult:
    record = parse_result(result)
    assert isinstance(record, SweepResult)
    return record


def test_the_winner_comes_first_and_the_others_keep_their_order() -> None:
    labels = [student.label for student in winner_first(_checked(made_up.sweep()).confirmation)]
    assert labels == ["winner (trial 1: dekd)", "no-KD baseline", "vanilla KD"]


def test_the_summary_has_mean_and_deviation_on_test() -> None:
    assert sweep_verdict(_checked(made_up.sweep()), _ACCURACY) == (
        "Winner (trial 1: dekd): accuracy 62.1 ± 1.0 % on the test split (3 seeds)."
    )


def test_a_clear_win() -> None:
    assert sweep_findings(_checked(made_up.sweep()), _ACCURACY) == [
        "The winner beats the no-KD baseline (+5.0 points, Welch's test over the seeds, p\u00a0=\u00a00.0042).",
        "The winner keeps 90.0 % of its teacher's score.",
    ]


def test_students_that_the_winner_does_not_beat_are_named() -> None:
    sweep = made_up.sweep()
    ours = sweep["confirmation"][2]
    ours["test"] = {"mean": 0.55, "std": 0.01, "values": [0.54, 0.55, 0.56]}
    ours["difference"] |= {"mean": -0.021, "p_value": 0.07}
    record = _checked(sweep)
    assert not_beaten(record.confirmation, _ACCURACY) == ["no-KD baseline", "vanilla KD"]
    said = sweep_findings(record, _ACCURACY)
    assert (
        said[0]
        == "The winner does not beat the no-KD baseline (−2.1 points, Welch's test over the seeds, p\u00a0=\u00a00.07)."
    )
    assert said[1] == "The winner of the search does not beat vanilla KD on the test split."


def test_an_equal_score_does_not_win() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"][1]["test"]["mean"] = sweep["confirmation"][2]["test"]["mean"]
    assert not_beaten(_checked(sweep).confirmation, _ACCURACY) == ["vanilla KD"]


def test_the_winner_does_not_lose_to_itself() -> None:
    sweep = made_up.sweep()
    alone, vanilla, ours = sweep["confirmation"]
    ours["runs"] = vanilla["runs"] = ["d1", "d2", "d3"]
    alone["runs"] = ["d4", "d5", "d6"]
    vanilla["test"] = ours["test"]
    alone["test"] = ours["test"]
    assert not_beaten(_checked(sweep).confirmation, _ACCURACY) == [alone["label"]]
    page = render(sweep)
    assert page.count("the same settings as the winner") == page.count("not beaten by the winner") == 1


@pytest.mark.parametrize(
    ("mean", "p", "words"),
    [
        (0.01, 0.049, "It beats A (+1.0 points, Welch's test over the seeds, p\u00a0=\u00a00.049)."),
        (
            0.01,
            0.05,
            "It scores higher than A (+1.0 points, Welch's test over the seeds, p\u00a0=\u00a00.05), "
            "but the difference may be due to chance.",
        ),
        (0.01, None, "It scores higher than A (+1.0 points, p not measured); the difference was not tested."),
        (0.0, 1.0, "It does not beat A (+0.0 points, Welch's test over the seeds, p\u00a0=\u00a01)."),
        (-0.01, 0.001, "It does not beat A (−1.0 points, Welch's test over the seeds, p\u00a0=\u00a00.001)."),
        (None, None, "The difference to A was not measured."),
    ],
)
def test_a_difference_in_words(mean: float | None, p: float | None, words: str) -> None:
    assert compared(Difference(to="A", mean=mean, p_value=p), _ACCURACY, who="It") == words


def test_an_unconfirmed_winner_is_marked() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"] = []
    record = _checked(sweep)
    assert (
        sweep_verdict(record, _ACCURACY)
        == "Trial 1 is the best: accuracy 64.9 % on the validation split, not confirmed on other seeds."
    )
    assert sweep_findings(record, _ACCURACY)[0].startswith("Not confirmed: ")


def test_one_seed_is_marked() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"] = [{"label": "winner", "seeds": [0], "test": {"mean": 0.6, "std": None}}]
    record = _checked(sweep)
    assert sweep_verdict(record, _ACCURACY) == "Winner: accuracy 60.0 % on the test split (1 seed)."
    assert sweep_findings(record, _ACCURACY) == [
        "Its difference to the no-KD baseline was not measured.",
        "One seed gives no standard deviation: a difference may be due to chance.",
    ]


@pytest.mark.parametrize(
    ("p_rows", "words"),
    [
        (0.03, "p\u00a0=\u00a00.03, McNemar's test); other seeds may differ."),
        (0.3, "p\u00a0=\u00a00.3, McNemar's test), but the difference may be due to chance."),
    ],
)
def test_of_one_seed_the_verdict_has_the_test_over_rows(p_rows: float, words: str) -> None:
    comparison = made_up.comparison()
    comparison["confirmation"] = [
        {"label": "no-KD baseline", "seeds": [0], "test": {"mean": 0.58, "values": [0.58]}},
        {"label": "kd", "seeds": [0], "test": {"mean": 0.60, "values": [0.60]}},
    ]
    comparison["pairs"] = [{"label": "no-KD baseline", "to": "kd", "difference": -0.02, "p_rows": p_rows}]
    record: Any = parse_result(comparison)
    assert comparison_verdict(record, _ACCURACY).endswith(f"(+2.0 points, one seed; over the test rows {words}")


def test_equal_methods_are_named_together() -> None:
    comparison = made_up.comparison()
    for student in comparison["confirmation"]:
        student["test"] = {"mean": 0.7, "std": 0.1, "values": [0.6, 0.7, 0.8]}
    comparison["confirmation"].append({**comparison["confirmation"][-1], "label": "mine"})
    record: Any = parse_result(comparison)
    assert "vanilla KD and mine, accuracy 70.0" in comparison_verdict(record, _ACCURACY)


def test_methods_above_the_teacher_are_named() -> None:
    comparison = made_up.comparison()
    said = "scores higher than the teacher, so retention and distillation ratio mean little"
    student = next(each for each in comparison["confirmation"] if each["label"] == "vanilla KD")
    for retention in (0.9, 1.352):
        student["retention"] = retention
        record: Any = parse_result(comparison)
        found = [each for each in comparison_findings(record, _ACCURACY) if each.startswith(f"vanilla KD {said}")]
        assert len(found) == (retention > 1)


def test_folds_are_in_the_verdict_and_in_the_comparison() -> None:
    contenders = [{"number": number, "validation": mean} for number, mean in ((0, 0.60), (1, 0.64), (4, 0.61))]
    sweep = made_up.sweep()
    compared = {"seeds": [0], "contenders": contenders, "folds": 3}
    sweep["selection"] = {"best": 1, "gain": 0.04, "noise": 0.02, "winner": 1, **compared}
    assert sweep_verdict(_checked(sweep), _ACCURACY) == (
        "Winner (trial 1: dekd): accuracy 62.1 ± 1.0 % on the test split (3 seeds); candidates were compared on 3 "
        "folds of train and validation."
    )
    assert sweep_findings(_checked(sweep), _ACCURACY)[0] == (
        "2 candidates and the defaults were compared on 3 folds of train and validation: trial 1 is ahead of the "
        "defaults by +4.0 points, and one standard error is 2.0 points."
    )


def test_candidates_with_equal_means_leave_no_choice() -> None:
    sweep = made_up.sweep()
    contenders = [{"number": number, "validation": 1.0} for number in (0, 1, 4)]
    sweep["selection"] = {"best": 0, "gain": 0.0, "noise": 0.0, "winner": 0, "seeds": [0], "contenders": contenders}
    assert sweep_findings(_checked(sweep), _ACCURACY)[0].endswith(
        "all have the same mean, so the search could not choose among them."
    )


def test_a_student_above_its_teacher_is_said() -> None:
    sweep = made_up.sweep()
    next(each for each in sweep["confirmation"] if "winner" in each["label"])["retention"] = 1.259
    found = sweep_findings(_checked(sweep), _ACCURACY)
    assert any(each.startswith("The winner scores higher than its teacher: ") for each in found)


def test_a_rough_time_is_said_beside_the_time() -> None:
    sweep = made_up.sweep()
    bundle = {"folder": "b", "student": "x", "trial": 1, "format": "onnx", "p50_ms": 2.0, "warning": "busy"}
    sweep["latency"] = {"formats": ["onnx"], "students": {}, "teachers": {"big": 8.0}, "tokens": 7, "bundle": bundle}
    assert any("these times are rough" in each for each in sweep_findings(_checked(sweep), _ACCURACY))
    bundle["warning"] = ""
    assert not any("these times are rough" in each for each in sweep_findings(_checked(sweep), _ACCURACY))


def test_a_search_without_another_candidate_compares_nothing() -> None:
    sweep = made_up.sweep()
    alone = {"seeds": [0], "contenders": [{"number": 0, "validation": 0.6}]}
    sweep["selection"] = {"best": 0, "gain": 0.0, "noise": 0.0, "winner": 0, **alone}
    assert sweep_findings(_checked(sweep), _ACCURACY)[0] == "The search found no candidate beside the defaults."


def test_one_row_of_the_report_split_is_a_third_of_a_point() -> None:
    assert "277 rows: one row is worth 0.36 points" in rows_and_points(_checked(made_up.sweep()), _ACCURACY)


def test_the_noise_of_a_validation_score_is_said() -> None:
    result = _checked(made_up.sweep())
    rows = result.corpus.rows["validation"]
    best = max(trial.value or 0 for trial in result.trials)
    noise = 100 * (best * (1 - best) / rows) ** 0.5
    sentence = f"standard error of a score of {100 * best:.1f} % is {noise:.2g} points"
    assert sentence in rows_and_points(result, _ACCURACY)


def test_students_that_score_otherwise_on_validation_than_on_test_are_named() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"][1]["validation"]["mean"] = 0.951
    (sentence,) = [each for each in sweep_findings(_checked(sweep), _ACCURACY) if each.startswith("Validation and")]
    assert "more than the noise of their rows: vanilla KD (95.1 % and 60.4 %)." in sentence


def test_a_lower_log_loss_is_better() -> None:
    log_loss = metric("log_loss", 277, higher_is_better=False)
    better, worse = (Difference(to="A", mean=mean, p_value=0.01) for mean in (-0.1, 0.1))
    assert (
        compared(better, log_loss, who="It") == "It beats A (−0.100, Welch's test over the seeds, p\u00a0=\u00a00.01)."
    )
    assert compared(Difference(to="A", mean=-0.1), log_loss, who="It").startswith("It scores lower than A (−0.100")
    assert compared(worse, log_loss, who="It").startswith("It does not beat A (+0.100")
    students = _checked(made_up.sweep()).confirmation
    ahead, behind = not_beaten(students, _ACCURACY), not_beaten(students, log_loss)
    assert not set(ahead) & set(behind)
    assert len(ahead) + len(behind) == len(students) - 1
    comparison: Any = parse_result(made_up.comparison() | {"higher_is_better": False, "teachers": []})
    assert comparison_verdict(comparison, log_loss) == (
        "Lowest of 1 method: vanilla KD, log_loss 0.604 ± 0.007 on the test split; it does not beat the best control, "
        "“no-KD baseline” with 0.571 (+0.032, Welch's test over the seeds, p\u00a0=\u00a00.008)."
    )


def _on_chance(kind: str) -> Any:
    result = getattr(made_up, kind)()
    for student in result["confirmation"]:
        student["test"] = {"mean": 0.53, "std": 0.0, "values": [0.53, 0.53, 0.53]}
    return parse_result(result)


def test_students_that_learned_nothing_are_named_first() -> None:
    # majority class 52.7 % on 277 rows: two standard errors are 2 * sqrt(0.527 * 0.473 / 277) = 6.0 points
    words = "No student is better than the majority class (52.7 %) beyond the noise of the test rows (6 points)."
    assert comparison_verdict(_on_chance("comparison"), _ACCURACY) == words
    assert comparison_findings(_on_chance("comparison"), _ACCURACY)[0].startswith("Highest of 1 method")
    assert sweep_verdict(_on_chance("sweep"), _ACCURACY) == words
    assert sweep_findings(_on_chance("sweep"), _ACCURACY)[0].startswith("Winner")
    assert winner_on_seeds(_on_chance("sweep")).startswith(f"{words} Winner")
    f1 = comparison_verdict(_on_chance("comparison"), metric("macro_f1", 277))
    assert f1.startswith("Highest")
    other = _on_chance("comparison").model_copy(update={"teachers": ()})
    assert comparison_verdict(other, _ACCURACY).startswith("Highest")


def test_the_winner_of_a_sweep_is_compared_with_the_layers_of_its_teacher() -> None:
    sweep = made_up.sweep()
    winner = next(each for each in sweep["confirmation"] if each["label"].lower().startswith("winner"))
    assert not any("layers of the teacher" in each for each in sweep_findings(_checked(sweep), _ACCURACY))
    mean = winner["test"]["mean"]
    for gain, words in ((0.01, "scores higher than"), (-0.01, "does not beat")):
        layers = {"mean": mean - gain, "std": 0.0, "values": [mean - gain] * len(winner["seeds"])}
        control = winner | {"label": "student from teacher layers, no KD", "method": "finetune", "test": layers}
        found = _checked(sweep | {"confirmation": [*sweep["confirmation"], control | {"runs": ["another"]}]})
        said = f"It {words} the same layers of the teacher without distillation, {_ACCURACY.score(mean - gain)}"
        findings = sweep_findings(found, _ACCURACY)
        assert sum("teacher layers" in each or each.startswith(said) for each in findings) == 1  # not said twice
        assert said in winner_on_seeds(found)


def test_students_that_were_not_tested_are_counted_and_named() -> None:
    comparison = made_up.comparison()
    vanilla = comparison["confirmation"][1]
    same = {"mean": 0.6, "std": 0.0, "values": [0.6, 0.6, 0.6]}
    comparison["confirmation"].append(
        vanilla | {"label": "mine", "test": same, "difference": {"to": "no-KD baseline", "mean": 0.03}}
    )
    found = comparison_findings(parse_result(comparison), _ACCURACY)  # type: ignore[arg-type]
    assert found[0].startswith(
        "Methods that beat the no-KD baseline with p below 0.05 in the table of students: 1 of 2;"
    )
    assert found[1] == "mine was not tested (p undefined: no spread over the seeds)."
    assert found[2].startswith("The best of several scores is too high on average")
    pair = {"label": "mine", "to": "no-KD baseline", "difference": 0.03}
    page = render(comparison | {"pairs": [pair]})
    assert page.count("p undefined: no spread over the seeds") == 3  # sentence, table of students, table of pairs


def _with_controls(*kd: float) -> dict[str, Any]:
    """A comparison of one method on two seeds, which the layers of its teacher beat without distillation."""
    comparison = made_up.comparison()
    alone, vanilla = comparison["confirmation"]
    for student, values in ((alone, (0.59, 0.61)), (vanilla, kd)):
        student |= {"seeds": [0, 1], "test": {"mean": sum(values) / 2, "std": 0.01, "values": list(values)}}
    layers = {"mean": 0.628, "std": 0.001, "values": [0.627, 0.629]}
    label = "student from teacher layers, no KD"
    comparison["confirmation"].append(
        alone | {"label": label, "method": "finetune", "test": layers, "difference": vanilla["difference"]}
    )
    return comparison


def test_a_control_is_never_the_best_student() -> None:
    result: Any = parse_result(_with_controls(0.606, 0.608))
    assert comparison_verdict(result, _ACCURACY) == (
        "Highest of 1 method: vanilla KD, accuracy 60.7 ± 1.0 % on the test split; it does not beat the best control, "
        "“student from teacher layers, no KD” with 62.8 % (−2.1 points, Welch's test over the seeds, "
        "p\u00a0=\u00a00.0045)."
    )
    found = comparison_findings(result, _ACCURACY)
    assert found[0].startswith(
        "Methods that beat the no-KD baseline with p below 0.05 in the table of students: 1 of 1;"
    )
    assert found[1] == "Two seeds decide little: p is rough, and only large differences can be shown."
    assert "; it scores higher than the best control" in comparison_verdict(
        parse_result(_with_controls(0.58, 0.69)),  # type: ignore[arg-type]
        _ACCURACY,
    )


def test_a_comparison_of_controls_has_a_best_student() -> None:
    result: Any = parse_result(made_up.comparison())
    alone = result.model_copy(update={"confirmation": result.confirmation[:1]})
    assert comparison_findings(alone, _ACCURACY)[0].startswith("Highest of 1 student: no-KD baseline, accuracy 57.1")


def test_methods_without_a_teacher_are_controls() -> None:
    without = {each.model_fields["name"].default for each in METHODS if each.max_teachers == 0}
    student = parse_result(made_up.comparison()).confirmation[1]  # type: ignore[union-attr]
    named = {each.model_fields["name"].default for each in METHODS}
    assert {name for name in named if student.model_copy(update={"method": name}).is_control} == without


def test_only_distilled_students_have_a_distillation_ratio() -> None:
    page = render(_with_controls(0.6, 0.61))
    assert "not measured" not in page.split("Every seed")[0].split("Students; mean")[1]


def test_a_difference_to_a_baseline_that_read_more_is_said_to_include_pruning() -> None:
    comparison = made_up.comparison() | {"prune": made_up.pruning()["prune"] | {"units": 3000, "kept": 2010}}
    for student in comparison["confirmation"]:
        policy = "none" if student["label"] == "no-KD baseline" else "lower_tail"
        student["settings"] = {"prune.policy.name": policy}
    end = "the no-KD baseline from all: their difference includes the effect of pruning"
    assert _said(comparison, end) == ["The students learned from 2,010 of 3,000 sentences, "]
    other = next(each for each in comparison["confirmation"] if each["label"] != "no-KD baseline")
    another = other | {
        "label": "another",
        "settings": {"prune.policy.name": "lower_tail", "prune.policy.deviations": 1},
    }
    comparison["confirmation"].append(other | another)
    assert _said(comparison, end) == ["The students learned from some of the sentences, "]
    comparison["prune"] |= {"kept": 3000}
    assert not _said(comparison, end)
    for student in comparison["confirmation"]:
        student["settings"] = {}
    comparison["prune"] |= {"kept": 2010}
    assert not _said(comparison, end)  # all were pruned in the same way


def _said(comparison: dict[str, Any], end: str) -> list[str]:
    record = parse_result(comparison)
    assert isinstance(record, ComparisonResult)
    return [each.partition(end)[0] for each in comparison_findings(record, _ACCURACY) if end in each]

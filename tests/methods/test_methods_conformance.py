"""What every method must be, whatever its name: found by itself in `METHODS`, checked by `kdray.testing`."""

import re
from pathlib import Path

import pages
import pytest
import torch

from kdray import methods
from kdray.errors import ConfigError
from kdray.functional import kd_rows, log_probs
from kdray.methods import KD, METHODS, Batch, Method, TeacherStudent, method_named
from kdray.testing import (
    METHOD_CHECKS,
    MethodFault,
    cases_of,
    changed_once,
    check_method,
    checks_of,
    no_setting_is_ignored,
)
from kdray.testing.checks import settings_survive_plain_values
from kdray.testing.steps import pair_for

VARIANTS = [(method(**settings), settings) for method in METHODS for settings in [{}, *changed_once(method)]]
CASES = [
    ("/".join(dict.fromkeys((method.name, case.phase.name))) + str(settings or ""), case)
    for method, settings in VARIANTS
    for case in cases_of(method)
]


@pytest.mark.parametrize(
    ("check", "case"),
    [pytest.param(check, case, id=f"{check.__name__}-{name}") for name, case in CASES for check in checks_of(case)],
)
def test_a_method_keeps_the_contract_with_any_setting(check, case):
    check(case)


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind().name)
def test_a_method_refuses_what_it_cannot_work_with(check, kind):
    check(kind())


@pytest.mark.parametrize("method", [pytest.param(m, id=f"{m.name}{s or ''}") for m, s in VARIANTS])
def test_settings_survive_plain_values(method):
    settings_survive_plain_values(method)


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind().name)
def test_no_setting_is_ignored(kind):
    no_setting_is_ignored(kind)


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind().name)
def test_module_docstrings_have_all_headings(kind):
    text = Path(methods.__file__).with_name(f"{kind.__module__.rpartition('.')[2]}.py").read_text()
    head = text.split('"""')[1]
    wanted = ("Source", "Formula", "Needs") if kind().name == "finetune" else HEADINGS
    assert [name for name in wanted if not re.search(rf"^{name}: \S", head, re.MULTILINE)] == []


HEADINGS = ("Source", "Formula", "Needs", "Refuses", "Defaults", "Differs from the source")


class Sound(Method):
    temperature: float = 4.0
    alpha: float = 0.5

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}

    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        target = log_probs(step.teachers[0].logits, self.temperature)
        return {"kd": kd_rows(target, step.student.logits, temperature=self.temperature)}


class LooksAtOtherRows(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        rows = super().losses(step)["kd"]
        return {"kd": rows * torch.arange(len(rows))}


class ReadsMore(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        assert step.student.sent_emb is not None
        return {"kd": super().losses(step)["kd"] + step.student.sent_emb.square().mean(-1)}


class ReadsTheMask(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": super().losses(step)["kd"] * step.student.mask.any(1)}  # pyright: ignore


class ReadsLess(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        more = vars(step.student)["cls"]  # where no attribute is read
        rows = super().losses(step)["kd"]
        return {"kd": rows if more is None else rows + more.square().mean((1, 2))}


class NeedsMore(Sound):
    needs = frozenset({"cls"})


class HasAWord(Sound):
    mode: str = "a"


class RefusesItself(Sound):
    def model_post_init(self, context: object) -> None:
        raise ConfigError("never")


class ComparesVectors(Sound):
    needs = frozenset({"cls"})

    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        student, teacher = step.student.cls, step.teachers[0].cls
        assert student is not None
        assert teacher is not None
        return {"kd": super().losses(step)["kd"] + (student[:, -1] - teacher[:, -1]).square().mean(-1)}


class RefusesOtherWidths(ComparesVectors):
    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if pair.student.width != pair.teachers[0].width:
            raise ConfigError("the widths differ.")


class IgnoresASetting(Sound):
    beta: float = 0.3


class UsesProbabilities(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        p, q = (torch.softmax(each.logits / self.temperature, -1) for each in (step.teachers[0], step.student))
        return {"kd": (p * (p.log() - q.log())).sum(-1)}


class DrawsFromAnywhere(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": super().losses(step)["kd"] * torch.rand(())}


class LeaksAndDraws(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        draw = torch.rand(len(step.labels), generator=step.generator("rows"), dtype=torch.float64)
        rows = super().losses(step)["kd"]
        return {"kd": rows * draw + rows.roll(1)}


class IsNotANumber(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": (super().losses(step)["kd"] - 1e9).log()}


class TakesTheMean(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": super().losses(step)["kd"].mean()}


class Misspells(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": step.student.logit}  # pyright: ignore


class GivesATensor(Sound):
    def losses(self, step: Batch) -> torch.Tensor:  # pyright: ignore
        return super().losses(step)["kd"]


class HasNoLosses(Method):
    def weights(self) -> dict[str, float]:
        return {"hard": 1.0}


class WeighsByNothing(Sound):
    def weights(self) -> dict[str, float]:
        return {"hard": 1.0, "kd": float("nan")}


class WeighsBelowZero(Sound):
    def weights(self) -> dict[str, float]:
        return {"hard": -0.5, "kd": 1.0}


class WeighsByWords(Sound):
    def weights(self) -> dict[str, float]:
        return {"hard": 1.0, "kd": "much"}  # pyright: ignore


class WeighsARowBelowZero(Sound):
    def schedule(self, step: Batch) -> dict[str, torch.Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"kd": torch.full((len(step.labels),), -1.0)}


class Detaches(Sound):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": super().losses(step)["kd"].detach()}


class IsWeighedByPlace(Sound):
    def schedule(self, step: Batch) -> dict[str, torch.Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"kd": torch.arange(1.0, len(step.labels) + 1)}


class TakesAnyTeachers(Sound):
    def check(self, pair: object) -> None:
        del pair


class Unknown(Sound):
    needs = frozenset({"thoughts"})  # pyright: ignore


def test_a_sound_method_from_outside_passes(capsys):
    assert check_method(Sound) is None
    assert check_method(RefusesOtherWidths) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (IsNotANumber, "terms_are_finite: term 'kd' is not finite in row 0; take logs .*"),
        (
            TakesTheMean,
            r"weights_name_the_terms: method .*: term kd has the shape \(\); expected one value for .*",
        ),
        (Detaches, "can_be_computed: method Detaches: no term depends on the student, so it would learn from hard .*"),
        (Misspells, r"can_be_computed: the method raised AttributeError: 'Signals' .* 'logit' \(line \d+\).*"),
        (GivesATensor, r"can_be_computed: method GivesATensor: losses gives a Tensor; it must return a dictionary.*"),
        (HasNoLosses, r"can_be_computed: the method raised .*HasNoLosses has neither losses nor terms; write one.*"),
        (WeighsByNothing, "weights_name_the_terms: method .*: the weight of kd is nan; allowed are finite numbers .*"),
        (WeighsBelowZero, r"weights_name_the_terms: method .*: the weight of hard is -0\.5; allowed are finite .*"),
        (WeighsByWords, "weights_name_the_terms: method .*: the weight of kd is much; allowed are finite numbers .*"),
        (WeighsARowBelowZero, r"weights_name_the_terms: method .*: the weight of kd is tensor\(.*-1\..*allowed are .*"),
        (
            ReadsTheMask,
            r"other_signals_are_not_read: the method reads mask, which `needs` does not name \(mask comes with .*\); "
            r'write needs = frozenset\(\{"hidden"\}\) \(AttributeError: .*\).*',
        ),
        (Unknown, "needs_are_signals: method Unknown: needs has 'thoughts', which is no signal; allowed are .*"),
        (RefusesItself, "settings_have_defaults: the method refuses its own defaults; give every setting a default .*"),
        (
            HasAWord,
            r"no_setting_is_ignored: setting mode: no other value than 'a' is known to try; "
            r"write Field\('a', examples=\[\.\.\.\]\)",
        ),
        (
            ComparesVectors,
            r"gradients_are_those_of_the_loss: a student of width 8 does not fit teachers of width 6 "
            r"\(RuntimeError: .*\); project the student's vectors \(student_projection .*",
        ),
        (DrawsFromAnywhere, r"a_pure_function_of_the_step: .*use step.generator\(purpose\)"),
    ],
)
def test_a_fault_that_every_check_finds_is_one_line(kind, line):
    with pytest.raises(MethodFault, match=rf"^{kind.__name__} fails 1 check:\n{line}$"):
        check_method(kind)


@pytest.mark.parametrize(
    ("kind", "check", "sentence"),
    [
        (LooksAtOtherRows, "rows_may_come_in_any_order", "the value of a row depends on the order of the rows"),
        (ReadsMore, "other_signals_are_not_read", r'reads sent_emb, .*; write needs = frozenset\(\{"sent_emb"\}\) '),
        (NeedsMore, "needs_are_what_gradients_reach", "`needs` names cls, which no term uses; remove it from `needs`$"),
        (ReadsLess, "other_signals_are_not_read", "the method changes without signals that `needs` does not name; "),
        (IgnoresASetting, "no_setting_is_ignored", r"setting \{'beta': .*\} changes nothing"),
        (UsesProbabilities, "finite_at_huge_logits", "the loss of logits of 10,000 is nan in torch.float32"),
        (DrawsFromAnywhere, "a_pure_function_of_the_step", "torch's global random numbers are used"),
        (LeaksAndDraws, "rows_may_come_in_any_order", "the value of a row depends on the other rows"),
        (IsWeighedByPlace, "rows_may_come_in_any_order", "the weight of kd: that of a row depends on the order"),
        (TakesAnyTeachers, "refuses_other_numbers_of_teachers", "`check` does not refuse 0 teachers"),
    ],
)
def test_a_planted_fault_is_found_by_its_check(kind, check, sentence):
    with pytest.raises(MethodFault, match=rf"(?m)^{check}: .*{sentence}"):
        check_method(kind)


def test_the_method_of_the_page_that_compares_vectors_passes(tmp_path, monkeypatch):
    (tmp_path / "copy_cls.py").write_text(pages.code_with(pages.ROOT / "docs/extending.md", "class CopyCLS"))
    monkeypatch.chdir(tmp_path)
    check_method(method_named("copy_cls.py:CopyCLS"))


def test_a_check_that_does_not_fit_may_be_skipped():
    with pytest.raises(MethodFault, match="IgnoresASetting fails 1 check"):
        check_method(IgnoresASetting)
    check_method(IgnoresASetting, skip=("no_setting_is_ignored",))
    with pytest.raises(ValueError, match=r"skip has \['no_such_check'\]"):
        check_method(KD, skip=("no_such_check",))


class ReadsClass(KD):
    needs = frozenset({"class"})


def test_a_need_that_is_no_signal_is_refused_with_the_allowed_ones():
    words = r"^method ReadsClass: needs has 'class', which is no signal; allowed are logits, cls, .*, qkv_last\.$"
    with pytest.raises(ConfigError, match=words):
        ReadsClass().check(pair_for(KD()))

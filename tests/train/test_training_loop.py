"""The loop in one process: resuming, accumulation, which epoch is kept, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_training
import torch
from tiny_training import CLASSES, CPU, Case, train

from kdray.corpora import length_batches
from kdray.errors import RunError
from kdray.methods import KD, Batch, FineTune, LossTerm, Method, MethodOutput
from kdray.signals import Signals
from kdray.store import Store
from kdray.train import SingleRank, StoreCheckpoints, TrainingData, TrainSettings, fit, objective
from kdray.train.optimizer import make_optimizer, set_learning_rate

KD_SETTINGS = {"name": "kd", "temperature": 2.0}
DEKD = {"name": "dekd", "temperature": 2.0}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    tiny_training.write_all_outputs(folder)
    return folder


class Stopped(Exception):
    pass


class StopsAfter(StoreCheckpoints):
    """Breaks off right after a number of checkpoints, as a killed process does."""

    def __init__(self, work: Any, number: int) -> None:
        super().__init__(work)
        self._left = number

    def save(self, checkpoint: Any) -> None:
        super().save(checkpoint)
        self._left -= 1
        if not self._left:
            raise Stopped


class CountsSaves(StoreCheckpoints):
    saves = 0

    def save(self, checkpoint: Any) -> None:
        super().save(checkpoint)
        self.saves += 1


def assert_same(one: Any, two: Any) -> None:
    assert one.result.history == two.result.history
    assert (one.result.best_epoch, one.result.score) == (two.result.best_epoch, two.result.score)
    assert (one.result.rows, one.result.queries) == (two.result.rows, two.result.queries)
    for mine, theirs in ((one.weights, two.weights), (one.adapters, two.adapters)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(theirs[name], tensor) for name, tensor in mine.items())


STEPPED = Case(DEKD, {"batch_size": 5, "checkpoint_steps": 1, "accumulate": 2}, dropout=0.3)


@pytest.fixture(scope="module")
def unbroken(outputs):
    return train(STEPPED, outputs)


@pytest.mark.parametrize("step", range(1, 9))  # three steps and the end of the epoch, twice
def test_resuming_after_any_step_equals_never_stopping(outputs, unbroken, tmp_path, step):
    work = Store(str(tmp_path)).work("0" * 12)
    with pytest.raises(Stopped):
        train(STEPPED, outputs, checkpoints=StopsAfter(work, step))
    assert_same(unbroken, train(STEPPED, outputs, checkpoints=StoreCheckpoints(work)))


def test_stopping_at_every_step_equals_never_stopping(outputs, unbroken, tmp_path):
    work = Store(str(tmp_path)).work("0" * 12)
    for _ in range(8):
        with pytest.raises(Stopped):
            train(STEPPED, outputs, checkpoints=StopsAfter(work, 1))
    assert_same(unbroken, train(STEPPED, outputs, checkpoints=StoreCheckpoints(work)))


@pytest.mark.parametrize("file", ["state.safetensors", "progress.json", "checksums.json"])
@pytest.mark.parametrize("saves", [1, 3])
def test_a_damaged_checkpoint_is_never_resumed_from(outputs, unbroken, tmp_path, caplog, saves, file):
    """The training resumes from the one before, or starts over where there is none; its result is the same."""
    work = Store(str(tmp_path)).work("0" * 12)
    with pytest.raises(Stopped):
        train(STEPPED, outputs, checkpoints=StopsAfter(work, saves))
    damaged = sorted((tmp_path / work.where).iterdir())[-1] / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    steps = CountsSaves(work)
    assert_same(unbroken, train(STEPPED, outputs, checkpoints=steps))
    assert steps.saves == (8 if saves == 1 else 6)
    what = "there is no other, so the work starts over" if saves == 1 else "the one before it is used"
    assert f"{damaged.parent} is damaged and is removed; {what}" in caplog.text


@pytest.mark.parametrize("best", [1, 2, 3])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_checkpoint_holds_what_is_still_needed_and_no_tensor_twice(outputs, tmp_path, best, stop):
    case, work = Case(KD_SETTINGS, {"batch_size": 5, "epochs": 3}, dropout=0.3), Store(str(tmp_path)).work("0" * 12)

    def scores(since: int) -> Any:
        epochs = iter(range(since + 1, 4))
        return lambda model: float(next(epochs) == best)

    unbroken = train(case, outputs, score=scores(0))
    with pytest.raises(Stopped):
        train(case, outputs, checkpoints=StopsAfter(work, stop), score=scores(0))
    found = StoreCheckpoints(work).load()
    assert found is not None
    other = {"model", "optimizer"} if stop < 3 else {"model"}
    best_so_far = best if stop >= best else 1  # the first of equals
    assert {name.partition("/")[0] for name in found.tensors} == other | ({"best"} if best_so_far != stop else set())
    resumed = train(case, outputs, checkpoints=StoreCheckpoints(work), score=scores(stop))
    assert resumed.result.best_epoch == best
    assert_same(unbroken, resumed)


def test_how_often_checkpoints_are_saved_changes_nothing(outputs, unbroken):
    seldom = Case(DEKD, {"batch_size": 5, "accumulate": 2}, dropout=0.3)
    assert_same(unbroken, train(seldom, outputs))


def test_the_caller_may_stop_between_epochs(outputs, tmp_path):
    case, work = Case(KD_SETTINGS, {"batch_size": 5, "epochs": 3}, dropout=0.3), Store(str(tmp_path)).work("0" * 12)

    def stop(epoch):
        if epoch["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(case, outputs, checkpoints=StoreCheckpoints(work), report=stop)
    seen = []  # who listens now may be another one, and is told everything
    resumed = train(case, outputs, checkpoints=StoreCheckpoints(work), report=lambda e: seen.append(e["epoch"]))
    assert seen == [1, 2, 3]
    assert_same(train(case, outputs), resumed)


@pytest.mark.parametrize("accumulate", [2, 3, 5])
@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"unlabeled": (0, 2, 3, 7, 9, 12)},
        {"unpredicted": (0, 2, 3, 7, 9, 12)},
        {"words": True, "unlabeled": (0, 2, 3)},
    ],
    ids=["all", "some-unlabeled", "some-unpredicted", "words"],
)
def test_accumulation_is_the_full_batch(outputs, accumulate, rows):
    whole = train(Case(KD_SETTINGS, {"batch_size": 5}, **rows), outputs)
    parts = train(Case(KD_SETTINGS, {"batch_size": 5, "accumulate": accumulate}, **rows), outputs)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-6)
    for name, tensor in whole.weights.items():
        if "key.bias" not in name:  # has no gradient but rounding
            torch.testing.assert_close(parts.weights[name], tensor, rtol=1e-5, atol=1e-5)


def test_what_scoring_draws_or_costs_changes_no_weight(outputs):
    case = Case(KD_SETTINGS, {"batch_size": 5, "keep": "last"}, dropout=0.3)

    def noisy(model: Any) -> float:
        torch.rand(100)
        np.random.rand(100)
        return 0.0

    quiet, loud = train(case, outputs, score=lambda model: 0.0), train(case, outputs, score=noisy)
    assert quiet.losses == loud.losses
    assert all(torch.equal(loud.weights[name], tensor) for name, tensor in quiet.weights.items())


def test_scoring_sees_the_model_in_eval_mode_and_consumes_no_randomness(outputs):
    seen = []
    rows = tiny_training.rows_of(Case(KD_SETTINGS))

    def score(model: Any) -> float:
        state = torch.get_rng_state()
        value = tiny_training.hard_score(rows)(model)
        seen.append((model.training, torch.equal(state, torch.get_rng_state())))
        return value

    train(Case(KD_SETTINGS, dropout=0.5), outputs, score=score)
    assert seen == [(False, True)] * 2


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([-0.5, -0.1, -0.1, -0.3], 2),  # the first of two equal ones, below 0
        ([0.0, 0.0, 0.0, 0.0], 1),
        ([0.2, -0.1, 0.1, 0.3], 4),
        ([0.9, 0.1, 0.2, 0.3], 1),
    ],
)
def test_keeps_the_first_best_epoch(outputs, scores, kept):
    taken: list[dict[str, Any]] = []

    def score(model: Any) -> float:
        taken.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return scores[len(taken) - 1]

    trained = train(Case(KD_SETTINGS, {"epochs": 4, "batch_size": 8}), outputs, score=score)
    assert (trained.result.best_epoch, trained.result.score) == (kept, scores[kept - 1])
    assert all(torch.equal(trained.weights[name], tensor) for name, tensor in taken[kept - 1].items())


def test_keeps_the_lowest_score_where_lower_is_better(outputs):
    values = iter([0.5, 0.2, 0.2, 0.9])
    trained = train(Case(KD_SETTINGS, {"epochs": 4}), outputs, score=lambda model: next(values), higher_is_better=False)
    assert (trained.result.best_epoch, trained.result.score) == (2, 0.2)


def test_patience_counts_from_the_lowest_score(outputs):
    values = iter([0.5, 0.2, 0.3, 0.9])
    case = Case(KD_SETTINGS, {"epochs": 4, "patience": 1})
    trained = train(case, outputs, score=lambda model: next(values), higher_is_better=False)
    assert len(trained.result.history) == 3


def test_keep_last_keeps_the_last_epoch(outputs):
    values = iter([0.9, 0.1])
    trained = train(Case(KD_SETTINGS, {"keep": "last", "epochs": 2}), outputs, score=lambda model: next(values))
    assert (trained.result.best_epoch, trained.result.score) == (2, 0.1)


def test_stops_when_patience_is_out(outputs):
    values = iter([0.3, 0.5, 0.5, 0.4, 0.9])
    trained = train(Case(KD_SETTINGS, {"epochs": 5, "patience": 2}), outputs, score=lambda model: next(values))
    assert [epoch["epoch"] for epoch in trained.result.history] == [1, 2, 3, 4]
    assert trained.result.best_epoch == 2
    assert trained.result.rows == 4 * tiny_training.ROWS


@pytest.mark.parametrize(("batch_size", "epoch"), [(5, 1), (13, 2)])  # the step after the first one is lost
def test_a_loss_that_is_not_a_number_names_the_epoch(outputs, batch_size, epoch):
    with pytest.raises(RunError, match=rf"tiny: the loss is nan in epoch {epoch} .*smaller train.learning_rate"):
        train(Case(KD_SETTINGS, {"learning_rate": 1e30, "clip": 0.0, "batch_size": batch_size}), outputs)


class Divides(KD):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": step.student.logits.sum(-1) / 0}

    terms = Method.terms


def test_a_term_from_outside_that_is_not_finite_is_named(outputs):
    sentence = (
        r"epoch 1 because the term kd is not finite \(\{'hard': \d.*\}\); try a smaller train\.learning_rate, or check "
        r"Divides with kdray\.testing\.check_method\.$"
    )
    with pytest.raises(RunError, match=sentence):
        train(Case({"name": Divides().name}, {"batch_size": 13}), outputs)


def test_the_precision_is_resolved_by_the_caller(outputs):
    with pytest.raises(AssertionError, match="precision is resolved"):
        train(Case(KD_SETTINGS, {"precision": "auto"}), outputs)


def one_step(labels: list[int], student: Any = None) -> Batch:
    logits = torch.tensor([[2.0, 1.0], [0.5, 1.5], [0.0, 3.0]] if student is None else student, dtype=torch.float64)
    return Batch(
        student=Signals(logits.requires_grad_()),
        teachers=(Signals(logits.detach() + 1),),
        assistant=None,
        labels=torch.tensor(labels),
        ranks=SingleRank(),
        key=(0, 0, 0),
        adapters=torch.nn.ModuleDict(),
    )


def test_hard_labels_skip_unlabeled_rows():
    step_loss = objective(FineTune(), one_step([0, -1, 1]), SingleRank())
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert step_loss.loss.item() == pytest.approx(expected, abs=1e-12)
    assert step_loss.counts["hard"].item() == 2


def test_a_term_over_no_rows_is_0():
    step = one_step([-1, -1, -1])
    step_loss = objective(FineTune(), step, SingleRank())
    assert step_loss.loss.item() == 0
    step_loss.loss.backward()
    assert step.student.logits.grad.abs().sum() == 0


class NeverCovers(Method):
    """A term that is infinite on the rows it does not cover."""

    name: str = "never"

    def weights(self) -> dict[str, float]:
        return {"hard": 0.5, "none": 0.5}

    def terms(self, step: Batch) -> MethodOutput:
        rows = step.student.logits.sum(-1) / 0
        return MethodOutput({"none": LossTerm(rows, torch.zeros(len(rows), dtype=torch.bool))})


def test_rows_that_are_not_covered_do_not_count_whatever_they_hold():
    step_loss = objective(NeverCovers(), one_step([0, 1, 1]), SingleRank())
    assert torch.isfinite(step_loss.loss)
    assert step_loss.sums["none"].item() == 0


def test_rows_that_a_teacher_does_not_predict_have_only_a_hard_loss():
    step = replace(one_step([0, 1, -1]), predicted=torch.tensor([False, True, True]))
    step = replace(
        step, teachers=(Signals(torch.tensor([[50.0, -50.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)),)
    )
    method = KD(temperature=1, alpha=0.25)
    step_loss = objective(method, step, SingleRank())
    every = method.terms(step).terms["kd"].values
    assert step_loss.sums["kd"].item() == pytest.approx(every[1:].sum().item(), abs=1e-12)
    assert {name: count.item() for name, count in step_loss.counts.items()} == {"hard": 2, "kd": 2}
    assert step_loss.queries["teacher"].item() == 2
    hard = step_loss.sums["hard"].item() / 2
    assert step_loss.loss.item() == pytest.approx(0.75 * hard + 0.25 * every[1:].mean().item(), abs=1e-12)


def test_hard_labels_and_terms_have_their_own_number_of_rows():
    step = one_step([0, -1, -1])
    step = Batch(**{**vars(step), "teachers": (Signals(step.student.logits.detach().flip(1)),)})
    step_loss = objective(KD(temperature=1, alpha=0.25), step, SingleRank())
    rows = KD(temperature=1).terms(step).terms["kd"].values
    expected = 0.75 * math.log(1 + math.exp(-1)) + 0.25 * rows.mean().item()
    assert step_loss.loss.item() == pytest.approx(expected, abs=1e-12)


def test_learning_rate_warms_up_and_decays_to_almost_nothing():
    optimizer = make_optimizer(torch.nn.Linear(2, 2), TrainSettings())
    rates = []
    for done in range(10):
        set_learning_rate(optimizer, peak=1.0, warmup=0.2, done=done, total=10)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_biases_and_norms_are_not_decayed():
    model = tiny.classifier(seed=0)
    groups = make_optimizer(model, TrainSettings(weight_decay=0.3)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        is_free = name.endswith("bias") or "LayerNorm" in name
        assert decay[id(parameter)] == (0.0 if is_free else 0.3), name


def test_every_step_matches_a_plain_torch_loop():
    """Fine-tuning by hand: the same order, AdamW, warm-up, clipping."""
    settings = TrainSettings(epochs=2, batch_size=5, learning_rate=2e-3, precision="fp32", seed=3, keep="last")
    rows = tiny.random_rows(13, seed=5, classes=CLASSES)
    mine, theirs = (tiny.classifier(seed=1, classes=CLASSES, layers=2) for _ in range(2))
    hooks = tiny_training.Hooks(lambda m: 0.0, lambda e: None, tiny.NoCheckpoints(), "tiny")
    fit(
        mine,
        method=FineTune(),
        adapters=torch.nn.ModuleDict(),
        data=TrainingData(rows),
        settings=settings,
        hooks=hooks,
        ranks=SingleRank(),
        device=CPU,
    )
    theirs.train()
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    others = [p for p in theirs.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (6 - step) / 6)  # ⌊0.1 · 6⌋ = 0 warm-up steps
    for epoch in range(2):
        for batch in length_batches(rows.encoded.lengths, batch_size=5, seed=3, epoch=epoch):
            logits = theirs(**rows.batch(batch, CPU)).logits
            torch.nn.functional.cross_entropy(logits, rows.labels[batch]).backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    for (name, one), two in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        if "key.bias" not in name:
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)

"""One tiny training, alone or as one of two gloo processes; a module of its own so that a child process can load it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
import torch.distributed as dist

from kdray.evaluate import predict
from kdray.methods import TeacherStudent, parse_method
from kdray.models import JointClassifier, ModelInfo, model_info
from kdray.store import Store
from kdray.testing.steps import evidence_for
from kdray.train import (
    CachedTeacher,
    Checkpoints,
    FitResult,
    GroupRanks,
    Hooks,
    OnlineTeacher,
    Rows,
    SingleRank,
    StoreCheckpoints,
    TrainingData,
    TrainSettings,
    WorldRanks,
    fit,
    read_words,
)

CPU = torch.device("cpu")
CLASSES, TEACHER_WIDTH, TEACHER_LAYERS, ROWS = 3, 24, 4, 13
SETTINGS = {"epochs": 2, "learning_rate": 5e-4, "precision": "fp32", "max_length": tiny.MAX_LENGTH, "seed": 3}


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        unpredicted: Rows that no teacher predicts.
        members: How many models are trained together, as one.
        words: The rows are of words with a tag each, one of which is not read.
        goes_on_from: Resume from the checkpoint that was the how-manieth to be saved.
    """

    method: Mapping[str, Any]
    train: Mapping[str, Any] = field(default_factory=dict)
    rows: int = ROWS
    unlabeled: tuple[int, ...] = ()
    unpredicted: tuple[int, ...] = ()
    dropout: float = 0.0
    online: bool = False
    members: int = 1
    words: bool = False
    goes_on_from: int | None = None

    @property
    def settings(self) -> TrainSettings:
        """Not checked again, so that a test may go beyond what is allowed."""
        return TrainSettings.model_validate(SETTINGS).model_copy(update=dict(self.train))


KD_SETTINGS = {"name": "kd", "temperature": 2.0}
DEKD = {"name": "dekd", "temperature": 2.0}
# 13 rows: batches of 5, 5, 3, and of 6, 6, 1, where the second process has no row of the last batch.
CASES = {
    "kd-5": Case(KD_SETTINGS, {"batch_size": 5}),
    "kd-6": Case(KD_SETTINGS, {"batch_size": 6}),
    "kd-online": Case(KD_SETTINGS, {"batch_size": 6}, online=True),
    "kd-unlabeled": Case(KD_SETTINGS, {"batch_size": 5}, unlabeled=(0, 2, 3, 7, 9, 12)),
    "kd-accumulated": Case(KD_SETTINGS, {"batch_size": 5, "accumulate": 2}, unlabeled=(0, 2, 3)),
    "kd-partial": Case(KD_SETTINGS, {"batch_size": 5, "accumulate": 2}, unlabeled=(0, 2), unpredicted=(0, 1, 3, 8)),
    "ensemble": Case({"name": "ens_u", "temperature": 2.0}, {"batch_size": 5}),
    "finetune": Case({"name": "finetune"}, {"batch_size": 6}),
    "dekd-5": Case(DEKD, {"batch_size": 5}),
    "dekd-6": Case(DEKD, {"batch_size": 6}),
    "dekd-random": Case(DEKD | {"strategy": "random"}, {"batch_size": 5}),
    "dekd-selected": Case(DEKD | {"ce_on": "selected", "granularity": "instance", "r": 0.3}, {"batch_size": 6}),
    "pkd": Case({"name": "pkd", "temperature": 2.0, "beta": 1.0}, {"batch_size": 6}),
    "mtbert": Case({"name": "mtbert", "tokens": "cls"}, {"batch_size": 5}, unlabeled=(0, 2, 3)),
    "tinybert-tokens": Case({"name": "tinybert", "intermediate_epochs": 1}, {"batch_size": 6}, online=True),
    "minilmv2-tokens": Case({"name": "minilmv2", "relation_epochs": 1}, {"batch_size": 5}, online=True),
    "minilmv2-middle": Case(
        {"name": "minilmv2", "relation_epochs": 1, "teacher_layer": 3}, {"batch_size": 5}, online=True
    ),
    "tmkd-heads": Case({"name": "tmkd", "heads": "multi"}, {"batch_size": 6}, unlabeled=(0, 2, 3)),
    "joint": Case(
        {"name": "joint", "models": 3}, {"batch_size": 5, "accumulate": 2}, unlabeled=(0, 2, 3, 7), members=3
    ),
    "dfa-tokens": Case({"name": "dfa", "align_number": -1}, {"batch_size": 5}, online=True),
    "cfl-tokens": Case({"name": "cfl"}, {"batch_size": 6}, online=True),
    "ksm": Case({"name": "ksm", "interval": 1}, {"batch_size": 5, "accumulate": 2}, unlabeled=(0, 2, 3)),
    "rlkd": Case({"name": "rlkd", "temperature": 2.0, "policy_rate": 0.05}, {"batch_size": 5}, unlabeled=(0, 2, 3)),
    "ckdsp": Case({"name": "ckdsp", "combine_teachers": "rlkd", "eta": 0.2}, {"batch_size": 6}),
    "ens_rand": Case({"name": "ens_rand"}, {"batch_size": 5, "accumulate": 2}),
    "ens_w": Case({"name": "ens_w"}, {"batch_size": 6}),
    "ens_best": Case({"name": "ens_best"}, {"batch_size": 5}),
    "ens_lr_train": Case({"name": "ens_lr_train"}, {"batch_size": 6}),
    "ens_lr_dev": Case({"name": "ens_lr_dev"}, {"batch_size": 5}, unlabeled=(0, 2, 3)),
    "takd": Case({"name": "takd"}, {"batch_size": 6}),
    "aekd": Case({"name": "aekd"}, {"batch_size": 5}),
    "rail": Case({"name": "rail", "temperature": 2.0}, {"batch_size": 5}, online=True),
    "label_smoothing": Case({"name": "label_smoothing"}, {"batch_size": 5}, unlabeled=(0, 2, 3)),
    "soft_classic": Case({"name": "soft_classic"}, {"batch_size": 5}, unlabeled=(1,), unpredicted=(2, 5)),
    "cos_adaptive": Case({"name": "cos_adaptive"}, {"batch_size": 5, "accumulate": 2}, unlabeled=(0, 2, 3)),
    "pd": Case({"name": "pd"}, {"batch_size": 5}, unlabeled=(0, 2, 3)),
    "uhc": Case({"name": "uhc"}, {"batch_size": 6}),
    "muki": Case({"name": "muki"}, {"batch_size": 5}),
    "distilbert": Case({"name": "distilbert"}, {"batch_size": 6}, online=True),
    "minilm": Case({"name": "minilm", "relation_epochs": 1}, {"batch_size": 5}, online=True),
    "ner_dyn": Case({"name": "ner_dyn", "temperature": 2.0, "layer_weight": 0.0}, {"batch_size": 6}, online=True),
    "ner_mtckd": Case({"name": "ner_mtckd", "gain": 100.0}, {"batch_size": 5}),
    "kd-words": Case(KD_SETTINGS, {"batch_size": 5}, unlabeled=(0, 2), words=True),
    "kd-words-accumulated": Case(KD_SETTINGS, {"batch_size": 13, "accumulate": 3}, unlabeled=(0,), words=True),
    "steps": Case(DEKD, {"batch_size": 6, "checkpoint_steps": 1}, dropout=0.2),
}
# Of three steps and an epoch's end, twice: after one, after the last one of an epoch, and at an epoch's end.
STOPS = (1, 3, 4, 7)
CASES |= {
    f"steps@{k}": Case(DEKD, {"batch_size": 6, "checkpoint_steps": 1}, dropout=0.2, goes_on_from=k) for k in STOPS
}


@dataclass(frozen=True)
class Trained:
    result: FitResult
    weights: dict[str, torch.Tensor]
    adapters: dict[str, torch.Tensor]

    @property
    def losses(self) -> list[float]:
        return [epoch["loss"] for epoch in self.result.history]


class EveryCheckpoint:
    """Keeps all checkpoints of a training, and hands back the one that is asked for."""

    def __init__(self, folder: Path, goes_on_from: int | None = None) -> None:
        self._store = Store(str(folder))
        self._wanted = goes_on_from
        self.saved = 0

    def save(self, checkpoint: Any) -> None:
        self.saved += 1
        if self._wanted is None:
            StoreCheckpoints(self._store.work(f"{self.saved:012d}")).save(checkpoint)

    def load(self) -> Any:
        return None if self._wanted is None else StoreCheckpoints(self._store.work(f"{self._wanted:012d}")).load()


def write_all_outputs(folder: Path) -> None:
    """Outputs of three teachers and an assistant over rows r0, r1, ..."""
    for number, name in enumerate(("teacher0", "teacher1", "teacher2", "assistant")):
        tiny.random_outputs(folder / name, 40, seed=number, classes=CLASSES, layers=TEACHER_LAYERS, width=TEACHER_WIDTH)
    rows = rows_of(Case(KD_SETTINGS, words=True))
    tiny.random_word_outputs(folder / "teacher0-words", rows, seed=9, classes=CLASSES)


def rows_of(case: Case) -> Rows:
    rows = tiny.random_rows(case.rows, seed=5, classes=CLASSES, unlabeled=case.unlabeled)
    return tiny.with_words(rows, classes=CLASSES) if case.words else rows


def hard_score(rows: Rows) -> Callable[[Any], float]:
    """Minus the mean cross-entropy: negative, and different after every step."""

    def score(model: Any) -> float:
        logits = predict(model, rows, batch_size=4, device=CPU, precision="fp32")
        known = np.flatnonzero((rows.labels.numpy() >= 0).reshape(len(rows), -1).any(-1))
        found, labels = torch.from_numpy(logits[known]).double(), rows.labels[known]
        words = rows.encoded.words
        read = labels >= 0 if words is None else (labels >= 0) & torch.from_numpy(words.starts[known] >= 0)
        log_p, labels = torch.log_softmax(found[read], -1).numpy(), labels[read].numpy()
        return float(log_p[np.arange(len(labels)), labels].mean())

    return score


def train(
    case: Case,
    outputs: Path,
    *,
    ranks: WorldRanks | None = None,
    checkpoints: Checkpoints | None = None,
    report: Callable[[dict[str, Any]], None] = lambda epoch: None,
    score: Callable[[Any], float] | None = None,
    higher_is_better: bool = True,
) -> Trained:
    classifier = tiny.token_classifier if case.words else tiny.classifier
    models = [classifier(seed=1 + k, classes=CLASSES, layers=2 + k, dropout=case.dropout) for k in range(case.members)]
    student = models[0] if case.members == 1 else JointClassifier(models)
    method, rows = parse_method(dict(case.method)), rows_of(case)
    number = method.min_teachers if method.max_teachers is not None else 3
    facts = [ModelInfo(name, TEACHER_LAYERS, TEACHER_WIDTH, CLASSES, heads=2) for name in ("teacher", "assistant")]
    pair = TeacherStudent(
        model_info(student, "student"),
        (facts[0],) * number,
        facts[1] if method.uses_assistant else None,
        rows=case.rows,
    )
    method.check(pair)
    predicted = torch.ones(case.rows, dtype=torch.bool)
    predicted[list(case.unpredicted)] = False
    if case.words:
        cached = CachedTeacher(outputs / "teacher0-words", "train", rows.ids)
        predicted = read_words(cached.signals_for(np.arange(case.rows), CPU, frozenset()).logits)
    torch.manual_seed(2)
    adapters = method.adapters(pair)

    def teacher(name: str, seed: int) -> Any:
        if case.online:
            model = tiny.classifier(seed=seed, classes=CLASSES, layers=TEACHER_LAYERS, width=TEACHER_WIDTH, dropout=0.5)
            return OnlineTeacher(model, rows)
        return CachedTeacher(outputs / (f"{name}-words" if case.words else name), "train", rows.ids)

    result = fit(
        student,
        method=method,
        adapters=adapters,
        data=TrainingData(
            rows,
            [teacher(f"teacher{k}", 10 + k) for k in range(number)],
            teacher("assistant", 20) if method.uses_assistant else None,
            prepared=method.prepare(evidence_for(pair)),
            reward_rows=rows.take(np.flatnonzero(rows.labels.numpy() >= 0)) if method.reward else None,
            predicted=predicted if case.unpredicted or case.words else None,
        ),
        settings=case.settings,
        hooks=Hooks(
            score=score or hard_score(rows),
            report=report,
            checkpoints=checkpoints or tiny.NoCheckpoints(),
            title="tiny",
            higher_is_better=higher_is_better,
        ),
        ranks=ranks or SingleRank(),
        device=CPU,
    )
    weights = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    return Trained(result, weights, {name: tensor.clone() for name, tensor in adapters.state_dict().items()})


def run_rank(rank: int, folder: Path, cases: Mapping[str, Case]) -> None:
    """One of two processes: all cases in one process group; rank 0 leaves what came of each."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name, case in cases.items():
        kept = EveryCheckpoint(folder / "checkpoints" / name.split("@")[0], case.goes_on_from)
        trained = train(case, folder, ranks=GroupRanks(), checkpoints=kept)
        torch.save(trained, folder / f"{name}.{rank}.pt")
    dist.destroy_process_group()

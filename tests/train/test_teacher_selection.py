"""RL-KD within its default schedule: of a right, a random and an always-wrong teacher it keeps the right one."""

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from tiny_training import CPU

from kdray.evaluate import predict
from kdray.methods import RLKD, EnsRand, Method, TeacherStudent
from kdray.methods.policy import policy_states
from kdray.models import ModelInfo, model_info
from kdray.signals import Signals
from kdray.train import Hooks, Rows, SingleRank, TrainingData, TrainSettings, fit

CLASSES, WIDTH, TRAIN, VALIDATION = 2, 16, 1_000, 400
SETTINGS = TrainSettings(epochs=3, batch_size=16, learning_rate=2e-3, precision="fp32", max_length=tiny.MAX_LENGTH)


class Given:
    """A teacher of fixed outputs."""

    def __init__(self, logits, vectors):
        self.logits, self.vectors = logits, vectors

    def signals_for(self, indices, device, needs):
        return Signals(self.logits[indices], sent_emb=self.vectors[indices])


def opinions(number, *, seed):
    """Rows whose class is the more frequent one of two words."""
    rows = tiny.random_rows(2 * number, seed=seed)
    good, bad = (np.add.reduceat(rows.encoded.input_ids == word, rows.encoded.offsets[:-1]) for word in (5, 6))
    clear = np.flatnonzero(good != bad)[:number]
    return Rows(rows.ids, rows.encoded, torch.from_numpy((good > bad).astype(np.int64)), 0).take(clear)


def teachers(labels):
    """The right, the random and the wrong one."""
    generator = torch.Generator().manual_seed(4)
    vectors = 1 + torch.randn(len(labels), WIDTH, generator=generator)
    anything = torch.randint(0, CLASSES, labels.shape, generator=generator)
    for said in (labels, anything, 1 - labels):
        noise = 0.5 * torch.randn(len(labels), CLASSES, generator=generator)
        yield Given(4.0 * F.one_hot(said, CLASSES) - 2 + noise, vectors)


def distilled(method: Method):
    """Accuracy on validation, and the mean probability of each teacher at the end, if there is a policy."""
    torch.manual_seed(0)
    rows, validation = opinions(TRAIN, seed=1), opinions(VALIDATION, seed=2)
    said = list(teachers(rows.labels))
    flipped = torch.rand(len(rows), generator=torch.Generator().manual_seed(5)) < 0.1
    gold = torch.where(flipped, 1 - rows.labels, rows.labels)
    student = tiny.classifier(seed=1, layers=1, dropout=0.1)
    facts = ModelInfo("teacher", 4, WIDTH, CLASSES, heads=2)
    adapters = method.adapters(TeacherStudent(model_info(student, "student"), (facts,) * 3, rows=len(rows)))

    def accuracy(model):
        logits = predict(model, validation, batch_size=64, device=CPU, precision="fp32")
        return float((logits.argmax(1) == validation.labels.numpy()).mean())

    result = fit(
        student,
        method=method,
        adapters=adapters,
        data=TrainingData(
            Rows(rows.ids, rows.encoded, gold, 0), said, reward_rows=validation if method.reward else None
        ),
        settings=SETTINGS,
        hooks=Hooks(accuracy, lambda epoch: None, tiny.NoCheckpoints(), "tiny"),
        ranks=SingleRank(),
        device=CPU,
    )
    if not isinstance(method, RLKD):
        return result.score, []
    states = policy_states(said[0].vectors, [teacher.logits for teacher in said], gold, joint=False)
    return result.score, adapters.policy.selection_logits(states).sigmoid().mean(0).tolist()


@pytest.fixture(scope="module")
def at_random():
    return distilled(EnsRand(temperature=10))[0]


@pytest.mark.parametrize("number", [2, 3])
def test_the_right_teacher_is_kept_and_the_student_profits(number, at_random):
    score, (right, random, wrong) = distilled(RLKD(reward_number=number))
    assert right > 0.7
    assert wrong < 0.2
    assert wrong < random < right
    assert score > at_random

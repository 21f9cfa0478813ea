"""The formulas of methods that copy layers, row by row in float64 numpy, sharing nothing with kdray.

A row's tokens are cut to its real ones first, so padding cannot enter.
"""

from fractions import Fraction
from math import floor

import methods_oracle as oracle
import numpy as np


def g(i, student, teacher):
    """The uniform map, exactly."""
    return floor(Fraction(i * teacher, student) + Fraction(1, 2))


def pkd(student, teacher, student_cls, teacher_cls, y, s, projection=None):
    depth, teacher_depth = student_cls.shape[1] - 1, teacher_cls.shape[1] - 1
    total = 0.0
    for j in range(1, depth):
        copied = g(j, depth, teacher_depth) if s["layers"] == "skip" else teacher_depth - depth + j
        ours = student_cls[:, j] if projection is None else student_cls[:, j] @ projection.T
        total += ((oracle.normalized(ours) - oracle.normalized(teacher_cls[:, copied])) ** 2).sum(-1).mean()
    if s["scale"] == "elementmean":
        total /= (depth - 1) * teacher_cls.shape[-1]
    soft = oracle.kd(teacher, student, s["temperature"], t2=s["t2_scaling"], direction=s["direction"]).mean()
    soft /= student.shape[1] if s["reduction"] == "elementmean" else 1
    return (1 - s["alpha"]) * oracle.cross_entropy(student, y).mean() + s["alpha"] * soft + s["beta"] * total


def soft_cross_entropy(teacher, student, temperature):
    return -(oracle.softmax(teacher, temperature) * np.log(oracle.softmax(student, temperature))).sum(-1)


def hidden_mse(student, teacher, lengths, layers, projection=None):
    """Rows of Σ over (student layer, teacher layer) of the mean squared difference of real tokens."""
    rows = []
    for b, n in enumerate(lengths):
        ours = student[b] if projection is None else student[b] @ projection.T
        rows.append(sum(((ours[i, :n] - teacher[b, j, :n]) ** 2).mean() for i, j in layers))
    return np.array(rows)


def tinybert_layers(student, teacher, student_attn, teacher_attn, lengths, projection=None):
    depth, step = student_attn.shape[1], teacher_attn.shape[1] // student_attn.shape[1]
    hidden = hidden_mse(student, teacher, lengths, [(m, m * step) for m in range(depth + 1)], projection)
    scores = [
        sum(
            ((student_attn[b, m - 1, :, :n, :n] - teacher_attn[b, m * step - 1, :, :n, :n]) ** 2).mean()
            for m in range(1, depth + 1)
        )
        for b, n in enumerate(lengths)
    ]
    return hidden, np.array(scores)


def relation(x, y, heads):
    """[heads, n, n] of two [n, d]."""
    width = x.shape[1] // heads
    cut = [slice(h * width, (h + 1) * width) for h in range(heads)]
    return np.stack([oracle.softmax(x[:, c] @ y[:, c].T / np.sqrt(width)) for c in cut])


def relation_loss(teacher, student, lengths, heads):
    """Rows of the mean KL over heads and real tokens; each argument is (what, to what), each [batch, n, d]."""
    return np.array(
        [
            oracle.kl(
                relation(teacher[0][b, :n], teacher[1][b, :n], heads),
                relation(student[0][b, :n], student[1][b, :n], heads),
            ).mean()
            for b, n in enumerate(lengths)
        ]
    )


def cosine_loss(student, teacher, lengths, projection=None):
    rows = []
    for b, n in enumerate(lengths):
        ours = student[b, -1, :n] if projection is None else student[b, -1, :n] @ projection.T
        cosine = (oracle.normalized(ours) * oracle.normalized(teacher[b, -1, :n])).sum(-1)
        rows.append(1 - cosine.mean())
    return np.array(rows)


def reliability(teacher, y):
    """An unlabeled row: the cross-entropy that the teacher expects of itself."""
    p = oracle.softmax(teacher)
    expected = oracle.entropy(p)
    known = -np.log(p[np.arange(len(y)), np.maximum(y, 0)])
    return 1 / (1 + np.where(np.asarray(y) >= 0, known, expected))


def mtbert(student, teachers, states, teacher_states, y, lengths, maps, s):
    """(L_dis, L_hid); states are [batch, layers + 1, tokens, width]."""
    soft = sum(soft_cross_entropy(z, student, s["temperature"]) * reliability(z, y) for z in teachers).mean()
    depth, hidden = states.shape[1] - 1, 0.0
    for theirs, w in zip(teacher_states, maps, strict=True):
        ours, other = (states, theirs @ w.T) if s["fit"] == "teacher" else (states @ w.T, theirs)
        layers = [(i, g(i, depth, theirs.shape[1] - 1)) for i in range(1, depth + 1)]
        hidden += hidden_mse(ours, other, lengths, layers).mean()
    return soft, hidden

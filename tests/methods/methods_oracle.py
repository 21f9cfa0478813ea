"""The formulas of the methods in float64 numpy, written from the papers and sharing nothing with kdray."""

import numpy as np

EPSILON = 1e-12


def softmax(z, temperature=1.0):
    z = np.asarray(z, dtype=np.float64) / temperature
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def entropy(p):
    return -(p * np.log(p)).sum(-1)


def cross_entropy(z, y):
    return -np.log(softmax(z)[np.arange(len(y)), y])


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(-1)


def kd(teacher, student, temperature, *, t2=True, direction="forward"):
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    rows = kl(p, q) if direction == "forward" else kl(q, p)
    return rows * (temperature**2 if t2 else 1.0)


def ensemble(teachers, temperature, combine):
    if combine == "logit":
        return softmax(np.mean(teachers, axis=0), temperature)
    return np.mean([softmax(z, temperature) for z in teachers], axis=0)


def mean_over(values, rows):
    """A mean over the rows of a mask; over none it is 0."""
    return values[rows].mean() if rows.any() else 0.0


def largest(values, among, number):
    """The `number` rows with the largest values among some; ties to the smaller index."""
    order = sorted(np.flatnonzero(among), key=lambda row: (-values[row], row))
    mask = np.zeros(len(values), dtype=bool)
    mask[order[:number]] = True
    return mask


def uncertainty(z, strategy):
    p = softmax(z)
    top = np.sort(p, axis=-1)[:, ::-1]
    return {
        "entropy": entropy(p) / np.log(p.shape[1]),
        "least_confidence": 1 - top[:, 0],
        "margin": 1 - (top[:, 0] - top[:, 1]),
        "margin_literal": top[:, 0] - top[:, 1],
    }[strategy]


def normalized(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), EPSILON)


def richness(h):
    return entropy(softmax(h)) / np.log(h.shape[-1])


def alignment(student_cls, teacher_cls, selected, *, granularity, projection=None):
    """Rows of the layer alignment: [CLS] vectors of layers 1..L (embeddings are dropped here)."""
    student, teacher = student_cls[:, 1:], teacher_cls[:, 1:]
    if projection is not None:
        student = student @ projection.T
    scores = richness(teacher)
    if granularity == "batch":
        scores = np.repeat(scores[selected].mean(0, keepdims=True), len(teacher), axis=0)
    keep = student.shape[1]
    rows = np.zeros(len(teacher))
    for b in range(len(teacher)):
        chosen = sorted(sorted(range(teacher.shape[1]), key=lambda layer: (-scores[b, layer], layer))[:keep])
        difference = normalized(student[b]) - normalized(teacher[b, chosen])
        rows[b] = (difference**2).sum()
    return rows


def dekd(student, teacher, assistant, student_cls, teacher_cls, y, settings, projection=None):
    """The total, and its parts by name."""
    n, s = len(y), settings
    selected = largest(uncertainty(student, s["strategy"]), np.ones(n, bool), max(1, int(n * s["r"] + 1e-9)))
    uncertain = np.zeros(n, dtype=bool)
    if s["assistant"]:
        uncertain = largest(entropy(softmax(student)), selected, selected.sum() // 2)
    soft = {"t2": s["t2_scaling"], "direction": s["direction"]}
    parts = {
        "hard": mean_over(cross_entropy(student, y), selected if s["ce_on"] == "selected" else np.ones(n, bool)),
        "kd_teacher": mean_over(kd(teacher, student, s["temperature"], **soft), selected & ~uncertain),
        "kd_assistant": mean_over(kd(assistant, student, s["temperature"], **soft), uncertain),
        "layers": mean_over(
            alignment(student_cls, teacher_cls, selected, granularity=s["granularity"], projection=projection), selected
        ),
    }
    total = s["lambda1"] * parts["hard"] + s["lambda2"] * (parts["kd_teacher"] + parts["kd_assistant"])
    return total + s["lambda3"] * parts["layers"], parts

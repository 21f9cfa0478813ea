"""UHC, MUKI, DFA, CFL in float64 numpy, written from the papers, sharing nothing with kdray; plain loops."""

import numpy as np
from methods_oracle import entropy, kl, softmax


def uhc(student, teachers, known, temperature):
    rows = np.zeros(len(student))
    for z, classes in zip(teachers, known, strict=True):
        whole = softmax(student, temperature)[:, classes]
        q = whole / whole.sum(1, keepdims=True)
        rows += temperature**2 * kl(softmax(z, temperature), q)
    return rows


def muki(student, teachers, known, *, target, score_temperature=0.2, reweight, dropped=None):
    rows = np.zeros(len(student))
    for b in range(len(student)):
        seen = [softmax(z[b]) for z in teachers] if dropped is None else [p[b] for p in dropped]
        m = np.array([1 - entropy(p) / np.log(len(p)) for p in seen])
        shares = softmax(m, score_temperature) if target == "soft" else np.eye(len(m))[np.argmax(m)]
        wanted = np.zeros(student.shape[1])
        for weight, z, classes in zip(shares, teachers, known, strict=True):
            wanted[list(classes)] += weight * softmax(z[b])
        q = softmax(student[b])
        there = wanted > 0
        rows[b] = (wanted[there] * np.log(wanted[there] / q[there])).sum()
        if reweight:
            first, second = sorted(m)[::-1][:2]
            rows[b] *= abs(first - second) + 1e-6
    return rows


def joint(teachers, known, classes):
    if known is None:
        return sum(teachers) / len(teachers)
    z = np.zeros((len(teachers[0]), classes))
    for part, columns in zip(teachers, known, strict=True):
        for j, column in enumerate(columns):
            z[:, column] = part[:, j]
    return z


def dfa(student, teachers, mask, encode, decode, adapt, number):
    """Rows of the two feature terms; states are [batch, layers + 1, tokens, width]."""
    depth = student.shape[1] - 1
    copied, missed = np.zeros(len(student)), np.zeros(len(student))
    for b in range(len(student)):
        real = np.flatnonzero(mask[b])
        for n in range(number):
            i = depth - number + 1 + n  # 1-based
            for t in real:
                h = [each[b, int(np.floor(i * (each.shape[1] - 1) / depth + 0.5)), t] for each in teachers]
                rep = encode[n] @ np.concatenate(h)
                copied[b] += ((adapt[n] @ student[b, i, t] - rep) ** 2).mean() / len(real)
                back, at = decode[n] @ rep, 0
                for vector in h:
                    missed[b] += ((back[at : at + len(vector)] - vector) ** 2).mean() / len(real)
                    at += len(vector)
    return copied, missed


def linear(layer, x):
    weight, bias = layer
    return weight @ x + bias


def relu(x):
    return np.maximum(x, 0)


def cfl(student, teachers, mask, align_student, align, extract, decode):
    """MMD² of the batch, and rows of the reconstruction; states of the last layer, [batch, tokens, width]."""

    def common(first, states, b):
        features = np.zeros((states.shape[1], len(extract[1][1])))
        for t in np.flatnonzero(mask[b]):
            features[t] = linear(extract[1], relu(linear(extract[0], relu(linear(first, states[b, t])))))
        return features

    everyone = range(len(student))
    f_s = np.array([common(align_student, student, b).ravel() for b in everyone])
    f_s /= np.linalg.norm(f_s, axis=1, keepdims=True)
    total, missed = 0.0, np.zeros(len(student))
    for k, states in enumerate(teachers):
        e = np.array([common(align[k], states, b) for b in everyone])
        f_k = e.reshape(len(e), -1)
        total += mmd(f_s, f_k / np.linalg.norm(f_k, axis=1, keepdims=True))
        for b in everyone:
            real = np.flatnonzero(mask[b])
            for t in real:
                back = linear(decode[k][1], relu(linear(decode[k][0], e[b, t])))
                missed[b] += ((back - states[b, t]) ** 2).mean() / len(real)
    return total, missed


def mmd(x, y):
    def distances(a, b):
        return np.array([[max(((p - q) ** 2).sum(), 1e-12) for q in b] for p in a])

    xx, yy, xy = distances(x, x), distances(y, y), distances(x, y)
    variance = ((xx + yy + 2 * xy) / 4).mean()

    def kernel(d):
        return sum(np.exp(-d / (2 * variance * m)) for m in (0.25, 0.5, 1, 2, 4)).sum()

    return max(0.0, (kernel(xx) + kernel(yy)) / len(x) ** 2 - 2 * kernel(xy) / len(x) ** 2)


def variance(x, y):
    n = len(x)
    pairs = [
        (((x[i] - x[j]) ** 2).sum() + ((y[i] - y[j]) ** 2).sum() + 2 * ((x[i] - y[j]) ** 2).sum()) / 4
        for i in range(n)
        for j in range(n)
    ]
    return sum(pairs) / n**2

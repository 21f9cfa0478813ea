"""Ensembles and the policy over teachers in float64 numpy, written from the formulas; shares nothing with kdray."""

import numpy as np
from methods_oracle import cross_entropy, kd, kl, softmax
from scipy.optimize import minimize


def shares_by_accuracy(teachers, y):
    right = np.array([(np.argmax(z, axis=1) == y).mean() for z in teachers])
    return right / right.sum()


def target(teachers, weights, temperature, combine="prob"):
    if combine == "logit":
        return softmax(sum(w * np.asarray(z) for w, z in zip(weights, teachers, strict=True)), temperature)
    return sum(w * softmax(z, temperature) for w, z in zip(weights, teachers, strict=True))


def soft(p, student, temperature, *, t2=True, direction="forward"):
    q = softmax(student, temperature)
    return (kl(p, q) if direction == "forward" else kl(q, p)) * (temperature**2 if t2 else 1.0)


def fitted_weights(teachers, y):
    """Newton's method on the convex loss; the library takes another way."""
    parts = np.log([softmax(z) for z in teachers])
    u = np.full(len(parts), 1 / len(parts))
    for _ in range(50):
        q = softmax(np.tensordot(u, parts, 1))
        centered = parts - (parts * q).sum(-1, keepdims=True)
        gradient = -centered[:, np.arange(len(y)), y].mean(1) + u / len(y)
        hessian = np.einsum("knc,jnc,nc->kj", centered, centered, q) / len(y) + np.eye(len(u)) / len(y)
        u = u - np.linalg.solve(hessian, gradient)
    assert np.abs(gradient).max() < 1e-12
    positive = np.maximum(u, 0)
    return positive / positive.sum() if positive.sum() else np.full(len(u), 1 / len(u))


def stacked(teachers, y):
    """(W, b) by a general minimizer."""
    seen, classes = np.concatenate([softmax(z) for z in teachers], axis=1), len(teachers[0][0])

    def loss(flat):
        both = flat.reshape(classes, -1)
        z = seen @ both[:, :-1].T + both[:, -1]
        p = softmax(z)
        wrong = (p - np.eye(classes)[y]) / len(y)
        slope = np.concatenate([wrong.T @ seen + both[:, :-1] / len(y), wrong.sum(0)[:, None]], axis=1)
        return cross_entropy(z, y).mean() + 0.5 * (both[:, :-1] ** 2).sum() / len(y), slope.ravel()

    found = minimize(loss, np.zeros(classes * (seen.shape[1] + 1)), jac=True, method="BFGS", options={"gtol": 1e-9})
    both = found.x.reshape(classes, -1)
    return both[:, :-1], both[:, -1]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def standardized(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def states(text, teachers, y, policy):
    """[rows, teachers, features]."""
    says, loses = [softmax(z) for z in teachers], [cross_entropy(z, y)[:, None] for z in teachers]
    vector = standardized(text) / text.shape[1] ** 0.5
    if policy == "joint":
        return np.stack([np.concatenate([vector, *says, *loses], axis=1)] * len(teachers), axis=1)
    return np.stack([np.concatenate([vector, p, ce], axis=1) for p, ce in zip(says, loses, strict=True)], axis=1)


def chosen(noise, pi):
    """0/1 choices, and the choices with one for rows that chose nobody."""
    choice = (noise < pi).astype(float)
    selected_teachers = choice.copy()
    for row in np.flatnonzero(choice.sum(1) == 0):
        selected_teachers[row, np.argmax(pi[row])] = 1
    return choice, selected_teachers


def mean_over_chosen(teachers, student, selected_teachers, temperature):
    each = np.stack([kd(z, student, temperature) for z in teachers], axis=1)
    return (each * selected_teachers).sum(1) / selected_teachers.sum(1)

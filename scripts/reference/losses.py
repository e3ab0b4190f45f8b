#!/usr/bin/env python3
"""Reference values of the loss terms, from an independent float64 implementation with numpy.

Every term is given with its values and with the gradient of their sum by central differences:
quality focal loss and distribution focal loss (Li et al. 2020, equations 5 and 6) and the generalised IoU loss
(Rezatofighi et al. 2019). The Rust tests read the file this writes:

    python3 scripts/reference/losses.py > tests/fixtures/losses.json
"""

import json

import numpy as np

RNG = np.random.default_rng(7)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def quality_focal(z, y, focus):
    p = sigmoid(z)
    entropy = -(y * np.log(p) + (1.0 - y) * np.log(1.0 - p))
    return np.abs(y - p) ** focus * entropy


def distribution_focal(z, distance):
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    lower = np.minimum(np.floor(distance).astype(int), z.shape[1] - 2)
    rows = np.arange(len(z))
    return -((lower + 1 - distance) * log_p[rows, lower] + (distance - lower) * log_p[rows, lower + 1])


def generalized_iou_loss(a, b):
    losses = []
    for (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) in zip(a, b):
        inter = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
        union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - inter
        hull = (max(ax1, bx1) - min(ax0, bx0)) * (max(ay1, by1) - min(ay0, by0))
        losses.append(1.0 - (inter / union - (hull - union) / hull))
    return np.array(losses)


def gradient(function, x, step=1e-5):
    result = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        result[index] = (function(up).sum() - function(down).sum()) / (2 * step)
    return result


def single(array):
    """The nearest 32-bit values, which the network computes with."""
    return array.astype(np.float32).astype(np.float64)


def flat(array):
    return [float(value) for value in np.asarray(array).ravel()]


def boxes(count):
    corner = RNG.uniform(-3, 3, (count, 2))
    return np.hstack([corner, corner + RNG.uniform(0.5, 5, (count, 2))])


def main():
    z = single(RNG.normal(0, 3, (12, 3)))
    y = single(RNG.uniform(0, 1, (12, 3)) * (RNG.uniform(0, 1, (12, 3)) > 0.5))
    cases = {"quality_focal": []}
    for focus in (0.0, 1.5, 2.0):
        term = lambda x: quality_focal(x, y, focus)
        cases["quality_focal"].append(
            {"focus": focus, "logits": flat(z), "targets": flat(y), "loss": flat(term(z)), "gradient": flat(gradient(term, z))}
        )
    logits = single(RNG.normal(0, 2, (10, 8)))
    distance = single(np.concatenate([RNG.uniform(0, 7, 7), [0.0, 3.0, 7.0]]))
    term = lambda x: distribution_focal(x, distance)
    cases["distribution_focal"] = {
        "logits": flat(logits), "targets": flat(distance), "loss": flat(term(logits)), "gradient": flat(gradient(term, logits))
    }
    # The last pair is far apart, the last but one contains the other.
    predicted, truth = single(boxes(10)), single(boxes(10))
    predicted[8], truth[8] = [-1, -1, 4, 5], [0.25, 0.5, 2, 3]
    predicted[9], truth[9] = [-9, -9, -7, -6], [3, 4, 5, 8]
    term = lambda x: generalized_iou_loss(x, truth)
    cases["generalized_iou"] = {
        "predicted": flat(predicted), "truth": flat(truth), "loss": flat(term(predicted)), "gradient": flat(gradient(term, predicted))
    }
    print(json.dumps(cases, indent=1))


if __name__ == "__main__":
    main()

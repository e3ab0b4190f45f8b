#!/usr/bin/env python3
"""Reference values of the losses on boxes, from PyTorch in float64 with gradients by autograd.

Single terms are given with their values and the gradient of their sum: quality focal loss and distribution focal loss (Li et al.
2020, equations 5 and 6), the generalised IoU loss (Rezatofighi et al. 2019) and smooth L1 (Girshick 2015). `detection` is the whole
loss of a small batch, written anew from its papers, assignment (Feng et al. 2021) included: for each temperature the three terms and
the gradients of their weighted sum. Boxes count with weight 1 and 0.5, and a region of weight 0 is unknown. The Rust tests read the
file this writes:

    python3 scripts/reference/losses.py > tests/fixtures/losses.json
"""

import json
import math

import numpy as np
import torch
from torch.nn import functional as F

RNG = np.random.default_rng(7)


def quality_focal(logits, targets, focus):
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (targets - torch.sigmoid(logits)).abs() ** focus * entropy


def distribution_focal(logits, distances):
    """The cross entropies with the two neighbouring bins, each weighted by its nearness."""
    lower = distances.floor().long().clamp(max=logits.shape[1] - 2)
    to_lower = F.cross_entropy(logits, lower, reduction="none")
    to_upper = F.cross_entropy(logits, lower + 1, reduction="none")
    return (lower + 1 - distances) * to_lower + (distances - lower) * to_upper


def generalized_iou_loss(a, b):
    area = lambda boxes: (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0.0)
    intersection = overlap.prod(1)
    union = area(a) + area(b) - intersection
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return 1.0 - (intersection / union - (hull - union) / hull)


def single(array):
    """The nearest 32-bit values, which the network computes with."""
    return torch.from_numpy(np.asarray(array).astype(np.float32).astype(np.float64))


def flat(tensor):
    return [float(value) for value in tensor.detach().flatten().tolist()]


def boxes(count):
    corner = RNG.uniform(-3, 3, (count, 2))
    return np.hstack([corner, corner + RNG.uniform(0.5, 5, (count, 2))])


def case(loss, name, values, **inputs):
    """What went in, the loss, and the gradient of its sum to `values`, which are called `name`."""
    values = values.clone().requires_grad_()
    result = loss(values)
    result.sum().backward()
    given = {key: flat(value) if isinstance(value, torch.Tensor) else value for key, value in inputs.items()}
    return {name: flat(values), **given, "loss": flat(result), "gradient": flat(values.grad)}


# The whole loss

WIDTH, HEIGHT, STRIDES, CLASSES, BINS = 64, 32, (8, 16, 32), 2, 4
WEIGHTS = {"class": 1.0, "giou": 2.0, "distribution": 0.5}
FOCUS, SCORE_EXPONENT, IOU_EXPONENT, CELLS_PER_BOX = 2.0, 1.0, 6.0, 10

# For each image (edges in pixels, probabilities, weight).
TARGETS = [
    [
        ((3.0, 2.0, 30.5, 27.0), (0.9, 0.05), 1.0),
        ((20.0, 6.0, 61.0, 30.0), (0.1, 0.7), 0.5),
        ((49.0, 1.0, 50.5, 2.5), (0.0, 0.6), 1.0),  # holds no centre
    ],
    [
        ((10.0, 5.0, 52.0, 29.0), (0.8, 0.3), 1.0),
        ((33.0, 0.0, 64.0, 20.0), (0.0, 0.0), 0.0),  # nothing is known
    ],
]


def cells():
    """Centre and stride of every cell, all strides' maps row by row."""
    return [
        ((column + 0.5) * stride, (row + 0.5) * stride, stride)
        for stride in STRIDES
        for row in range(HEIGHT // stride)
        for column in range(WIDTH // stride)
    ]


def rows(maps):
    """Maps [B, C, H, W] -> [B, cells, C]."""
    return torch.cat([map.flatten(2).transpose(1, 2) for map in maps], 1)


def iou(a, b):
    overlap = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return overlap / (area(a) + area(b) - overlap)


def assign(scores, distances, targets):
    """For each assigned cell its target and the quality: alignment relative to the target's best, times the best IoU."""
    places, bids = cells(), {}
    for index, (box, probabilities, weight) in enumerate(targets):
        credit = max(probabilities) * weight
        if credit <= 0:
            continue
        center = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside = [k for k, (x, y, _) in enumerate(places) if box[0] < x < box[2] and box[1] < y < box[3]]
        if not inside:
            inside = [min(range(len(places)), key=lambda k: math.dist(center, places[k][:2]))]
        ranked = []
        for k in inside:
            x, y, stride = places[k]
            left, top, right, bottom = (float(side) * stride for side in distances[k])
            overlap = iou((x - left, y - top, x + right, y + bottom), box)
            score = float(scores[k][int(np.argmax(probabilities))])
            near = 1e-9 / (1 + math.dist(center, (x, y)) / stride)
            ranked.append((score**SCORE_EXPONENT * overlap**IOU_EXPONENT + near, overlap, k))
        ranked = sorted(ranked, key=lambda entry: -entry[0])[:CELLS_PER_BOX]
        best_iou = max(overlap for _, overlap, _ in ranked)
        for alignment, _, k in ranked:
            if k not in bids or bids[k][0] < alignment * credit:
                bids[k] = (alignment * credit, index, alignment / ranked[0][0] * best_iou)
    return {k: (index, quality) for k, (_, index, quality) in bids.items()}


def soften(probability, temperature):
    if probability == 0:
        return 0.0
    return float(torch.sigmoid(torch.logit(torch.tensor(probability, dtype=torch.float64)) / temperature))


def detection_loss(class_maps, box_maps, temperature):
    logits = rows(class_maps)
    images, count, _ = logits.shape
    distributions = rows(box_maps).reshape(images, count, 4, BINS)
    expected = (F.softmax(distributions, 3) * torch.arange(BINS)).sum(3)
    places = cells()
    scores, importance = torch.zeros_like(logits), torch.ones(images, count, 1, dtype=torch.float64)
    assigned = []
    for image, targets in enumerate(TARGETS):
        for box, _, weight in targets:
            if weight == 0:
                for k, (x, y, _) in enumerate(places):
                    if box[0] < x < box[2] and box[1] < y < box[3]:
                        importance[image, k] = 0.0
        found = assign(torch.sigmoid(logits[image]).detach(), expected[image].detach(), targets)
        for k, (index, quality) in found.items():
            box, probabilities, weight = targets[index]
            x, y, stride = places[k]
            scores[image, k] = torch.tensor([soften(p, temperature) * quality for p in probabilities])
            importance[image, k] = weight
            truth = [(x - box[0]) / stride, (y - box[1]) / stride, (box[2] - x) / stride, (box[3] - y) / stride]
            truth = [min(max(distance, 0.0), BINS - 1.0) for distance in truth]
            assigned.append((image, k, truth, float(scores[image, k].max()), weight))
    normalizer = max(1.0, sum(best for *_, best, _ in assigned))
    focal = quality_focal(logits / temperature, scores, FOCUS) * importance
    giou = distribution = 0.0
    for image, k, truth, best, weight in assigned:
        truth = torch.tensor(truth, dtype=torch.float64)
        edges = lambda distances: torch.cat([-distances[:2], distances[2:]])[None]
        giou = giou + best * weight * generalized_iou_loss(edges(expected[image, k]), edges(truth)).sum()
        distribution = distribution + best * weight * distribution_focal(distributions[image, k], truth).mean()
    return {
        "class": focal.sum() * temperature**2 / normalizer,
        "giou": giou / normalizer,
        "distribution": distribution / normalizer,
    }


def detection_cases():
    grids = [(HEIGHT // stride, WIDTH // stride) for stride in STRIDES]
    class_maps = [single(RNG.normal(-1, 2, (len(TARGETS), CLASSES, *grid)).round(3)) for grid in grids]
    box_maps = [single(RNG.normal(0, 1.5, (len(TARGETS), 4 * BINS, *grid)).round(3)) for grid in grids]
    cases = []
    for temperature in (1.0, 2.0):
        leaves = [map.clone().requires_grad_() for map in class_maps + box_maps]
        terms = detection_loss(leaves[:3], leaves[3:], temperature)
        sum(WEIGHTS[name] * value for name, value in terms.items()).backward()
        gradients = [flat(leaf.grad) for leaf in leaves]
        losses = {name: float(value.detach()) for name, value in terms.items()}
        cases.append({"temperature": temperature, "losses": losses, "classes": gradients[:3], "boxes": gradients[3:]})
    target = lambda target: dict(zip(("edges", "probabilities", "weight"), target))
    return {
        "class_logits": [{"shape": list(map.shape), "values": flat(map)} for map in class_maps],
        "box_distributions": [{"shape": list(map.shape), "values": flat(map)} for map in box_maps],
        "targets": [[target(entry) for entry in targets] for targets in TARGETS],
        "cases": cases,
    }


def main():
    z = single(RNG.normal(0, 3, (12, 3)))
    y = single(RNG.uniform(0, 1, (12, 3)) * (RNG.uniform(0, 1, (12, 3)) > 0.5))
    focal = lambda focus: case(lambda logits: quality_focal(logits, y, focus), "logits", z, focus=focus, targets=y)
    logits = single(RNG.normal(0, 2, (10, 8)))
    distances = single(np.concatenate([RNG.uniform(0, 7, 7), [0.0, 3.0, 7.0]]))
    # The last pair is far apart, the last but one contains the other.
    predicted, truth = single(boxes(10)), single(boxes(10))
    predicted[8], truth[8] = torch.tensor([-1.0, -1, 4, 5]), torch.tensor([0.25, 0.5, 2, 3])
    predicted[9], truth[9] = torch.tensor([-9.0, -9, -7, -6]), torch.tensor([3.0, 4, 5, 8])
    errors = single(np.concatenate([RNG.normal(0, 1, 9), [0.0, 0.125, -2.5]]))
    smooth = lambda beta: case(
        lambda values: F.smooth_l1_loss(values, torch.zeros_like(values), reduction="none", beta=beta), "errors", errors, beta=beta
    )
    cases = {
        "quality_focal": [focal(focus) for focus in (0.0, 1.5, 2.0)],
        "distribution_focal": case(lambda logits: distribution_focal(logits, distances), "logits", logits, targets=distances),
        "generalized_iou": case(lambda boxes: generalized_iou_loss(boxes, truth), "predicted", predicted, truth=truth),
        "smooth_l1": [smooth(beta) for beta in (1.0, 0.25)],
        "detection": detection_cases(),
    }
    print(json.dumps(cases, separators=(",", ":")))


if __name__ == "__main__":
    main()

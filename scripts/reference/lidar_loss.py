#!/usr/bin/env python3
"""Reference values of the lidar student's losses, from PyTorch in float64.

The terms are written anew from their papers: focal loss (Lin et al. 2017) in the form for soft targets (Li et al. 2020), smooth L1
(Girshick 2015) of votes and boxes. Each case gives the terms and, by autograd, the gradients of their sum. Some cells are void, some
have no label, some no object, and objects have no size or no yaw. The Rust tests read the file this writes:

    python3 scripts/reference/lidar_loss.py > tests/fixtures/lidar_loss.json
"""

import json

import torch
from torch.nn import functional as F

torch.manual_seed(31)


def single(tensor):
    """The nearest 32-bit values, which the losses compute with."""
    return tensor.float().double()


def numbers(tensor):
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


def focal(logits, targets, weights, focus, balance):
    """The sum over cells and classes, divided by the weight of the objects' points."""
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    error = (targets - torch.sigmoid(logits)).abs()
    alpha = balance * targets + (1 - balance) * (1 - targets)
    objects = (weights * targets).sum().clamp(min=1.0)
    return (weights * alpha * error.pow(focus) * entropy).sum() / objects


def regression(found, targets, weights, smooth):
    """The mean over channels, weighted over cells."""
    cells = F.smooth_l1_loss(found, targets, reduction="none", beta=smooth).mean(1, keepdim=True)
    return (cells * weights).sum() / weights.sum().clamp(min=1.0)


def case(images, classes, rows, columns, objects, focus, balance, smooth):
    """`objects` is the share of cells that are of objects."""
    cells = (images, 1, rows, columns)
    known = torch.rand(cells) > 0.2
    is_object = known & (torch.rand(cells) < objects)
    class_of = torch.randint(classes, cells)
    score = torch.where(torch.rand(cells) > 0.5, 1.0, torch.rand(cells).round(decimals=2))
    probabilities = torch.zeros(images, classes, rows, columns).scatter(1, class_of, torch.where(is_object, score, 0.0))
    class_weights = torch.where(known, torch.rand(cells).round(decimals=2), 0.0)
    vote_weights = torch.where(is_object, class_weights * score, 0.0)
    size_weights = torch.where(torch.rand(cells) > 0.3, vote_weights, 0.0)
    yaw_weights = torch.where(torch.rand(cells) > 0.5, size_weights, 0.0)
    random = lambda channels, scale=1.0: single(scale * torch.randn(images, channels, rows, columns).round(decimals=3))
    targets = {
        "probabilities": probabilities,
        "class_weights": class_weights,
        "votes": random(3, 0.3),
        "vote_weights": vote_weights,
        "boxes": random(5),
        "size_weights": size_weights,
        "yaw_weights": yaw_weights,
    }
    targets = {name: single(values) for name, values in targets.items()}
    outputs = {"class_logits": random(classes, 2.0), "votes": random(3, 0.3), "boxes": random(5)}
    for values in outputs.values():
        values.requires_grad_()
    boxes, goals = outputs["boxes"], targets["boxes"]
    losses = torch.stack(
        [
            focal(outputs["class_logits"], targets["probabilities"], targets["class_weights"], focus, balance),
            regression(outputs["votes"], targets["votes"], targets["vote_weights"], smooth),
            regression(boxes[:, :3], goals[:, :3], targets["size_weights"], smooth),
            regression(boxes[:, 3:], goals[:, 3:], targets["yaw_weights"], smooth),
        ]
    )
    losses.sum().backward()
    return {
        "shape": [images, classes, rows, columns],
        "focus": focus,
        "balance": balance,
        "smooth": smooth,
        **{name: numbers(values) for name, values in outputs.items()},
        "targets": {name: numbers(values) for name, values in targets.items()},
        "losses": numbers(losses),
        "gradients": {name: numbers(values.grad) for name, values in outputs.items()},
    }


def main():
    cases = [
        case(2, 1, 1, 12, objects=0.3, focus=2.0, balance=0.25, smooth=0.1),
        case(1, 3, 4, 5, objects=0.6, focus=0.0, balance=0.5, smooth=1.0),
        case(3, 2, 2, 3, objects=0.5, focus=1.5, balance=0.75, smooth=0.25),
        case(1, 1, 1, 8, objects=0.0, focus=2.0, balance=0.5, smooth=0.1),
    ]
    print(json.dumps(cases, separators=(",", ":")))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Expected results of weighted box fusion, by its authors' own package.

    python3 -m venv .venv && .venv/bin/pip install ensemble-boxes
    .venv/bin/python scripts/reference/fusion.py > tests/fixtures/fusion.json

The package fuses one score and one label a box, we fuse whole probability vectors: the label is the best class, the score
its probability. A model here never holds two overlapping boxes of one class, because on those we differ on purpose
(we never join two boxes of the same model).
"""

import json
import sys

import numpy as np
from ensemble_boxes import weighted_boxes_fusion

WIDTH, HEIGHT, CLASSES, IOU = 640.0, 480.0, 3, 0.55


def case(rng, models):
    """Objects on a 4 x 3 grid; each model finds most of them, displaced, and sometimes calls them something else."""
    trusts = np.round(rng.uniform(0.3, 1.0, models), 3)
    boxes, probabilities = [[] for _ in range(models)], [[] for _ in range(models)]
    for cell in range(12):
        center = np.array([80.0 + 160.0 * (cell % 4), 80.0 + 160.0 * (cell // 4)])
        size = rng.uniform(60, 130, 2)
        label = rng.integers(CLASSES)
        for model in range(models):
            if rng.random() < 0.25:
                continue
            middle = center + rng.normal(0, 6, 2)
            half = size * rng.uniform(0.85, 1.15, 2) / 2
            scores = rng.uniform(0.0, 0.3, CLASSES)
            scores[label if rng.random() < 0.9 else (label + 1) % CLASSES] = rng.uniform(0.35, 0.99)
            box = np.concatenate([middle - half, middle + half]).clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
            boxes[model].append(np.round(box, 2).tolist())
            probabilities[model].append(np.round(scores, 4).tolist())
    scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    fused, scores, labels = weighted_boxes_fusion(
        [(np.array(b).reshape(-1, 4) / scale).tolist() for b in boxes],
        [[max(p) for p in vectors] for vectors in probabilities],
        [[int(np.argmax(p)) for p in vectors] for vectors in probabilities],
        weights=trusts.tolist(),
        iou_thr=IOU,
        skip_box_thr=0.0,
    )
    return {
        "models": [
            {"trust": float(t), "boxes": b, "probabilities": p} for t, b, p in zip(trusts, boxes, probabilities)
        ],
        "fused": [
            {"box": np.round(b * scale, 4).tolist(), "score": round(float(s), 6), "label": int(l)}
            for b, s, l in zip(fused, scores, labels)
        ],
    }


def main():
    rng = np.random.default_rng(2021)
    cases = [case(rng, models) for models in (1, 2, 2, 3, 3, 4)]
    text = json.dumps({"classes": CLASSES, "iou": IOU, "cases": cases}, separators=(",", ":"))
    sys.stdout.write(text.replace('{"models"', '\n{"models"') + "\n")


if __name__ == "__main__":
    main()

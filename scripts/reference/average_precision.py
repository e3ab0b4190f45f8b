#!/usr/bin/env python3
"""Writes tests/fixtures/metrics/average_precision.json: random truth and detections with what pycocotools says of them.

Needs: numpy, pycocotools. Coordinates are multiples of 1/4, so that 32-bit floats hold them exactly.
"""

import contextlib
import io
import json
import pathlib

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/metrics/average_precision.json"
CLASSES = ["person", "forklift", "pallet", "never seen"]


def quarter(values):
    return np.round(np.asarray(values) * 4) / 4


def random_case(seed, images):
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 6)):
            x, y = rng.uniform(0, 200, 2)
            w, h = rng.uniform(4, 120, 2)
            truths.append({
                "image": image,
                "class": int(rng.integers(0, 3)),
                "xywh": quarter([x, y, w, h]).tolist(),
                "crowd": bool(rng.random() < 0.12),
            })
            truths[-1]["optional"] = not truths[-1]["crowd"] and bool(rng.random() < 0.15)
        for truth in [t for t in truths if t["image"] == image]:
            for _ in range(rng.integers(0, 3)):
                jitter = rng.normal(0, 0.12, 4) * np.array(truth["xywh"])[[2, 3, 2, 3]]
                box = quarter(np.array(truth["xywh"]) + jitter)
                box[2:] = np.maximum(box[2:], 1)
                klass = truth["class"] if rng.random() < 0.9 else int(rng.integers(0, 3))
                detections.append({"image": image, "class": klass, "xywh": box.tolist(), "score": score(rng)})
        for _ in range(rng.integers(0, 3)):
            box = quarter([*rng.uniform(0, 200, 2), *rng.uniform(4, 120, 2)])
            detections.append({"image": image, "class": int(rng.integers(0, 4)), "xywh": box.tolist(), "score": score(rng)})
    return truths, detections


def score(rng):
    """Coarse on purpose: ties must be broken as the reference breaks them."""
    return float(rng.integers(1, 64)) / 64


def judge(truths, detections, images):
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i + 1} for i in range(images)],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "annotations": [
            {"id": i + 1, "image_id": t["image"] + 1, "category_id": t["class"] + 1, "bbox": t["xywh"],
             # Objects outside the area range ([0, 1e10] for "all") are what the reference neither demands nor calls a crowd.
             "area": 2e10 if t["optional"] else t["xywh"][2] * t["xywh"][3], "iscrowd": int(t["crowd"])}
            for i, t in enumerate(truths)
        ],
    }
    coco.createIndex()
    found = coco.loadRes([
        {"image_id": d["image"] + 1, "category_id": d["class"] + 1, "bbox": d["xywh"], "score": d["score"]} for d in detections
    ])
    evaluation = COCOeval(coco, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    # [iou threshold, recall, class, area range, detection limit]
    precision = evaluation.eval["precision"][:, :, :, 0, 2]

    def mean(values):
        values = values[values > -1]
        return float(values.mean()) if values.size else None

    return {
        "ap": mean(precision), "ap50": mean(precision[0]), "ap75": mean(precision[5]),
        "per_class": [
            {"class": name, "ap": mean(precision[:, :, i]), "ap50": mean(precision[0, :, i]), "ap75": mean(precision[5, :, i])}
            for i, name in enumerate(CLASSES)
        ],
    }


def main():
    cases = []
    for seed, images in [(1, 4), (2, 15), (3, 40)]:
        truths, detections = random_case(seed, images)
        with contextlib.redirect_stdout(io.StringIO()):
            expected = judge(truths, detections, images)
        cases.append({"images": images, "truths": truths, "detections": detections, "expected": expected})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"classes": CLASSES, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

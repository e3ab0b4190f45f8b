#!/usr/bin/env python3
"""Writes what scripts/results/lidar_warehouse keeps: the student taught by cameras beside the one taught by truth, what their labels are
worth, and whether camera and lidar fit together, as JSON and as text."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import percent, table  # noqa: E402


def read_run(folder):
    """A run's report, and the seed of its student."""
    report, config = json.loads((folder / "report.json").read_text()), (folder / "config.yaml").read_text()
    # Labels that were made without it would be passed off as made with it.
    if "carry_over: null" not in config and any(facts.get("carried_over") is None for facts in report["labels"]):
        sys.exit(f"{folder}: the experiment wants carry_over, and its labels were made without; delete that folder and run again")
    seed = next(int(line.split(":")[1]) for line in config.splitlines() if line.startswith("seed:"))
    return report, seed


def student_figures(student):
    """Of each class and of all: point IoU, precision and recall, and AP by distance; then what it costs."""
    classes = {}
    for place, points in enumerate(student["points"]["per_class"]):
        ap = {str(centers["distance"]): centers["per_class"][place]["ap"] for centers in student["centers"]}
        objects = student["centers"][0]["per_class"][place]["truths"]
        classes[points["class"]] = {
            "point_iou": points["iou"], "point_precision": points["precision"], "point_recall": points["recall"], "points": points["points"],
            "ap": ap, "objects": objects, "threshold": student["thresholds"][place],
        }
    ap = {str(centers["distance"]): centers["ap"] for centers in student["centers"]}
    return {
        "judged_by": student["options"]["by"], "sweeps": student["sweeps"], "classes": classes,
        "all": {"point_iou": student["points"]["mean"], "ap": ap},
        "parameters": student["parameters"], "whole_ms_p50": student["whole_ms"]["p50"], "infer_ms_p50": student["infer_ms"]["p50"],
    }


def label_figures(report):
    """Of each recording that a camera labelled: its calibration, and how far the labels reach."""
    keys = ["calibration", "carried_over", "followed", "sweeps", "without_labels", "without_image", "without_transform", "points", "ignored"]
    named = zip(report["data"], report["labels"], strict=True)
    return {name: {key: facts.get(key) for key in keys} for name, facts in named if any(s["name"].startswith("camera") for s in facts["sources"])}


def ratio(part, whole):
    return None if part is None or not whole else part / whole


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--recordings", required=True, help="NAME:SEED of each")
    parser.add_argument("--seconds", required=True)
    parser.add_argument("--short", required=True, help="seeds of the shorter recordings, which are named w and the seed")
    parser.add_argument("--short-seconds", required=True)
    parser.add_argument("--camera-error", required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    (truth, truth_seed), (camera, camera_seed), (askew, _) = (
        read_run(arguments.runs / f"lidar_warehouse_{name}") for name in ["truth", "camera", "askew"]
    )
    students = {"truth": student_figures(truth["student"]), "camera": student_figures(camera["student"])}
    by_truth, by_camera = students["truth"], students["camera"]
    parts = lambda student: {**student["classes"], "all": student["all"]}
    ratios = {name: ratio(parts(by_camera)[name]["point_iou"], part["point_iou"]) for name, part in parts(by_truth).items()}
    long = dict(recording.split(":") for recording in arguments.recordings.split())
    short = arguments.short.split()
    seeds = {**long, **{f"w{seed}": seed for seed in short}}
    labels = {**label_figures(camera), **label_figures(askew)}
    result = {
        "command": arguments.command, "commit": commit(), "seeds": {name: int(seed) for name, seed in seeds.items()},
        "student_seeds": {"truth": truth_seed, "camera": camera_seed}, "seconds_each": float(arguments.seconds),
        "short": [int(seed) for seed in short], "short_seconds_each": float(arguments.short_seconds),
        "askew_camera_error_degrees": float(arguments.camera_error), "machine": machine(),
        "students": students, "point_iou_ratio": ratios, "labels": labels,
    }
    figure = lambda value: "-" if value is None else f"{value:.3f}"
    distances = list(by_truth["all"]["ap"])
    rows = [
        [name, figure(part["point_iou"]), figure(other["point_iou"]), percent(ratios[name])]
        + [figure(side["ap"][distance]) for distance in distances for side in [part, other]]
        for (name, part), other in zip(parts(by_truth).items(), parts(by_camera).values(), strict=True)
    ]
    header = ["class", "IoU truth", "camera", "ratio"] + [text for distance in distances for text in [f"AP {distance} m truth", "camera"]]
    calibrations, reach = [], []
    suspects = [name for name, facts in labels.items() if name not in long and facts["calibration"] and facts["calibration"]["is_suspect"]]
    for name, facts in labels.items():
        found, carried, followed = facts["calibration"], facts["carried_over"], facts.get("followed")
        if name not in long:
            continue
        calibrations.append([name, seeds[name]] + (
            [f"{found['yaw_degrees']:.1f}", f"{found['pitch_degrees']:.1f}", found["samples"], f"{found['agreement_now']:.2f}",
             f"{found['agreement_best']:.2f}", "yes" if found["is_suspect"] else "no"] if found else ["-"] * 6
        ))
        counts = [carried["of_class"], carried["background"], carried["dropped"]] if carried else ["-"] * 3
        counts += [followed["filled"], followed["points"]] if followed else ["-"] * 2
        reach.append([name, facts["sweeps"], facts["without_labels"], percent(ratio(facts["ignored"], facts["points"])), *counts])
    data = [f"{name} {seed}" for name, seed in long.items()]
    text = "\n".join([
        "People, forklifts and pallets in the clouds of synthetic warehouses: a lidar student taught by cameras alone (two detectors, the",
        "calibration, the student itself over time) beside one taught by the exact truth, both judged by the exact truth of a warehouse that",
        "neither has seen.",
        "",
        f"command  {result['command']}   (commit {result['commit']}; students' seeds {truth_seed} and {camera_seed})",
        f"data     distill synth --seconds {arguments.seconds} with seeds {', '.join(data)};",
        f"         --seconds {arguments.short_seconds} with seeds {short[0]} to {short[-1]}",
        "         the end of each recording that teaches chooses the best weights and thresholds, for the student of the cameras by their labels",
        "teachers models/warehouse_base.onnx and warehouse_small.onnx, trained on warehouses 101 to 116",
        f"machine  {result['machine']}; {by_truth['whole_ms_p50']:.2f} and {by_camera['whole_ms_p50']:.2f} ms a sweep on one thread",
        "",
        f"IoU of points and AP of centres, {by_truth['sweeps']} sweeps of the test recording:",
        "",
        table(header, rows),
        "",
        f"Whether camera and lidar fit together, by the labels alone. The askew recording's transforms tell a mount that is turned by {arguments.camera_error} degrees",
        f"to the left of how the camera sits, so that a yaw of -{arguments.camera_error} is right there and 0 everywhere else:",
        "",
        table(["recording", "seed", "yaw", "pitch", "boxes", "fit now", "fit best", "suspect"], calibrations),
        "",
        f"Of the {len(short)} shorter ones, which fit, {len(suspects)} {'is' if len(suspects) == 1 else 'are'} called suspect{': ' if suspects else '.'}{', '.join(suspects)}",
        "",
        "How far the cameras' labels reach. Carried over from other sweeps are points of classes and of background; labels that other sweeps",
        "contradict are dropped; objects that move are filled and followed to other sweeps. The askew recording is labelled without all that:",
        "",
        table(["recording", "sweeps", "unlabelled", "points ignored", "class points", "background", "dropped", "filled", "followed"], reach),
    ])
    target = Path("docs/results/lidar_warehouse")
    Path(f"{target}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{target}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

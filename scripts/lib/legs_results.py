#!/usr/bin/env python3
"""Writes what scripts/results/legs keeps: the average precision of each student beside that of clusters, as JSON and as text."""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import table  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split()]
    classical = json.loads((arguments.runs / "classical.json").read_text())
    recordings, rows = {}, []
    for left_out in ["1", "2", "3", "4"]:
        reports = [json.loads((arguments.runs / f"{seed}_without_{left_out}" / "report.json").read_text())["student"] for seed in seeds]
        by_distance = {str(centers["distance"]): [] for centers in reports[0]["centers"]}
        for report in reports:
            for centers in report["centers"]:
                by_distance[str(centers["distance"])].append(centers["ap"])
        recordings[left_out] = {
            "student_ap": by_distance,
            "classical_ap": dict(zip(["0.5", "0.25"], classical[left_out])),
            "objects": reports[0]["centers"][0]["per_class"][0]["truths"],
            "sweeps": reports[0]["sweeps"],
            "whole_ms_p50": [report["whole_ms"]["p50"] for report in reports],
            "infer_ms_p50": [report["infer_ms"]["p50"] for report in reports],
        }
    figure = lambda values: f"{mean(values):.3f}" + (f" +- {stdev(values):.3f}" if len(values) > 1 else "")
    for left_out, found in recordings.items():
        student, other = found["student_ap"], found["classical_ap"]
        rows.append([
            left_out, found["sweeps"], found["objects"], figure(student["0.5"]), f"{other['0.5']:.3f}", figure(student["0.25"]), f"{other['0.25']:.3f}",
            f"{mean(found['whole_ms_p50']):.2f}",
        ])
    result = {"command": arguments.command, "commit": commit(), "seeds": seeds, "machine": machine(), "left_out": recordings}
    text = "\n".join([
        "Legs in real scans of 768 beams: average precision of centres on the recording left out, by students trained on the other three and by",
        "jump-distance clusters whose numbers were chosen in their favour (tests/legs.rs).",
        "",
        f"command  {result['command']}   (commit {result['commit']}; seeds {', '.join(map(str, seeds))})",
        "data     legs_labelled_1 to 4 (leg_tracker); the end of each recording that teaches chooses the best weights",
        f"machine  {result['machine']}, one thread for the times",
        "",
        table(["left out", "scans", "legs", "student 0.5 m", "clusters", "student 0.25 m", "clusters", "ms a scan"], rows),
    ])
    target = Path("docs/results/legs")
    Path(f"{target}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{target}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs one experiment with the `distill` of two commits in turn, and writes what scripts/results/end_to_end keeps: the seconds of each stage,
the speed of training and what the students are worth, as JSON and as text."""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import table  # noqa: E402

EXPERIMENT = "config/distill/indoor_person.yaml"
# `distill run` says which stage begins, and what the training came to.
HEADER = re.compile(r"^== (.+)$")
TRAINED = re.compile(r"^trained \d+ images in .*: ([0-9.]+) images/s")


def run(distill, source, output):
    """Runs the experiment once. What comes before the first stage (reading and checking) is the stage `start`."""
    begin = time.monotonic()
    marks, speed = [("start", begin)], None
    command = [distill, "run", EXPERIMENT, "--set", f"output={output}"]
    with subprocess.Popen(command, cwd=source, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if found := HEADER.match(line):
                marks.append((found[1], time.monotonic()))
            elif found := TRAINED.match(line):
                speed = float(found[1])
            print(line, end="", flush=True)
    end = time.monotonic()
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with exit code {process.returncode}")
    if speed is None:
        sys.exit(f"{distill} did not say how fast it trained")
    report = json.loads((output / "report.json").read_text())
    student = next(model for model in report["models"] if model["role"] == "student")
    seed = next(int(line.split(":")[1]) for line in (output / "config.yaml").read_text().splitlines() if line.startswith("seed:"))
    ends = [at for _, at in marks[1:]] + [end]
    return {
        "seconds": end - begin, "stages": {name: until - since for (name, since), until in zip(marks, ends, strict=True)},
        "images_per_second": speed, "ap": student["ap"], "ap50": student["ap50"], "seed": seed,
        "frames": report["frames"], "objects": report["truths"], "truth": report["truth"],
    }


def described(source):
    """A commit's short hash and its day."""
    words = ["git", "-C", str(source), "log", "-1", "--format=%h of %cs"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, nargs=2, required=True, metavar=("DISTILL", "SOURCE"))
    parser.add_argument("--new", type=Path, nargs=2, required=True, metavar=("DISTILL", "SOURCE"))
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    sides = {"old": arguments.old, "new": arguments.new}
    rounds = {name: [] for name in sides}
    for turn in range(1, arguments.rounds + 1):
        for name, (distill, source) in sides.items():
            print(f"==== round {turn} of {arguments.rounds}, {name}: {described(source)}", flush=True)
            rounds[name].append(run(distill, source, arguments.outputs / f"{name}_{turn}"))
    # Each run beside the one that followed it, so that a machine that slows down slows both.
    ratios = [old["seconds"] / new["seconds"] for old, new in zip(rounds["old"], rounds["new"], strict=True)]
    result = {"command": arguments.command, "commit": commit(), "machine": machine(), "experiment": EXPERIMENT}
    for name, (_, source) in sides.items():
        result[name] = {"commit": described(source), "rounds": rounds[name]}
    result |= {"ratio": median(ratios), "ratios": ratios}

    of = lambda name, pick: median(pick(found) for found in rounds[name])
    first = rounds["new"][0]
    # In the new one's order; what the old one alone has comes last.
    stages = dict.fromkeys([*first["stages"], *rounds["old"][0]["stages"]])
    rows = []
    for stage in stages:
        has = [stage in rounds[name][0]["stages"] for name in sides]
        seconds = [of(name, lambda found: found["stages"][stage]) if there else None for name, there in zip(sides, has, strict=True)]
        ratio = f"{seconds[0] / seconds[1]:.2f}" if all(has) else "-"
        rows.append([stage, *("-" if value is None else f"{value:.1f}" for value in seconds), ratio])
    whole = [of(name, lambda found: found["seconds"]) for name in sides]
    rows.append(["whole", *(f"{value:.1f}" for value in whole), f"{result['ratio']:.2f}"])
    speeds = [of(name, lambda found: found["images_per_second"]) for name in sides]
    worth = [f"{of(name, lambda found: found['ap']):.3f} (AP50 {of(name, lambda found: found['ap50']):.3f})" for name in sides]
    seeds = sorted({found["seed"] for found in [*rounds["old"], *rounds["new"]]})
    how_often = "one run each" if arguments.rounds == 1 else f"medians of {arguments.rounds} runs each, in turn"
    text = "\n".join([
        f"A whole experiment, `distill run {EXPERIMENT}`, with an older commit and with a newer one.",
        "",
        f"command  {result['command']}   (commit {result['commit']}; seed {', '.join(map(str, seeds))})",
        f"old      {result['old']['commit']}",
        f"new      {result['new']['commit']}",
        f"data     indoor_person, {first['frames']} test frames, {first['objects']} persons; truth: {first['truth']}",
        f"machine  {result['machine']}; {how_often}",
        "",
        table(["stage", "old s", "new s", "ratio"], rows),
        "",
        f"training       {speeds[0]:.1f} and {speeds[1]:.1f} images/s, ratio {speeds[1] / speeds[0]:.2f}",
        f"AP, test block {worth[0]} and {worth[1]}",
    ])
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

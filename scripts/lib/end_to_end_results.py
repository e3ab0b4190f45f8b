#!/usr/bin/env python3
"""Runs one experiment with the `distill` of several sources in turn, and writes what scripts/results/end_to_end keeps: the seconds of each
stage, the speed of training and what the students are worth, as JSON and as text. The last source is the one the others are measured by."""

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


def described(source, patch):
    """A commit's short hash and its day, and what was changed in it."""
    words = ["git", "-C", str(source), "log", "-1", "--format=%h of %cs"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return f"{found} with {patch}" if patch else found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", nargs=3, action="append", required=True, metavar=("DISTILL", "SOURCE", "PATCH"))
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    names = ["old", "patched", "new"] if len(arguments.side) == 3 else ["old", "new"]
    sides = dict(zip(names, arguments.side, strict=True))
    earlier = names[:-1]
    rounds = {name: [] for name in sides}
    for turn in range(1, arguments.rounds + 1):
        for name, (distill, source, patch) in sides.items():
            print(f"==== round {turn} of {arguments.rounds}, {name}: {described(source, patch)}", flush=True)
            rounds[name].append(run(Path(distill), source, arguments.outputs / f"{name}_{turn}"))
    result = {"command": arguments.command, "commit": commit(), "machine": machine(), "experiment": EXPERIMENT}
    for name, (_, source, patch) in sides.items():
        result[name] = {"commit": described(source, patch), "rounds": rounds[name]}
    # Each run beside the one of its round, so that a machine that slows down slows all.
    for name in earlier:
        ratios = [old["seconds"] / new["seconds"] for old, new in zip(rounds[name], rounds["new"], strict=True)]
        result[name] |= {"ratio": median(ratios), "ratios": ratios}

    of = lambda name, pick: median(pick(found) for found in rounds[name])
    first = rounds["new"][0]
    # In the new one's order; what an old one alone has comes last.
    stages = dict.fromkeys(stage for name in ["new", *earlier] for stage in rounds[name][0]["stages"])
    rows = []
    for stage in stages:
        seconds = {
            name: of(name, lambda found: found["stages"][stage]) if stage in rounds[name][0]["stages"] else None for name in sides
        }
        ratios = [seconds[name] / seconds["new"] if seconds[name] and seconds["new"] else None for name in earlier]
        rows.append([stage, *("-" if value is None else f"{value:.1f}" for value in seconds.values()),
                     *("-" if value is None else f"{value:.2f}" for value in ratios)])
    whole = [of(name, lambda found: found["seconds"]) for name in sides]
    rows.append(["whole", *(f"{value:.1f}" for value in whole), *(f"{result[name]['ratio']:.2f}" for name in earlier)])
    speeds = {name: of(name, lambda found: found["images_per_second"]) for name in sides}
    rows.append(["training, images/s", *(f"{value:.1f}" for value in speeds.values()),
                 *(f"{speeds['new'] / speeds[name]:.2f}" for name in earlier)])
    for key, title in [("ap", "AP, test block"), ("ap50", "AP50")]:
        rows.append([title, *(f"{of(name, lambda found: found[key]):.3f}" for name in sides), *("" for _ in earlier)])
    seeds = sorted({found["seed"] for side in rounds.values() for found in side})
    how_often = "one run each" if arguments.rounds == 1 else f"medians of {arguments.rounds} runs each, in turn"
    text = "\n".join([
        f"A whole experiment, `distill run {EXPERIMENT}`, with an older commit and with a newer one.",
        "",
        f"command  {result['command']}   (commit {result['commit']}; seed {', '.join(map(str, seeds))})",
        *(f"{name:<8} {result[name]['commit']}" for name in sides),
        f"data     indoor_person, {first['frames']} test frames, {first['objects']} persons; truth: {first['truth']}",
        f"machine  {result['machine']}; {how_often}",
        "",
        table(["stage, in s", *sides, *(f"{name} / new" for name in earlier)], rows),
    ])
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

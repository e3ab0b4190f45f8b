#!/usr/bin/env python3
"""Writes what scripts/results/fused_warehouse keeps: the figures of each replay and of all together, as JSON and as text."""

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import Tally, percent, table, words  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--seconds", required=True)
    parser.add_argument("--models", nargs=2, required=True)
    parser.add_argument("replays", nargs="+")
    arguments = parser.parse_args()
    seeds = arguments.seeds.split()
    whole, each, late = Tally(), {}, 0.0
    for seed, path in zip(seeds, arguments.replays, strict=True):
        replay, tally = json.loads(Path(path).read_text()), Tally()
        tally.add(replay)
        whole.add(replay)
        each[seed] = tally.figures()
        late = max(late, replay["lag"]["max"])
    models = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] for path in arguments.models}
    about = {
        "command": arguments.command, "commit": commit(), "seeds": [int(seed) for seed in seeds], "seconds_each": float(arguments.seconds),
        "sweeps": replay["sweeps"], "models": models, "machine": machine(), "latest_message_s": round(late, 3),
    }
    result = {**about, "all": whole.figures(), "each": each}
    metres = lambda value: "-" if value is None else f"{value:.2f}"
    rows = [
        [name, f["there"], percent(f["recall"]), percent(f["precision"]), percent(f["covered"]), metres(f["error_m"]["median"]), f["switches"], f["tracks"]]
        for name, f in [*each.items(), ("all", result["all"])]
    ]
    text = "\n".join([
        "People of synthetic warehouses that no model was trained on, tracked by camera_detector, lidar_detector and obstacle_fusion on ROS 2",
        "in real time.",
        "",
        f"command  {about['command']}   (commit {about['commit']})",
        f"data     distill synth --seconds {arguments.seconds} with seeds {', '.join(seeds)}: camera 320x192 at 10 Hz, {about['sweeps']}, /tf",
        *(f"model    {path}   (sha256 {digest})" for path, digest in models.items()),
        f"machine  {about['machine']}; no message was played later than {1e3 * late:.0f} ms",
        "",
        words(result["all"]),
        "",
        "An object counts while it is visible: at least 5 lidar points on it, or in the truth of the picture (a quarter of it in sight).",
        "The first second of each recording is left out; the time that a track needs to be born is not.",
        "",
        table(["warehouse", "there", "recall", "precision", "in cloud", "median m", "switches", "tracks"], rows),
    ])
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes what scripts/results/hot_swap keeps: gaps between results, memory and times of the swaps, as JSON and as text."""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import table  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text())
    calm, swapped = figures["calm"], figures["swapped"]
    detection = swapped["detection"]["values"]
    megabytes = [resident for resident, _ in swapped["memory"]]
    half = megabytes[len(megabytes) // 2 :]
    rows = []
    for name, stretch in (("no swap", calm), (f"{figures['swaps']} swaps", swapped)):
        gaps = [f"{1e3 * stretch['gaps'][key]:.1f}" for key in ("p50", "p99", "max")]
        rows.append([name, f"{stretch['seconds']:.0f}", stretch["published"], stretch["results"], *gaps])
    result = {
        "command": arguments.command,
        "commit": commit(),
        "machine": machine(),
        "rate_hz": figures["rate"],
        "swaps": figures["swaps"],
        "calm": {key: calm[key] for key in ("seconds", "published", "results", "gaps")},
        "swapped": {key: swapped[key] for key in ("seconds", "published", "results", "gaps", "mixed", "changes", "label_changes")},
        "swap_seconds": swapped["until_class"],
        "infer_ms": {key: float(detection[f"infer_ms_{key}"]) for key in ("p50", "p99", "max")},
        "resident_mb": megabytes,
        "threads": [threads for _, threads in swapped["memory"]],
        "slope_of_second_half_mb_per_swap": figures["slope_of_second_half_mb_per_swap"],
    }
    seconds = sorted(swapped["until_class"])
    text = "\n".join([
        f"Another model while camera_detector runs: images at {figures['rate']:.0f} Hz, two bundles of one network that call its class otherwise, in turn.",
        "",
        f"command  {result['command']}   (commit {result['commit']}; nothing is drawn by chance)",
        f"machine  {result['machine']}, with the client on it",
        "",
        table(["", "s", "images", "results", "gap ms p50", "p99", "max"], rows),
        "",
        f"an inference takes     {result['infer_ms']['p50']:.1f} ms (p50), {result['infer_ms']['max']:.1f} ms at most; a frame interval is {1e3 / figures['rate']:.1f} ms",
        f"from the parameter     {1e3 * median(seconds):.0f} ms (p50), {1e3 * seconds[-1]:.0f} ms at most, until the first result of the new model is with the client",
        f"results of two models  {swapped['mixed']}; changes of class {swapped['changes']}, label_info told {swapped['label_changes']} times",
        f"resident memory        {half[0]:.1f} to {half[-1]:.1f} MB over the second half ({min(half):.1f} to {max(half):.1f}), slope {1e3 * result['slope_of_second_half_mb_per_swap']:.1f} kB a swap",
        f"threads                {min(result['threads'])} to {max(result['threads'])}",
    ])
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

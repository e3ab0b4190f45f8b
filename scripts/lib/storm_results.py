#!/usr/bin/env python3
"""Writes what scripts/results/storm keeps: what became of each callback's malformed messages, as JSON and as text."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import table  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures")
    parser.add_argument("--to", required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    figures = json.loads(Path(arguments.figures).read_text())
    result = {"command": arguments.command, "commit": commit(), "machine": machine(), **figures}
    megabytes = lambda count: f"{count / 1e6:.1f} MB"
    rows = [
        [name, f["sent"], f["taken"], sum(f["refused"].values()), len(f["refused"]), f"{100 * f['taken'] / max(1, f['sent']):.1f} %"]
        for name, f in result["callbacks"].items()
    ]
    kinds = sorted(result["kinds"].items(), key=lambda item: -item[1])
    text = "\n".join([
        "Malformed messages through what the callbacks of camera_detector, lidar_detector and obstacle_fusion do.",
        "",
        f"command  {result['command']}   (commit {result['commit']})",
        f"data     {result['messages']} messages: good ones of every type, encoding and byte order, of which eleven in twelve are made wrong",
        f"         in one to three ways (flipped bits, cuts, extensions, huge lengths, numbers that are none, swapped blocks); seed {result['seed']}",
        f"machine  {result['machine']}",
        "",
        f"panics            {result['panics']}",
        f"not given back    {result['live_growth_bytes']} bytes between the least and the most of the second half's notes",
        f"at most           {megabytes(result['peak_bytes'])} at once",
        f"resident          {result['resident_mb'][0]:.0f} MB after the first part, {result['resident_mb'][-1]:.0f} MB after the last"
        f" ({result['resident_growth_mb']:+.1f} MB in the second half)",
        f"took              {result['seconds']:.0f} s, {1e6 * result['seconds'] / result['messages']:.0f} us a message"
        + ("" if result["inference"] else "; no network was run, as ONNX Runtime was not there"),
        "",
        table(["callback", "sent", "taken", "refused", "kinds", "share taken"], rows),
        "",
        table(["why a message is refused", "times"], kinds),
    ])
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

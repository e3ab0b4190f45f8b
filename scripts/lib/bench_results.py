#!/usr/bin/env python3
"""Writes what scripts/results/bench keeps: the figures of `distill bench` with the command and the commit, as JSON and as text."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from origin import commit  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    figures = json.loads(arguments.json.read_text())
    for model in figures["models"]:
        # The name and the hash tell which model it is; where it lay does not matter elsewhere.
        model["path"] = Path(model["path"]).name
    made = {"command": arguments.command, "commit": commit(), **figures}
    # What the command says last is where its own JSON was.
    table = [line for line in arguments.text.read_text().rstrip().splitlines() if line != str(arguments.json)]
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{arguments.to}.json").write_text(json.dumps(made, indent=2) + "\n")
    head = f"command  {made['command']}   (commit {made['commit']})"
    Path(f"{arguments.to}.txt").write_text("\n".join([head, *table]) + "\n")


if __name__ == "__main__":
    main()

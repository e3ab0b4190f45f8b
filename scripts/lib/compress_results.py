#!/usr/bin/env python3
"""Writes what scripts/results/compress keeps: the front of `distill compress` with the command and the commit."""

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from origin import commit  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def value(text, key):
    """The value of a key at the ladder's first level."""
    found = re.search(rf"^{key}:\s*(\S+)", text, re.MULTILINE)
    if not found:
        raise SystemExit(f"the ladder says no `{key}`")
    return found.group(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ladder", type=Path)
    parser.add_argument("--data", required=True, help="folder of the recordings, whose place on this machine is not kept")
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    ladder = arguments.ladder.read_text()
    output = (arguments.ladder.parent / value(ladder, "output")).resolve()
    to = ROOT / "docs/results" / f"compress_{value(ladder, 'name')}"

    def kept(text):
        return text.replace(f"{output}/", "").replace(f"{ROOT}/", "").replace(f"{arguments.data}/", "")

    front = json.loads(kept((output / "front.json").read_text()))
    # The command as anybody can give it, in the place of the program's own.
    made = {**front, "command": arguments.command, "commit": commit()}
    Path(f"{to}.json").write_text(json.dumps(made, indent=2) + "\n")
    head = f"command  {made['command']}   (commit {made['commit']})\n\n"
    Path(f"{to}.txt").write_text(head + kept((output / "front.txt").read_text()).rstrip() + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes what scripts/results/kinds keeps: the result of an ablation by each of its judges, with the command, the commit, the data and the
machine, as JSON, as text and as pictures."""

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from origin import commit, machine  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ["classes", "data", "split", "teachers", "student", "train", "augment"]


def section(text, key):
    """A section of a YAML file as it is written, comments left out."""
    found = re.search(rf"^{key}:.*\n(?:[ -].*\n)*", text, re.MULTILINE)
    return found.group(0).rstrip().splitlines() if found else []


def unfinished(ablation):
    return [f"{variant['name']}, seed {run['seed']}" for variant in ablation["variants"] for run in variant["runs"] if run["state"] == "not_run"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ablation", type=Path, required=True)
    parser.add_argument("--experiment", type=Path, required=True)
    parser.add_argument("--result", action="append", required=True, help="NAME=FOLDER of each judge; the experiment's own has no name")
    parser.add_argument("--to", required=True)
    parser.add_argument("--data", action="append", required=True, help="folders of recordings, whose places on this machine are not kept; the first is of the real ones")
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    folders = [result.split("=", 1) for result in arguments.result]

    def kept(text):
        """Without the places of this machine: of the results, the recordings and the checkout."""
        for folder in [*sorted((folder for _, folder in folders), key=len, reverse=True), str(ROOT), *arguments.data]:
            text = text.replace(f"{folder}/", "")
        return text

    results = {name: json.loads(kept((Path(folder) / "ablation.json").read_text())) for name, folder in folders}
    for name, ablation in results.items():
        missing = unfinished(ablation)
        if missing:
            sys.exit(f"{name or 'the result'} lacks runs ({'; '.join(missing)}); the same command goes on with them")
        # The whole is made by one command, which stands above.
        del ablation["command"]
    own = results.pop("")
    seeds = own["seeds"]
    command = arguments.command.replace(f"{arguments.data[0]}/", "$PERCEPTION_TEST_DATA/")
    made = {"command": command, "commit": commit(), "machine": machine(), **own, "judged_by_others": results}
    lines = [
        f"What kinds of distillation are worth: {kept(str(arguments.ablation.resolve()))}, trained with {len(seeds)} seeds each.",
        "",
        f"command  {made['command']}   (commit {made['commit']}; seeds {', '.join(map(str, seeds))})",
        f"machine  {made['machine']}",
        "of note  trainings ran side by side and with other work beside them: `train s` and `p50 ms` are not to be compared, nor images a second.",
        "         `x faster` is: there student and teachers took turns on the same images in one process, one thread each.",
        "",
        f"{kept(str(arguments.experiment))}, which all variants start from:",
    ]
    text = arguments.experiment.read_text()
    lines += [f"  {line}" for key in SHOWN for line in section(text, key)]
    changes = [f"{key}={json.dumps(value)}" for key, value in own["set"].items()] + own["command_line_set"]
    if changes:
        lines += [f"changed for all of them: {', '.join(changes)}"]
    for name, folder in folders:
        title = f"{name}, which taught none of them, judges" if name else "judged as the experiment says"
        lines += ["", f"== {title}", "", kept((Path(folder) / "ablation.txt").read_text()).rstrip()]
        picture = f"{arguments.to}{f'_by_{name}' if name else ''}.svg"
        Path(picture).write_text((Path(folder) / "ablation.svg").read_text())
    Path(f"{arguments.to}.json").write_text(json.dumps(made, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text("\n".join(lines) + "\n")
    print(f"kept in {arguments.to}.json, .txt and .svg")


if __name__ == "__main__":
    main()

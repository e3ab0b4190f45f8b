#!/usr/bin/env python3
"""Writes what scripts/results/compress keeps: the front of `distill compress` with the command and the commit, and before it all students
and teachers on the test block, beside the best teacher."""

import argparse
import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit  # noqa: E402
from track_judge import table  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def value(text, key):
    """The value of a key at the ladder's first level, with `${NAME}` and `${NAME:-default}` from the environment."""
    found = re.search(rf"^{key}:\s*(\S+)", text, re.MULTILINE)
    if not found:
        raise SystemExit(f"the ladder says no `{key}`")
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda name: os.environ.get(name[1], name[2] or ""), found[1])


def quotient(one, other):
    return one / other if one is not None and other else None


def test_table(front):
    """The students and teachers on the test block, with file and time, beside the best teacher there; none of a front without one."""
    tested = {model["name"]: model for model in front["test"]}
    students = [point for point in front["points"] if point["figures"]]
    references = {reference["name"]: reference["figures"] for reference in front["references"]}
    teachers = [name for name in references if tested.get(name, {}).get("ap50") is not None]
    if not teachers:
        return None
    # As `distill evaluate` takes it: by AP50, of equals the faster one.
    best = max(teachers, key=lambda name: (tested[name]["ap50"], -(references[name]["latency_ms"] or float("inf"))))
    by_rounds = front["compared_with"] == best

    def times_faster(figures):
        """By the median of the rounds' ratios, where these are to the best teacher; else the quotient of the median times."""
        if by_rounds and figures["ratio"]:
            return quotient(1.0, figures["ratio"]["median"])
        return quotient(references[best]["latency_ms"], figures["latency_ms"])

    def row(name, figures, role, change=""):
        judged = tested.get(name, {})
        return {
            "name": name, "role": role, "change": change, "ap50": judged.get("ap50"), "ap": judged.get("ap"),
            "share_of": {teacher: quotient(judged.get("ap50"), tested[teacher]["ap50"]) for teacher in teachers},
            "bytes": figures["bytes"], "times_smaller": quotient(references[best]["bytes"], figures["bytes"]),
            "latency_ms": figures["latency_ms"], "times_faster": times_faster(figures),
            "per_class": {part["class"]: {"ap50": part["ap50"], "ap": part["ap"]} for part in judged.get("per_class", [])},
        }

    rows = [row(point["name"], point["figures"], "student", point["change"]) for point in students]
    rows += [row(name, figures, "teacher" if name in teachers else "compared") for name, figures in references.items()]
    return {
        "frames": front["test_frames"], "truth": front.get("test_truth") or None, "best_teacher": best, "rows": rows,
        "times_faster_by": "median of the rounds' ratios" if by_rounds else "quotient of the median times",
    }


def figure(number, digits, scale=1.0, unit=""):
    return "-" if number is None else f"{scale * number:.{digits}f}{unit}"


def test_text(front, found):
    """That table for people, and what the chosen student, or the nearest one, comes to."""
    best, rows = found["best_teacher"], found["rows"]
    teachers = [row["name"] for row in rows if row["role"] == "teacher"]
    classes = list(next((row["per_class"] for row in rows if len(row["per_class"]) > 1), {}))
    header = [
        "on the test block", "what was done", "AP50", "AP", *(f"of {teacher}" for teacher in teachers), "kB", "smaller", "ms", "faster",
        *(f"AP50 {name}" for name in classes),
    ]
    lines = [
        [
            row["name"], row["change"], figure(row["ap50"], 3), figure(row["ap"], 3),
            *(figure(row["share_of"][teacher], 1, 100.0, " %") for teacher in teachers),
            figure(row["bytes"], 0, 1e-3), figure(row["times_smaller"], 2), figure(row["latency_ms"], 2), figure(row["times_faster"], 2),
            *(figure(row["per_class"].get(name, {}).get("ap50"), 3) for name in classes),
        ]
        for row in rows
    ]
    truth = found["truth"]
    judge = f"; truth: {truth}" if truth else ""
    machine = front["machine"]
    processor = f"{', '.join(machine['cpu'])} ({', '.join(machine['instruction_sets'])})"
    text = [
        table(header, lines),
        "",
        f"{found['frames']} test frames{judge}. of ..: AP50 as a share of that teacher's. smaller, faster: how many times than {best},",
        f"the best teacher there; times are of the network alone on one thread of {processor},",
        f"all in turns over {front['latency_rounds']} rounds ({found['times_faster_by']}).",
    ]
    if truth and truth.startswith("boxes of"):
        text.append("The fused teachers are the judge, and their own AP50 is 1: AP50 is the share of theirs, too.")
    marked = front["chosen"] or front["nearest"]
    own = next((row for row in rows if row["name"] == marked), None)
    if own and own["ap50"] is not None:
        word = "chosen" if front["chosen"] else "nearest, for none keeps all limits"
        share = figure(own["share_of"][best], 1, 100.0, " %")
        size, time = figure(own["times_smaller"], 1), figure(own["times_faster"], 1)
        text.append(f"{marked} ({word}) keeps {share} of {best}'s AP50 at 1/{size} of its file and 1/{time} of its time.")
    return "\n".join(text)


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
    found = test_table(front)
    # The command as anybody can give it, in the place of the program's own.
    made = {**front, "command": arguments.command, "commit": commit(), "test_table": found}
    Path(f"{to}.json").write_text(json.dumps(made, indent=2) + "\n")
    head = f"command  {made['command']}   (commit {made['commit']}, seed {front['seed']})\n\n"
    judged = f"{test_text(front, found)}\n\n" if found else ""
    Path(f"{to}.txt").write_text(head + judged + kept((output / "front.txt").read_text()).rstrip() + "\n")


if __name__ == "__main__":
    main()

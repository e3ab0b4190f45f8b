#!/usr/bin/env python3
"""Reads what `distill run EXPERIMENT --print-config` prints, and writes the arguments of `distill label` that label the same recordings in the
same order, an argument a line."""

import json
import sys


def unquoted(text):
    if text.startswith('"'):
        return json.loads(text)
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def main():
    section, classes, recordings = None, [], []
    for line in sys.stdin.read().splitlines():
        if line[:1] not in (" ", "-"):
            section = line.split(":")[0]
        elif section == "classes":
            classes.append(unquoted(line[2:]))
        elif section == "data":
            key, _, value = line[2:].partition(": ")
            if line.startswith("- "):
                recordings.append({})
            recordings[-1][key] = unquoted(value)
    labelled = [recording for recording in recordings if recording.get("unlabelled") != "true"]
    if not labelled or not classes:
        sys.exit("the experiment has no recordings or no classes")
    topics = {recording["topic"] for recording in labelled}
    if len(topics) > 1:
        sys.exit(f"the recordings have several image topics ({', '.join(sorted(topics))}); label them yourself and name the folder")
    arguments = [word for recording in labelled for word in ("--data", recording["path"])]
    arguments += ["--classes", ",".join(classes)]
    topic = topics.pop()
    if topic != "null":
        arguments += ["--topic", topic]
    print("\n".join(arguments))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Reads every real recording with independent readers and writes what they find to tests/fixtures/bags/expected.json.

Needs the Python packages rosbags and mcap. For each recording and topic: the type, the number of messages, and a SHA-256 over
the messages sorted by time and content (time as 8 bytes, little endian, then the content's length as 8 bytes, then the content).

    scripts/reference/bags.py ../shared/data tests/fixtures/bags/expected.json

Recordings with metadata.yaml are read by rosbags; those that it cannot read whole and those without metadata.yaml by mcap or
sqlite3.
"""

import hashlib
import json
import sqlite3
import sys
from pathlib import Path

from mcap.reader import make_reader
from rosbags.rosbag2 import Reader


def from_rosbags(folder):
    with Reader(folder) as reader:
        topics = {connection.topic: connection.msgtype for connection in reader.connections}
        messages = [(connection.topic, time, bytes(data)) for connection, time, data in reader.messages()]
        if len(messages) == reader.message_count:
            return topics, messages
        # rosbags leaves out topics whose quality of service reads differently in metadata.yaml and in the file.
        files = sorted([*Path(folder).glob("*.mcap"), *Path(folder).glob("*.db3")])
    return (from_mcap if files[0].suffix == ".mcap" else from_sqlite)(files)


def from_mcap(files):
    topics, messages = {}, []
    for file in files:
        with file.open("rb") as stream:
            reader = make_reader(stream)
            summary = reader.get_summary()
            for channel in summary.channels.values():
                topics[channel.topic] = summary.schemas[channel.schema_id].name
            for _, channel, message in reader.iter_messages():
                messages.append((channel.topic, message.log_time, message.data))
    return topics, messages


def from_sqlite(files):
    topics, messages = {}, []
    for file in files:
        database = sqlite3.connect(f"file:{file}?immutable=1", uri=True)
        names = {}
        for number, name, kind in database.execute("SELECT id, name, type FROM topics"):
            names[number] = name
            topics[name] = kind
        for number, time, data in database.execute("SELECT topic_id, timestamp, data FROM messages"):
            messages.append((names[number], time, data))
    return topics, messages


def numbered(files):
    return sorted(files, key=lambda file: int(file.stem.rsplit("_", 1)[1]))


def recordings(root):
    """Each recording's path and how to read it."""
    described = {metadata.parent for metadata in root.rglob("metadata.yaml")}
    for folder in sorted(described):
        yield folder, from_rosbags, folder
    loose = {}
    for file in sorted([*root.rglob("*.mcap"), *root.rglob("*.db3")]):
        if file.parent not in described:
            read = from_mcap if file.suffix == ".mcap" else from_sqlite
            if file.parent.name == "multiple_files":
                loose.setdefault(file.parent, (read, []))[1].append(file)
            else:
                loose[file] = (read, [file])
    for path, (read, files) in loose.items():
        yield path, read, numbered(files) if len(files) > 1 else files


def digest(messages):
    hasher = hashlib.sha256()
    for time, data in sorted(messages):
        hasher.update(time.to_bytes(8, "little", signed=True))
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
    return hasher.hexdigest()


def main():
    data, target = Path(sys.argv[1]), Path(sys.argv[2])
    expected = {}
    for path, read, argument in recordings(data / "bags"):
        name = str(path.relative_to(data / "bags"))
        try:
            topics, messages = read(argument)
        except Exception as error:  # the reference refuses it too
            print(f"{name}: {type(error).__name__}: {error}")
            continue
        expected[name] = {
            topic: {
                "type": kind,
                "count": sum(1 for message in messages if message[0] == topic),
                "sha256": digest([message[1:] for message in messages if message[0] == topic]),
            }
            for topic, kind in sorted(topics.items())
        }
        print(f"{name}: {len(messages)} messages")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


main()

#!/usr/bin/env python3
"""Reads the parts that a recorder of ours left, with the package mcap and rclpy, and prints what is in them, as JSON: so that nothing of
ours judges what ours has written.

    field_judge.py FOLDER
"""

import hashlib
import json
import sys
from pathlib import Path

import yaml
from bag_recording import message_type, nanoseconds, offered_qos
from mcap.reader import make_reader
from rclpy.qos import DurabilityPolicy
from rclpy.serialization import deserialize_message


def part(folder):
    information = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    files = [folder / name for name in information["relative_file_paths"]]
    counts, types, latched, images, seen, reasons = {}, {}, [], {}, {}, []
    for file in files:
        with file.open("rb") as stream:
            reader = make_reader(stream)
            for channel in reader.get_summary().channels.values():
                if offered_qos(channel.metadata["offered_qos_profiles"]).durability == DurabilityPolicy.TRANSIENT_LOCAL:
                    latched.append(channel.topic)
            for schema, channel, raw in reader.iter_messages():
                counts[channel.topic] = counts.get(channel.topic, 0) + 1
                types[channel.topic] = schema.name
                message = deserialize_message(bytes(raw.data), message_type(schema.name))
                if schema.name == "sensor_msgs/msg/CompressedImage":
                    images[nanoseconds(message.header.stamp)] = hashlib.sha256(bytes(message.data)).hexdigest()
                elif schema.name == "vision_msgs/msg/Detection2DArray":
                    seen[nanoseconds(message.header.stamp)] = [d.results[0].hypothesis.score for d in message.detections]
                elif schema.name == "std_msgs/msg/String":
                    reasons.append(json.loads(message.data))
    written = {t["topic_metadata"]["name"]: t["message_count"] for t in information["topics_with_message_count"]}
    assert written == counts, f"{folder}: metadata.yaml says {written}, the file has {counts}"
    return {"counts": counts, "types": types, "latched": latched, "images": images, "seen": seen, "reasons": reasons}


def main():
    root = Path(sys.argv[1])
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    left = sorted(path.name for path in root.iterdir() if path.name.startswith(".partial"))
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(json.dumps({"parts": {name: part(root / name) for name in names}, "left": left, "bytes": size}))


if __name__ == "__main__":
    main()

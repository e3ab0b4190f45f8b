#!/usr/bin/env python3
"""Makes tests/fixtures/messages/cases.json: random messages as the Python package rosbags writes them.

Each case holds the type, the fields' values, and the bytes in little and big endian as hexadecimal text. The package has its
own serializer and its own definitions of the common types; vision_msgs, which it lacks, are given here as in
https://github.com/ros-perception/vision_msgs (branch ros2, version 4). Before anything is written, the definition texts of
src/messages/definitions.txt are compared with what rosbags knows.

    pip install rosbags numpy
    python3 scripts/reference/messages.py            # writes the fixture
    python3 scripts/reference/messages.py --check    # fails when the fixture would change

tests/messages_reference.rs also asks for cases that nobody has seen before, with longer and stranger values than the fixture's:

    python3 scripts/reference/messages.py --stdout --seed 7 --cases 20    # 20 of each type, writes nothing
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests/fixtures/messages/cases.json"
DEFINITIONS = ROOT / "src/messages/definitions.txt"
SEPARATOR = "=" * 80 + "\n"
SEED = 20240513
CASES_PER_TYPE = 3

MESSAGES = [
    "builtin_interfaces/msg/Time",
    "std_msgs/msg/Header",
    "rosgraph_msgs/msg/Clock",
    "geometry_msgs/msg/PoseArray",
    "tf2_msgs/msg/TFMessage",
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/LaserScan",
    "sensor_msgs/msg/PointCloud2",
    "vision_msgs/msg/Detection2DArray",
    "vision_msgs/msg/Detection3DArray",
    "vision_msgs/msg/LabelInfo",
]

VISION_MSGS = {
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "Detection2D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nDetection2D[] detections",
    "Detection3D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id",
    "Detection3DArray": "std_msgs/Header header\nDetection3D[] detections",
    "VisionClass": "uint16 class_id\nstring class_name",
    "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
}

# Of navigation2's nav2_msgs (Jazzy).
NAV2_SPEED_LIMIT = "std_msgs/Header header\nbool percentage\nfloat64 speed_limit"

STRINGS = ["", "a", "map", "base_link", "camera_optical", "Überlager/Gang 7", "人", "x" * 13]

# Characters of one to four bytes.
ALPHABETS = [(0x20, 0x7E), (0xA0, 0x24F), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF)]


def typestore():
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for name, text in VISION_MSGS.items():
        types.update(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    types.update(get_types_from_msg(NAV2_SPEED_LIMIT, "nav2_msgs/msg/SpeedLimit"))
    store.register(types)
    return store


def compare_definitions(store):
    """Fails when a definition text of ours has other fields, constants or types than rosbags has."""
    for section in DEFINITIONS.read_text().split(SEPARATOR):
        first, text = section.split("\n", 1)
        package, name = first.removeprefix("MSG: ").split("/")
        name = f"{package}/msg/{name}"
        ours = get_types_from_msg(text, name)[name]
        theirs = store.fielddefs[name]
        if list(ours[1]) != list(theirs[1]) or list(ours[0]) != list(theirs[0]):
            sys.exit(f"{name}: src/messages/definitions.txt has {ours}, rosbags has {theirs}")


class Generator:
    """Random values by type, from one seeded source. Wide ones are longer and often extreme."""

    def __init__(self, store, seed, wide):
        self.store = store
        self.random = np.random.default_rng(seed)
        self.wide = wide
        self.most_elements = 40 if wide else 5
        self.most_messages = 4 if wide else 2

    def extreme(self, kind):
        random = self.random
        if kind == "string":
            low, high = ALPHABETS[random.integers(len(ALPHABETS))]
            return "".join(chr(code) for code in random.integers(low, high, random.integers(30), endpoint=True))
        if kind in ("float32", "float64"):
            info = np.finfo(kind)
            values = [0.0, -0.0, math.inf, -math.inf, math.nan, info.max, info.min, info.tiny, info.smallest_subnormal]
            return float(values[random.integers(len(values))])
        info = np.iinfo(kind)
        return int([info.min, info.max][random.integers(2)])

    def primitive(self, kind):
        random = self.random
        if self.wide and kind != "bool" and random.random() < 0.3:
            return self.extreme(kind)
        if kind == "string":
            return STRINGS[random.integers(len(STRINGS))]
        if kind == "bool":
            return bool(random.integers(2))
        if kind == "float32":
            return float(np.float32(random.normal() * 10.0))
        if kind == "float64":
            return float(random.normal() * 10.0)
        info = np.iinfo(kind)
        return int(random.integers(info.min, info.max, endpoint=True))

    def array(self, kind, count):
        if kind == "string":
            return [self.primitive(kind) for _ in range(count)]
        values = np.array([self.primitive(kind) for _ in range(count)], dtype=kind)
        # A covariance is mostly zero, which also keeps the fixture small.
        if count == 36:
            values[self.random.random(count) < 0.9] = 0.0
        # Lasers say "no echo" by infinity and NaN.
        if kind == "float32" and count > 2:
            values[0] = math.inf
            values[1] = math.nan
        return values

    def field(self, descriptor, empty):
        kind, detail = descriptor
        if kind == Nodetype.BASE:
            return self.primitive(detail[0])
        if kind == Nodetype.NAME:
            return self.message(detail, empty)
        (element_kind, element), length = detail
        count = length if kind == Nodetype.ARRAY else 0 if empty else int(self.random.integers(1, self.most_elements + 1))
        if element_kind == Nodetype.BASE:
            return self.array(element[0], count)
        return [self.message(element, empty) for _ in range(min(count, self.most_messages))]

    def message(self, name, empty):
        fields = {field: self.field(descriptor, empty) for field, descriptor in self.store.fielddefs[name][1]}
        if name == "builtin_interfaces/msg/Time":
            fields["nanosec"] %= 1_000_000_000
        return self.store.types[name](**fields)


def to_json(value):
    """Plain values, without constants (in capitals); numbers that JSON lacks become null."""
    if isinstance(value, np.ndarray):
        return [to_json(element) for element in value.tolist()]
    if isinstance(value, list):
        return [to_json(element) for element in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, int, str)):
        return value
    return {name: to_json(getattr(value, name)) for name in value.__dataclass_fields__ if name[0].islower()}


def make_cases(generator, count):
    """So many messages of each type; the first one's sequences are empty."""
    cases = []
    for name in MESSAGES:
        for index in range(count):
            message = generator.message(name, empty=index == 0)
            cases.append({
                "type": name,
                "fields": to_json(message),
                "little": generator.store.serialize_cdr(message, name, little_endian=True).hex(),
                "big": generator.store.serialize_cdr(message, name, little_endian=False).hex(),
            })
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed fixture instead of writing it")
    parser.add_argument("--stdout", action="store_true", help="print other cases instead, as JSON; the fixture is left alone")
    parser.add_argument("--seed", type=int, metavar="N", help="what the printed cases follow from (default: the fixture's)")
    parser.add_argument("--cases", type=int, metavar="K", help="how many to print of each message type (default: the fixture's)")
    arguments = parser.parse_args()
    if not arguments.stdout and (arguments.seed, arguments.cases) != (None, None):
        parser.error("--seed and --cases go with --stdout: the fixture has its own")
    if arguments.stdout and arguments.check:
        parser.error("--check looks at the fixture, --stdout at none")

    store = typestore()
    compare_definitions(store)
    if arguments.stdout:
        seed = SEED if arguments.seed is None else arguments.seed
        count = CASES_PER_TYPE if arguments.cases is None else arguments.cases
        text = json.dumps(make_cases(Generator(store, seed, wide=True), count), ensure_ascii=False)
        sys.stdout.buffer.write(text.encode() + b"\n")
        return
    cases = make_cases(Generator(store, SEED, wide=False), CASES_PER_TYPE)
    text = "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases) + "\n]\n"
    if arguments.check:
        if FIXTURE.read_text() != text:
            sys.exit(f"{FIXTURE} is not what this script makes")
    else:
        FIXTURE.write_text(text)
    print(f"{len(cases)} cases, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()

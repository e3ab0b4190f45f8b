"""A recording as replay_bag.py needs it, read with the package mcap, so that nothing of ours reads what judges ours.

`Recording` holds the messages that a robot's sensors would send, and the truth that `distill synth` wrote beside them.
"""

import importlib
import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from mcap.reader import make_reader
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointField

TRUTH = "/truth/"
TRANSFORMS = "tf2_msgs/msg/TFMessage"


def nanoseconds(stamp):
    return stamp.sec * 10**9 + stamp.nanosec


def set_stamp(stamp, value):
    stamp.sec, stamp.nanosec = divmod(value, 10**9)


def message_type(name):
    """The Python class of `package/msg/Name`."""
    package, _, kind = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


def offered_qos(text):
    """What the recorded publisher offered; rosbag2 before Iron writes the policies as numbers."""
    profile = (yaml.safe_load(text) or [{}])[0] if text else {}
    is_best_effort = profile.get("reliability") in ("best_effort", 2)
    is_latched = profile.get("durability") in ("transient_local", 1)
    return QoSProfile(
        depth=max(int(profile.get("depth", 10)), 1),
        reliability=ReliabilityPolicy.BEST_EFFORT if is_best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def planar(quaternion):
    """The angle about z."""
    x, y, z, w = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def matrix(translation, quaternion):
    x, y, z, w = np.asarray(quaternion) / np.linalg.norm(quaternion)
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, translation
    return result


class TransformTree:
    """Where frames were, between two stamps by linear interpolation."""

    def __init__(self):
        self.edges = {}

    def add(self, message):
        for transform in message.transforms:
            t, q = transform.transform.translation, transform.transform.rotation
            values = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
            _, stamps, poses = self.edges.setdefault(transform.child_frame_id, (transform.header.frame_id, [], []))
            stamp = nanoseconds(transform.header.stamp)
            if stamps and stamp <= stamps[-1]:
                continue
            # q and -q are the same rotation, but what lies between them is not.
            if poses and poses[-1][3:] @ values[3:] < 0:
                values[3:] = -values[3:]
            stamps.append(stamp)
            poses.append(values)

    def to_root(self, frame, stamp):
        result = np.eye(4)
        while frame in self.edges:
            frame, stamps, poses = self.edges[frame]
            index = bisect_right(stamps, stamp)
            if index == 0 or index == len(stamps):
                values = poses[max(index - 1, 0)]
            else:
                share = (stamp - stamps[index - 1]) / (stamps[index] - stamps[index - 1])
                values = (1 - share) * poses[index - 1] + share * poses[index]
            result = matrix(values[:3], values[3:]) @ result
        return frame, result

    def matrix(self, target, source, stamp):
        """The 4 x 4 matrix that takes points from `source` to `target`."""
        (root, to), (other, start) = self.to_root(target, stamp), self.to_root(source, stamp)
        if root != other:
            raise ValueError(f"/tf does not connect {source} with {target}")
        return np.linalg.inv(to) @ start


def apply(transform, points):
    """Points as an array n x 3."""
    return np.asarray(points) @ transform[:3, :3].T + transform[:3, 3]


def fields_of(cloud, *names):
    """These fields of a PointCloud2 as one array each."""
    kinds = {PointField.FLOAT32: "<f4", PointField.UINT16: "<u2", PointField.UINT32: "<u4"}
    offsets = {f.name: (f.offset, kinds[f.datatype]) for f in cloud.fields if f.name in names}
    record = np.dtype({
        "names": list(names), "formats": [offsets[n][1] for n in names], "offsets": [offsets[n][0] for n in names],
        "itemsize": cloud.point_step,
    })
    points = np.frombuffer(bytes(cloud.data), record, cloud.width * cloud.height)
    return [points[name] for name in names]


@dataclass
class Message:
    """A message as it goes out again."""

    topic: str
    log_time: int
    stamp: int
    data: bytes

    def restamped(self, change, is_transform):
        """The same with other stamps: `change` says which."""
        if is_transform:
            message = deserialize_message(self.data, message_type(TRANSFORMS))
            for transform in message.transforms:
                set_stamp(transform.header.stamp, change(nanoseconds(transform.header.stamp)))
            return serialize_message(message)
        # CDR: 4 bytes of encapsulation, then the header with its stamp, little endian as written by every x86 and ARM.
        return self.data[:4] + struct.pack("<iI", *divmod(change(self.stamp), 10**9)) + self.data[12:]


@dataclass
class Channel:
    type_name: str
    qos: QoSProfile


@dataclass
class Recording:
    """Sensor messages in the order of their log times, the transforms, and the truth by stamp."""

    channels: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)
    transforms: TransformTree = field(default_factory=TransformTree)
    # stamp -> {"robot": [x, y, yaw], "objects": dictionaries}, in the fixed frame
    truth: dict = field(default_factory=dict)
    # stamp of a picture -> [(class, score, corners, object)]
    pictures: dict = field(default_factory=dict)

    @property
    def begin(self):
        return self.messages[0].log_time

    @property
    def end(self):
        return self.messages[-1].log_time

    def sweep(self, topic, stamp):
        """The points of a cloud or scan nearest in time, in its frame, and that frame."""
        found = min((m for m in self.messages if m.topic == topic), key=lambda m: abs(m.stamp - stamp))
        message = deserialize_message(found.data, message_type(self.channels[topic].type_name))
        if hasattr(message, "ranges"):
            ranges = np.array(message.ranges)
            angles = message.angle_min + message.angle_increment * np.arange(len(ranges))
            points = np.stack([ranges * np.cos(angles), ranges * np.sin(angles), np.zeros_like(ranges)], axis=1)
        else:
            points = np.stack(fields_of(message, "x", "y", "z"), axis=1)
        return points[np.isfinite(points).all(axis=1)], message.header.frame_id


def class_and_score(detection):
    hypothesis = detection.results[0].hypothesis
    return hypothesis.class_id, hypothesis.score


def boxes_of(array):
    """(class, score, (left, top, right, bottom), id) of each detection of a picture."""
    found = []
    for detection in array.detections:
        box = detection.bbox
        x, y, w, h = box.center.position.x, box.center.position.y, box.size_x / 2, box.size_y / 2
        found.append((*class_and_score(detection), (x - w, y - h, x + w, y + h), detection.id))
    return found


def read(bag, topics, labels, last=1.0, fixed_frame="odom"):
    """The last share of a recording: `topics` to be played, `labels` the labelled cloud that tells what the lidar sees of each object."""
    files = sorted(Path(bag).glob("*.mcap"))
    if not files:
        raise SystemExit(f"{bag} holds no .mcap file")
    recording, counts, boxes = Recording(), {}, []
    ends = []
    for file in files:
        with file.open("rb") as stream:
            statistics = make_reader(stream).get_summary().statistics
            ends.append((statistics.message_start_time, statistics.message_end_time))
    start, stop = min(begin for begin, _ in ends), max(end for _, end in ends)
    begin = stop - round(last * (stop - start))
    wanted = [*topics, "/tf", "/tf_static", "/truth/detections_2d", "/truth/detections_3d", labels]
    for file in files:
        with file.open("rb") as stream:
            for schema, channel, raw in make_reader(stream).iter_messages(topics=wanted):
                is_static = channel.topic == "/tf_static"
                if raw.log_time < begin and not is_static:
                    continue
                data = bytes(raw.data)
                if not channel.topic.startswith(TRUTH):
                    if channel.topic not in recording.channels:
                        qos = offered_qos(channel.metadata.get("offered_qos_profiles", ""))
                        recording.channels[channel.topic] = Channel(schema.name, qos)
                    if schema.name == TRANSFORMS:
                        recording.transforms.add(deserialize_message(data, message_type(TRANSFORMS)))
                        stamp = raw.log_time
                    else:
                        second, nanosecond = struct.unpack_from("<iI", data, 4)
                        stamp = second * 10**9 + nanosecond
                    recording.messages.append(Message(channel.topic, max(raw.log_time, begin), stamp, data))
                    continue
                message = deserialize_message(data, message_type(schema.name))
                stamp = nanoseconds(message.header.stamp)
                if channel.topic == labels:
                    (objects,) = fields_of(message, "object")
                    counts[stamp] = dict(zip(*(values.tolist() for values in np.unique(objects, return_counts=True))))
                elif channel.topic == "/truth/detections_2d":
                    recording.pictures[stamp] = boxes_of(message)
                else:
                    boxes.append((stamp, message))
    if not recording.messages:
        raise SystemExit(f"{bag} holds no messages on {', '.join(topics)}")
    recording.messages.sort(key=lambda message: message.log_time)
    for stamp, message in boxes:
        recording.truth[stamp] = truth_of(recording, stamp, message, counts.get(stamp, {}), fixed_frame)
    return recording


def heading(rotation):
    """The angle about z of a rotation matrix."""
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def is_within(inner, outer):
    """Whether the middle of an object is within the footprint of a larger one: a driver in a forklift."""
    x, y = inner["x"] - outer["x"], inner["y"] - outer["y"]
    c, s = np.cos(outer["yaw"]), np.sin(outer["yaw"])
    length, width, _ = outer["size"]
    is_larger = length * width > inner["size"][0] * inner["size"][1]
    return bool(is_larger and abs(c * x + s * y) <= length / 2 and abs(c * y - s * x) <= width / 2)


def truth_of(recording, stamp, message, counts, fixed_frame):
    """The robot and the truth's objects at a stamp: where they are in the fixed frame, how far from the robot, and who sees them."""
    to_fixed = recording.transforms.matrix(fixed_frame, message.header.frame_id, stamp)
    nearest = min(recording.pictures, key=lambda other: abs(other - stamp), default=None)
    in_image = {box[3] for box in recording.pictures[nearest]} if nearest is not None else set()
    objects = []
    for detection in message.detections:
        position, turn = detection.bbox.center.position, detection.bbox.center.orientation
        own = [position.x, position.y, position.z]
        x, y, z = apply(to_fixed, own).tolist()
        yaw = heading(to_fixed[:3, :3] @ matrix([0, 0, 0], [turn.x, turn.y, turn.z, turn.w])[:3, :3])
        size = detection.bbox.size
        objects.append({
            "id": detection.id, "class": class_and_score(detection)[0], "x": x, "y": y, "z": z,
            "size": [size.x, size.y, size.z], "yaw": yaw,
            "distance": float(np.hypot(own[0], own[1])),
            "lidar_points": counts.get(int(detection.id), 0), "in_image": detection.id in in_image,
        })
    for o in objects:
        o["aboard"] = any(is_within(o, other) for other in objects if other is not o)
    return {"robot": [*to_fixed[:2, 3].tolist(), heading(to_fixed)], "objects": objects}

#!/usr/bin/env python3
"""A sensor that does everything wrong, and what a node's diagnostics say of it, as JSON: an independent client of tests/patience.rs.

The plan (a JSON file, first argument): {"node": name, "detections": "2d" | "3d", "phases": [phase, ...]}. Phases follow one another;
each has a publisher of its own, unless "publish" is false:

    {"seconds", "topic", "type": "image" | "compressed" | "scan" | "cloud" | "objects", "rate": Hz, "reliability": "reliable" | "best_effort",
     "encoding", "size": [width, height], "offset": seconds that stamps are from the clock, "stamp": one stamp for all, in nanoseconds,
     "garbage": true for bytes that are no message, "killed": true for a process that is killed at the end}

Prints when each phase began and ended, every status of the node with the time it came, and the times at which detections came; times are
seconds since the node was seen active.
"""

import json
import math
import os
import random
import subprocess
import sys
import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2
from vision_msgs.msg import Detection2DArray, Detection3DArray

BYTES = {"rgb8": 3, "8UC3": 3, "16UC1": 2, "yuv422_yuy2": 2, "32FC3": 12}
RELIABILITY = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}
PATIENCE = 60.0


def image(phase):
    width, height = phase.get("size", (64, 48))
    encoding = phase.get("encoding", "rgb8")
    message = Image(width=width, height=height, encoding=encoding, step=BYTES[encoding] * width)
    message.data.frombytes(bytes(message.step * height))
    return message


def scan(_):
    beams = 360
    message = LaserScan(angle_min=-math.pi, angle_max=math.pi, angle_increment=2 * math.pi / beams, range_min=0.05, range_max=20.0)
    message.ranges = [4.0] * beams
    return message


KINDS = {
    "image": (Image, image),
    "compressed": (CompressedImage, lambda _: CompressedImage(format="jpeg")),
    "scan": (LaserScan, scan),
    "cloud": (PointCloud2, lambda _: PointCloud2()),
    "objects": (Detection3DArray, lambda _: Detection3DArray()),
}


def publish(node, phase, until):
    """Publishes as the phase says."""
    kind, make = KINDS[phase.get("type", "image")]
    qos = QoSProfile(depth=5, reliability=RELIABILITY[phase.get("reliability", "reliable")])
    publisher = node.create_publisher(kind, phase["topic"], qos)
    message, noise = make(phase), random.Random(7)
    message.header.frame_id = "sensor"
    while time.monotonic() < until:
        if phase.get("garbage"):
            publisher.publish(noise.randbytes(noise.randrange(1, 200)))
        else:
            stamp = phase.get("stamp", time.time_ns() + round(phase.get("offset", 0.0) * 1e9))
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
            publisher.publish(message)
        time.sleep(1 / phase.get("rate", 10.0))
    node.destroy_publisher(publisher)


def publish_until_killed(phase):
    """The same by a process that cannot say good-bye."""
    child = subprocess.Popen([sys.executable, __file__, "--publish", json.dumps(phase)])
    try:
        time.sleep(phase["seconds"])
    finally:
        child.kill()
        child.wait()


class Listener:
    """What the node says."""

    def __init__(self, name, detections):
        self.name = name
        self.begin = time.monotonic()
        self.is_active = threading.Event()
        self.statuses, self.detections = [], []
        self.node = rclpy.create_node("patience_client")
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        kind = Detection2DArray if detections == "2d" else Detection3DArray
        self.node.create_subscription(kind, f"/{name}/detections", self.on_detections, 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        threading.Thread(target=self.executor.spin, daemon=True).start()

    def now(self):
        return time.monotonic() - self.begin

    def on_detections(self, _):
        self.detections.append(self.now())

    def on_diagnostics(self, array):
        for status in array.status:
            values = {value.key: value.value for value in status.values}
            level = int.from_bytes(status.level, "little")
            self.statuses.append({"at": self.now(), "name": status.name, "level": level, "message": status.message, "values": values})
            if values.get("state") == "active":
                self.is_active.set()


def main():
    rclpy.init()
    sensor = rclpy.create_node("unruly_publisher")
    if sys.argv[1] == "--publish":
        publish(sensor, json.loads(sys.argv[2]), math.inf)
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    listener = Listener(plan["node"], plan["detections"])
    if not listener.is_active.wait(PATIENCE):
        raise SystemExit("the node does not become active")
    listener.begin = time.monotonic()
    listener.statuses.clear()
    phases = []
    for phase in plan["phases"]:
        begin = listener.now()
        if not phase.get("publish", True):
            time.sleep(phase["seconds"])
        elif phase.get("killed"):
            publish_until_killed(phase)
        else:
            publish(sensor, phase, time.monotonic() + phase["seconds"])
        phases.append([begin, listener.now()])
    # A copy: others may come in the meantime.
    print(json.dumps({"phases": phases, "statuses": listener.statuses[:], "detections": listener.detections[:]}), flush=True)
    # The executor's thread would have to be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()

"""Plays a `Recording` over ROS 2 as if it happened now, and keeps what the nodes answer."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from bag_recording import TRANSFORMS, boxes_of, class_and_score, fields_of, message_type, nanoseconds, planar

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=50, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
# From the last message of the recording until nothing more is expected, in seconds.
AFTERWARDS = 1.5


class Player:
    """Publishers for the recording's topics and the clock that its stamps are moved to."""

    def __init__(self, node, recording, factor=1.0):
        self.node, self.recording, self.factor = node, recording, factor
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.publishers = {}
        for topic, channel in recording.channels.items():
            # Latched messages have no later one to wait for: all must find their place.
            self.publishers[topic] = node.create_publisher(message_type(channel.type_name), topic, channel.qos)
        self.origin = 0
        # How late each message went out, in seconds.
        self.lags = []

    def moved(self, stamp):
        """A stamp of the recording as a stamp of now."""
        return self.origin + round((stamp - self.recording.begin) / self.factor)

    def original(self, stamp):
        """The stamp of the recording that was moved to this one."""
        return self.recording.begin + round((stamp - self.origin) * self.factor)

    def spin(self, until):
        """Takes messages in until a time of the monotonic clock."""
        while (left := until - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def wait_for(self, listened, offered, check=lambda: None, seconds=60.0):
        """Until so many listen to each topic of `listened` and somebody offers each of `offered`; `check` may end it early."""
        deadline = time.monotonic() + seconds
        while True:
            check()
            unheard = [topic for topic, count in listened.items() if self.node.count_subscribers(topic) < count]
            silent = [topic for topic in offered if not self.node.count_publishers(topic)]
            if not unheard and not silent:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"the nodes are not there: nobody listens to {unheard}, nobody offers {silent}")
            self.spin(time.monotonic() + 0.1)

    def play(self):
        """Sends every message when its time has come."""
        transforms = {topic for topic, channel in self.recording.channels.items() if channel.type_name == TRANSFORMS}
        lead = 0.3
        self.origin, start = time.time_ns() + round(lead * 1e9), time.monotonic() + lead
        for message in self.recording.messages:
            data = message.restamped(self.moved, message.topic in transforms)
            due = start + (message.log_time - self.recording.begin) / 1e9 / self.factor
            self.spin(due)
            self.lags.append(time.monotonic() - due)
            self.publishers[message.topic].publish(data)
        self.spin(time.monotonic() + AFTERWARDS)


class Answers:
    """What the nodes publish. Times are as on this machine, in nanoseconds; `Player.original` takes stamps back to the recording's."""

    def __init__(self, node, fusion="/obstacle_fusion", camera="/camera_detector", lidar="/lidar_detector", with_pictures=False):
        self.detections, self.obstacles, self.diagnostics = [], [], {}
        self.detectors = {camera: [], lidar: []}
        self.boxes, self.drawn, self.velocities = {}, {}, {}
        subscribe = node.create_subscription
        subscribe(Detection3DArray, f"{fusion}/detections", self.on_tracks, 50)
        subscribe(PointCloud2, f"{fusion}/obstacles", self.on_cloud, BEST_EFFORT)
        subscribe(MarkerArray, f"{fusion}/markers", self.on_markers, BEST_EFFORT)
        subscribe(Detection2DArray, f"{camera}/detections", lambda m, info: self.on_boxes(camera, m, info), 50)
        subscribe(Detection3DArray, f"{lidar}/detections", lambda m, info: self.on_detector(lidar, m, info), 50)
        subscribe(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        if with_pictures:
            subscribe(Image, f"{camera}/annotated", lambda m: self.drawn.update({nanoseconds(m.header.stamp): m}), BEST_EFFORT)

    @staticmethod
    def times(message, info):
        """When the sensor measured, when the node published (by DDS) and when it came here."""
        received = time.time_ns()
        return {
            "stamp": nanoseconds(message.header.stamp), "published": info.get("source_timestamp") or received, "received": received,
        }

    def on_tracks(self, array, info):
        tracks = []
        for detection in array.detections:
            name, score = class_and_score(detection)
            position, turn, size = detection.bbox.center.position, detection.bbox.center.orientation, detection.bbox.size
            tracks.append({
                "id": detection.id, "class": name, "score": score, "x": position.x, "y": position.y, "z": position.z,
                "size": [size.x, size.y, size.z], "yaw": planar((turn.x, turn.y, turn.z, turn.w)),
            })
        self.detections.append({**self.times(array, info), "frame_id": array.header.frame_id, "tracks": tracks})

    def on_cloud(self, cloud, info):
        x, y, z = fields_of(cloud, "x", "y", "z")
        cells = sorted({(round(float(a), 2), round(float(b), 2)) for a, b in zip(x, y)})
        heights = [round(float(z.min()), 3), round(float(z.max()), 3)] if len(z) else None
        self.obstacles.append({
            **self.times(cloud, info), "frame_id": cloud.header.frame_id, "points": len(z), "heights": heights, "cells": cells,
        })

    def on_markers(self, array):
        for marker in array.markers:
            if marker.ns == "velocity" and marker.action == 0 and len(marker.points) == 2:
                tail, tip = marker.points
                # The arrow ends where the object will be in a second.
                self.velocities.setdefault(nanoseconds(marker.header.stamp), {})[str(marker.id)] = (tip.x - tail.x, tip.y - tail.y)

    def on_detector(self, name, array, info):
        self.detectors[name].append({**self.times(array, info), "objects": len(array.detections)})

    def on_boxes(self, name, array, info):
        self.on_detector(name, array, info)
        self.boxes[nanoseconds(array.header.stamp)] = boxes_of(array)

    def on_diagnostics(self, array):
        for status in array.status:
            self.diagnostics.setdefault(status.name, {}).update({pair.key: pair.value for pair in status.values})


def summary(player, answers):
    """What track_judge.py judges: stamps are the recording's, latencies in seconds of this machine's clock."""

    def timed(entry):
        rest = {key: value for key, value in entry.items() if key not in ("stamp", "published", "received")}
        return {
            "stamp": player.original(entry["stamp"]), "latency": (entry["published"] - entry["stamp"]) / 1e9,
            "received_after": (entry["received"] - entry["stamp"]) / 1e9, **rest,
        }

    recording, lags = player.recording, sorted(player.lags)
    sent = {topic: sum(message.topic == topic for message in recording.messages) for topic in recording.channels}
    return {
        "factor": player.factor, "begin": recording.begin, "end": recording.end, "sent": sent,
        "lag": {"p50": lags[len(lags) // 2], "p99": lags[len(lags) * 99 // 100], "max": lags[-1]},
        "detections": [timed(entry) for entry in answers.detections],
        "obstacles": [timed(entry) for entry in answers.obstacles],
        "detectors": {name.strip("/"): [timed(entry) for entry in entries] for name, entries in answers.detectors.items()},
        "diagnostics": answers.diagnostics,
        "truth": [{"stamp": stamp, **truth} for stamp, truth in sorted(recording.truth.items())],
    }

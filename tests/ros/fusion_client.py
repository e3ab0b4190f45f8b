#!/usr/bin/env python3
"""A robot with a lidar detector around obstacle_fusion, and Nav2 behind it: an independent client of tests/obstacle_fusion.rs.

The plan (a JSON file, first argument): {"phases": [{"seconds", "people": [[x, y], ..] in odom, "detections": bool, "tf": bool,
"frame": the detections' frame, "clock": seconds that stamps are set back by from here on}]}. The robot begins far from odom's origin
and drives along x. Prints, as JSON, what came of it: clouds, costmap, collision monitor, tracks, markers, diagnostics.

When a cloud came is told twice: `at` is when this client got round to it, `received` when it had arrived. Beside the latter stands
how late the client itself was at most since the cloud before, that is, how far a gap may be its own or the machine's doing.
"""

import json
import math
import sys
import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3D, Detection3DArray, LabelInfo, ObjectHypothesisWithPose
from visualization_msgs.msg import MarkerArray

from nav2_stand_in import CollisionMonitor, ObstacleLayer, points_of, stamp_of

START = (20.0, 5.0)
SPEED = 0.2
LASER = (0.3, 0.0, 0.25)
DETECTIONS_PERIOD, TF_PERIOD, COSTMAP_PERIOD, MONITOR_PERIOD = 0.1, 0.02, 0.2, 0.05


def set_stamp(header, seconds):
    nanoseconds = round(seconds * 1e9)
    header.stamp.sec, header.stamp.nanosec = divmod(nanoseconds, 10**9)


class Metronome(threading.Thread):
    """Wakes up at fixed times beside the client and notes when it really did."""

    PERIOD = 0.01

    def __init__(self):
        super().__init__(daemon=True)
        self.ticks = []

    def run(self):
        due = time.monotonic()
        while True:
            due += self.PERIOD
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self.ticks.append((due, now))
            due = max(due, now)

    def latest(self, begin, end):
        """By how many seconds it was late at most between two times."""
        return max((now - due for due, now in self.ticks if due <= end and now >= begin), default=0.0)


class Client:
    def __init__(self, node):
        self.node = node
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        # rmw_qos_profile_sensor_data, depth 50 as Nav2's layer takes it.
        sensor_data = QoSProfile(depth=50, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.detections = node.create_publisher(Detection3DArray, "/objects", reliable)
        self.tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self.tf_static = node.create_publisher(TFMessage, "/tf_static", latched)
        self.layer, self.monitor = ObstacleLayer(), CollisionMonitor()
        if self.layer.topic != self.monitor.topic:
            raise SystemExit(f"two topics for one cloud: {self.layer.topic}, {self.monitor.topic}")
        node.create_subscription(PointCloud2, self.layer.topic, self.on_cloud, sensor_data)
        node.create_subscription(Detection3DArray, "/obstacle_fusion/detections", self.on_tracks, 10)
        node.create_subscription(LabelInfo, "/obstacle_fusion/label_info", self.on_labels, latched)
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(MarkerArray, "/obstacle_fusion/markers", self.on_markers, best_effort)
        node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        self.metronome = Metronome()
        self.metronome.start()
        self.set_back = 0.0
        self.newest_tf = -math.inf
        self.poses = {}
        self.clouds, self.tracks, self.labels, self.markers, self.diagnostics = [], [], [], [], []
        self.costmap, self.actions = [], []

    def now(self):
        """The robot's clock."""
        return time.time() - self.set_back

    def robot(self):
        return START[0] + SPEED * (time.monotonic() - self.begin), START[1]

    def publish_static(self):
        message = TransformStamped()
        message.header.frame_id, message.child_frame_id = "base_link", "laser"
        translation = message.transform.translation
        translation.x, translation.y, translation.z = LASER
        message.transform.rotation.w = 1.0
        self.tf_static.publish(TFMessage(transforms=[message]))

    def publish_tf(self):
        message = TransformStamped()
        now = self.now()
        set_stamp(message.header, now)
        message.header.frame_id, message.child_frame_id = "odom", "base_link"
        message.transform.translation.x, message.transform.translation.y = self.robot()
        message.transform.rotation.w = 1.0
        self.newest_tf = now
        self.tf.publish(TFMessage(transforms=[message]))

    def publish_detections(self, people, frame):
        array = Detection3DArray()
        set_stamp(array.header, self.now())
        array.header.frame_id = frame
        x, y = self.robot()
        for person in people:
            detection = Detection3D()
            detection.header = array.header
            position = detection.bbox.center.position
            position.x, position.y, position.z = person[0] - x - LASER[0], person[1] - y - LASER[1], 0.9 - LASER[2]
            detection.bbox.center.orientation.w = 1.0
            size = detection.bbox.size
            size.x, size.y, size.z = 0.5, 0.5, 1.8
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = "person", 0.9
            result.pose.pose = detection.bbox.center
            detection.results.append(result)
            array.detections.append(detection)
        self.detections.publish(array)

    def on_cloud(self, cloud, info):
        points = points_of(cloud)
        at = time.monotonic() - self.begin
        # By the system's clock; some middlewares do not know it.
        received = at - max(0.0, (time.time_ns() - info["received_timestamp"]) / 1e9) if info["received_timestamp"] > 0 else at
        self.clouds.append({
            "at": at, "received": received, "stamp": stamp_of(cloud.header), "age": self.now() - stamp_of(cloud.header),
            "frame_id": cloud.header.frame_id, "fields": [field.name for field in cloud.fields],
            "point_step": cloud.point_step, "points": len(points),
            "z_min": float(points[:, 2].min()) if len(points) else None, "z_max": float(points[:, 2].max()) if len(points) else None,
        })
        # `sensor_frame: base_link`: ranges count from the robot, not from odom's origin.
        self.layer.buffer(cloud, self.now(), self.robot())
        self.monitor.buffer(cloud)

    def add_lateness(self):
        """Notes with each cloud how late this client was since the one before."""
        begin = 0.0
        for cloud in self.clouds:
            cloud["late"] = self.metronome.latest(begin + self.begin, cloud["received"] + self.begin)
            begin = cloud["received"]

    def on_tracks(self, array):
        self.tracks.append({
            "at": time.monotonic() - self.begin, "frame_id": array.header.frame_id,
            "tracks": [
                {"id": d.id, "class": d.results[0].hypothesis.class_id, "x": d.bbox.center.position.x, "y": d.bbox.center.position.y}
                for d in array.detections
            ],
        })

    def on_labels(self, info):
        self.labels.append([c.class_name for c in info.class_map])

    def on_markers(self, array):
        self.markers.append([[marker.ns, marker.id, marker.action] for marker in array.markers])

    def on_diagnostics(self, array):
        for status in array.status:
            self.diagnostics.append({
                "name": status.name, "level": int.from_bytes(status.level, "little"), "message": status.message,
                "values": {value.key: value.value for value in status.values},
            })

    def wait_for_node(self):
        self.begin = time.monotonic()
        deadline = time.time() + 60
        while not (self.detections.get_subscription_count() and self.tf.get_subscription_count() and self.labels):
            if time.time() > deadline:
                raise SystemExit("the node does not listen")
            rclpy.spin_once(self.node, timeout_sec=0.05)
        self.publish_static()
        self.begin = time.monotonic()

    def run(self, phase):
        """Plays one phase and returns when it began and ended."""
        self.set_back += phase.get("clock", 0.0)
        people, frame = phase.get("people", []), phase.get("frame", "laser")
        person = people[0] if people else phase.get("place", [0.0, 0.0])
        tasks = {"costmap": COSTMAP_PERIOD, "monitor": MONITOR_PERIOD}
        if phase.get("tf", True):
            tasks["tf"] = TF_PERIOD
        if phase.get("detections", True):
            tasks["detections"] = DETECTIONS_PERIOD
        start = time.monotonic()
        due = dict.fromkeys(tasks, start)
        end = start + phase["seconds"]
        while (now := time.monotonic()) < end:
            for task in tasks:
                if now < due[task]:
                    continue
                due[task] = max(due[task] + tasks[task], now)
                if task == "tf":
                    self.publish_tf()
                elif task == "detections":
                    self.publish_detections(people, frame)
                elif task == "costmap":
                    self.layer.update(self.robot())
                    self.costmap.append({
                        "at": now - self.begin, "cells": len(self.layer.cells),
                        "nearest": self.layer.nearest(person), "farthest": self.layer.farthest(person),
                    })
                else:
                    action = self.monitor.action(self.now(), self.newest_tf, self.robot())
                    self.actions.append({"at": now - self.begin, "action": action})
            rclpy.spin_once(self.node, timeout_sec=max(0.0, min(min(due.values()), end) - time.monotonic()))
        return [start - self.begin, end - self.begin]


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    node = rclpy.create_node("fusion_client")
    client = Client(node)
    client.wait_for_node()
    phases = [client.run(phase) for phase in plan["phases"]]
    client.add_lateness()
    print(json.dumps({
        "phases": phases, "persistence": client.layer.persistence, "clouds": client.clouds, "costmap": client.costmap, "actions": client.actions, "tracks": client.tracks,
        "labels": client.labels, "markers": client.markers, "diagnostics": client.diagnostics,
    }))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Publishes scans or clouds to lidar_detector and prints what comes back, as JSON: an independent client of tests/lidar_detector.rs.

The plan (a JSON file, first argument): {"topic", "type": "scan" or "cloud", "sweeps": [paths of CDR bytes of sensor_msgs/msg/LaserScan or
PointCloud2]}. Each sweep is published until its detections and its labelled points came.
"""

import json
import sys
import time

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import LaserScan, PointCloud2
from vision_msgs.msg import Detection3DArray, LabelInfo


def stamp_of(header):
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def labelled(cloud):
    """Class, object and score of each point, by the fields that the message names."""
    kinds = {4: "<u2", 7: "<f4"}
    layout = np.dtype({
        "names": [field.name for field in cloud.fields], "formats": [kinds[field.datatype] for field in cloud.fields],
        "offsets": [field.offset for field in cloud.fields], "itemsize": cloud.point_step,
    })
    points = np.frombuffer(bytes(cloud.data), layout)
    return {
        "frame_id": cloud.header.frame_id, "class": points["class"].tolist(), "object": points["object"].tolist(),
        "score": [float(score) for score in points["score"]], "void": int(np.isnan(points["x"]).sum()),
    }


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    node = rclpy.create_node("sweep_client")
    kind = {"scan": LaserScan, "cloud": PointCloud2}[plan["type"]]
    publisher = node.create_publisher(kind, plan["topic"], QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    detections, points, labels, diagnostics = {}, {}, [], []

    def on_detections(array):
        objects = [
            {
                "class": d.results[0].hypothesis.class_id, "score": d.results[0].hypothesis.score,
                "center": [d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.center.position.z],
                "size": [d.bbox.size.x, d.bbox.size.y, d.bbox.size.z], "equal_header": d.header == array.header,
            }
            for d in array.detections
        ]
        detections.setdefault(stamp_of(array.header), {"frame_id": array.header.frame_id, "objects": objects})

    def on_labels(info):
        labels.append([[c.class_id, c.class_name] for c in info.class_map])

    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Detection3DArray, "/lidar_detector/detections", on_detections, 10)
    node.create_subscription(PointCloud2, "/lidar_detector/points", lambda m: points.setdefault(stamp_of(m.header), labelled(m)), best_effort)
    node.create_subscription(LabelInfo, "/lidar_detector/label_info", on_labels, latched)
    node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: diagnostics.append({v.key: v.value for v in m.status[0].values}), 10
    )
    deadline = time.time() + 60
    while (not publisher.get_subscription_count() or not labels) and time.time() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)
    for path in plan["sweeps"]:
        with open(path, "rb") as file:
            sweep = deserialize_message(file.read(), kind)
        stamp = stamp_of(sweep.header)
        while not (stamp in detections and stamp in points) and time.time() < deadline:
            publisher.publish(sweep)
            until = time.time() + 1
            while not (stamp in detections and stamp in points) and time.time() < until:
                rclpy.spin_once(node, timeout_sec=0.05)
    until = time.time() + 1.5
    while time.time() < until:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps({
        "labels": labels[0] if labels else [], "diagnostics": diagnostics[-1] if diagnostics else {},
        "sweeps": [{"stamp": stamp, **value, "points": points.get(stamp)} for stamp, value in detections.items()],
    }))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()

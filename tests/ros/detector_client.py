#!/usr/bin/env python3
"""Publishes images to camera_detector and prints what comes back, as JSON: an independent client of tests/camera_detector.rs.

The plan (a JSON file, first argument): {"transport": "raw"|"compressed", "topic", "frames": [{"stamp", "path"}], "period": seconds,
"wait": bool}. With "wait" each frame is published until its detections came; without, frames follow each other at the period, come
what may. Frames are image files: raw ones are decoded by Pillow and sent as rgb8, compressed ones sent as they are.
"""

import json
import sys
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image as Picture
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray, LabelInfo


def message(plan, frame, stamp):
    if plan["transport"] == "raw":
        image = Image()
        picture = Picture.open(frame["path"]).convert("RGB")
        image.width, image.height = picture.size
        image.encoding, image.step = "rgb8", 3 * image.width
        image.data.frombytes(picture.tobytes())
    else:
        image = CompressedImage()
        image.format = "jpeg"
        with open(frame["path"], "rb") as file:
            image.data.frombytes(file.read())
    image.header.frame_id = "camera optical frame, test"
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp, 10**9)
    return image


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    node = rclpy.create_node("detector_client")
    kind = Image if plan["transport"] == "raw" else CompressedImage
    publisher = node.create_publisher(kind, plan["topic"], QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    received, labels, diagnostics = {}, [], []

    def on_detections(array):
        now = time.time_ns()
        stamp = array.header.stamp.sec * 10**9 + array.header.stamp.nanosec
        boxes = [
            {
                "class": d.results[0].hypothesis.class_id, "score": d.results[0].hypothesis.score,
                "x_min": d.bbox.center.position.x - d.bbox.size_x / 2, "y_min": d.bbox.center.position.y - d.bbox.size_y / 2,
                "x_max": d.bbox.center.position.x + d.bbox.size_x / 2, "y_max": d.bbox.center.position.y + d.bbox.size_y / 2,
                "equal_header": d.header == array.header,
            }
            for d in array.detections
        ]
        received.setdefault(stamp, {"frame_id": array.header.frame_id, "boxes": boxes, "age": (now - stamp) / 1e9})

    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(Detection2DArray, "/camera_detector/detections", on_detections, 10)
    node.create_subscription(LabelInfo, "/camera_detector/label_info", lambda m: labels.append([c.class_name for c in m.class_map]), latched)
    node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: diagnostics.append({v.key: v.value for v in m.status[0].values}), 10
    )

    deadline = time.time() + 60
    while (not publisher.get_subscription_count() or not labels) and time.time() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)
    order = []
    for frame in plan["frames"]:
        if plan["wait"]:
            stamp = frame["stamp"]
            while stamp not in received and time.time() < deadline:
                publisher.publish(message(plan, frame, stamp))
                until = time.time() + 2
                while stamp not in received and time.time() < until:
                    rclpy.spin_once(node, timeout_sec=0.05)
        else:
            stamp = time.time_ns()
            publisher.publish(message(plan, frame, stamp))
            order.append(stamp)
            until = time.time() + plan["period"]
            while (left := until - time.time()) > 0:
                rclpy.spin_once(node, timeout_sec=left)
    until = time.time() + 2.5
    while time.time() < until:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps({
        "labels": labels[0] if labels else [], "published": order, "diagnostics": diagnostics[-1] if diagnostics else {},
        "received": [{"stamp": stamp, **value} for stamp, value in received.items()],
    }))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()

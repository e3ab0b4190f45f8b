#!/usr/bin/env python3
"""A camera and somebody who asks for frames, for camera_detector as it records: the client of tests/field_recorder.rs, which prints what
it published and heard, as JSON.

The plan (a JSON file, first argument): {"frames": [path of a JPEG, ...], "period": seconds, "ask": number of a frame that is asked for on
/obstacle_fusion/uncertain, or null, "record_now": bool}. Frames are published as CompressedImage on image, each with its CameraInfo on
/camera/camera_info; /tf_static is latched.
"""

import hashlib
import json
import sys
import time

import rclpy
from detector_client import message
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray

PATIENCE = 60.0
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    node = rclpy.create_node("field_client")
    images = node.create_publisher(CompressedImage, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    infos = node.create_publisher(CameraInfo, "/camera/camera_info", qos_profile_sensor_data)
    transforms = node.create_publisher(TFMessage, "/tf_static", LATCHED)
    asking = node.create_publisher(Header, "/obstacle_fusion/uncertain", 10)
    service = node.create_client(Trigger, "/camera_detector/record_now")
    detections, statuses = {}, []
    node.create_subscription(
        Detection2DArray, "/camera_detector/detections",
        lambda m: detections.update({m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: len(m.detections)}), 10,
    )
    node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: statuses.extend(s for s in m.status if s.name.endswith(": recorder")), 10
    )
    mount = TransformStamped()
    mount.header.frame_id, mount.child_frame_id, mount.transform.rotation.w = "base_link", "camera", 1.0
    transforms.publish(TFMessage(transforms=[mount]))

    def spin(seconds, until=lambda: False):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not until():
            rclpy.spin_once(node, timeout_sec=max(0.0, min(0.05, deadline - time.monotonic())))
        return until()

    spin(PATIENCE, lambda: images.get_subscription_count() and asking.get_subscription_count())
    # The node looks for the topics around the frames once a second.
    spin(PATIENCE, lambda: infos.get_subscription_count() and transforms.get_subscription_count())
    published = {}
    for path in plan["frames"]:
        stamp = time.time_ns()
        image = message({"transport": "compressed"}, {"path": path}, stamp)
        info = CameraInfo(header=image.header, width=640, height=360)
        published[stamp] = hashlib.sha256(bytes(image.data)).hexdigest()
        infos.publish(info)
        images.publish(image)
        spin(plan["period"])
    spin(2.0, lambda: stamp in detections)
    asked = answer = None
    if plan["ask"] is not None:
        asked = list(published)[plan["ask"]]
        header = Header(frame_id=image.header.frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(asked, 10**9)
        asking.publish(header)
        header.frame_id = "another sensor"
        asking.publish(header)
        spin(0.5)
    if plan["record_now"]:
        service.wait_for_service(timeout_sec=PATIENCE)
        future = service.call_async(Trigger.Request())
        spin(PATIENCE, future.done)
        answer = {"success": future.result().success, "message": future.result().message}
    statuses.clear()
    spin(PATIENCE, lambda: len(statuses) > 1)
    last = statuses[-1]
    level = last.level[0] if isinstance(last.level, bytes) else last.level
    print(json.dumps({
        "published": published, "detections": detections, "asked": asked, "answer": answer,
        "recorder": {"level": level, "message": last.message, "values": {v.key: v.value for v in last.values}},
    }))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()

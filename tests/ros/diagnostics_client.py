#!/usr/bin/env python3
"""A camera for camera_detector, and a listener to everything that the node says of itself; prints it as JSON: an independent client of
tests/diagnostics.rs.

The plan (a JSON file, first argument): {"frames": [{"black": [width, height]} | {"noise": [width, height]} | {"path": file}, ...],
"period": seconds, "seconds": how long, "late": how old each stamp is in seconds, "until": [words in a message, of status name's end] or
null, "latencies": topics below ~/latency, "set": {parameter: number} to be set after a second}. The frames are published again and again. It ends early, but not
before a second has passed, once a status whose name ends as "until" says has a message that holds its words.
"""

import itertools
import json
import sys
import time

import numpy
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image as Picture
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from vision_msgs.msg import Detection2DArray

NODE = "/camera_detector"


def pixels(frame, chance):
    if "path" in frame:
        return numpy.asarray(Picture.open(frame["path"]).convert("RGB"))
    width, height = frame.get("black") or frame["noise"]
    if "black" in frame:
        return numpy.zeros((height, width, 3), numpy.uint8)
    return chance.integers(0, 256, (height, width, 3), numpy.uint8)


def image_of(picture):
    image = Image()
    image.height, image.width = picture.shape[:2]
    image.encoding, image.step = "rgb8", 3 * image.width
    image.data.frombytes(picture.tobytes())
    image.header.frame_id = "camera"
    return image


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    chance = numpy.random.default_rng(1)
    images = [image_of(pixels(frame, chance)) for frame in plan["frames"]]
    rclpy.init()
    node = rclpy.create_node("diagnostics_client")
    publisher = node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    told, latencies = [], {topic: [] for topic in plan["latencies"]}

    def on_diagnostics(array):
        for status in array.status:
            told.append({
                "name": status.name, "level": int.from_bytes(status.level, "little"), "message": status.message,
                "values": {value.key: value.value for value in status.values},
            })

    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    # While nobody listens to its detections, the node is idle.
    node.create_subscription(Detection2DArray, f"{NODE}/detections", lambda _: None, 10)
    for topic, heard in latencies.items():
        node.create_subscription(Float64, f"{NODE}/latency/{topic}", lambda message, heard=heard: heard.append(message.data), 10)

    deadline = time.time() + 60
    while not publisher.get_subscription_count() and time.time() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)
    begun, was_set = time.time(), not plan.get("set")
    upcoming = itertools.cycle(images)
    words, ending = plan["until"] or (None, None)
    while (now := time.time()) < begun + plan["seconds"]:
        if now > begun + 1 and words and any(words in status["message"] and status["name"].endswith(ending) for status in told):
            break
        if now > begun + 1 and not was_set:
            was_set = True
            client = node.create_client(SetParameters, f"{NODE}/set_parameters")
            client.wait_for_service(10)
            values = [
                Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(value)))
                for name, value in plan["set"].items()
            ]
            client.call_async(SetParameters.Request(parameters=values))
        image = next(upcoming)
        stamp = time.time_ns() - int(plan.get("late", 0) * 1e9)
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp, 10**9)
        publisher.publish(image)
        until = now + plan["period"]
        while (left := until - time.time()) > 0:
            rclpy.spin_once(node, timeout_sec=left)
    print(json.dumps({"told": told, "latencies": latencies}))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()

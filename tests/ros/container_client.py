#!/usr/bin/env python3
"""Feeds several of our nodes in one process and tells what comes of it, as JSON: an independent client of tests/container.rs.

The plan (a JSON file, first argument): {"images": [topic, ...], "scans": [topic, ...], "rate": messages a second on each, "steps":
[step, ...]}; the answer is a list with one result for each step. Steps:

    {"do": "ready", "nodes": [full name, ...]}        waits until they are active
    {"do": "state", "node": full name}                its state
    {"do": "change", "node": full name, "id": number} change_state, then the state
    {"do": "watch", "seconds": number, "listen": [full name, ...]}
                                                      listens to these nodes' detections alone while the sensors publish: how many came
                                                      from each, the newest diagnostics of all
"""

import json
import math
import os
import sys
import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, LaserScan
from vision_msgs.msg import Detection2DArray, Detection3DArray

from service_caller import ServiceCaller

PATIENCE = 60.0
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


def image():
    message = Image(width=64, height=48, encoding="rgb8", step=192)
    message.header.frame_id = "camera"
    message.data.frombytes(bytes(64 * 48 * 3))
    return message


def scan():
    message = LaserScan(angle_min=-1.96, angle_increment=math.radians(0.5), range_min=0.05, range_max=29.0)
    message.header.frame_id = "laser"
    message.ranges = [5.0] * 450
    message.angle_max = message.angle_min + 449 * message.angle_increment
    return message


class Client:
    def __init__(self, plan):
        self.node = rclpy.create_node("container_client")
        self.services = ServiceCaller(self.node, PATIENCE)
        self.period = 1 / plan["rate"]
        self.sensors = [(self.node.create_publisher(Image, topic, SENSOR), image()) for topic in plan["images"]]
        self.sensors += [(self.node.create_publisher(LaserScan, topic, SENSOR), scan()) for topic in plan["scans"]]
        self.diagnostics = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 50)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        threading.Thread(target=self.executor.spin, daemon=True).start()

    def on_diagnostics(self, array):
        for status in array.status:
            values = {value.key: value.value for value in status.values}
            self.diagnostics[status.name] = {"level": int.from_bytes(status.level, "little"), "message": status.message, "values": values}

    def call(self, kind, service, request):
        return self.services.call(kind, service, request)

    def do_state(self, node):
        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def do_ready(self, nodes):
        until = time.monotonic() + PATIENCE
        for node in nodes:
            while self.do_state(node) != "active":
                if time.monotonic() > until:
                    raise SystemExit(f"{node} does not become active")
                time.sleep(0.05)
        return True

    def do_change(self, node, id):
        request = ChangeState.Request()
        request.transition.id = id
        answer = self.call(ChangeState, f"{node}/change_state", request)
        return [answer.success, self.do_state(node)]

    def do_watch(self, seconds, listen):
        heard, subscriptions = {}, []
        for node in listen:
            heard[node] = 0

            def on_detections(_, node=node):
                heard[node] += 1

            kind = Detection3DArray if "lidar" in node else Detection2DArray
            subscriptions.append(self.node.create_subscription(kind, f"{node}/detections", on_detections, 10))
        # The first bit goes by until both sides know each other.
        published, begun = 0, time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            for publisher, message in self.sensors:
                message.header.stamp = self.node.get_clock().now().to_msg()
                publisher.publish(message)
            published += 1
            time.sleep(max(0.0, published * self.period - passed))
        time.sleep(0.3)
        for subscription in subscriptions:
            self.node.destroy_subscription(subscription)
        # So that the newest diagnostics are of what was just done.
        self.diagnostics.clear()
        time.sleep(1.2)
        return {"published": published, "heard": heard, "diagnostics": dict(self.diagnostics)}


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    client = Client(plan)
    results = []
    for step in plan["steps"]:
        arguments = {key: value for key, value in step.items() if key != "do"}
        results.append(getattr(client, "do_" + step["do"])(**arguments))
    print(json.dumps(results), flush=True)
    # The executor's thread would have to be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()

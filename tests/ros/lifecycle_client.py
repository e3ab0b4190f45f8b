#!/usr/bin/env python3
"""Leads one of our nodes through its states as Nav2's lifecycle manager does, and prints what it saw, as JSON: an independent client
of tests/lifecycle.rs.

The plan (a JSON file, first argument): {"node": name, "pid": its process, "steps": [step, ...]}; the answer holds one result for each
step under "results", every transition event under "events" and every word of the node on topic bond under "bond". Steps:

    {"do": "states" | "graph" | "available" | "state"}            what the services of that name answer, and after how many seconds
    {"do": "change", "id": number, "label": text}                 change_state, then get_state as Nav2 does
    {"do": "change_slowly", "id": number}                         the same, with get_state all the while
    {"do": "set", "parameters": {name: text}}                     set_parameters
    {"do": "bond", "seconds": longest}                            the manager's side of the bond, as bondcpp: until it is formed
    {"do": "watch", "seconds": number, "sensor": "image" | "objects"}   a sensor that publishes, and what comes of it
    {"do": "rounds", "rounds": number}                            configure, activate, deactivate, clean up, again and again
    {"do": "interrupt", "seconds": longest}                       SIGINT, and after how many seconds the node says good-bye
"""

import json
import os
import signal
import sys
import threading
import time
import uuid

import rclpy
from bond.msg import Status
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3D, Detection3DArray, LabelInfo, ObjectHypothesisWithPose

from service_caller import ServiceCaller

PATIENCE = 60.0
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Manager:
    """What Nav2's lifecycle manager knows of one node."""

    def __init__(self, name, pid):
        self.name, self.pid = name, pid
        self.node = rclpy.create_node("lifecycle_client")
        self.services = ServiceCaller(self.node, PATIENCE)
        self.begun = time.monotonic()
        self.events, self.words, self.diagnostics = [], [], []
        self.heard = {"detections": 0, "obstacles": 0, "labels": 0}
        self.bond = None
        self.node.create_subscription(TransitionEvent, f"/{name}/transition_event", self.on_event, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        kind = Detection2DArray if name == "camera_detector" else Detection3DArray
        self.count(kind, "detections", "detections", 10)
        self.count(PointCloud2, "obstacles", "obstacles", 10)
        self.count(LabelInfo, "label_info", "labels", LATCHED)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        threading.Thread(target=self.executor.spin, daemon=True).start()

    def count(self, kind, topic, key, qos):
        def on_message(_):
            self.heard[key] += 1

        self.node.create_subscription(kind, f"/{self.name}/{topic}", on_message, qos)

    def on_event(self, event):
        self.events.append([event.transition.id, event.start_state.label, event.goal_state.label])

    def on_diagnostics(self, array):
        self.diagnostics = [
            {"name": s.name, "level": int.from_bytes(s.level, "little"), "message": s.message, "values": {v.key: v.value for v in s.values}}
            for s in array.status
        ]

    def call(self, kind, service, request):
        """The answer, and after how many seconds it came."""
        service = f"/{self.name}/{service}"
        # How long the service takes to appear is not the answer's time.
        self.services.client(kind, service)
        begun = time.monotonic()
        answer = self.services.call(kind, service, request)
        return answer, time.monotonic() - begun

    def state(self):
        answer, seconds = self.call(GetState, "get_state", GetState.Request())
        return {"id": answer.current_state.id, "label": answer.current_state.label, "seconds": seconds}

    def change(self, id=0, label=""):
        request = ChangeState.Request()
        request.transition.id, request.transition.label = id, label
        answer, seconds = self.call(ChangeState, "change_state", request)
        return {"success": answer.success, "state": self.state()["label"], "seconds": seconds}

    def do_state(self):
        return self.state()

    def do_states(self):
        answer, _ = self.call(GetAvailableStates, "get_available_states", GetAvailableStates.Request())
        return [[state.id, state.label] for state in answer.available_states]

    def transitions(self, service):
        answer, _ = self.call(GetAvailableTransitions, service, GetAvailableTransitions.Request())
        return [[t.transition.id, t.transition.label, t.start_state.label, t.goal_state.label] for t in answer.available_transitions]

    def do_graph(self):
        return self.transitions("get_transition_graph")

    def do_available(self):
        return self.transitions("get_available_transitions")

    def do_change(self, id=0, label=""):
        return self.change(id, label)

    def do_change_slowly(self, id):
        self.state()
        result = {}
        changing = threading.Thread(target=lambda: result.update(self.change(id)))
        changing.start()
        states = []
        while changing.is_alive():
            states.append(self.state())
            if len(states) == 5:
                # Whoever asks for more meanwhile is refused at once.
                request = ChangeState.Request()
                request.transition.id = ACTIVATE
                other = self.node.create_client(ChangeState, f"/{self.name}/change_state")
                other.wait_for_service(PATIENCE)
                begun, done = time.monotonic(), threading.Event()
                future = other.call_async(request)
                future.add_done_callback(lambda _: done.set())
                done.wait(PATIENCE)
                result["other"] = {"success": future.result().success, "seconds": time.monotonic() - begun}
            time.sleep(0.02)
        changing.join()
        return {"states": states, **result}

    def do_set(self, parameters):
        def parameter(name, text):
            return Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text))

        request = SetParameters.Request(parameters=[parameter(name, text) for name, text in parameters.items()])
        answer, _ = self.call(SetParameters, "set_parameters", request)
        return [result.successful for result in answer.results]

    def do_bond(self, seconds):
        """Forms the bond after the activation, with a publisher and a subscription made just then."""
        instance, begun, formed = str(uuid.uuid4()), time.monotonic(), threading.Event()

        def on_status(status):
            if status.id == self.name and status.instance_id != instance:
                word = [time.monotonic() - self.begun, status.active, status.instance_id, status.heartbeat_timeout, status.heartbeat_period]
                self.words.append(word)
                if status.active:
                    formed.set()
                elif self.bond is not None:
                    self.say(instance, False)

        if self.bond is None:
            self.bond = self.node.create_publisher(Status, "bond", 5)
        self.node.create_subscription(Status, "bond", on_status, 100)
        timer = self.node.create_timer(0.1, lambda: self.say(instance, True))
        is_formed = formed.wait(seconds)
        took = time.monotonic() - begun
        # Long enough to see the rhythm.
        time.sleep(1.0)
        timer.cancel()
        return {"formed": is_formed, "seconds": took}

    def say(self, instance, active):
        self.bond.publish(Status(id=self.name, instance_id=instance, active=active, heartbeat_timeout=4.0, heartbeat_period=0.1))

    def do_watch(self, seconds, sensor):
        before = dict(self.heard)
        if sensor == "image":
            publisher = self.node.create_publisher(Image, "/image", 1)
            make = self.image
        else:
            self.transform = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
            fixed = TransformStamped()
            fixed.header.frame_id, fixed.child_frame_id, fixed.transform.rotation.w = "odom", "laser", 1.0
            self.transform.publish(TFMessage(transforms=[fixed]))
            publisher = self.node.create_publisher(Detection3DArray, "/objects", 1)
            make = self.objects
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            message = make()
            message.header.stamp = self.node.get_clock().now().to_msg()
            publisher.publish(message)
            time.sleep(0.05)
        time.sleep(0.5)
        self.node.destroy_publisher(publisher)
        heard = {key: self.heard[key] - before[key] for key in self.heard}
        return {"heard": heard, "diagnostics": self.diagnostics}

    @staticmethod
    def image():
        image = Image(width=64, height=48, encoding="rgb8", step=192)
        image.header.frame_id = "camera"
        image.data.frombytes(bytes(64 * 48 * 3))
        return image

    @staticmethod
    def objects():
        array = Detection3DArray()
        array.header.frame_id = "laser"
        found = Detection3D(header=array.header, results=[ObjectHypothesisWithPose()])
        found.results[0].hypothesis.class_id, found.results[0].hypothesis.score = "person", 0.9
        found.bbox.center.position.x, found.bbox.center.position.z, found.bbox.center.orientation.w = 2.0, 0.9, 1.0
        found.bbox.size.x, found.bbox.size.y, found.bbox.size.z = 0.4, 0.5, 1.8
        array.detections = [found]
        return array

    def process(self):
        """Megabytes and threads of the node."""
        with open(f"/proc/{self.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        return {"megabytes": int(status["VmRSS"].split()[0]) / 1024, "threads": int(status["Threads"])}

    def do_rounds(self, rounds):
        wrong, seconds, seen = [], [], []
        for number in range(rounds):
            begun = time.monotonic()
            for id, goal in ((CONFIGURE, "inactive"), (ACTIVATE, "active"), (DEACTIVATE, "inactive"), (CLEANUP, "unconfigured")):
                result = self.change(id)
                if not result["success"] or result["state"] != goal:
                    wrong.append([number, id, result["state"]])
            seconds.append(time.monotonic() - begun)
            seen.append(self.process())
        time.sleep(1.0)
        topics = ("/image", "/objects", f"/{self.name}/detections", f"/{self.name}/label_info")
        publishers = {topic: self.node.count_publishers(topic) for topic in topics}
        subscriptions = {topic: self.node.count_subscribers(topic) for topic in topics}
        return {"wrong": wrong, "seconds": seconds, "process": seen, "publishers": publishers, "subscriptions": subscriptions}

    def do_interrupt(self, seconds):
        before, begun = len(self.words), time.monotonic()
        os.kill(self.pid, signal.SIGINT)
        while time.monotonic() < begun + seconds:
            if any(not word[1] for word in self.words[before:]):
                return {"goodbye": time.monotonic() - begun}
            time.sleep(0.005)
        return {"goodbye": None}


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    manager = Manager(plan["node"], plan["pid"])
    manager.state()
    results = []
    for step in plan["steps"]:
        arguments = {key: value for key, value in step.items() if key != "do"}
        results.append(getattr(manager, "do_" + step["do"])(**arguments))
    time.sleep(0.3)
    print(json.dumps({"results": results, "events": manager.events, "bond": manager.words}), flush=True)
    # The executor's thread would have to be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()

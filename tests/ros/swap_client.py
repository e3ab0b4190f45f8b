#!/usr/bin/env python3
"""Publishes an image 30 times a second to camera_detector, has it change its model meanwhile, and prints what came, as JSON: an
independent client of tests/hot_swap.rs.

The plan (a JSON file, first argument): {"pid": the node's process, "image": path, "rate": Hz, "steps": [step, ...]}; the answer holds one
result for each step. Steps:

    {"do": "set", "name": text, "value": any}                    set_parameters: whether it was taken, and why not
    {"do": "set", ..., "class": name, "seconds": longest}        and after how many seconds detections of that class came
    {"do": "refused", "path": text, "seconds": longest}          sets the model, and waits until the parameter is what it was before
    {"do": "trigger", "service": "rollback" | "promote"}         whether it succeeded, its words, after how many seconds
    {"do": "watch", "seconds": number}                           frames and results, the longest gap, classes, agreements, diagnostics
    {"do": "await_candidate", "path": text, "seconds": longest}  until diagnostics tell of the candidate
    {"do": "swaps", "models": [[path, class], ...], "count": number}   model after model, each until its class comes
    {"do": "kill", "path": text, "after": seconds}               sets the model and kills the process with SIGKILL so much later
"""

import copy
import json
import os
import signal
import sys
import threading
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image as Picture
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray, LabelInfo

from service_caller import ServiceCaller

NODE = "/camera_detector"
PATIENCE = 60.0


class Client:
    def __init__(self, plan):
        self.pid, self.rate = plan["pid"], plan["rate"]
        self.node = rclpy.create_node("swap_client")
        self.services = ServiceCaller(self.node, PATIENCE)
        # When each result came, of which frame, and of which classes.
        self.results, self.published, self.labels, self.agreements = [], [], [], []
        self.statuses = {}
        self.came = threading.Condition()
        picture = Picture.open(plan["image"]).convert("RGB")
        self.image = Image(width=picture.width, height=picture.height, encoding="rgb8", step=3 * picture.width)
        self.image.header.frame_id = "camera"
        self.image.data.frombytes(picture.tobytes())
        latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(Detection2DArray, f"{NODE}/detections", self.on_detections, 10)
        self.node.create_subscription(LabelInfo, f"{NODE}/label_info", self.on_labels, latched)
        self.node.create_subscription(Float64, f"{NODE}/shadow_agreement", lambda m: self.agreements.append(m.data), 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        self.publisher = self.node.create_publisher(Image, "/image", QoSProfile(depth=4, reliability=ReliabilityPolicy.RELIABLE))
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        threading.Thread(target=self.executor.spin, daemon=True).start()
        threading.Thread(target=self.publish, daemon=True).start()

    def publish(self):
        due = time.monotonic()
        while True:
            due += 1 / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            stamp = time.time_ns()
            self.image.header.stamp.sec, self.image.header.stamp.nanosec = divmod(stamp, 10**9)
            self.publisher.publish(self.image)
            self.published.append(time.monotonic())

    def on_detections(self, array):
        classes = sorted({d.results[0].hypothesis.class_id for d in array.detections})
        with self.came:
            self.results.append((time.monotonic(), classes))
            self.came.notify_all()

    def on_labels(self, message):
        self.labels.append([c.class_name for c in message.class_map])

    def on_diagnostics(self, array):
        with self.came:
            for status in array.status:
                self.statuses[status.name.split(": ", 1)[-1]] = {
                    "level": int.from_bytes(status.level, "little"),
                    "message": status.message,
                    "values": {v.key: v.value for v in status.values},
                    "at": time.monotonic(),
                }
            self.came.notify_all()

    def wait(self, condition, seconds):
        """Whether it came true in time."""
        with self.came:
            return self.came.wait_for(condition, seconds)

    def call(self, kind, service, request):
        return self.services.call(kind, f"{NODE}/{service}", request)

    def set(self, name, value):
        kinds = {str: ("string", ParameterType.PARAMETER_STRING), bool: ("bool", ParameterType.PARAMETER_BOOL)}
        kinds |= {int: ("integer", ParameterType.PARAMETER_INTEGER), float: ("double", ParameterType.PARAMETER_DOUBLE)}
        field, kind = kinds[type(value)]
        parameter = Parameter(name=name, value=ParameterValue(type=kind, **{f"{field}_value": value}))
        result = self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=[parameter])).results[0]
        return {"successful": result.successful, "reason": result.reason}

    def get(self, name):
        return self.call(GetParameters, "get_parameters", GetParameters.Request(names=[name])).values[0].string_value

    def until_class(self, name, since, seconds):
        """After how many seconds the first result of a class came, if it came."""
        begun = time.monotonic()
        if not self.wait(lambda: any(classes == [name] for _, classes in self.results[since:]), seconds):
            return None
        return time.monotonic() - begun

    def memory(self):
        """Resident megabytes and threads of the node."""
        with open(f"/proc/{self.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        return [int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])]

    def fresh(self, about):
        """The next diagnostics of that name."""
        now = time.monotonic()
        self.wait(lambda: self.statuses.get(about, {"at": 0})["at"] > now, 5)
        return self.statuses.get(about)

    def stretch(self, begun, first):
        """What came since a moment and a place among the results."""
        now = time.monotonic()
        results = self.results[first:]
        times = [begun, *(at for at, _ in results)]
        gaps = sorted(after - before for before, after in zip(times, times[1:]))
        kinds = [classes for _, classes in results]
        # From the last result before it on: the first of the stretch may be of the next model already.
        since = [classes for _, classes in self.results[max(0, first - 1):first + len(results)]]
        return {
            "seconds": now - begun,
            "published": sum(begun <= at < now for at in self.published),
            "results": len(results),
            "gaps": {"p50": gaps[len(gaps) // 2], "p99": gaps[len(gaps) * 99 // 100], "max": gaps[-1]} if gaps else None,
            "changes": sum(before != after for before, after in zip(since, since[1:])),
            "mixed": sum(len(classes) > 1 for classes in kinds),
            "classes": sorted({name for classes in kinds for name in classes}),
        }

    def do_set(self, name, value, seconds=PATIENCE, **more):
        since = len(self.results)
        result = self.set(name, value)
        if "class" in more:
            result["seconds"] = self.until_class(more["class"], since, seconds)
        return result

    def do_refused(self, path, seconds):
        before, begun = self.get("model"), time.monotonic()
        result = self.set("model", path)
        while self.get("model") != before and time.monotonic() < begun + seconds:
            time.sleep(0.02)
        result["is_back"] = self.get("model") == before
        result["diagnostics"] = self.fresh("model")
        return result

    def do_trigger(self, service):
        begun, since = time.monotonic(), len(self.results)
        answer = self.call(Trigger, service, Trigger.Request())
        result = {"success": answer.success, "message": answer.message, "seconds": time.monotonic() - begun}
        # Two results later the classes are those of what runs.
        self.wait(lambda: len(self.results) > since + 2, 5)
        return {**result, "classes": self.results[-1][1], "model": self.get("model"), "shadow_model": self.get("shadow_model")}

    def do_watch(self, seconds):
        begun, first, agreements = time.monotonic(), len(self.results), len(self.agreements)
        time.sleep(seconds)
        result = self.stretch(begun, first)
        result |= {"agreements": self.agreements[agreements:], "labels": self.labels, "diagnostics": copy.deepcopy(self.statuses)}
        return result

    def do_await_candidate(self, path, seconds):
        return self.wait(lambda: self.statuses.get("shadow", {"values": {}})["values"].get("model") == path, seconds)

    def do_swaps(self, models, count):
        # What stays the same, such as ONNX Runtime's pools, comes with the first swaps.
        begun, first, labels = time.monotonic(), len(self.results), len(self.labels)
        seconds, memory, lost = [], [], []
        for number in range(count):
            path, name = models[number % len(models)]
            since = len(self.results)
            if not self.set("model", path)["successful"]:
                raise SystemExit(f"{path} is refused at once")
            took = self.until_class(name, since, PATIENCE)
            if took is None:
                lost.append(number)
                continue
            seconds.append(took)
            memory.append(self.memory())
        result = self.stretch(begun, first)
        result |= {"until_class": seconds, "memory": memory, "lost": lost, "label_changes": len(self.labels) - labels}
        result |= {"model": self.fresh("model"), "detection": self.statuses.get("detection")}
        return result

    def do_kill(self, path, after):
        self.set("model", path)
        time.sleep(after)
        os.kill(self.pid, signal.SIGKILL)
        return True


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    client = Client(plan)
    if not client.wait(lambda: len(client.results) > 5, PATIENCE):
        raise SystemExit("the node finds nothing")
    results = []
    for step in plan["steps"]:
        arguments = {key: value for key, value in step.items() if key != "do"}
        results.append(getattr(client, "do_" + step["do"])(**arguments))
    print(json.dumps(results), flush=True)
    # The threads would have to be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Does what `ros2 param` does with one of our nodes, over its services, and prints what it saw, as JSON: an independent client of
tests/parameters.rs.

The plan (a JSON file, first argument): {"node": full name, "steps": [step, ...]}; the answer holds one result for each step under
"results" and every event of the node on /parameter_events under "events". Steps:

    {"do": "list", "prefixes": [text], "depth": number}       list_parameters
    {"do": "get" | "types" | "describe", "names": [name]}     the services of these names
    {"do": "set", "parameters": [[name, value], ...]}         set_parameters: [successful, reason] for each
    {"do": "set_atomically", "parameters": [[name, value], ...]}   set_parameters_atomically: [successful, reason]
    {"do": "dump"}                                            the parameter file that `ros2 param dump` prints
    {"do": "load", "file": text}                              what `ros2 param load` does with a parameter file's text
    {"do": "change", "id": number}                            change_state of a managed node
    {"do": "endpoints", "topic": full name}                   reliability and durability of the node's own ends of a topic
"""

import json
import os
import sys
import tempfile
import threading
import time

import rclpy
import yaml
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import DescribeParameters, GetParameters, GetParameterTypes, ListParameters, SetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_dict_from_yaml_file, parameter_value_to_python
from rclpy.qos import qos_profile_parameter_events

from service_caller import ServiceCaller

PATIENCE = 30.0


class Client:
    def __init__(self, name):
        self.name = name
        self.node = rclpy.create_node("parameter_client")
        self.services = ServiceCaller(self.node, PATIENCE)
        self.events = []
        self.node.create_subscription(ParameterEvent, "/parameter_events", self.on_event, qos_profile_parameter_events)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        threading.Thread(target=self.executor.spin, daemon=True).start()

    def on_event(self, event):
        if event.node == self.name:
            named = lambda parameters: {p.name: parameter_value_to_python(p.value) for p in parameters}
            told = {"new": named(event.new_parameters), "changed": named(event.changed_parameters)}
            told["deleted"] = [p.name for p in event.deleted_parameters]
            told["age"] = time.time() - event.stamp.sec - event.stamp.nanosec * 1e-9
            self.events.append(told)

    def call(self, kind, service, request):
        return self.services.call(kind, f"{self.name}/{service}", request)

    def await_events(self):
        """Until the node's events are heard: its publisher is known, and it had the time to know us."""
        until = time.monotonic() + PATIENCE
        base = self.name.rsplit("/", 1)[1]
        while time.monotonic() < until:
            if any(info.node_name == base for info in self.node.get_publishers_info_by_topic("/parameter_events")):
                return time.sleep(1.0)
            time.sleep(0.05)
        raise SystemExit("the node does not publish /parameter_events")

    def do_list(self, prefixes=(), depth=0):
        result = self.call(ListParameters, "list_parameters", ListParameters.Request(prefixes=list(prefixes), depth=depth)).result
        return {"names": list(result.names), "prefixes": list(result.prefixes)}

    def do_get(self, names):
        values = self.call(GetParameters, "get_parameters", GetParameters.Request(names=names)).values
        # A list of nothing would come back as an array of Python's own.
        values = [parameter_value_to_python(value) for value in values]
        return [list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value for value in values]

    def do_types(self, names):
        return list(self.call(GetParameterTypes, "get_parameter_types", GetParameterTypes.Request(names=names)).types)

    def do_describe(self, names):
        def shown(d):
            ranges = list(d.floating_point_range) + list(d.integer_range)
            return {
                "name": d.name,
                "type": d.type,
                "description": d.description,
                "constraints": d.additional_constraints,
                "read_only": d.read_only,
                "range": [ranges[0].from_value, ranges[0].to_value] if ranges else None,
            }

        answer = self.call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names))
        return [shown(descriptor) for descriptor in answer.descriptors]

    def do_set(self, parameters):
        messages = [Parameter(name, value=value).to_parameter_msg() for name, value in parameters]
        answer = self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=messages))
        return [[result.successful, result.reason] for result in answer.results]

    def do_set_atomically(self, parameters):
        messages = [Parameter(name, value=value).to_parameter_msg() for name, value in parameters]
        request = SetParametersAtomically.Request(parameters=messages)
        result = self.call(SetParametersAtomically, "set_parameters_atomically", request).result
        return [result.successful, result.reason]

    def do_dump(self):
        names = sorted(self.do_list()["names"])
        nested = {}
        for name, value in zip(names, self.do_get(names)):
            *groups, last = name.split(".")
            place = nested
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return yaml.dump({self.name: {"ros__parameters": nested}}, default_flow_style=False)

    def do_load(self, file):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as written:
            written.write(file)
            written.flush()
            parameters = parameter_dict_from_yaml_file(written.name, target_nodes=[self.name])
        request = SetParameters.Request(parameters=list(parameters.values()))
        answer = self.call(SetParameters, "set_parameters", request)
        return {name: [result.successful, result.reason] for name, result in zip(parameters, answer.results)}

    def do_change(self, id):
        request = ChangeState.Request()
        request.transition.id = id
        success = self.call(ChangeState, "change_state", request).success
        # What it tells has the time to come.
        time.sleep(0.3)
        return success

    def do_endpoints(self, topic):
        namespace, base = self.name.rsplit("/", 1)
        until = time.monotonic() + PATIENCE
        while True:
            ends = {"publisher": self.node.get_publishers_info_by_topic(topic), "subscription": self.node.get_subscriptions_info_by_topic(topic)}
            own = {end: [i for i in infos if (i.node_namespace, i.node_name) == (namespace or "/", base)] for end, infos in ends.items()}
            if any(own.values()):
                break
            if time.monotonic() > until:
                raise SystemExit(f"the node has no end of {topic}")
            time.sleep(0.05)
        shown = lambda info: [info.qos_profile.reliability.name.lower(), info.qos_profile.durability.name.lower()]
        return {end: [shown(info) for info in infos] for end, infos in own.items()}


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    rclpy.init()
    client = Client(plan["node"])
    client.do_list()
    client.await_events()
    results = []
    for step in plan["steps"]:
        arguments = {key: value for key, value in step.items() if key != "do"}
        results.append(getattr(client, "do_" + step["do"])(**arguments))
    time.sleep(0.5)
    print(json.dumps({"results": results, "events": client.events}), flush=True)
    # The executor's thread would have to be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()

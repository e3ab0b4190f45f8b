"""Cameras, lidars and the fusion of one robot, out of one YAML (config/fleet.example.yaml shows every key).

    ros2 launch distilled_perception fleet.launch.py config:=fleet.yaml
    ros2 launch distilled_perception fleet.launch.py config:=fleet.yaml composition:=true namespace:=robot2 rviz:=true

What the YAML means is decided by functions that need no ROS; only `generate_launch_description` and what it calls import launch.
"""

import difflib
import os
import re
import tempfile

import yaml

PACKAGE = "distilled_perception"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DETECTOR = {"name", "namespace", "model", "parameters", "parameters_file"}
CAMERA = DETECTOR | {"image_topic", "camera_info_topic"}
LIDAR = DETECTOR | {"input_topic"}
FUSION = {"name", "namespace", "lidar", "parameters", "parameters_file"}
FLEET = {"namespace", "inference_threads", "restart", "cameras", "lidars", "fusion"}


class FleetError(ValueError):
    """What is wrong in the YAML, where, and what would be right."""


def read_fleet(path):
    """The YAML as it stands."""
    try:
        with open(path) as file:
            fleet = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise FleetError(str(error)) from error
    return fleet


def nodes_of_fleet(fleet, folder="", namespace="", common=None):
    """The nodes of a fleet, as perception_container takes them: a list of {node, name, namespace, parameters, parameters_file}.

    `folder`: which paths count from. `namespace`: in front of the fleet's own. `common`: parameters of every node that does not say
    otherwise. Raises FleetError.
    """
    _check_keys("the file", fleet, FLEET)
    robot = _joined(_namespace("namespace", namespace), _namespace("namespace", fleet.get("namespace")))
    cameras = [_detector(f"cameras[{i}]", entry, CAMERA, "camera_detector", robot, folder, common) for i, entry in _entries(fleet, "cameras")]
    lidars = [_detector(f"lidars[{i}]", entry, LIDAR, "lidar_detector", robot, folder, common) for i, entry in _entries(fleet, "lidars")]
    nodes = cameras + lidars
    if fleet.get("fusion") is not None:
        fusion = _fusion(fleet, cameras, lidars, robot, folder, common)
        for detector in nodes:
            # Where the fusion asks for frames on which sensors disagree; a recorder that is on hears it.
            asked = _joined(_joined(fusion["namespace"], fusion["name"]), "uncertain")
            detector["parameters"].setdefault("record_requests", asked)
        nodes.append(fusion)
    if not nodes:
        raise FleetError("the file names no cameras, no lidars and no fusion")
    names = [_joined(node["namespace"], node["name"]) for node in nodes]
    for name in names:
        if names.count(name) > 1:
            raise FleetError(f"two nodes are {name}; give each a name or a namespace of its own")
    return nodes


def container_of_fleet(fleet, nodes):
    """The file of perception_container that runs the nodes in one process."""
    threads, restart = fleet.get("inference_threads", 1), fleet.get("restart", "process")
    if type(threads) is not int or threads < 1:
        raise FleetError(f"inference_threads is a number of 1 or more, not {threads!r}")
    if restart not in ("process", "keep_going"):
        raise FleetError(f"restart is process or keep_going, not {restart!r}")
    return {"inference_threads": threads, "restart": restart, "nodes": nodes}


def _entries(fleet, key):
    entries = fleet.get(key) or []
    if not isinstance(entries, list):
        raise FleetError(f"{key} is a list, each entry with a dash before it")
    return enumerate(entries)


def _check_keys(where, given, known):
    if not isinstance(given, dict):
        raise FleetError(f"{where} has to hold keys and values, such as {', '.join(sorted(known))}")
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            mend = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
            raise FleetError(f"{where}: unknown key `{key}` ({mend})")


def _text(where, entry, key):
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise FleetError(f"{where}: `{key}` is missing" if value in (None, "") else f"{where}: `{key}` has to be a text, not {value!r}")
    return value


def _namespace(where, written):
    """A namespace with a slash before it and none behind; empty for none."""
    if written is None:
        return ""
    parts = [part for part in str(written).split("/") if part]
    for part in parts:
        if not NAME.fullmatch(part):
            raise FleetError(f"{where}: `{part}` is no name in ROS: letters, digits and underscores, no digit first")
    return "".join(f"/{part}" for part in parts)


def _joined(namespace, name):
    return f"{namespace}/{name.lstrip('/')}" if name else namespace


def _absolute(topic, namespace):
    return topic if topic.startswith("/") else _joined(namespace, topic)


def _node(where, entry, kind, robot, folder, parameters, common):
    """What all nodes have. The entry's own parameters have the last word."""
    name = entry.get("name", kind)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise FleetError(f"{where}: name `{name}` is no name in ROS: letters, digits and underscores, no digit first")
    own = entry.get("parameters") or {}
    if not isinstance(own, dict):
        raise FleetError(f"{where}: parameters are names and values")
    namespace = _joined(robot, _namespace(f"{where}: namespace", entry.get("namespace")))
    node = {"node": kind, "name": name, "namespace": namespace, "parameters": {**(common or {}), **parameters, **own}}
    if entry.get("parameters_file"):
        path = os.path.abspath(os.path.join(folder, _text(where, entry, "parameters_file")))
        if not os.path.exists(path):
            raise FleetError(f"{where}: parameters_file {path} is not there")
        node["parameters_file"] = path
    return node


def _detector(where, entry, known, kind, robot, folder, common):
    _check_keys(where, entry, known)
    own = entry.get("parameters") or {}
    parameters = {}
    if "model" not in own:
        parameters["model"] = os.path.join(folder, os.path.expanduser(_text(where, entry, "model")))
    topic = "image_topic" if kind == "camera_detector" else "input_topic"
    if topic not in own:
        parameters[topic] = _text(where, entry, topic)
    return _node(where, entry, kind, robot, folder, parameters, common)


def _fusion(fleet, cameras, lidars, robot, folder, common):
    entry = fleet["fusion"]
    _check_keys("fusion", entry, FUSION)
    own = entry.get("parameters") or {}
    # rcl has no empty list; a list of one empty text is none.
    fused, lidar = [], ""
    if "cameras" not in own:
        for i, camera in enumerate(cameras):
            info = _text(f"cameras[{i}]", fleet["cameras"][i], "camera_info_topic")
            detections = _joined(_joined(camera["namespace"], camera["name"]), "detections")
            fused.append(f"{detections}|{_absolute(info, camera['namespace'])}")
    if "lidar" not in own and lidars:
        lidar = _joined(_chosen(entry.get("lidar"), lidars), "detections")
    if not (fused or lidar or "cameras" in own or "lidar" in own):
        raise FleetError("fusion: there are no cameras and no lidars to fuse")
    return _node("fusion", entry, "obstacle_fusion", robot, folder, {"cameras": fused or [""], "lidar": lidar}, common)


def _chosen(wanted, lidars):
    """The full name of the lidar that is fused."""
    names = [lidar["name"] for lidar in lidars]
    if wanted is None:
        if len(names) > 1:
            raise FleetError(f"fusion: it takes one lidar; say which as `lidar`: {', '.join(names)}")
        wanted = names[0]
    if names.count(wanted) != 1:
        raise FleetError(f"fusion: `lidar` is {wanted!r}, which is not the name of one of: {', '.join(names)}")
    lidar = lidars[names.index(wanted)]
    return _joined(lidar["namespace"], lidar["name"])


def _is_true(context, argument):
    value = context.launch_configurations[argument].lower()
    if value not in ("true", "false", "1", "0"):
        raise FleetError(f"argument {argument} is true or false, not {value}")
    return value in ("true", "1")


def _launch(context):
    """The processes, as launch knows them."""
    from launch.actions import GroupAction, UnsetLaunchConfiguration
    from launch_ros.actions import Node

    path = context.launch_configurations["config"]
    try:
        fleet = read_fleet(path)
        # A group around this file may have a namespace of its own.
        outer = _joined(
            _namespace("ros_namespace", context.launch_configurations.get("ros_namespace")),
            _namespace("namespace", context.launch_configurations["namespace"]),
        )
        common = {name: _is_true(context, name) for name in ("autostart", "use_sim_time")}
        nodes = nodes_of_fleet(fleet, os.path.dirname(os.path.abspath(path)), outer, common)
        container = container_of_fleet(fleet, nodes)
        composition = _is_true(context, "composition")
    except FleetError as error:
        raise RuntimeError(f"{path}: {error}") from error
    if not composition:
        return [
            Node(
                package=PACKAGE, executable=node["node"], name=node["name"], namespace=node["namespace"] or "/", output="screen",
                parameters=[*filter(None, [node.get("parameters_file")]), node["parameters"]],
            )
            for node in nodes
        ]
    # It stays as long as the processes may be started anew.
    file = tempfile.NamedTemporaryFile("w", prefix="perception_container_", suffix=".yaml", delete=False)
    with file:
        yaml.safe_dump(container, file, sort_keys=False)
    # A name or a namespace given to the process would be that of all its nodes.
    process = Node(package=PACKAGE, executable="perception_container", arguments=["--config", file.name], output="screen")
    return [GroupAction([UnsetLaunchConfiguration("ros_namespace"), process], scoped=True)]


def generate_launch_description():
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
    from launch.conditions import IfCondition
    from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
    from launch_ros.actions import Node
    from launch_ros.substitutions import FindPackageShare

    share = FindPackageShare(PACKAGE)
    profile = PathJoinSubstitution([share, "config", "fastdds.xml"])
    return LaunchDescription([
        DeclareLaunchArgument("config", description="The YAML with cameras, lidars and fusion; config/fleet.example.yaml shows every key."),
        DeclareLaunchArgument("composition", default_value="false", description="Whether all nodes run in one process, perception_container, instead of one each."),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace in front of the YAML's own."),
        DeclareLaunchArgument("autostart", default_value="true", description="Whether the nodes start by themselves; false: they wait for a lifecycle manager, such as Nav2's."),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="Whether time comes from /clock: simulation, or playback with a clock."),
        DeclareLaunchArgument("rviz", default_value="false", description="Whether to show everything in RViz (needs rviz2)."),
        # Whole images through shared memory, unless you have a profile of your own.
        SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", EnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", default_value=profile)),
        OpaqueFunction(function=_launch),
        Node(
            package="rviz2", executable="rviz2", name="rviz2", output="log", condition=IfCondition(LaunchConfiguration("rviz")),
            arguments=["-d", PathJoinSubstitution([share, "config", "perception.rviz"])],
            parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
        ),
    ])

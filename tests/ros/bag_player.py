"""Plays a `Recording` over ROS 2 as if it happened now, and keeps what the nodes answer."""

import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, PointCloud2
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from bag_recording import TRANSFORMS, boxes_of, class_and_score, fields_of, message_type, nanoseconds, planar
from track_judge import at

BEST_EFFORT = QoSProfile(depth=50, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
# From the last message of the recording until nothing more is expected, in seconds.
AFTERWARDS = 1.5
# Objects that the obstacle cloud is held against, in metres from the robot.
NEAR = 10.0


class Player:
    """Publishers for the recording's topics and the clock that its stamps are moved to."""

    def __init__(self, node, recording, factor=1.0):
        self.node, self.recording, self.factor = node, recording, factor
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.publishers = {}
        for topic, channel in recording.channels.items():
            self.publishers[topic] = node.create_publisher(message_type(channel.type_name), topic, channel.qos)
        self.origin = 0
        # How late each message went out, in seconds.
        self.lags = []

    def moved(self, stamp):
        """A stamp of the recording as a stamp of now."""
        return self.origin + round((stamp - self.recording.begin) / self.factor)

    def original(self, stamp):
        """The stamp of the recording that was moved to this one."""
        return self.recording.begin + round((stamp - self.origin) * self.factor)

    def spin(self, until):
        """Takes messages in until a time of the monotonic clock."""
        # Also when it is late, one message is taken for each that is sent: who is late must not lose answers as well.
        self.executor.spin_once(timeout_sec=0)
        while (left := until - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def wait_for(self, listened, offered, check=lambda: None, seconds=60.0):
        """Until so many listen to each topic of `listened` and somebody offers each of `offered`; `check` may end it early."""
        deadline = time.monotonic() + seconds
        while True:
            check()
            unheard = [topic for topic, count in listened.items() if self.node.count_subscribers(topic) < count]
            silent = [topic for topic in offered if not self.node.count_publishers(topic)]
            if not unheard and not silent:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"the nodes are not there: nobody listens to {unheard}, nobody offers {silent}")
            self.spin(time.monotonic() + 0.1)

    def play(self):
        """Sends every message when its time has come."""
        transforms = {topic for topic, channel in self.recording.channels.items() if channel.type_name == TRANSFORMS}
        lead = 0.3
        self.origin, start = time.time_ns() + round(lead * 1e9), time.monotonic() + lead
        for message in self.recording.messages:
            data = message.restamped(self.moved, message.topic in transforms)
            due = start + (message.log_time - self.recording.begin) / 1e9 / self.factor
            self.spin(due)
            self.lags.append(time.monotonic() - due)
            self.publishers[message.topic].publish(data)
        self.spin(time.monotonic() + AFTERWARDS)


class Answers:
    """What the nodes publish. Times are as on this machine, in nanoseconds; `Player.original` takes stamps back to the recording's.

    While the recording is played, bytes are only kept: whoever reads clouds in between sends late and loses answers. `read` is called
    afterwards.
    """

    def __init__(self, node, fusion="/obstacle_fusion", camera="/camera_detector", lidar="/lidar_detector", with_pictures=False):
        self.detections, self.obstacles, self.diagnostics = [], [], {}
        self.detectors = {camera: [], lidar: []}
        self.boxes, self.drawn, self.velocities = {}, {}, {}
        self.kept = []
        self.subscribe(node, Detection3DArray, f"{fusion}/detections", 50, self.on_tracks)
        self.subscribe(node, PointCloud2, f"{fusion}/obstacles", BEST_EFFORT, self.on_cloud)
        self.subscribe(node, Detection2DArray, f"{camera}/detections", 50, lambda m, times: self.on_boxes(camera, m, times))
        self.subscribe(node, Detection3DArray, f"{lidar}/detections", 50, lambda m, times: self.on_detector(lidar, m, times))
        self.subscribe(node, DiagnosticArray, "/diagnostics", 10, self.on_diagnostics)
        if with_pictures:
            self.subscribe(node, MarkerArray, f"{fusion}/markers", BEST_EFFORT, self.on_markers)
            self.subscribe(node, Image, f"{camera}/annotated", BEST_EFFORT, self.on_picture)

    def subscribe(self, node, kind, topic, qos, reader):
        def keep(data, info):
            self.kept.append((kind, reader, data, info.get("source_timestamp"), time.time_ns()))

        node.create_subscription(kind, topic, keep, qos, raw=True)

    def read(self):
        """Understands what was kept."""
        for kind, reader, data, published, received in self.kept:
            message = deserialize_message(data, kind)
            stamp = nanoseconds(message.header.stamp) if hasattr(message, "header") else 0
            # When the sensor measured, when the node published (by DDS) and when it came here.
            reader(message, {"stamp": stamp, "published": published or received, "received": received})
        self.kept.clear()

    def on_tracks(self, array, times):
        tracks = []
        for detection in array.detections:
            name, score = class_and_score(detection)
            position, turn, size = detection.bbox.center.position, detection.bbox.center.orientation, detection.bbox.size
            tracks.append({
                "id": detection.id, "class": name, "score": score, "x": position.x, "y": position.y, "z": position.z,
                "size": [size.x, size.y, size.z], "yaw": planar((turn.x, turn.y, turn.z, turn.w)),
            })
        self.detections.append({**times, "frame_id": array.header.frame_id, "tracks": tracks})

    def on_cloud(self, cloud, times):
        x, y, z = fields_of(cloud, "x", "y", "z")
        heights = [round(float(z.min()), 3), round(float(z.max()), 3)] if len(z) else None
        self.obstacles.append({**times, "frame_id": cloud.header.frame_id, "points": len(z), "heights": heights, "places": np.stack([x, y], axis=1)})

    def on_markers(self, array, _):
        for marker in array.markers:
            if marker.ns == "velocity" and marker.action == Marker.ADD and len(marker.points) == 2:
                tail, tip = marker.points
                # The arrow ends where the object will be in a second.
                self.velocities.setdefault(nanoseconds(marker.header.stamp), {})[str(marker.id)] = (tip.x - tail.x, tip.y - tail.y)

    def on_detector(self, name, array, times):
        self.detectors[name].append({**times, "objects": len(array.detections)})

    def on_boxes(self, name, array, times):
        self.on_detector(name, array, times)
        self.boxes[times["stamp"]] = boxes_of(array)

    def on_picture(self, image, times):
        self.drawn[times["stamp"]] = image

    def on_diagnostics(self, array, _):
        for status in array.status:
            self.diagnostics.setdefault(status.name, {}).update({pair.key: pair.value for pair in status.values})


def summary(player, answers):
    """What track_judge.py judges: stamps are the recording's, latencies in seconds of this machine's clock."""

    def timed(entry):
        rest = {key: value for key, value in entry.items() if key not in ("stamp", "published", "received", "places")}
        return {
            "stamp": player.original(entry["stamp"]), "latency": (entry["published"] - entry["stamp"]) / 1e9,
            "received_after": (entry["received"] - entry["stamp"]) / 1e9, **rest,
        }

    recording, lags = player.recording, sorted(player.lags)
    truth = [{"stamp": stamp, **entry} for stamp, entry in sorted(recording.truth.items())]

    def nearest(entry):
        """From each object to the nearest point of a cloud, in metres: whole clouds would fill disks."""
        objects = at(truth, player.original(entry["stamp"])).values() if truth and len(entry["places"]) else []
        distances = {o["id"]: np.hypot(*(entry["places"] - [o["x"], o["y"]]).T).min() for o in objects if o["distance"] <= NEAR}
        return {**timed(entry), "nearest": {name: round(float(distance), 3) for name, distance in distances.items()}}

    sent = {topic: sum(message.topic == topic for message in recording.messages) for topic in recording.channels}
    return {
        "factor": player.factor, "begin": recording.begin, "end": recording.end, "sent": sent,
        "lag": {"p50": lags[len(lags) // 2], "p99": lags[len(lags) * 99 // 100], "max": lags[-1]},
        "detections": [timed(entry) for entry in answers.detections],
        "obstacles": [nearest(entry) for entry in answers.obstacles],
        "detectors": {name.strip("/"): [timed(entry) for entry in entries] for name, entries in answers.detectors.items()},
        "diagnostics": answers.diagnostics,
        "truth": truth,
    }

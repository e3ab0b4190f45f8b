#!/usr/bin/env python3
"""Runs camera_detector, lidar_detector and obstacle_fusion for a long time and writes what it saw of them, as JSON.

    soak_client.py --minutes 30 --bin FOLDER --camera-model FILE --lidar-model FILE --frames FOLDER --out SOAK.json

Publishes images of 640 x 480 at 30 Hz, scans at 20 Hz and the sensors' places on /tf_static from a process of its own, so that what is
measured here does not wait for it. Images are the files of --frames, or drawn ones where there are none. Each second the nodes' memory, processor time,
threads and open files are noted from /proc; for each message that comes back, when it was measured and when it came; of /diagnostics the
counts at every half minute and each worst level.
"""

import argparse
import gc
import json
import math
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from PIL import Image as Picture
from PIL import ImageDraw
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray

from perception_nodes import CAMERA_INFO, IMAGE, NODES, SCAN, PerceptionNodes, stay_here

WIDTH, HEIGHT = 640, 480
IMAGES_A_SECOND, SCANS_A_SECOND = 30, 20
# Pictures and scans that are sent in turn.
DIFFERENT = 60
BEAMS = 360
TOPICS = {
    "/camera_detector/detections": Detection2DArray,
    "/lidar_detector/detections": Detection3DArray,
    "/obstacle_fusion/obstacles": PointCloud2,
}
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# What a camera's driver offers: newest first, nothing again.
SENSOR = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)


def pictures(folder):
    """Pictures of the folder, or drawn ones: somebody walks through a room."""
    files = sorted(path for path in Path(folder).glob("*") if path.suffix in (".jpg", ".png")) if folder else []
    if files:
        return [Picture.open(path).convert("RGB").resize((WIDTH, HEIGHT)) for path in files[:DIFFERENT]]
    noise = np.random.default_rng(1).integers(0, 40, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    drawn = []
    for number in range(DIFFERENT):
        picture = Picture.fromarray(noise + np.uint8(90))
        draw, x = ImageDraw.Draw(picture), 60 + number * 8
        draw.rectangle((0, 330, WIDTH, HEIGHT), fill=(110, 100, 90))
        draw.rectangle((x, 180, x + 70, 320), fill=(40, 50, 120))
        draw.rectangle((x + 10, 320, x + 60, 450), fill=(30, 30, 30))
        draw.ellipse((x + 15, 130, x + 55, 180), fill=(200, 160, 140))
        drawn.append(picture)
    return drawn


def scans():
    """A room of 8 m with two legs that walk across."""
    angles = -math.pi + (np.arange(BEAMS) + 0.5) * 2 * math.pi / BEAMS
    room = 4.0 / np.maximum(np.abs(np.cos(angles)), np.abs(np.sin(angles)))
    noise = np.random.default_rng(2)
    made = []
    for number in range(DIFFERENT):
        ranges = room + noise.normal(0.0, 0.01, BEAMS)
        for side in (-0.15, 0.15):
            leg = np.array([2.0 + side * math.sin(number), -1.5 + 3.0 * number / DIFFERENT + side])
            along = leg[0] * np.cos(angles) + leg[1] * np.sin(angles)
            aside = np.abs(leg[1] * np.cos(angles) - leg[0] * np.sin(angles))
            hit = (along > 0) & (aside < 0.06)
            ranges[hit] = np.minimum(ranges[hit], along[hit] - 0.05)
        made.append(ranges.astype(np.float32))
    return made


def stamped(message, frame, stamp):
    message.header.frame_id = frame
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


def fixed(parent, child, z, rotation):
    transform = stamped(TransformStamped(child_frame_id=child), parent, 0)
    transform.transform.translation.z = z
    r = transform.transform.rotation
    r.x, r.y, r.z, r.w = rotation
    return transform


def publish(frames, seconds, ready, go, result):
    """The sensors: a process of its own."""
    rclpy.init()
    node = rclpy.create_node("soak_sensors")
    images = []
    for picture in pictures(frames):
        image = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
        image.data.frombytes(picture.tobytes())
        images.append(image)
    sweeps = []
    for ranges in scans():
        scan = LaserScan(angle_min=-math.pi + math.pi / BEAMS, angle_max=math.pi - math.pi / BEAMS, angle_increment=2 * math.pi / BEAMS)
        scan.range_min, scan.range_max, scan.scan_time = 0.05, 20.0, 1.0 / SCANS_A_SECOND
        scan.ranges = ranges.tolist()
        sweeps.append(scan)
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5, k=[540.0, 0.0, 320.0, 0.0, 540.0, 240.0, 0.0, 0.0, 1.0])
    image_topic, info_topic = node.create_publisher(Image, IMAGE, SENSOR), node.create_publisher(CameraInfo, CAMERA_INFO, SENSOR)
    scan_topic, tf = node.create_publisher(LaserScan, SCAN, SENSOR), node.create_publisher(TFMessage, "/tf_static", LATCHED)
    straight = (0.0, 0.0, 0.0, 1.0)
    # Optical frames look along z.
    optical = (-0.5, 0.5, -0.5, 0.5)
    tf.publish(TFMessage(transforms=[
        fixed("odom", "base_link", 0.0, straight), fixed("base_link", "lidar", 0.2, straight), fixed("base_link", "camera", 1.0, optical),
    ]))
    ready.set()
    go.wait()
    begin = time.monotonic() + 0.1
    sent, late = {"images": 0, "scans": 0}, 0.0
    # Nothing of Python's own may make a sensor late.
    gc.disable()
    while True:
        due = {"images": begin + sent["images"] / IMAGES_A_SECOND, "scans": begin + 0.01 + sent["scans"] / SCANS_A_SECOND}
        kind = min(due, key=due.get)
        if due[kind] - begin >= seconds:
            break
        wait = due[kind] - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late = max(late, -wait)
        number, stamp = sent[kind], time.time_ns()
        if kind == "images":
            info_topic.publish(stamped(info, "camera", stamp))
            image_topic.publish(stamped(images[number % len(images)], "camera", stamp))
        else:
            scan_topic.publish(stamped(sweeps[number % len(sweeps)], "lidar", stamp))
        sent[kind] = number + 1
    time.sleep(1.0)
    result.put({"sent": sent, "late": late})
    node.destroy_node()
    rclpy.shutdown()


class Watcher:
    """What comes back, and what the nodes say of themselves."""

    def __init__(self):
        self.node = rclpy.create_node("soak_watcher")
        self.came = {topic: [] for topic in TOPICS}
        self.seen = {topic: 0 for topic in TOPICS}
        self.status, self.worst = {}, {}
        self.measuring = False
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.listener(topic), 20)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 20)

    def listener(self, topic):
        def on_message(message):
            now = time.time_ns()
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            # The fusion says the same stamp again while nothing new was measured.
            if stamp > self.seen[topic] and self.measuring:
                self.came[topic].append([stamp, now])
            self.seen[topic] = max(self.seen[topic], stamp)

        return on_message

    def on_diagnostics(self, array):
        for status in array.status:
            level = int.from_bytes(status.level, "little") if isinstance(status.level, bytes) else int(status.level)
            self.status[status.name] = {v.key: v.value for v in status.values}
            if self.measuring and level > 0:
                times = self.worst.setdefault(f"{status.name}: {status.message}"[:200], [level, 0])
                times[1] += 1

    def spin_until(self, moment):
        while (left := moment - time.monotonic()) > 0:
            rclpy.spin_once(self.node, timeout_sec=min(left, 0.1))


def process(pid):
    """Resident bytes, seconds of processor time, threads and open files of a process."""
    statistics = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(statistics[11]) + int(statistics[12])
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return [resident, ticks / os.sysconf("SC_CLK_TCK"), int(statistics[17]), len(os.listdir(f"/proc/{pid}/fd"))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--camera-model", required=True)
    parser.add_argument("--lidar-model", required=True)
    parser.add_argument("--frames", default="", help="folder of pictures to send")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    stay_here()
    seconds, out = 60 * arguments.minutes, Path(arguments.out)
    # Pools and caches fill in the beginning.
    warm_up = min(60.0, seconds / 6)
    context = multiprocessing.get_context("spawn")
    ready, go, result = context.Event(), context.Event(), context.Queue()
    sensors = context.Process(target=publish, args=(arguments.frames, seconds, ready, go, result), daemon=True)
    sensors.start()
    samples = {name: [] for name in NODES}
    counts = []
    rclpy.init()
    watcher = Watcher()
    with PerceptionNodes(arguments.bin, arguments.camera_model, arguments.lidar_model, SCAN, out.parent) as nodes:
        if not ready.wait(60):
            raise SystemExit("the sensors do not start")
        deadline = time.monotonic() + 60
        listened = {IMAGE: 1, SCAN: 1, CAMERA_INFO: 1, "/camera_detector/detections": 2, "/lidar_detector/detections": 2}
        while any(watcher.node.count_subscribers(topic) < least for topic, least in listened.items()):
            nodes.check()
            if time.monotonic() > deadline:
                raise SystemExit("the nodes do not listen")
            watcher.spin_until(time.monotonic() + 0.2)
        go.set()
        begin = time.monotonic()
        for second in range(1, int(seconds) + 1):
            watcher.spin_until(begin + second)
            nodes.check()
            if not sensors.is_alive() and second < seconds - 2:
                raise SystemExit("the sensors ended")
            watcher.measuring = second >= warm_up
            for name, running in nodes.running.items():
                samples[name].append([second, *process(running.pid)])
            if second % 30 == 0 or second == int(seconds):
                counts.append([second, {name: dict(values) for name, values in watcher.status.items()}])
        watcher.measuring = False
        watcher.spin_until(time.monotonic() + 1.0)
        sent = result.get(timeout=30)
    sensors.join(10)
    watcher.node.destroy_node()
    rclpy.shutdown()
    out.write_text(json.dumps({
        "seconds": seconds, "warm_up": warm_up, **sent, "frames": "recorded" if arguments.frames else "drawn", "samples": samples,
        "came": watcher.came, "counts": counts, "worst": watcher.worst,
    }) + "\n")


if __name__ == "__main__":
    main()

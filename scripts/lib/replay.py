#!/usr/bin/env python3
"""Plays a recording's images to a running camera_detector on ROS 2 and shows what comes back; scripts/demo calls it.

    replay.py BAG --truth TOPIC --out FOLDER

Images are published in the recording's rhythm as a live camera's: with the present time as their stamp. Detections are held against
the recording's truth (vision_msgs/Detection2DArray) where an IoU of at least 0.5 and the same class count as found. Prints a table of
what was detected and one of the latencies by stage (from /diagnostics), and writes FOLDER/picture_*.png with the node's boxes,
FOLDER/overview.png with all of them and FOLDER/replay.json. Exit code 1 when the node did not answer or found nothing that is there.

Speaks rclpy and reads with the package mcap, so that nothing of ours judges ours.
"""

import argparse
import json
import struct
import sys
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from mcap.reader import make_reader
from PIL import Image as Picture
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

STAGES = [
    ("age", "of the newest image when its turn comes"),
    ("decode", "image message to RGB"),
    ("preprocess", "letterbox into the network's input"),
    ("infer", "the student in ONNX Runtime, one thread"),
    ("postprocess", "network's output to boxes"),
    ("publish", "boxes to a topic"),
    ("pipeline", "from the image's stamp to its detections"),
]


def nanoseconds(stamp):
    return stamp.sec * 10**9 + stamp.nanosec


def boxes(array):
    """(class, score, (x0, y0, x1, y1)) of each detection."""
    found = []
    for detection in array.detections:
        hypothesis, box = detection.results[0].hypothesis, detection.bbox
        x, y, w, h = box.center.position.x, box.center.position.y, box.size_x / 2, box.size_y / 2
        found.append((hypothesis.class_id, hypothesis.score, (x - w, y - h, x + w, y + h)))
    return found


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return width * height / (area(a) + area(b) - width * height)


def read(bag, image_topic, truth_topic):
    """Images as (log time, header stamp, CDR bytes) in order, and the truth's boxes by header stamp."""
    images, truth = [], {}
    for file in sorted(Path(bag).glob("*.mcap")):
        with file.open("rb") as stream:
            for _, channel, message in make_reader(stream).iter_messages(topics=[image_topic, truth_topic]):
                if channel.topic == truth_topic:
                    array = deserialize_message(message.data, Detection2DArray)
                    truth[nanoseconds(array.header.stamp)] = boxes(array)
                else:
                    # CDR: 4 bytes of encapsulation, then the header with its stamp, little endian as written by every x86 and ARM.
                    second, nanosecond = struct.unpack_from("<iI", message.data, 4)
                    images.append((message.log_time, second * 10**9 + nanosecond, bytes(message.data)))
    return images, truth


class Tally:
    """Counts of one class."""

    def __init__(self):
        self.true, self.found, self.false, self.scores = 0, 0, 0, []


def hold_against(detections, truth, tallies):
    for name, _, _ in truth:
        tallies.setdefault(name, Tally()).true += 1
    free = list(truth)
    for name, score, box in sorted(detections, key=lambda d: -d[1]):
        tally = tallies.setdefault(name, Tally())
        best = max((t for t in free if t[0] == name), key=lambda t: iou(t[2], box), default=None)
        if best is not None and iou(best[2], box) >= 0.5:
            free.remove(best)
            tally.found += 1
            tally.scores.append(score)
        else:
            tally.false += 1


def table(header, rows):
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    line = lambda row: "  " + "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
    return "\n".join([line(header), "  " + "  ".join("-" * w for w in widths), *map(line, rows)])


def overview(pictures, columns=3, gap=4):
    """All pictures in one, row by row."""
    width, height = pictures[0].width + gap, pictures[0].height + gap
    sheet = Picture.new("RGB", (columns * width - gap, -(-len(pictures) // columns) * height - gap), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet.quantize(256)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag")
    parser.add_argument("--truth", default="/truth/detections_2d")
    parser.add_argument("--image", default="/camera/image_raw", help="topic in the recording and on ROS 2")
    parser.add_argument("--node", default="/camera_detector")
    parser.add_argument("--last", type=float, default=1.0, metavar="SHARE", help="play the last share of the recording's time only")
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    images, truth = read(arguments.bag, arguments.image, arguments.truth)
    if images:
        begin = images[-1][0] - arguments.last * (images[-1][0] - images[0][0])
        images = [image for image in images if image[0] >= begin]
    if not images:
        sys.exit(f"{arguments.bag} holds no images on {arguments.image}")

    rclpy.init()
    node = rclpy.create_node("replay")
    publisher = node.create_publisher(Image, arguments.image, QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    answers, drawn, diagnostics, labels = {}, {}, {}, []
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(Detection2DArray, f"{arguments.node}/detections", lambda m: answers.update({nanoseconds(m.header.stamp): boxes(m)}), 50)
    node.create_subscription(Image, f"{arguments.node}/annotated", lambda m: drawn.update({nanoseconds(m.header.stamp): m}), qos_profile_sensor_data)
    node.create_subscription(LabelInfo, f"{arguments.node}/label_info", lambda m: labels.append([c.class_name for c in m.class_map]), latched)

    def on_diagnostics(array):
        for status in array.status:
            diagnostics.update({pair.key: pair.value for pair in status.values})

    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)

    deadline = time.monotonic() + 30
    while not (labels and publisher.get_subscription_count()):
        if time.monotonic() > deadline:
            sys.exit(f"no node at {arguments.node} listens to {arguments.image}")
        rclpy.spin_once(node, timeout_sec=0.1)

    # One image in so many is kept as a picture; the node draws while somebody listens.
    sent, kept, every = {}, {}, max(1, len(images) // 60)
    start, first = time.monotonic(), images[0][0]
    for log_time, stamp, data in images:
        due = start + (log_time - first) / 1e9
        while (left := due - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left)
        now = time.time_ns()
        sent[now] = stamp
        publisher.publish(data[:4] + struct.pack("<iI", *divmod(now, 10**9)) + data[12:])
        for key in [key for key in drawn if key in sent]:
            picture = drawn.pop(key)
            if len(sent) % every == 0:
                kept[key] = picture
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()

    tallies = {name: Tally() for name in labels[0]}
    answered = 0
    for now, stamp in sent.items():
        if now in answers and stamp in truth:
            answered += 1
            hold_against(answers[now], truth[stamp], tallies)

    print(f"{len(sent)} images sent in {time.monotonic() - start:.0f} s, {len(answers)} answered, "
          f"{diagnostics.get('dropped', '?')} replaced by newer ones before their turn, {diagnostics.get('failed', '?')} failed\n")
    mean = lambda values: f"{sum(values) / len(values):.2f}" if values else "-"
    share = lambda part, whole: f"{100 * part / whole:.0f} %" if whole else "-"
    print("detected, against the warehouse's exact truth (IoU >= 0.5):")
    print(table(
        ["class", "there", "found", "recall", "false", "mean score"],
        [[name, t.true, t.found, share(t.found, t.true), t.false, mean(t.scores)] for name, t in tallies.items()],
    ))
    print("\nlatency in ms, as the node reports on /diagnostics:")
    print(table(
        ["stage", "p50", "p90", "p99", "what it is"],
        [[name, *(diagnostics.get(f"{name}_ms_{p}", "-") for p in ("p50", "p90", "p99")), what] for name, what in STAGES],
    ))

    # The pictures with most to see, no two from the same second.
    chosen = []
    for key in sorted(kept, key=lambda key: -len(answers.get(key, []))):
        if all(abs(key - other) > 10**9 for other in chosen):
            chosen.append(key)
        if len(chosen) == arguments.pictures:
            break
    pictures = [Picture.frombytes("RGB", (kept[key].width, kept[key].height), bytes(kept[key].data)) for key in sorted(chosen)]
    for number, picture in enumerate(pictures):
        picture.save(out / f"picture_{number}.png")
    if pictures:
        overview(pictures).save(out / "overview.png", optimize=True)
        print(f"\npictures: {out}/picture_0.png .. picture_{len(pictures) - 1}.png, all of them in {out}/overview.png")
    summary = {
        "sent": len(sent), "answered": len(answers), "diagnostics": diagnostics,
        "classes": {name: {"there": t.true, "found": t.found, "false": t.false} for name, t in tallies.items()},
    }
    (out / "replay.json").write_text(json.dumps(summary, indent=2) + "\n")
    if not answered or not any(t.found for t in tallies.values()) or not chosen:
        sys.exit("the node did not answer, or found nothing of what is there")


if __name__ == "__main__":
    main()

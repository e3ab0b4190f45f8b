#!/usr/bin/env python3
"""Plays a recording to camera_detector, lidar_detector and obstacle_fusion on ROS 2 and shows what comes back; scripts/demo calls it.

    replay.py BAG --bin FOLDER --camera-model FILE --lidar-model FILE --out FOLDER

The nodes are started and ended here. Camera, lidar and /tf are published in the recording's rhythm as if it happened now. The camera's
detections are held against the recording's truth, where an IoU of at least 0.5 and the same class count as found, and the fused tracks
against the true objects in space (tests/ros/track_judge.py). Prints tables of both and of the latencies by stage (from /diagnostics),
and writes FOLDER/picture_*.png with the camera node's boxes, FOLDER/overview.png with all of them, FOLDER/top_down.png with the robot's
surroundings from above, and FOLDER/replay.json. Exit code 1 when a node did not answer or found nothing that is there.

Speaks rclpy and reads with the package mcap, so that nothing of ours judges ours.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from bag_player import summary  # noqa: E402
from bag_recording import apply  # noqa: E402
from perception_nodes import CAMERA_INFO, PerceptionNodes, stay_here, sweeps_of  # noqa: E402
from replay_bag import replay  # noqa: E402
from top_down import Moment, overview, seen_from  # noqa: E402
from track_judge import Tally, at, table, words  # noqa: E402

STAGES = [
    ("age", "of the newest image when its turn comes"),
    ("queue", "of that image between its arrival and its turn"),
    ("decode", "image message to RGB"),
    ("preprocess", "letterbox into the network's input"),
    ("infer", "the student in ONNX Runtime, one thread"),
    ("postprocess", "network's output to boxes"),
    ("publish", "boxes to a topic"),
    ("pipeline", "from the image's stamp to its detections"),
]


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return width * height / (area(a) + area(b) - width * height)


class Counts:
    """Boxes of one class."""

    def __init__(self):
        self.true, self.found, self.false, self.scores = 0, 0, 0, []


def hold_against(detections, truth, counts):
    for name, _, _, _ in truth:
        counts.setdefault(name, Counts()).true += 1
    free = list(truth)
    for name, score, box, _ in sorted(detections, key=lambda d: -d[1]):
        count = counts.setdefault(name, Counts())
        best = max((t for t in free if t[0] == name), key=lambda t: iou(t[2], box), default=None)
        if best is not None and iou(best[2], box) >= 0.5:
            free.remove(best)
            count.found += 1
            count.scores.append(score)
        else:
            count.false += 1


def contact_sheet(pictures, columns=3, gap=4):
    """All pictures in one, row by row."""
    width, height = pictures[0].width + gap, pictures[0].height + gap
    sheet = Picture.new("RGB", (columns * width - gap, -(-len(pictures) // columns) * height - gap), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet.quantize(256)


def apart(ranked, seconds, most):
    """The first stamps of a ranking that are so far from each other, in order of time."""
    chosen = []
    for stamp in ranked:
        if len(chosen) < most and all(abs(stamp - other) >= seconds * 10**9 for other in chosen):
            chosen.append(stamp)
    return sorted(chosen)


def view_of(recording, stamp):
    """Half the angle that the camera sees, and where it sits on the robot."""
    message = next(m for m in recording.messages if m.topic == CAMERA_INFO)
    info = deserialize_message(message.data, CameraInfo)
    mount = recording.transforms.matrix("base_link", info.header.frame_id, stamp)
    return math.atan2(info.width / 2, info.k[0]), mount[:2, 3].tolist()


def moment_of(player, answers, result, tracks, sweeps):
    """What was known and true at the stamp of a message of tracks, as seen from the robot."""
    recording, stamp = player.recording, player.original(tracks["stamp"])
    to_robot = recording.transforms.matrix("base_link", "odom", stamp)
    points, frame = recording.sweep(sweeps, stamp)
    points = apply(recording.transforms.matrix("base_link", frame, stamp), points)
    # What is neither floor nor above the robot's business.
    points = points[(points[:, 2] > 0.1) & (points[:, 2] < 2.0)]
    cloud = next((entry["places"] for entry in answers.obstacles if entry["stamp"] == tracks["stamp"]), np.empty((0, 2)))
    cells = apply(to_robot, np.column_stack([cloud, np.zeros(len(cloud))]))[:, :2]
    velocities = answers.velocities.get(tracks["stamp"], {})
    judge = Tally()
    objects = [{**seen_from(to_robot, o), "is_visible": judge.seen(o) is not None} for o in at(result["truth"], stamp).values()]
    found = [seen_from(to_robot, {**t, "velocity": velocities.get(t["id"])}) for t in tracks["tracks"]]
    return Moment(points, cells, view_of(recording, stamp), objects, found)


def picture_of(image):
    return Picture.frombytes("RGB", (image.width, image.height), bytes(image.data))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag")
    parser.add_argument("--bin", required=True, help="folder of the nodes")
    parser.add_argument("--camera-model", required=True)
    parser.add_argument("--lidar-model", required=True, help="tells whether scans or clouds are played")
    parser.add_argument("--last", type=float, default=1.0, metavar="SHARE", help="play the last share of the recording's time only")
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--logs", help="folder for what the nodes say; as --out by default")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    stay_here()
    sweeps = sweeps_of(arguments.lidar_model)
    nodes = PerceptionNodes(arguments.bin, arguments.camera_model, arguments.lidar_model, sweeps, arguments.logs or out)
    player, answers = replay(arguments.bag, sweeps, nodes, last=arguments.last, with_pictures=True)
    recording, result = player.recording, summary(player, answers)

    counts = {name: Counts() for truth in recording.pictures.values() for name, _, _, _ in truth}
    answered = {player.original(stamp): boxes for stamp, boxes in answers.boxes.items()}
    for stamp, boxes in answered.items():
        hold_against(boxes, recording.pictures.get(stamp, []), counts)
    tally = Tally()
    tally.add(result)
    status = next((values for name, values in answers.diagnostics.items() if name.strip("/").startswith("camera_detector")), {})

    sent = result["sent"]["/camera/image_raw"]
    print(f"{sent} images and {result['sent'][sweeps]} sweeps sent in {(recording.end - recording.begin) / 1e9:.0f} s, {len(answered)} images answered, "
          f"{status.get('dropped', '?')} replaced by newer ones before their turn, {status.get('failed', '?')} failed\n")
    mean = lambda values: f"{sum(values) / len(values):.2f}" if values else "-"
    share = lambda part, whole: f"{100 * part / whole:.0f} %" if whole else "-"
    print("camera_detector, against the warehouse's exact truth (IoU >= 0.5):")
    print(table(
        ["class", "there", "found", "recall", "false", "mean score"],
        [[name, c.true, c.found, share(c.found, c.true), c.false, mean(c.scores)] for name, c in counts.items()],
    ))
    print("\nits latency in ms, as it reports on /diagnostics:")
    print(table(
        ["stage", "p50", "p95", "p99", "what it is"],
        [[name, *(status.get(f"{name}_ms_{p}", "-") for p in ("p50", "p95", "p99")), what] for name, what in STAGES],
    ))
    print("\nobstacle_fusion, camera and lidar together, against the objects that are really there:")
    print(words(tally.figures()))

    # The pictures with most to see, no two from the same second.
    chosen = apart(sorted(answers.drawn, key=lambda stamp: -len(answers.boxes.get(stamp, []))), 1, arguments.pictures)
    pictures = [picture_of(answers.drawn[stamp]) for stamp in chosen]
    for number, picture in enumerate(pictures):
        picture.save(out / f"picture_{number}.png")
    if pictures:
        contact_sheet(pictures).save(out / "overview.png", optimize=True)
        print(f"\npictures: {out}/picture_0.png .. picture_{len(pictures) - 1}.png, all of them in {out}/overview.png")

    # From above, the moments with most people tracked and in sight of the camera.
    by_stamp = {entry["stamp"]: entry for entry in answers.detections if entry["stamp"] in answers.drawn}
    people = lambda stamp, found: sum(thing[0] == "person" for thing in found[stamp])
    rank = lambda stamp: (sum(t["class"] == "person" for t in by_stamp[stamp]["tracks"]) + people(stamp, answers.boxes), len(by_stamp[stamp]["tracks"]))
    moments = apart(sorted((stamp for stamp in by_stamp if stamp in answers.boxes), key=rank, reverse=True), 4, 2)
    if moments:
        seen = [(picture_of(answers.drawn[stamp]), moment_of(player, answers, result, by_stamp[stamp], sweeps)) for stamp in moments]
        overview(seen).save(out / "top_down.png", optimize=True)
        print(f"from above: {out}/top_down.png")

    figures = {
        "sent": result["sent"], "answered": len(answered), "diagnostics": answers.diagnostics, "tracks": tally.figures(),
        "classes": {name: {"there": c.true, "found": c.found, "false": c.false} for name, c in counts.items()},
    }
    (out / "replay.json").write_text(json.dumps(figures, indent=2) + "\n")
    if not any(c.found for c in counts.values()) or not chosen:
        sys.exit("camera_detector did not answer, or found nothing of what is there")
    if not tally.figures()["found"] or not moments:
        sys.exit("obstacle_fusion did not answer, or found nobody of those who are there")


if __name__ == "__main__":
    main()

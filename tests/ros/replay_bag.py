#!/usr/bin/env python3
"""Plays a recording of `distill synth` to the perception nodes on ROS 2 and writes what they answer beside the truth, as JSON.

    replay_bag.py BAG --out REPLAY.json [--bin FOLDER --camera-model FILE] [--lidar-model FILE] [--factor 1] [--last 1]

Publishes the serialized messages of the camera, the lidar, /tf and /tf_static in the recording's rhythm (or `--factor` times as fast)
with the recorded QoS; stamps are moved to now, so that latencies can be measured and TF fits. With `--bin` the nodes camera_detector,
lidar_detector and obstacle_fusion are started from that folder with the two models and ended afterwards; without, they are waited for.
REPLAY.json holds, with the recording's stamps: each message of /obstacle_fusion/detections and /obstacle_fusion/obstacles and when it
came, how long the detectors took, and the truth: objects in odom, how many lidar points each has, whether it is in the picture.
track_judge.py turns it into figures.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

import rclpy

from bag_player import Answers, Player, summary
from bag_recording import read
from perception_nodes import CAMERA_INFO, IMAGE, LABELS, PerceptionNodes, stay_here, sweeps_of


def replay(bag, sweeps, nodes=None, factor=1.0, last=1.0, with_pictures=False):
    """Plays the last share of a bag to nodes (running ones, without `nodes`); the player and what it heard."""
    recording = read(bag, [IMAGE, CAMERA_INFO, sweeps], LABELS[sweeps], last)
    rclpy.init()
    node = rclpy.create_node("replay_bag")
    player, answers = Player(node, recording, factor), Answers(node, with_pictures=with_pictures)
    with nodes or contextlib.nullcontext():
        # The detectors' topics are heard here and by the fusion.
        listened = {IMAGE: 1, CAMERA_INFO: 1, sweeps: 1, "/tf": 1, "/tf_static": 1, "/camera_detector/detections": 2, "/lidar_detector/detections": 2}
        offered = ["/obstacle_fusion/detections", "/obstacle_fusion/obstacles", "/camera_detector/detections", "/lidar_detector/detections"]
        check = nodes.check if nodes else lambda: None
        player.wait_for(listened, offered, check)
        player.play()
        check()
    node.destroy_node()
    rclpy.shutdown()
    answers.read()
    return player, answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bag")
    parser.add_argument("--out", required=True)
    parser.add_argument("--bin", help="folder of the nodes to be started")
    parser.add_argument("--camera-model")
    parser.add_argument("--lidar-model", help="also tells whether scans or clouds are played")
    parser.add_argument("--sweeps", choices=sorted(LABELS), help="what lidar_detector listens to, where no lidar model tells it")
    parser.add_argument("--logs", help="folder for what the nodes say; beside the result by default")
    parser.add_argument("--factor", type=float, default=1.0, help="how many times as fast as recorded")
    parser.add_argument("--last", type=float, default=1.0, metavar="SHARE", help="play the last share of the recording's time only")
    arguments = parser.parse_args()
    stay_here()
    sweeps = arguments.sweeps or (sweeps_of(arguments.lidar_model) if arguments.lidar_model else "/points")
    nodes = None
    if arguments.bin:
        if not (arguments.camera_model and arguments.lidar_model):
            parser.error("--bin needs --camera-model and --lidar-model")
        logs = arguments.logs or Path(arguments.out).parent
        nodes = PerceptionNodes(arguments.bin, arguments.camera_model, arguments.lidar_model, sweeps, logs)
    player, answers = replay(arguments.bag, sweeps, nodes, arguments.factor, arguments.last)
    result = summary(player, answers)
    Path(arguments.out).write_text(json.dumps({"bag": arguments.bag, "sweeps": sweeps, **result}) + "\n")
    print(f"{sum(result['sent'].values())} messages sent, at most {1e3 * result['lag']['max']:.0f} ms late; "
          f"{len(result['detections'])} times tracks and {len(result['obstacles'])} clouds came back", file=sys.stderr)


if __name__ == "__main__":
    main()

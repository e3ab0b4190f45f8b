"""The nodes of this package that turn a camera and a lidar into obstacles, as processes that do not outlive their user."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime

IMAGE, CAMERA_INFO, SCAN, CLOUD = "/camera/image_raw", "/camera/camera_info", "/scan", "/points"
# What the truth says about each point of them, point for point.
LABELS = {SCAN: "/truth/scan_labels", CLOUD: "/truth/points"}
CONFIG = Path(__file__).resolve().parents[2] / "config"
NODES = ("camera_detector", "lidar_detector", "obstacle_fusion")


def sweeps_of(lidar_model):
    """The topic of the recording that a lidar bundle is made for: a scan is a range image of one row."""
    session = onnxruntime.InferenceSession(str(lidar_model), providers=["CPUExecutionProvider"])
    bundle = json.loads(session.get_modelmeta().custom_metadata_map["distilled_perception"])
    return SCAN if bundle["spec"]["grid"]["rows"] == 1 else CLOUD


class PerceptionNodes:
    """camera_detector, lidar_detector and obstacle_fusion out of the folder `bin`, with the shipped parameters of config/.

    What they say goes to FOLDER/<node>.log.
    """

    def __init__(self, bin, camera_model, lidar_model, sweeps, folder):
        parameters = {
            "camera_detector": {"model": camera_model, "image_topic": IMAGE},
            "lidar_detector": {"model": lidar_model, "input_topic": sweeps, "input_type": "scan" if sweeps == SCAN else "cloud"},
            "obstacle_fusion": {"cameras": f"/camera_detector/detections|{CAMERA_INFO}", "lidar": "/lidar_detector/detections"},
        }
        self.commands = {}
        for name in NODES:
            given = [word for key, value in parameters[name].items() for word in ("-p", f"{key}:={value}")]
            self.commands[name] = [str(Path(bin) / name), "--ros-args", "--params-file", str(CONFIG / f"{name}.yaml"), *given]
        self.folder = Path(folder)
        self.running = {}

    def __enter__(self):
        try:
            for name, command in self.commands.items():
                with (self.folder / f"{name}.log").open("wb") as log:
                    self.running[name] = subprocess.Popen(command, stdout=log, stderr=log)
        except BaseException as error:
            # Whoever fails to enter is not left: those that run already would outlive us.
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def check(self):
        """Fails with a node's last words when one has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with exit code {process.returncode}:\n{self.last_words(name)}")

    def last_words(self, name, lines=20):
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def __exit__(self, kind, error, trace):
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline, wrong = time.monotonic() + 10, []
        for name, process in self.running.items():
            try:
                code = process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = "none: it had to be killed"
            # After an error of its own the caller has told what is wrong already.
            if code != 0 and error is None:
                wrong.append(name)
                print(f"{name} did not end cleanly (exit code {code}):\n{self.last_words(name)}", file=sys.stderr)
        if wrong:
            raise SystemExit(1)


def stay_here():
    """No robot on the network shall hear these nodes."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

"""Trains the same student here and in PyTorch, turn by turn, and prints images per second and the ratio. See scripts/bench-training."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from origin import commit, machine  # noqa: E402

# How far apart the first losses may be. On graphics cards PyTorch's convolutions round their inputs to ten bits (TF32).
TOLERANCE = {"cpu": 2e-3, "cuda": 1e-2, "wgpu": 1e-2}


class Trainer:
    """One side: a process that obeys commands."""

    def __init__(self, command, threads):
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.hello = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended early, with code {self.process.wait()}")
        return json.loads(line)

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command):
        self.tell(command)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def command_of_ours(arguments, folder, size, convolution, shards=None):
    ours = [arguments.ours, folder, "--size", size, "--convolution", convolution, "--batch", str(arguments.batch)]
    return [*ours, "--device", arguments.device, "--shards", str(shards or arguments.shards)]


def memory_key(device):
    """What the most memory is called: beside a graphics card it is that of the host alone, on both sides."""
    return "peak_bytes" if device == "cpu" else "host_peak_bytes"


def measure_scaling(arguments, size, convolution):
    """What two threads are worth to a training, and what two cores are worth to the machine: two trainings of one thread at once."""
    with tempfile.TemporaryDirectory() as folder:
        command = command_of_ours(arguments, folder, size, convolution)
        one, other, both = Trainer(command, 1), Trainer(command, 1), Trainer(command, 2)
        for side in (one, other, both):
            side.ask("steps 5")
        steps = max(1, round(5 / one.ask("steps 5")["seconds"] * arguments.seconds))
        threads, processes = [], []
        for _ in range(arguments.rounds):
            alone = one.ask(f"steps {steps}")["seconds"]
            threads.append(alone / both.ask(f"steps {steps}")["seconds"])
            for side in (one, other):
                side.tell(f"steps {steps}")
            processes.append(sum(alone / side.answer()["seconds"] for side in (one, other)))
        for side in (one, other, both):
            side.close()
        result = {"size": size, "convolution": convolution}
        return result | {"threads": statistics.median(threads), "processes": statistics.median(processes)}


def measure(arguments, size, convolution, threads):
    """Throughput of both sides with a number of threads, and their first losses."""
    with tempfile.TemporaryDirectory() as folder:
        # BatchNorm has other statistics in shards, so that losses are compared with the batch in one piece.
        whole = Trainer(command_of_ours(arguments, folder, size, convolution, shards=1), threads)
        losses = {"ours, whole": whole.ask("steps 3")["losses"]}
        whole.close()
        ours = Trainer(command_of_ours(arguments, folder, size, convolution), threads)
        theirs = [sys.executable, str(Path(__file__).with_name("torch_student.py")), folder]
        theirs += ["--threads", str(threads), "--device", arguments.device.replace("wgpu", "cuda")]
        sides = {"ours": ours}
        if arguments.burn:
            sides["burn"] = Trainer([*command_of_ours(arguments, folder, size, convolution), "--burn"], threads)
        for layout in arguments.layouts:
            sides[f"pytorch {layout}"] = Trainer([*theirs, "--layout", layout], threads)
        # The same weights, batch, loss and optimiser give the same losses for as long as rounding does not add up.
        losses |= {name: side.ask("steps 3")["losses"] for name, side in sides.items()}
        for name, found in losses.items():
            if name == "ours" and arguments.shards > 1:
                continue
            for a, b in zip(losses["ours, whole"], found):
                if abs(a - b) > TOLERANCE[arguments.device] * abs(a):
                    raise SystemExit(f"not the same training: losses {losses['ours, whole']} here, {found} in {name}")
        rounds = {name: [] for name in sides}
        steps = {name: 3 for name in sides}
        for turn in range(arguments.rounds + 1):
            for name, side in sides.items():
                seconds = side.ask(f"steps {steps[name]}")["seconds"]
                if turn > 0:
                    rounds[name].append(steps[name] * arguments.batch / seconds)
                # About a second a turn.
                steps[name] = max(1, round(steps[name] / seconds * arguments.seconds))
        result = {
            "size": size,
            "convolution": convolution,
            "threads": threads,
            "batch": arguments.batch,
            "shards": arguments.shards,
            "seed": ours.hello["seed"],
            "student": ours.hello["ready"],
            "losses": losses,
            "images_per_second": {name: statistics.median(values) for name, values in rounds.items()},
            memory_key(arguments.device): {name: side.ask("memory")["peak_bytes"] for name, side in sides.items()},
            "pytorch": next(side.hello["ready"] for name, side in sides.items() if name.startswith("pytorch")),
        }
        best = max((name for name in sides if name.startswith("pytorch")), key=lambda name: result["images_per_second"][name])
        # Each turn against the turn beside it, so that a machine that slows down slows both.
        ratios = [a / b for a, b in zip(rounds["ours"], rounds[best])]
        result |= {"reference": best, "ratio": statistics.median(ratios), "ratios": ratios}
        if arguments.operators:
            times = {name: {} for name in ("ours", "pytorch nchw")}
            for _ in range(3):
                for name, found in times.items():
                    for operator, time in sides[name].ask("operators")["operators"].items():
                        found[operator] = min(time, found.get(operator, time))
            result["operators"] = times
        for side in sides.values():
            side.close()
        return result


class Printed:
    """Everything that was printed, for the kept text."""

    def __init__(self):
        self.lines = []

    def __call__(self, line):
        self.lines += line.split("\n")
        print(line, flush=True)


def show(result, device, say):
    speeds = result["images_per_second"]
    of_host = "" if device == "cpu" else " of host memory"
    for name, speed in speeds.items():
        mebibytes = result[memory_key(device)][name] / 2**20
        note = f"   ratio {result['ratio']:.2f} (to the faster layout)" if name == "ours" else ""
        title = f"{result['size']} {result['convolution']}, {result['threads']} threads" if name == "ours" else ""
        say(f"{title:28} {name:14} {speed:7.1f} images/s {mebibytes:7.0f} MiB{of_host}{note}")
    if "operators" in result:
        say(f"\n{'forward and backward, ' + str(result['threads']) + ' threads':60} {'ours':>9} {'PyTorch':>9} {'ratio':>6}")
        ours, theirs = result["operators"]["ours"], result["operators"]["pytorch nchw"]
        for operator, time in ours.items():
            say(f"{operator:60} {time:6.2f} ms {theirs[operator]:6.2f} ms {theirs[operator] / time:6.2f}")
        say("")


def keep(arguments, results, scaling, printed):
    """Writes docs/results/bench-training.json and .txt, with the device in the name where it is not the CPU."""
    first = results[0]
    made = {"command": arguments.command, "commit": commit(), "seed": first["seed"], "machine": machine(), "device": arguments.device}
    made |= {"pytorch": first["pytorch"], "batch": arguments.batch, "shards": arguments.shards}
    shards = f"cut into {arguments.shards} shards here, whole in PyTorch" if arguments.shards > 1 else "whole on both sides"
    lines = [
        "The same student trained here and in PyTorch, turn by turn: the same weights, batch, loss and optimiser.",
        "",
        f"command  {made['command']}   (commit {made['commit']}; seed {made['seed']})",
        f"machine  {made['machine']}, device {made['device']}; {made['pytorch']}",
        f"batch    {made['batch']} images, {shards}",
        f"turns    {arguments.rounds} of {arguments.seconds:g} s for each side; ratio: the median over neighbouring turns",
    ]
    if arguments.burn:
        lines.append("burn     the same student with burn's own operators (gradient checkpointing on, batch whole); everything else as ours")
    name = "bench-training" if arguments.device == "cpu" else f"bench-training-{arguments.device}"
    to = Path(__file__).resolve().parents[2] / "docs/results"
    (to / f"{name}.json").write_text(json.dumps({**made, "trainings": results, "scaling": scaling}, indent=1) + "\n")
    (to / f"{name}.txt").write_text("\n".join([*lines, "", *printed.lines]).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-training", description=__doc__)
    parser.add_argument("--ours", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--command", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", nargs="+", default=["micro", "small"], metavar="SIZE", help="micro, small, base")
    parser.add_argument("--convolutions", nargs="+", default=["plain", "depthwise"], metavar="KIND")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--layouts", nargs="+", default=["nchw", "nhwc"], help="PyTorch's memory layouts (default: both)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--shards", type=int, default=2, help="of a batch, here alone: train.shards (default: 2)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side (default: 9)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument(
        "--device", default="cpu", choices=TOLERANCE, help="cpu, cuda or wgpu; PyTorch uses cuda for both (default: cpu)"
    )
    parser.add_argument("--burn", action="store_true", help="beside both, train with burn's own operators")
    parser.add_argument("--no-operators", dest="operators", action="store_false", help="leave the table of operators out")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file, too")
    parser.add_argument(
        "--keep", action="store_true", help="write what was printed and measured to docs/results/bench-training.txt and .json, too"
    )
    arguments = parser.parse_args()
    if arguments.device != "cpu":
        # There a batch always stays whole.
        arguments.shards = 1
    say, results = Printed(), []
    for convolution in arguments.convolutions:
        for size in arguments.sizes:
            for threads in arguments.threads:
                results.append(measure(arguments, size, convolution, threads))
                show(results[-1], arguments.device, say)
            # One table for each number of threads is enough.
            arguments.operators = False
    scaling = []
    if {1, 2} <= set(arguments.threads) and arguments.device == "cpu":
        for convolution in arguments.convolutions:
            for size in arguments.sizes:
                scaling.append(measure_scaling(arguments, size, convolution))
                threads, processes = scaling[-1]["threads"], scaling[-1]["processes"]
                say(
                    f"{size} {convolution}: two threads train {threads:.2f} times as fast as one; "
                    f"two trainings at once, of one thread each, {processes:.2f} times"
                )
    if arguments.json:
        arguments.json.write_text(json.dumps({"trainings": results, "scaling": scaling}, indent=1) + "\n")
    if arguments.keep:
        keep(arguments, results, scaling, say)


if __name__ == "__main__":
    main()

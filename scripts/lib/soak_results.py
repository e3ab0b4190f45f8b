#!/usr/bin/env python3
"""Writes what scripts/results/soak keeps: whether the nodes grow, what a frame costs and how old results are, as JSON and as text.

Memory: a line by least squares through the means of blocks of 30 s (of shorter ones in a short run) over the last half. Means, because
neighbouring samples are nearly the same value and would make the line look surer than it is. A node grows where its slope is more than
twice its standard error above 0 and the half grew by more than 1 MB; a few pages more are no leak, and a flat line has no error at all.
"""

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import percentile, table  # noqa: E402

# Which node answers on a topic, and how often it is expected to.
TOPICS = {
    "/camera_detector/detections": ("camera_detector", "images", 30.0),
    "/lidar_detector/detections": ("lidar_detector", "scans", 20.0),
    "/obstacle_fusion/obstacles": ("obstacle_fusion", None, 10.0),
}
LEAST_BLOCKS, BLOCK_SECONDS = 8, 30.0
# Megabytes in the last half that are not called growth.
LEAST_GROWTH = 1.0


def line(points):
    """Slope of the least squares line through points (x, y) and its standard error."""
    count = len(points)
    if count < 3:
        return 0.0, math.inf
    x_mean, y_mean = (sum(point[i] for point in points) / count for i in (0, 1))
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    rest = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points)
    return slope, math.sqrt(rest / (count - 2) / spread)


def memory(samples):
    """Resident memory of the last half: its slope in MB an hour, the slope's standard error, and the verdict."""
    half = samples[len(samples) // 2:]
    block = max(1, min(int(BLOCK_SECONDS), len(half) // LEAST_BLOCKS))
    blocks = [half[i:i + block] for i in range(0, len(half) - block + 1, block)]
    mean = lambda rows, i: sum(row[i] for row in rows) / len(rows)
    points = [(mean(rows, 0) / 3600, mean(rows, 1) / 1e6) for rows in blocks]
    slope, error = line(points)
    grown = slope * (points[-1][0] - points[0][0])
    return {
        "first_mb": round(samples[0][1] / 1e6, 1), "last_mb": round(samples[-1][1] / 1e6, 1), "most_mb": round(max(s[1] for s in samples) / 1e6, 1),
        "slope_mb_per_hour": round(slope, 3), "standard_error": None if math.isinf(error) else round(error, 3), "blocks": len(points),
        "grown_in_last_half_mb": round(grown, 3), "grows": bool(slope > 2 * error and grown > LEAST_GROWTH),
        "threads": [samples[0][3], samples[-1][3]], "files": [samples[0][4], samples[-1][4]],
    }


def answers(came, rate):
    """Latency in ms from stamp to reception, and the gaps between what came."""
    latencies = [(now - stamp) / 1e6 for stamp, now in came]
    gaps = [(b[1] - a[1]) / 1e6 for a, b in zip(came, came[1:])]
    if not gaps:
        return {"messages": len(came)}
    return {
        "messages": len(came), "p50_ms": round(percentile(latencies, 0.5), 2), "p99_ms": round(percentile(latencies, 0.99), 2),
        "most_ms": round(max(latencies), 1), "longest_gap_ms": round(max(gaps), 1),
        "gaps_over_two_periods": sum(gap > 2e3 / rate for gap in gaps),
    }


def drift(came):
    """The median latency of the last tenth against that of the first, in ms: ages that grow show here."""
    tenth = max(1, len(came) // 10)
    ages = lambda part: percentile([(now - stamp) / 1e6 for stamp, now in part], 0.5)
    return None if len(came) < 20 else round(ages(came[-tenth:]) - ages(came[:tenth]), 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("soak")
    parser.add_argument("--to", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--models", nargs=2, required=True)
    arguments = parser.parse_args()
    soak = json.loads(Path(arguments.soak).read_text())
    measured = lambda samples: [sample for sample in samples if sample[0] >= soak["warm_up"]]
    nodes = {}
    for topic, (name, kind, rate) in TOPICS.items():
        came, samples = soak["came"][topic], measured(soak["samples"][name])
        cpu, took = samples[-1][2] - samples[0][2], samples[-1][0] - samples[0][0]
        sent = {"images": 30, "scans": 20}.get(kind)
        answered = answers(came, rate)
        nodes[name] = {
            "memory": memory(samples),
            "cpu_ms_per_message": round(1e3 * cpu / max(1, len(came)), 2), "cores": round(cpu / took, 3),
            "topic": topic, **answered, "share_of_sent": round(len(came) / (sent * took), 4) if sent else None,
            "latency_drift_ms": drift(came),
        }
    models = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] for path in arguments.models}
    result = {
        "command": arguments.command, "commit": commit(), "machine": machine(), "models": models, "seconds": soak["seconds"],
        "warm_up_s": soak["warm_up"], "pictures": soak["frames"], "sent": soak["sent"], "latest_sensor_ms": round(1e3 * soak["late"], 1),
        "nodes": nodes, "worst": soak["worst"], "counts": soak["counts"][-1][1] if soak["counts"] else {},
    }
    error = lambda m: "-" if m["standard_error"] is None else f"{m['standard_error']:.2f}"
    memory_rows = [
        [name, n["memory"]["first_mb"], n["memory"]["last_mb"], n["memory"]["most_mb"], f"{n['memory']['slope_mb_per_hour']:+.2f}", error(n["memory"]),
         "yes" if n["memory"]["grows"] else "no", "{} -> {}".format(*n["memory"]["threads"]), "{} -> {}".format(*n["memory"]["files"])]
        for name, n in nodes.items()
    ]
    of = lambda n, key: "-" if n.get(key) is None else n[key]
    time_rows = [
        [name, n["messages"], "-" if n["share_of_sent"] is None else f"{100 * n['share_of_sent']:.1f} %", n["cpu_ms_per_message"], n["cores"], of(n, "p50_ms"),
         of(n, "p99_ms"), of(n, "most_ms"), of(n, "longest_gap_ms"), of(n, "gaps_over_two_periods"), of(n, "latency_drift_ms")]
        for name, n in nodes.items()
    ]
    worst = sorted(soak["worst"].items(), key=lambda item: (-item[1][0], -item[1][1]))[:8]
    text = "\n".join([
        f"camera_detector, lidar_detector and obstacle_fusion for {soak['seconds'] / 60:g} minutes.",
        "",
        f"command  {result['command']}   (commit {result['commit']})",
        f"data     {soak['frames']} pictures of 640x480 (rgb8) at 30 Hz, scans of 360 beams at 20 Hz, /tf_static; {soak['sent']['images']} images and"
        f" {soak['sent']['scans']} scans sent",
        *(f"model    {path}   (sha256 {digest})" for path, digest in models.items()),
        f"machine  {result['machine']}; no sensor was later than {result['latest_sensor_ms']:.0f} ms",
        f"measured after the first {soak['warm_up']:g} s",
        "",
        "Resident memory; slope over the last half by least squares through means of blocks, with its standard error, in MB an hour:",
        table(["node", "first MB", "last MB", "most MB", "slope", "error", "grows", "threads", "files"], memory_rows),
        "",
        "From the sensor's stamp to its reception in another process, in ms; processor time in ms a message and in cores:",
        table(["node", "messages", "of sent", "cpu ms", "cores", "p50", "p99", "most", "longest gap", "gaps > 2 periods", "drift"], time_rows),
        "",
        "What diagnostics said that was not OK, and how often:" if worst else "Diagnostics were OK all the time.",
        *(f"  {'ERROR' if level == 2 else 'WARN'} {times} x {what}" for what, (level, times) in worst),
    ])
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)
    growing = [name for name, n in nodes.items() if n["memory"]["grows"]]
    if growing:
        sys.exit(f"memory grows: {', '.join(growing)}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/fixtures/geometry/transforms.json: rigid transforms, what is half way between two, and a tree of moving frames.

Quaternions are only read here: everything is reckoned with rotation matrices, and a turn between two is the matrix exponential of a
share of the logarithm (Rodrigues' formulas). Where SciPy is installed, its Rotation and Slerp must say the same.

    pip install numpy                              # and scipy, to be told when SciPy says otherwise
    python3 scripts/reference/transforms.py            # writes the fixture
    python3 scripts/reference/transforms.py --check    # fails when the fixture would change
"""

import argparse
import json
import pathlib
import sys

import numpy as np

try:
    from scipy.spatial.transform import Rotation, Slerp
except ImportError:
    Rotation = Slerp = None

FIXTURE = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/geometry/transforms.json"
SEED = 20241127
PAIRS = 20
DIGITS = 10
SECOND = 1_000_000_000

# Child, parent, static. A robot with a camera and a lidar on a mast that turns, and a pallet seen from the map.
EDGES = [
    ("odom", "map", False), ("base_link", "odom", False), ("mast", "base_link", False), ("lidar", "mast", True),
    ("camera_link", "base_link", True), ("camera_optical_frame", "camera_link", True), ("pallet", "map", True),
]


def matrix(translation, quaternion):
    """4 x 4 from a shift and a quaternion x, y, z, w."""
    x, y, z, w = np.asarray(quaternion) / np.linalg.norm(quaternion)
    result = np.eye(4)
    result[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    result[:3, 3] = translation
    return result


def logarithm(rotation):
    """Axis times angle."""
    side = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    angle = np.arctan2(np.linalg.norm(side), np.trace(rotation) - 1)
    return angle * side / np.linalg.norm(side) if angle > 0 else np.zeros(3)


def exponential(turn):
    angle = np.linalg.norm(turn)
    if angle == 0:
        return np.eye(3)
    x, y, z = turn / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


def between(start, end, share):
    result = np.eye(4)
    turn = logarithm(start[:3, :3].T @ end[:3, :3])
    result[:3, :3] = start[:3, :3] @ exponential(share * turn)
    result[:3, 3] = (1 - share) * start[:3, 3] + share * end[:3, 3]
    if Slerp is not None:
        theirs = Slerp([0, 1], Rotation.from_matrix(np.stack([start[:3, :3], end[:3, :3]])))(share).as_matrix()
        if np.abs(theirs - result[:3, :3]).max() > 1e-10:
            sys.exit(f"SciPy turns otherwise: {theirs} is not {result[:3, :3]}")
    return result


def numbers(array):
    return np.round(np.asarray(array), DIGITS).tolist()


def random_parts(rng, shift=5.0, turn=None):
    """A shift and a quaternion: any, or one near no turn."""
    quaternion = rng.normal(0, 1, 4) if turn is None else np.append(rng.normal(0, turn, 3), 1.0)
    return np.round(rng.uniform(-shift, shift, 3), 6), np.round(quaternion / np.linalg.norm(quaternion), 12)


def pairs(rng):
    for number in range(PAIRS):
        first, second = random_parts(rng), random_parts(rng)
        if number % 4 == 3:  # nearly the same turn, where interpolation divides small numbers
            near = np.append(rng.normal(0, 10.0 ** -(number // 2), 3), 0.0)
            second = second[0], np.round((first[1] + near) / np.linalg.norm(first[1] + near), 15)
        a, b = matrix(*first), matrix(*second)
        share, point = round(float(rng.uniform()), 6), np.round(rng.uniform(-9, 9, 3), 6)
        yield {
            "a": {"translation": first[0].tolist(), "quaternion": first[1].tolist()},
            "b": {"translation": second[0].tolist(), "quaternion": second[1].tolist()},
            "share": share, "point": point.tolist(),
            "applied": numbers((a @ np.append(point, 1))[:3]), "rotated": numbers(a[:3, :3] @ point),
            "inverse": numbers(np.linalg.inv(a)), "composed": numbers(a @ b), "between": numbers(between(a, b, share)),
            "yaw": float(np.round(np.arctan2(a[1, 0], a[0, 0]), DIGITS)),
        }


def tree(rng):
    """Samples of all edges, shuffled, and look-ups at times between them."""
    samples, known = [], {}
    for child, parent, is_static in EDGES:
        stamps = [0] if is_static else sorted(int(t) for t in rng.integers(0, 4 * SECOND, 25))
        stamps = stamps if is_static else [0, *stamps, 4 * SECOND]
        translation, quaternion = random_parts(rng)
        for stamp in stamps:
            if not is_static:
                step, turn = random_parts(rng, 0.3, 0.1)
                translation, quaternion = np.round(translation + step, 6), product(quaternion, turn)
            samples.append({
                "child": child, "parent": parent, "static": is_static, "stamp": 100 * SECOND + stamp,
                "translation": translation.tolist(), "quaternion": quaternion.tolist(),
            })
            known.setdefault(child, []).append((100 * SECOND + stamp, matrix(translation, quaternion)))
    parents = {child: parent for child, parent, _ in EDGES}
    statics = {child for child, _, is_static in EDGES if is_static}

    def pose(child, time):
        """Of a child in its parent."""
        series = known[child]
        if child in statics:
            return series[0][1]
        after = next(i for i, (stamp, _) in enumerate(series) if stamp >= time)
        if series[after][0] == time:
            return series[after][1]
        (start, first), (end, second) = series[after - 1], series[after]
        return between(first, second, (time - start) / (end - start))

    def in_map(frame, time):
        result = np.eye(4)
        while frame != "map":
            result = pose(frame, time) @ result
            frame = parents[frame]
        return result

    frames = ["map", *parents]
    lookups, through = [], []
    for _ in range(40):
        target, source = rng.choice(frames, 2, replace=False)
        time = 100 * SECOND + int(rng.integers(0, 4 * SECOND))
        expected = np.linalg.inv(in_map(target, time)) @ in_map(source, time)
        lookups.append({"target": target, "source": source, "time": time, "expected": numbers(expected)})
    for _ in range(10):
        target, source = rng.choice(frames, 2)
        target_time, source_time = (100 * SECOND + int(t) for t in rng.integers(0, 4 * SECOND, 2))
        fixed = "odom"
        expected = (
            np.linalg.inv(np.linalg.inv(in_map(fixed, target_time)) @ in_map(target, target_time))
            @ np.linalg.inv(in_map(fixed, source_time)) @ in_map(source, source_time)
        )
        through.append({
            "target": target, "target_time": target_time, "source": source, "source_time": source_time, "fixed": fixed,
            "expected": numbers(expected),
        })
    order = rng.permutation(len(samples))
    return {"samples": [samples[i] for i in order], "lookups": lookups, "through": through}


def product(first, second):
    """The quaternion of first after second, rounded; only makes data, so it need not be trusted."""
    x1, y1, z1, w1 = first
    x2, y2, z2, w2 = second
    result = np.array([
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2, w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2, w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
    ])
    return np.round(result / np.linalg.norm(result), 12)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed fixture instead of writing it")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    short = lambda value: json.dumps(value, separators=(",", ":"))
    lines = lambda values: "[\n" + ",\n".join(short(value) for value in values) + "\n]"
    found, frames = list(pairs(rng)), tree(rng)
    text = "{\"pairs\":" + lines(found) + ",\n" + ",\n".join(f"\"{key}\":{lines(value)}" for key, value in frames.items()) + "}\n"
    if arguments.check:
        if FIXTURE.read_text() != text:
            sys.exit(f"{FIXTURE} is not what this script makes")
    else:
        FIXTURE.parent.mkdir(parents=True, exist_ok=True)
        FIXTURE.write_text(text)
    beside = "agreed with by SciPy" if Slerp is not None else "not compared with SciPy, which is not installed"
    print(f"{len(found)} pairs, {len(frames['samples'])} samples, {len(frames['lookups'])} look-ups, {beside}")


if __name__ == "__main__":
    main()

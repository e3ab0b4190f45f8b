#!/usr/bin/env python3
"""Makes tests/fixtures/geometry/camera_model.json: points before cameras and the pixels at which OpenCV's formulas show them.

The formulas are those of OpenCV's documentation (calib3d, `projectPoints` and `fisheye`), in numpy, one for the pinhole with its
quotient of polynomials and one for the fisheye. Where OpenCV itself is installed it must say the same. Where a formula stops
being one to one is found by walking along the radius in small steps.

    pip install numpy                              # and opencv-python-headless, to be told when OpenCV says otherwise
    python3 scripts/reference/camera_model.py            # writes the fixture
    python3 scripts/reference/camera_model.py --check    # fails when the fixture would change
"""

import argparse
import json
import pathlib
import sys

import numpy as np

try:
    import cv2
except ImportError:
    cv2 = None

FIXTURE = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/geometry/camera_model.json"
SEED = 20241126
POINTS = 24

# Name, size, focal lengths and centre, distortion model, coefficients, how far from the axis the points go (degrees).
CAMERAS = [
    ("straight", (640, 480), (525.0, 530.0, 319.5, 239.5), "plumb_bob", [0.0] * 5, 60),
    ("unnamed", (640, 480), (525.0, 530.0, 319.5, 239.5), "", [], 60),
    ("barrel", (1242, 375), (984.2, 980.8, 690.0, 233.2), "plumb_bob", [-0.3728755, 0.2037299, 0.002219027, 0.001383707, -0.07233722], 38),
    ("four", (640, 480), (610.0, 612.0, 322.0, 236.0), "plumb_bob", [0.12, -0.21, 0.0011, -0.0007], 30),
    ("quotient", (2048, 1536), (974.3, 974.1, 1024.7, 771.2), "rational_polynomial",
     [0.4460, -2.5860, 0.00045, -0.00021, 1.5090, 0.3240, -2.4080, 1.4360], 40),
    ("prism", (1280, 800), (790.0, 791.0, 640.2, 402.9), "rational_polynomial",
     [0.2, -0.5, 0.001, -0.002, 0.1, 0.15, -0.4, 0.05, 0.003, -0.001, -0.002, 0.0015], 35),
    ("untilted", (1280, 800), (790.0, 791.0, 640.2, 402.9), "rational_polynomial",
     [0.2, -0.5, 0.001, -0.002, 0.1, 0.15, -0.4, 0.05, 0.003, -0.001, -0.002, 0.0015, 0.0, 0.0], 35),
    ("fisheye", (848, 800), (286.1, 286.3, 424.6, 399.2), "equidistant", [-0.00814, 0.04411, -0.04137, 0.00774], 80),
    ("plain fisheye", (848, 800), (286.1, 286.3, 424.6, 399.2), "equidistant", [0.0] * 4, 80),
]


def pinhole(points, d):
    """Normalised coordinates after distortion, of points [n, 3]."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = (list(d) + [0.0] * 12)[:12]
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return np.stack([
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + s1 * r2 + s2 * r2**2,
        y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2,
    ], axis=1)


def fisheye(points, d):
    a, b = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r = np.sqrt(a**2 + b**2)
    theta = np.arctan(r)
    distorted = theta * (1 + d[0] * theta**2 + d[1] * theta**4 + d[2] * theta**6 + d[3] * theta**8)
    scale = np.where(r > 0, distorted / np.where(r > 0, r, 1), 1)
    return np.stack([a * scale, b * scale], axis=1)


def by_opencv(points, intrinsics, model, d):
    fx, fy, cx, cy = intrinsics
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), k, np.array(d))
    else:
        pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), k, np.array(d, dtype=float) if d else np.zeros(5))
    return pixels.reshape(-1, 2)


def reach(project):
    """The angle in degrees at which a point that goes away from the axis turns back in the picture; 90 when it never does.
    Only what acts along the radius counts."""
    angles = np.arange(0.001, 89.9, 0.001)
    tangents = np.tan(np.radians(angles))
    radii = project(np.stack([tangents, np.zeros_like(tangents), np.ones_like(tangents)], axis=1))[:, 0]
    turning = np.flatnonzero((np.diff(radii) <= 0) | (radii[1:] <= 0))
    return float(np.round(angles[turning[0]], 3)) if turning.size else 90.0


def camera(rng, name, size, intrinsics, model, d, widest):
    project = fisheye if model == "equidistant" else pinhole
    only_radial = list(d)
    if model != "equidistant" and d:
        only_radial[2:4] = [0.0, 0.0]
        only_radial[8:12] = [0.0] * len(only_radial[8:12])
    angle, side = np.radians(rng.uniform(0, widest, POINTS)), rng.uniform(-np.pi, np.pi, POINTS)
    angle[0] = 0.0
    distance = rng.uniform(0.1, 40, POINTS)
    points = np.round(np.stack([
        distance * np.tan(angle) * np.cos(side), distance * np.tan(angle) * np.sin(side), distance
    ], axis=1), 4)
    fx, fy, cx, cy = intrinsics
    plane = project(points, d)
    pixels = np.stack([fx * plane[:, 0] + cx, fy * plane[:, 1] + cy], axis=1)
    if cv2 is not None:
        difference = np.abs(pixels - by_opencv(points, intrinsics, model, d)).max()
        if difference > 1e-9 * max(size):
            sys.exit(f"{name}: OpenCV shows the points up to {difference} pixels elsewhere")
    limit = reach(lambda points: project(points, only_radial))
    if limit < widest:
        sys.exit(f"{name}: the formula turns back at {limit} degrees")
    return {
        "name": name, "width": size[0], "height": size[1], "k": [fx, 0, cx, 0, fy, cy, 0, 0, 1], "model": model, "d": d,
        "reach_degrees": limit, "points": points.tolist(), "pixels": np.round(pixels, 9).tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed fixture instead of writing it")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    cases = [camera(rng, *case) for case in CAMERAS]
    text = "[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n"
    if arguments.check:
        if FIXTURE.read_text() != text:
            sys.exit(f"{FIXTURE} is not what this script makes")
    else:
        FIXTURE.parent.mkdir(parents=True, exist_ok=True)
        FIXTURE.write_text(text)
    beside = "agreed with by OpenCV " + cv2.__version__ if cv2 is not None else "not compared with OpenCV, which is not installed"
    print(f"{len(cases)} cameras of {POINTS} points, {beside}: " + ", ".join(f"{c['name']} to {c['reach_degrees']}" for c in cases))


if __name__ == "__main__":
    main()

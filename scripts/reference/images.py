#!/usr/bin/env python3
"""Makes tests/fixtures/messages/images.json: small images in every encoding and what they are in RGB.

Nothing here follows the Rust code: YUV goes through the matrix of BT.601 in floating point, Bayer mosaics through masked
convolutions over a mirrored image, JPEG and PNG through Pillow. Each case says how far a pixel may differ (`tolerance`).

    pip install numpy pillow
    python3 scripts/reference/images.py            # writes the fixture
    python3 scripts/reference/images.py --check    # fails when the fixture would change
"""

import argparse
import io
import json
import pathlib
import sys

import numpy as np
from PIL import Image

FIXTURE = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/messages/images.json"
SEED = 20240514
PADDING = 3  # bytes behind each row


def pad_rows(rows, padding):
    """Bytes of `rows` [height, n] with rubbish behind each row, and the step."""
    rubbish = np.full((rows.shape[0], padding), 0xA5, np.uint8)
    padded = np.concatenate([rows, rubbish], axis=1)
    return padded.tobytes(), padded.shape[1]


def yuv_to_rgb(luma, u, v):
    """BT.601, limited range: Y' 16-235, Cb and Cr 16-240."""
    luma = np.maximum(luma.astype(np.float64) - 16.0, 0.0) / 219.0
    blue_difference = (u.astype(np.float64) - 128.0) / 224.0
    red_difference = (v.astype(np.float64) - 128.0) / 224.0
    weight_red, weight_blue = 0.299, 0.114
    weight_green = 1.0 - weight_red - weight_blue
    red = luma + 2.0 * (1.0 - weight_red) * red_difference
    blue = luma + 2.0 * (1.0 - weight_blue) * blue_difference
    green = (luma - weight_red * red - weight_blue * blue) / weight_green
    return np.clip(np.round(np.stack([red, green, blue], axis=-1) * 255.0), 0, 255).astype(np.uint8)


def packed_422(random, width, height, order):
    """A row is pairs of pixels; a lone last column has a whole pair of its own."""
    pairs = (width + 1) // 2
    planes = {
        "y": random.integers(0, 256, (height, pairs * 2), dtype=np.uint8),
        "u": random.integers(0, 256, (height, pairs), dtype=np.uint8),
        "v": random.integers(0, 256, (height, pairs), dtype=np.uint8),
    }
    luma = planes["y"].reshape(height, pairs, 2)
    parts = {"y0": luma[..., 0], "y1": luma[..., 1], "u": planes["u"], "v": planes["v"]}
    rows = np.stack([parts[name] for name in order], axis=-1).reshape(height, pairs * 4)
    rgb = yuv_to_rgb(planes["y"], planes["u"].repeat(2, axis=1), planes["v"].repeat(2, axis=1))
    return rows, rgb[:, :width]


def semi_planar(random, width, height, padding, u_first):
    luma = random.integers(0, 256, (height, width), dtype=np.uint8)
    half = ((height + 1) // 2, (width + 1) // 2)
    u = random.integers(0, 256, half, dtype=np.uint8)
    v = random.integers(0, 256, half, dtype=np.uint8)
    luma_bytes, step = pad_rows(luma, padding)
    chroma = np.stack([u, v] if u_first else [v, u], axis=-1).reshape(half[0], half[1] * 2)
    chroma_step = step + step % 2
    chroma_bytes, _ = pad_rows(chroma, chroma_step - chroma.shape[1])
    grow = lambda plane: plane.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return luma_bytes + chroma_bytes, step, yuv_to_rgb(luma, grow(u), grow(v))


def demosaic(mosaic, pattern):
    """Bilinear: at each pixel the mean of the nearest samples of each colour, over an image mirrored at its edges."""
    height, width = mosaic.shape
    padded = np.pad(mosaic.astype(np.int64), 1, mode="reflect")
    # The letter at each place of the padded image, whose origin is one up and one left.
    letters = np.array([[pattern[((y - 1) % 2) * 2 + (x - 1) % 2] for x in range(width + 2)] for y in range(height + 2)])
    kernels = [
        np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]),
        np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]]),
    ]
    rgb = np.zeros((height, width, 3), np.uint8)
    for channel, letter in enumerate("rgb"):
        mask = letters == letter
        for y in range(height):
            for x in range(width):
                window = padded[y : y + 3, x : x + 3]
                inside = mask[y : y + 3, x : x + 3]
                for kernel in kernels:  # nearest samples first
                    weights = kernel * inside
                    count = weights.sum()
                    if count:
                        rgb[y, x, channel] = int((window * weights).sum() / count + 0.5)
                        break
    return rgb


def raw_cases(random):
    def case(encoding, width, height, data, step, rgb, tolerance=0, big_endian=False):
        return {
            "encoding": encoding, "width": width, "height": height, "step": step, "is_bigendian": int(big_endian),
            "data": data.hex(), "rgb": rgb.astype(np.uint8).tobytes().hex(), "tolerance": tolerance,
        }

    width, height = 5, 3
    for encoding, order, channels in [
        ("rgb8", [0, 1, 2], 3), ("bgr8", [2, 1, 0], 3), ("8UC3", [2, 1, 0], 3),
        ("rgba8", [0, 1, 2], 4), ("bgra8", [2, 1, 0], 4), ("8UC4", [2, 1, 0], 4),
        ("mono8", [0, 0, 0], 1), ("8UC1", [0, 0, 0], 1),
    ]:
        pixels = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
        data, step = pad_rows(pixels.reshape(height, -1), PADDING)
        yield case(encoding, width, height, data, step, pixels[..., order])

    for encoding in ["mono16", "16UC1"]:
        for big_endian in [False, True]:
            values = random.integers(0, 65536, (height, width), dtype=np.uint16)
            values[0, :2] = [0, 65535]
            rows = values.astype(">u2" if big_endian else "<u2").view(np.uint8).reshape(height, -1)
            data, step = pad_rows(rows, PADDING)
            scaled = np.floor(values.astype(np.float64) / 65535.0 * 255.0 + 0.5)
            yield case(encoding, width, height, data, step, scaled[..., None].repeat(3, axis=2), big_endian=big_endian)

    for encoding, order in [
        ("yuv422", ["u", "y0", "v", "y1"]), ("uyvy", ["u", "y0", "v", "y1"]),
        ("yuv422_yuy2", ["y0", "u", "y1", "v"]), ("yuyv", ["y0", "u", "y1", "v"]),
    ]:
        for width in [6, 7]:
            rows, rgb = packed_422(random, width, height, order)
            data, step = pad_rows(rows, PADDING)
            yield case(encoding, width, height, data, step, rgb, tolerance=1)

    for encoding, u_first in [("nv12", True), ("nv21", False)]:
        for width, height, padding in [(6, 4, 0), (6, 4, PADDING), (7, 5, PADDING), (5, 5, 0)]:
            data, step, rgb = semi_planar(random, width, height, padding, u_first)
            yield case(encoding, width, height, data, step, rgb, tolerance=1)

    for pattern in ["rggb", "bggr", "gbrg", "grbg"]:
        for width, height in [(8, 6), (7, 5), (2, 2)]:
            mosaic = random.integers(0, 256, (height, width), dtype=np.uint8)
            data, step = pad_rows(mosaic, PADDING)
            yield case(f"bayer_{pattern}8", width, height, data, step, demosaic(mosaic, pattern))


def compressed_cases(random):
    def case(name, image, fmt, rgb, tolerance, **options):
        buffer = io.BytesIO()
        image.save(buffer, fmt, **options)
        if rgb is None:
            rgb = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
        return {
            "name": name, "width": image.width, "height": image.height, "data": buffer.getvalue().hex(),
            "rgb": rgb.astype(np.uint8).tobytes().hex(), "tolerance": tolerance,
        }

    width, height = 10, 7
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 20 + 30, y * 30 + 20, 200 - x * 10 - y * 8], axis=-1).astype(np.uint8)
    noise = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
    yield case("jpeg_rgb", Image.fromarray(smooth), "JPEG", None, 3, quality=95, subsampling=0)
    yield case("jpeg_grey", Image.fromarray(smooth[..., 0]), "JPEG", None, 2, quality=95)
    yield case("jpeg_progressive", Image.fromarray(smooth), "JPEG", None, 3, quality=95, subsampling=0, progressive=True)
    yield case("png_rgb", Image.fromarray(noise[..., :3]), "PNG", noise[..., :3], 0)
    yield case("png_rgba", Image.fromarray(noise), "PNG", noise[..., :3], 0)
    yield case("png_grey", Image.fromarray(noise[..., 0]), "PNG", noise[..., :1].repeat(3, axis=2), 0)
    deep = random.integers(0, 65536, (height, width), dtype=np.uint16)
    scaled = np.floor(deep / 65535.0 * 255.0 + 0.5)
    yield case("png_grey16", Image.fromarray(deep), "PNG", scaled[..., None].repeat(3, axis=2), 0)
    palette = Image.fromarray(noise[..., :3]).quantize(8)
    yield case("png_palette", palette, "PNG", np.asarray(palette.convert("RGB")), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed fixture instead of writing it")
    arguments = parser.parse_args()

    random = np.random.default_rng(SEED)
    cases = {"raw": list(raw_cases(random)), "compressed": list(compressed_cases(random))}
    lines = lambda entries: ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    text = "{\"raw\":[\n" + lines(cases["raw"]) + "\n],\"compressed\":[\n" + lines(cases["compressed"]) + "\n]}\n"
    if arguments.check:
        if FIXTURE.read_text() != text:
            sys.exit(f"{FIXTURE} is not what this script makes")
    else:
        FIXTURE.write_text(text)
    print(f"{len(cases['raw'])} raw and {len(cases['compressed'])} compressed images, {len(text)} bytes")


if __name__ == "__main__":
    main()

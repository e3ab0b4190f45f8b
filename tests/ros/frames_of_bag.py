#!/usr/bin/env python3
"""Takes real frames out of a bag with other people's code (the packages mcap and Pillow): an independent source for tests/camera_detector.rs.

    frames_of_bag.py BAG OUT EVERY jpg|png

Writes every EVERY-th sensor_msgs/msg/CompressedImage as OUT/<stamp in nanoseconds>.jpg, byte by byte as it is in the bag, or decoded by
Pillow as .png, which holds exactly the pixels that a camera driver would publish raw.
"""

import io
import sys
from pathlib import Path

from mcap.reader import make_reader
from PIL import Image
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage


def main():
    bag, out, every, kind = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    out.mkdir(parents=True, exist_ok=True)
    seen = 0
    for file in sorted(bag.glob("*.mcap")):
        with file.open("rb") as stream:
            for schema, _, message in make_reader(stream).iter_messages():
                if schema.name != "sensor_msgs/msg/CompressedImage":
                    continue
                if seen % every == 0:
                    image = deserialize_message(message.data, CompressedImage)
                    name = out / str(image.header.stamp.sec * 10**9 + image.header.stamp.nanosec)
                    if kind == "jpg":
                        name.with_suffix(".jpg").write_bytes(bytes(image.data))
                    else:
                        Image.open(io.BytesIO(bytes(image.data))).convert("RGB").save(name.with_suffix(".png"))
                seen += 1


if __name__ == "__main__":
    main()

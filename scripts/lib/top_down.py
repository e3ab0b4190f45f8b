"""Draws what the robot knows at one moment from above: lidar points, the camera's field of view, what is really there, the fused
tracks with their velocities, and the obstacle cloud that Nav2 gets. The robot looks upwards."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from bag_recording import apply

# As the nodes draw their boxes: src/node/palette.rs.
COLORS = {"person": (255, 64, 64), "forklift": (64, 200, 255), "pallet": (255, 200, 0)}
POINT, TRUTH, HIDDEN, RING, VIEW, CELL, TEXT = (90, 90, 100), (20, 20, 20), (170, 170, 175), (225, 225, 230), (255, 248, 220), (205, 205, 235), (40, 40, 45)
# Metres ahead of, behind and beside the robot that are shown.
AHEAD, BEHIND, BESIDE = 9.0, 4.0, 6.5
# Drawn larger and made smaller, for smooth lines.
FINE = 3


@dataclass
class Moment:
    """All places are in the robot's frame."""

    points: np.ndarray
    cells: np.ndarray
    # half the angle that the camera sees, and where it sits
    view: tuple
    # dictionaries with class, x, y, size, yaw; objects also have `is_visible`, tracks `id` and `velocity`
    objects: list
    tracks: list


def seen_from(transform, thing):
    """An object or track in another frame that is only turned about z."""
    x, y, _ = apply(transform, [[thing["x"], thing["y"], 0.0]])[0]
    turn = math.atan2(transform[1, 0], transform[0, 0])
    moved = {**thing, "x": float(x), "y": float(y), "yaw": thing["yaw"] + turn}
    if thing.get("velocity") is not None:
        moved["velocity"] = (transform[:2, :2] @ np.asarray(thing["velocity"])).tolist()
    return moved


class Sheet:
    """A square of floor."""

    def __init__(self, side):
        self.scale = FINE * side / (AHEAD + BEHIND)
        self.picture = Picture.new("RGB", (FINE * side, FINE * side), "white")
        self.draw = ImageDraw.Draw(self.picture)
        self.side = side

    def place(self, x, y):
        return (BESIDE - y) * self.scale, (AHEAD - x) * self.scale

    def corners(self, thing):
        length, width, _ = thing["size"]
        c, s = math.cos(thing["yaw"]), math.sin(thing["yaw"])
        return [
            self.place(thing["x"] + c * a * length / 2 - s * b * width / 2, thing["y"] + s * a * length / 2 + c * b * width / 2)
            for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
        ]

    def outline(self, thing, color, width):
        corners = self.corners(thing)
        self.draw.line([*corners, corners[0], corners[1]], fill=color, width=width * FINE, joint="curve")

    def disc(self, x, y, radius, color):
        u, v = self.place(x, y)
        self.draw.ellipse((u - radius * FINE, v - radius * FINE, u + radius * FINE, v + radius * FINE), fill=color)

    def arrow(self, x, y, velocity, color):
        """To where it will be in a second."""
        (u, v), (to_u, to_v) = self.place(x, y), self.place(x + velocity[0], y + velocity[1])
        length = math.hypot(to_u - u, to_v - v)
        if length < 4 * FINE:
            return
        a, b = (to_u - u) / length, (to_v - v) / length
        head = 5 * FINE
        self.draw.line((u, v, to_u - a * head / 2, to_v - b * head / 2), fill=color, width=2 * FINE)
        self.draw.polygon(
            [(to_u, to_v), (to_u - head * a + head * b / 2, to_v - head * b - head * a / 2), (to_u - head * a - head * b / 2, to_v - head * b + head * a / 2)],
            fill=color,
        )

    def text(self, x, y, words, color, shift=(0, 0)):
        u, v = self.place(x, y)
        font = ImageFont.load_default(11 * FINE)
        place = (u + shift[0] * FINE, v + shift[1] * FINE)
        self.draw.text(place, words, fill=color, font=font, stroke_width=FINE, stroke_fill="white")

    def finished(self):
        return self.picture.resize((self.side, self.side), Picture.Resampling.LANCZOS)


def darker(color):
    return tuple(int(0.65 * value) for value in color)


def top_down(moment, side=480):
    """A square picture of `side` pixels."""
    sheet = Sheet(side)
    half, (x, y) = moment.view
    far = 2 * AHEAD
    edges = [(x + far * math.cos(half * share), y + far * math.sin(half * share)) for share in np.linspace(-1, 1, 15)]
    sheet.draw.polygon([sheet.place(x, y), *(sheet.place(*edge) for edge in edges)], fill=VIEW)
    for radius in (2, 4, 6, 8):
        (left, top), (right, bottom) = sheet.place(radius, radius), sheet.place(-radius, -radius)
        sheet.draw.ellipse((left, top, right, bottom), outline=RING, width=FINE)
        sheet.text(radius, 0, f"{radius} m", HIDDEN, (2, -13))
    for cell in moment.cells:
        u, v = sheet.place(*cell)
        reach = 0.025 * sheet.scale
        sheet.draw.rectangle((u - reach, v - reach, u + reach, v + reach), fill=CELL)
    for point in moment.points:
        sheet.disc(point[0], point[1], 0.9, POINT)
    for thing in moment.objects:
        sheet.outline(thing, TRUTH if thing["is_visible"] else HIDDEN, 1)
    for track in moment.tracks:
        color = darker(COLORS.get(track["class"], (80, 255, 80)))
        sheet.outline(track, color, 2)
        sheet.disc(track["x"], track["y"], 3, color)
        if track.get("velocity") is not None:
            sheet.arrow(track["x"], track["y"], track["velocity"], color)
    for track in moment.tracks:
        color = darker(COLORS.get(track["class"], (80, 255, 80)))
        sheet.text(track["x"], track["y"], f"{track['class']} {track['id']}", color, (5, 3))
    (u, v) = sheet.place(0, 0)
    sheet.draw.polygon([(u, v - 9 * FINE), (u - 6 * FINE, v + 6 * FINE), (u + 6 * FINE, v + 6 * FINE)], fill=TEXT)
    return sheet.finished()


def legend(width, height=22):
    """One line that says what is what."""
    sheet = Picture.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font, middle, x = ImageFont.load_default(11), height // 2, 6
    for words, mark in [
        ("lidar", lambda: draw.ellipse((x + 3, middle - 2, x + 7, middle + 2), fill=POINT)),
        ("camera's view", lambda: draw.rectangle((x, middle - 5, x + 10, middle + 5), fill=VIEW, outline=RING)),
        ("really there", lambda: draw.rectangle((x, middle - 5, x + 10, middle + 5), outline=TRUTH)),
        ("there, unseen", lambda: draw.rectangle((x, middle - 5, x + 10, middle + 5), outline=HIDDEN)),
        ("track with its number, where it will be in a second", lambda: (
            draw.rectangle((x, middle - 5, x + 10, middle + 5), outline=darker(COLORS["person"]), width=2),
            draw.line((x + 5, middle, x + 12, middle - 8), fill=darker(COLORS["person"]), width=2),
        )),
        ("obstacle cloud for Nav2", lambda: draw.rectangle((x, middle - 5, x + 10, middle + 5), fill=CELL)),
    ]:
        mark()
        draw.text((x + 16, middle), words, fill=TEXT, font=font, anchor="lm")
        x += 16 + int(draw.textlength(words, font=font)) + 14
    return sheet


def overview(moments, side=480, gap=8):
    """Pairs of a camera's picture and a `Moment`, side by side, and the legend below."""
    columns = []
    for picture, moment in moments:
        picture = picture.resize((side, round(side * picture.height / picture.width)), Picture.Resampling.LANCZOS)
        column = Picture.new("RGB", (side, picture.height + gap + side), "white")
        column.paste(picture, (0, 0))
        column.paste(top_down(moment, side), (0, picture.height + gap))
        columns.append(column)
    width = len(columns) * (side + gap) - gap
    below = legend(width)
    height = max(column.height for column in columns)
    sheet = Picture.new("RGB", (width, height + below.height), "white")
    for number, column in enumerate(columns):
        sheet.paste(column, (number * (side + gap), 0))
    sheet.paste(below, (0, height))
    return sheet.quantize(256)

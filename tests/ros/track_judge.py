#!/usr/bin/env python3
"""Holds the tracks of a replay against its truth: the CLEAR MOT way (Bernardin & Stiefelhagen 2008), with the ranges of a robot.

    track_judge.py REPLAY.json.. [--class person] [--reach 8] [--distance 0.5] [--least-points 5]

At each stamp of the truth the detections whose stamp is nearest (within 0.15 s) are compared with where the objects were at *their*
stamp. An object counts while it is within the reach and visible: so many lidar points on it, or in the truth of the camera's picture.
It is found where a track of its class is within the distance; the track that had it before keeps it as long as that holds, the rest go
to the nearest. A track within the reach that found nobody is false, unless it is at an object that does not count. A stamp without
detections has found nobody. An object that goes out of sight for more than a second may come back with another id; before, another id
is a switch. Drivers of forklifts are people, too; they are also counted for themselves ("aboard something"). The first second is left
out, where TF and topics are still finding each other. Prints the figures as JSON: of each replay and of all together.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass, field

WARM_UP, OUT_OF_SIGHT, NEAR_IN_TIME = 1.0, 1.0, 0.15


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def rounded(value, digits=3):
    return None if value is None else round(value, digits)


def gap(a, b):
    return math.hypot(a["x"] - b["x"], a["y"] - b["y"])


def at(truth, stamp):
    """Objects by id where they were at any stamp, between two of the truth."""
    after = next((i for i, entry in enumerate(truth) if entry["stamp"] >= stamp), len(truth) - 1)
    a, b = truth[max(after - 1, 0)], truth[after]
    span = b["stamp"] - a["stamp"]
    share = min(max((stamp - a["stamp"]) / span, 0.0), 1.0) if span else 1.0
    others = {o["id"]: o for o in a["objects"]}
    mixed = {}
    for o in b["objects"]:
        other = others.get(o["id"], o)
        mixed[o["id"]] = {**o, **{axis: (1 - share) * other[axis] + share * o[axis] for axis in "xy"}}
    return mixed


def nearest_pairs(objects, tracks, distance):
    """The nearest first."""
    pairs = sorted((gap(o, t), o["id"], t["id"]) for o in objects.values() for t in tracks.values())
    taken, found = set(), {}
    for far, object_id, track_id in pairs:
        if far <= distance and object_id not in found and track_id not in taken:
            found[object_id] = (track_id, far)
            taken.add(track_id)
    return found


@dataclass
class Tally:
    """What was counted, over one recording or several."""

    name: str = "person"
    reach: float = 8.0
    distance: float = 0.5
    least_points: int = 5
    seconds: float = 0.0
    instants: int = 0
    unanswered: int = 0
    false: int = 0
    switches: int = 0
    covered: int = 0
    # [there, found] by who sees them
    seen_by: dict = field(default_factory=lambda: {"lidar and camera": [0, 0], "lidar alone": [0, 0], "camera alone": [0, 0]})
    # the same by where they are
    place_of: dict = field(default_factory=lambda: {"on its own": [0, 0], "aboard something": [0, 0]})
    errors: list = field(default_factory=list)
    tracks: int = 0
    # node -> seconds
    latencies: dict = field(default_factory=dict)

    def add(self, replay):
        """Judges one replay."""
        begin = replay["begin"] + round(WARM_UP * 1e9)
        instants = [entry for entry in replay["truth"] if entry["stamp"] >= begin]
        if not instants:
            return
        clouds = {entry["stamp"]: entry["nearest"] for entry in replay["obstacles"]}
        last, ids = {}, set()
        for instant in instants:
            answer = min(replay["detections"], key=lambda entry: abs(entry["stamp"] - instant["stamp"]), default=None)
            if answer is None or abs(answer["stamp"] - instant["stamp"]) > NEAR_IN_TIME * 1e9:
                self.unanswered += 1
                answer = {"stamp": instant["stamp"], "tracks": []}
            self.add_instant(instant, at(replay["truth"], answer["stamp"]), answer["tracks"], clouds.get(answer["stamp"], {}), last, ids)
        self.instants += len(instants)
        self.seconds += (instants[-1]["stamp"] - instants[0]["stamp"]) / 1e9
        self.tracks += len(ids)
        first = {}
        for entry in replay["detections"]:
            first.setdefault(entry["stamp"], entry["latency"])
        for node, entries in replay["detectors"].items():
            self.latencies.setdefault(node, []).extend(entry["latency"] for entry in entries)
        self.latencies.setdefault("obstacle_fusion", []).extend(first.values())

    def add_instant(self, instant, places, tracks, nearest, last, ids):
        """One stamp of the truth.

        `places`: all objects where they were at the tracks' stamp; `nearest`: from each to the obstacle cloud; `last`: who had each
        object, and when it was last in sight; `ids`: the tracks that had somebody.
        """
        now = instant["stamp"]
        tracks = {t["id"]: t for t in tracks if t["class"] == self.name}
        aboard = {o["id"] for o in instant["objects"] if o.get("aboard")}
        visible = {o["id"]: self.seen(o) for o in instant["objects"] if o["class"] == self.name and o["distance"] <= self.reach and self.seen(o)}
        wanted = {i: places[i] for i in visible if i in places}
        for i in [i for i, (_, when) in last.items() if now - when > OUT_OF_SIGHT * 1e9]:
            del last[i]
        kept = {}
        for i, place in wanted.items():
            track = last.get(i, (None, 0))[0]
            if track in tracks and gap(place, tracks[track]) <= self.distance and track not in {other for other, _ in kept.values()}:
                kept[i] = (track, gap(place, tracks[track]))
        taken = {track for track, _ in kept.values()}
        free = {i: t for i, t in tracks.items() if i not in taken}
        matched = kept | nearest_pairs({i: o for i, o in wanted.items() if i not in kept}, free, self.distance)
        for i, kind in visible.items():
            where = "aboard something" if i in aboard else "on its own"
            for part in (self.seen_by[kind], self.place_of[where]):
                part[0] += 1
                part[1] += i in matched
            if i in matched:
                track, error = matched[i]
                self.errors.append(error)
                self.switches += i in last and last[i][0] != track
                ids.add(track)
                last[i] = (track, now)
            elif i in last:
                # Still in sight: whoever finds it again should be the one who had it.
                last[i] = (last[i][0], now)
            self.covered += nearest.get(i, math.inf) <= self.distance
        found = {track for track, _ in matched.values()}
        rest = {i: t for i, t in tracks.items() if i not in found}
        others = {i: o for i, o in places.items() if o["class"] == self.name and i not in visible}
        excused = {track for track, _ in nearest_pairs(others, rest, self.distance).values()}
        x, y, _ = instant["robot"]
        self.false += sum(i not in excused and math.hypot(t["x"] - x, t["y"] - y) <= self.reach for i, t in rest.items())

    def seen(self, o):
        """Who sees an object; nothing when nobody does."""
        has_points = o["lidar_points"] >= self.least_points
        if o["in_image"]:
            return "lidar and camera" if has_points else "camera alone"
        return "lidar alone" if has_points else None

    def figures(self):
        there, found = (sum(part[k] for part in self.seen_by.values()) for k in (0, 1))
        share = lambda part, whole: rounded(part / whole) if whole else None
        return {
            "class": self.name, "reach_m": self.reach, "distance_m": self.distance, "least_points": self.least_points,
            "seconds": rounded(self.seconds, 1), "instants": self.instants, "unanswered": self.unanswered,
            "there": there, "found": found, "false": self.false,
            "recall": share(found, there), "precision": share(found, found + self.false), "covered": share(self.covered, there),
            "error_m": {"median": rounded(percentile(self.errors, 0.5)), "p90": rounded(percentile(self.errors, 0.9))},
            "tracks": self.tracks, "switches": self.switches, "switches_per_minute": share(60 * self.switches, self.seconds),
            "recall_by_who_sees": {kind: {"there": whole, "recall": share(part, whole)} for kind, (whole, part) in self.seen_by.items()},
            "recall_by_place": {kind: {"there": whole, "recall": share(part, whole)} for kind, (whole, part) in self.place_of.items()},
            "latency_ms": {
                node: {"messages": len(values), **{name: rounded(1e3 * percentile(values, p), 1) for name, p in (("p50", 0.5), ("p99", 0.99))}}
                for node, values in self.latencies.items() if values
            },
        }


def percent(share):
    return "-" if share is None else f"{100 * share:.1f} %"


def table(header, rows):
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    line = lambda row: "  " + "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
    return "\n".join([line(header), "  " + "  ".join("-" * w for w in widths), *map(line, rows)])


def words(figures):
    """The figures as a person reads them."""
    metres = lambda value: "-" if value is None else f"{value:.2f} m"
    reach, distance = figures["reach_m"], figures["distance_m"]
    by = lambda name, word: ", ".join(
        f"{percent(part['recall'])} of {part['there']} {word}{kind}" for kind, part in figures[name].items() if part["there"]
    )
    return "\n".join([
        f"{figures['class']} within {reach:g} m, visible, over {figures['seconds']:g} s ({figures['there']} at {figures['instants']} instants):",
        f"  found within {distance:g} m    {percent(figures['recall'])}   ({by('recall_by_who_sees', 'seen by ')};",
        f"                                 {by('recall_by_place', '')})",
        f"  precision             {percent(figures['precision'])}   ({figures['false']} false)",
        f"  position error        {metres(figures['error_m']['median'])} median, {metres(figures['error_m']['p90'])} p90",
        f"  id switches           {figures['switches']}, {figures['switches_per_minute']} a minute",
        f"  in the obstacle cloud {percent(figures['covered'])}",
        "from the sensor's stamp to what is published, in ms:",
        table(["node", "messages", "p50", "p99"], [[node, *values.values()] for node, values in figures["latency_ms"].items()]),
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("replays", nargs="+", metavar="REPLAY.json")
    parser.add_argument("--class", dest="name", default="person")
    parser.add_argument("--reach", type=float, default=8.0, help="metres from the robot")
    parser.add_argument("--distance", type=float, default=0.5, help="metres from object to track")
    parser.add_argument("--least-points", type=int, default=5)
    arguments = parser.parse_args()
    settings = (arguments.name, arguments.reach, arguments.distance, arguments.least_points)
    whole, each = Tally(*settings), []
    for path in arguments.replays:
        with open(path) as file:
            replay = json.load(file)
        tally = Tally(*settings)
        tally.add(replay)
        whole.add(replay)
        each.append({"bag": replay.get("bag"), **tally.figures()})
    print(words(whole.figures()), file=sys.stderr)
    print(json.dumps({"all": whole.figures(), "recordings": each}))


if __name__ == "__main__":
    main()

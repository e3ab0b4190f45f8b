"""What Nav2 does with a point cloud of obstacles, written anew in Python after its sources (navigation2, branch jazzy).

`ObstacleLayer` follows nav2_costmap_2d's ObservationBuffer and ObstacleLayer: buffers clouds by stamp, forgets those that are older
than `observation_persistence` when the newest arrives, drops points by height and range from `sensor_frame`, and in each cycle clears
along the rays of the lidar first and then marks every buffered cloud. `CollisionMonitor` follows nav2_collision_monitor's PointCloud
source: the newest cloud alone, too old or without TF means stop, else the points inside a polygon are counted; heights count in the
robot's frame. Their parameters are those that users merge into their own, config/nav2_obstacles.yaml.
"""

import math
from pathlib import Path

import numpy as np
import yaml
from sensor_msgs.msg import PointField

RESOLUTION = 0.05
PARAMETERS = yaml.safe_load((Path(__file__).resolve().parents[2] / "config/nav2_obstacles.yaml").read_text())
LAYER = PARAMETERS["local_costmap"]["local_costmap"]["ros__parameters"]["obstacle_layer"]
MONITOR = PARAMETERS["collision_monitor"]["ros__parameters"]


def points_of(cloud):
    """The points as an array of n x 3, read as sensor_msgs::PointCloud2ConstIterator<float> does; complains of what would crash it."""
    offsets = {}
    for field in cloud.fields:
        if field.name in ("x", "y", "z"):
            if field.datatype != PointField.FLOAT32 or field.count != 1:
                raise ValueError(f"{field.name} is no float32")
            offsets[field.name] = field.offset
    if set(offsets) != {"x", "y", "z"}:
        raise ValueError(f"fields are {[field.name for field in cloud.fields]}")
    count = cloud.width * cloud.height
    if cloud.is_bigendian or len(cloud.data) != cloud.point_step * count or cloud.row_step != cloud.point_step * cloud.width:
        raise ValueError("sizes do not fit")
    raw = np.frombuffer(bytes(cloud.data), np.uint8).reshape(count, cloud.point_step)
    return np.stack([raw[:, offsets[axis] : offsets[axis] + 4].copy().view("<f4")[:, 0] for axis in "xyz"], axis=1)


def stamp_of(header):
    return header.stamp.sec + header.stamp.nanosec / 1e9


class ObstacleLayer:
    """One obstacle layer with a clearing lidar and our cloud as a source that only marks, whose ranges count from the robot."""

    def __init__(self, parameters=LAYER):
        lidar, cloud = (parameters[name] for name in parameters["observation_sources"].split())
        if not (lidar["clearing"] and cloud["marking"] and not cloud["clearing"] and cloud["sensor_frame"] == "base_link"):
            raise ValueError(f"these sources do not work together: {parameters}")
        self.topic, self.persistence = cloud["topic"], cloud["observation_persistence"]
        self.min_height, self.max_height = cloud["min_obstacle_height"], cloud["max_obstacle_height"]
        self.obstacle_min_range, self.obstacle_max_range = cloud["obstacle_min_range"], cloud["obstacle_max_range"]
        self.raytrace_max_range = lidar["raytrace_max_range"]
        self.observations, self.last_updated = [], -math.inf
        self.cells = set()

    def buffer(self, cloud, now, origin):
        """Takes a cloud; `origin` is where `sensor_frame` was at its stamp in the global frame."""
        points = points_of(cloud)
        points = points[(points[:, 2] >= self.min_height) & (points[:, 2] <= self.max_height)]
        self.observations.insert(0, (stamp_of(cloud.header), origin, points))
        self.last_updated = now
        self.purge()

    def purge(self):
        if self.persistence == 0.0:
            del self.observations[1:]
            return
        for index, (stamp, _, _) in enumerate(self.observations):
            if self.last_updated - stamp > self.persistence:
                del self.observations[index:]
                return

    def update(self, robot):
        """One cycle of the costmap with the robot at this place: clear, then mark."""
        self.purge()
        x, y = robot
        # The lidar sees nothing and so clears all around it: whatever is marked is marked by our cloud.
        self.cells = {cell for cell in self.cells if math.hypot(*(self.center(cell) - [x, y])) > self.raytrace_max_range}
        for _, origin, points in self.observations:
            distance = np.hypot(points[:, 0] - origin[0], points[:, 1] - origin[1])
            for point in points[(distance >= self.obstacle_min_range) & (distance < self.obstacle_max_range)]:
                self.cells.add((math.floor(point[0] / RESOLUTION), math.floor(point[1] / RESOLUTION)))

    @staticmethod
    def center(cell):
        return (np.array(cell) + 0.5) * RESOLUTION

    def nearest(self, place):
        """Distance from a place to the nearest marked cell, or None."""
        return min((float(np.hypot(*(self.center(cell) - place))) for cell in self.cells), default=None)

    def farthest(self, place):
        """Distance from a place to the farthest marked cell, or None."""
        return max((float(np.hypot(*(self.center(cell) - place))) for cell in self.cells), default=None)


class CollisionMonitor:
    """A stop zone in front of the robot, whose frame is on the floor, with our cloud as its only source."""

    def __init__(self, parameters=MONITOR, min_points=4, zone=(0.0, 2.0, -0.5, 0.5)):
        if "detected" not in parameters["observation_sources"] or not parameters["base_shift_correction"]:
            raise ValueError(f"the cloud is no source, or not moved to where the robot is: {parameters}")
        source = parameters["detected"]
        self.topic, self.source_timeout = source["topic"], source["source_timeout"]
        self.min_height, self.max_height = source["min_height"], source["max_height"]
        self.min_points, self.zone = min_points, zone
        self.cloud = None

    def buffer(self, cloud):
        self.cloud = cloud

    def action(self, now, newest_tf, robot):
        """`invalid` and `stop` both stop the robot, `go` does not."""
        if self.cloud is None:
            return "invalid"
        stamp = stamp_of(self.cloud.header)
        if self.source_timeout != 0.0 and now - stamp > self.source_timeout:
            return "invalid"
        # base_shift_correction asks TF for the cloud's own stamp.
        if stamp > newest_tf:
            return "invalid"
        points = points_of(self.cloud)
        points = points[(points[:, 2] >= self.min_height) & (points[:, 2] <= self.max_height)]
        x, y = points[:, 0] - robot[0], points[:, 1] - robot[1]
        x_min, x_max, y_min, y_max = self.zone
        inside = (x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)
        return "stop" if np.count_nonzero(inside) >= self.min_points else "go"

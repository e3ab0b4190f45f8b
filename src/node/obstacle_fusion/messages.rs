//! Tracks as messages.

use super::classes::Classes;
use crate::{
    messages::{
        BoundingBox3D, Covariance, Detection3D, Detection3DArray, Header, ObjectHypothesis, ObjectHypothesisWithPose,
        Point, PointCloud2, PointField, Pose, PoseWithCovariance, Quaternion, Vector3,
    },
    tracking::{ClassProfile, Track},
};

/// Bytes of a point.
const POINT_STEP: u32 = 12;
/// Variance of a yaw of which nothing is known, in square radians: it is somewhere within half a turn, and the other half looks alike.
const UNKNOWN_YAW: f64 = std::f64::consts::PI * std::f64::consts::PI / 12.0;
/// What is not longer than wide by this factor looks alike from all sides: its yaw is as good as unknown.
const LEAST_ELONGATION: f64 = 1.2;

/// A cloud of exactly x, y, z as `float32`, which is what every consumer of Nav2 can read; also of no points.
pub(super) fn cloud(header: Header<'_>, points: &[[f32; 3]]) -> Vec<u8> {
    let mut data = Vec::with_capacity(points.len() * POINT_STEP as usize);
    for value in points.iter().flatten() {
        data.extend_from_slice(&value.to_le_bytes());
    }
    let width = u32::try_from(points.len()).unwrap_or(0);
    let fields = [("x", 0), ("y", 4), ("z", 8)]
        .map(|(name, offset)| PointField { name, offset, datatype: PointField::FLOAT32, count: 1 })
        .to_vec();
    PointCloud2 {
        header,
        height: 1,
        width,
        fields,
        is_bigendian: false,
        point_step: POINT_STEP,
        row_step: POINT_STEP * width,
        data: &data,
        is_dense: true,
    }
    .encode()
}

/// Tracks as detections; the id is the track's.
pub(super) fn detections(header: Header<'_>, tracks: &[Track], classes: &Classes) -> Vec<u8> {
    let ids: Vec<String> = tracks.iter().map(|track| track.id.to_string()).collect();
    let detections = tracks.iter().zip(&ids).map(|(track, id)| {
        let [x, y, z] = track.position;
        let center = Pose { position: Point { x, y, z }, orientation: Quaternion::from_yaw(track.yaw) };
        let covariance = pose_covariance(track, &ClassProfile::of(classes.name(track.class)));
        let [x, y, z] = track.size;
        Detection3D {
            header,
            results: vec![ObjectHypothesisWithPose {
                hypothesis: ObjectHypothesis { class_id: classes.name(track.class), score: f64::from(track.score) },
                pose: PoseWithCovariance { pose: center, covariance },
            }],
            bbox: BoundingBox3D { center, size: Vector3 { x, y, z } },
            id,
        }
    });
    Detection3DArray { header, detections: detections.collect() }.encode()
}

/// Covariance of a track's pose: x and y as they are tracked, z by how much heights differ within the class, for boxes stand on the floor,
/// and yaw by [`yaw_variance`]. Boxes stand upright: turns about x and y are 0.
fn pose_covariance(track: &Track, profile: &ClassProfile) -> Covariance {
    let mut covariance = Covariance::default();
    // Row by row, six to a row.
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        covariance.0[6 * row + column] = track.covariance[row][column];
    }
    // The middle is half as unsure as the height.
    covariance.0[6 * 2 + 2] = (profile.height_deviation * track.size[2] / 2.0).powi(2);
    covariance.0[6 * 5 + 5] = yaw_variance(track);
    covariance
}

/// Variance of a track's yaw in square radians: both ends of its longer side may lie beside it by as much as its place is unsure; at most
/// [`UNKNOWN_YAW`], which it is where no lidar measured it and where the object is about as wide as long.
fn yaw_variance(track: &Track) -> f64 {
    let [length, width, _] = track.size;
    let (longer, shorter) = (length.max(width), length.min(width));
    if !track.has_shape || longer < LEAST_ELONGATION * shorter {
        return UNKNOWN_YAW;
    }
    // The greatest variance in any direction.
    let (x, y, both) = (track.covariance[0][0], track.covariance[1][1], track.covariance[0][1]);
    let place = 0.5 * (x + y) + (0.5 * (x - y)).hypot(both);
    (4.0 * place / (longer * longer)).min(UNKNOWN_YAW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_has_nothing_but_coordinates() {
        let bytes = cloud(Header::default(), &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let read = PointCloud2::decode(&bytes).unwrap();
        assert_eq!((read.height, read.width, read.point_step, read.row_step), (1, 2, 12, 24));
        let names: Vec<&str> = read.fields.iter().map(|field| field.name).collect();
        assert_eq!(names, ["x", "y", "z"]);
        assert_eq!(read.data[20..], 6f32.to_le_bytes());
        let bytes = cloud(Header::default(), &[]);
        let empty = PointCloud2::decode(&bytes).unwrap();
        assert_eq!((empty.width, empty.fields.len(), empty.data.len()), (0, 3, 0));
    }

    #[test]
    fn tracks_keep_their_identity() {
        let mut covariance = [[0.0; 4]; 4];
        (covariance[0][1], covariance[1][0]) = (0.25, 0.25);
        let track = Track {
            id: 41,
            class: 1,
            score: 0.5,
            covariance,
            size: [4.0, 5.0, 6.0],
            yaw: 1.0,
            ..Track::person_at(1.0, 2.0)
        };
        let classes = Classes::new(&["person".into(), "forklift".into()]);
        let bytes = detections(Header { frame_id: "odom", ..Default::default() }, &[track], &classes);
        let array = Detection3DArray::decode(&bytes).unwrap();
        let detection = &array.detections[0];
        assert_eq!((detection.id, detection.header.frame_id), ("41", "odom"));
        assert_eq!(detection.results[0].hypothesis.class_id, "forklift");
        let covariance = &detection.results[0].pose.covariance.0;
        assert_eq!((covariance[1], covariance[6]), (0.25, 0.25));
        assert_eq!(detection.bbox.size, Vector3 { x: 4.0, y: 5.0, z: 6.0 });
    }

    #[test]
    fn what_is_not_measured_is_not_called_exact() {
        let of = |track: Track, class: &str| pose_covariance(&track, &ClassProfile::of(class)).0;
        let mut truck = Track { size: [2.8, 1.2, 2.0], ..Track::person_at(3.0, 0.0) };
        (truck.covariance[0][0], truck.covariance[1][1]) = (0.01, 0.04);
        let found = of(truck, "forklift");
        // Heights of forklifts differ by 10 %, so the middle by 0.1 m; 0.2 m at both ends of 2.8 m are 8 degrees.
        assert!((found[14] - 0.01).abs() < 1e-9 && (found[35].sqrt() - 0.4 / 2.8).abs() < 1e-9, "{found:?}");
        assert_eq!((found[0], found[7], found[21], found[28]), (0.01, 0.04, 0.0, 0.0));
        let person = Track { size: [0.5, 0.45, 1.7], ..truck };
        assert!((of(person, "person")[14] - 0.085f64.powi(2)).abs() < 1e-9);
        // People look alike from all sides, and a camera tells no yaw; nor does a place that could be anywhere.
        let mut lost = truck;
        lost.covariance[0][0] = 25.0;
        for track in [person, Track { has_shape: false, ..truck }, lost] {
            assert_eq!(of(track, "forklift")[35], UNKNOWN_YAW, "{track:?}");
        }
        assert!((UNKNOWN_YAW.sqrt().to_degrees() - 52.0).abs() < 0.1);
    }
}

//! Tracks as messages.

use super::classes::Classes;
use crate::{
    messages::{
        BoundingBox3D, Covariance, Detection3D, Detection3DArray, Header, ObjectHypothesis, ObjectHypothesisWithPose,
        Point, PointCloud2, PointField, Pose, PoseWithCovariance, Quaternion, Vector3,
    },
    tracking::Track,
};

/// Bytes of a point.
const POINT_STEP: u32 = 12;

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
        let mut covariance = Covariance::default();
        // Row by row, six to a row.
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            covariance.0[6 * row + column] = track.covariance[row][column];
        }
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
        covariance[0][1] = 0.25;
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
        assert_eq!(detection.results[0].pose.covariance.0[1], 0.25);
        assert_eq!(detection.bbox.size, Vector3 { x: 4.0, y: 5.0, z: 6.0 });
    }
}

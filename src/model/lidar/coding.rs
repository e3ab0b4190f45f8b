//! Votes and boxes as the network has them.
//!
//! Both are told from where the sensor stands: along the line from the sensor to the point, across it, and up. What an
//! object looks like to a lidar depends on its place only through the distance, so that one and the same vote and box
//! holds all around (Beyer et al. 2016). A box is the same after half a turn: the doubled angle has no jump there.

use std::f32::consts::{FRAC_PI_2, PI};

/// Sizes are held within `exp(-LOG_LIMIT)` (1 cm) and `exp(LOG_LIMIT)` (100 m).
const LOG_LIMIT: f32 = 4.6;

/// The way from a point to its object's centre as the network has it: `[radial, tangential, up]` in metres, radial away
/// from the sensor and tangential anticlockwise, both in the x-y plane at the point's azimuth.
pub fn encode_vote(point: [f32; 3], center: [f32; 3]) -> [f32; 3] {
    let (cos, sin) = bearing(point);
    let (x, y) = (center[0] - point[0], center[1] - point[1]);
    [x * cos + y * sin, y * cos - x * sin, center[2] - point[2]]
}

/// The centre that a point votes for: the reverse of [`encode_vote`].
pub fn decode_vote(point: [f32; 3], vote: [f32; 3]) -> [f32; 3] {
    let (cos, sin) = bearing(point);
    let [radial, tangential, up] = vote;
    [point[0] + radial * cos - tangential * sin, point[1] + radial * sin + tangential * cos, point[2] + up]
}

/// A box as the network has it at one of its points:
/// `[ln length, ln width, ln height, sin 2(yaw - azimuth), cos 2(yaw - azimuth)]`, with sizes in metres (held within
/// 1 cm and 100 m), the yaw in radians in the sensor frame, and the point's azimuth.
pub fn encode_box(point: [f32; 3], size: [f32; 3], yaw: f32) -> [f32; 5] {
    let [length, width, height] = size.map(|metres| metres.ln().clamp(-LOG_LIMIT, LOG_LIMIT));
    let (sin, cos) = (2.0 * (yaw - point[1].atan2(point[0]))).sin_cos();
    [length, width, height, sin, cos]
}

/// Length, width, height in metres and the yaw in (-pi/2, pi/2]: the reverse of [`encode_box`]. Sine and cosine may
/// have any common factor above 0.
pub fn decode_box(point: [f32; 3], encoded: [f32; 5]) -> ([f32; 3], f32) {
    (log_size(encoded).map(f32::exp), yaw_of(doubled_yaw(point, encoded)))
}

/// The logarithms of length, width and height in metres, within their limits.
pub(super) fn log_size(encoded: [f32; 5]) -> [f32; 3] {
    let [length, width, height, ..] = encoded;
    [length, width, height].map(|log| log.clamp(-LOG_LIMIT, LOG_LIMIT))
}

/// Cosine and sine of twice the yaw in the sensor frame. A vector longer than 1 is shortened to 1; a shorter one, which
/// a network gives where it is not sure, stays so, and has the less weight in a sum.
pub(super) fn doubled_yaw(point: [f32; 3], encoded: [f32; 5]) -> [f32; 2] {
    let [.., sin, cos] = encoded;
    let scale = 1.0 / sin.hypot(cos).max(1.0);
    let (sin, cos) = (sin * scale, cos * scale);
    let (bearing_cos, bearing_sin) = bearing(point);
    let turn_cos = bearing_cos * bearing_cos - bearing_sin * bearing_sin;
    let turn_sin = 2.0 * bearing_cos * bearing_sin;
    [cos * turn_cos - sin * turn_sin, sin * turn_cos + cos * turn_sin]
}

/// The yaw in (-pi/2, pi/2] out of cosine and sine of its double, of any length; 0 where both are 0.
pub(super) fn yaw_of(doubled: [f32; 2]) -> f32 {
    let [cos, sin] = doubled;
    let yaw = 0.5 * sin.atan2(cos);
    if yaw <= -FRAC_PI_2 { yaw + PI } else { yaw }
}

/// Cosine and sine of a point's azimuth; straight ahead for a point above or below the sensor.
fn bearing(point: [f32; 3]) -> (f32, f32) {
    let [x, y, _] = point;
    let distance = x.hypot(y);
    if distance > 0.0 { (x / distance, y / distance) } else { (1.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_PI_4;

    use proptest::prelude::*;

    use super::*;

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} is not {expected:?}");
    }

    #[test]
    fn votes_are_seen_from_the_sensor() {
        // To the left of the sensor, outwards is left and anticlockwise is backwards.
        assert_near(&encode_vote([0.0, 2.0, 0.5], [-1.0, 2.25, 1.0]), &[0.25, 1.0, 0.5]);
        assert_near(&decode_vote([0.0, 2.0, 0.5], [0.25, 1.0, 0.5]), &[-1.0, 2.25, 1.0]);
        assert_near(&encode_vote([0.0, 0.0, 1.0], [1.0, 2.0, 0.0]), &[1.0, 2.0, -1.0]);
    }

    #[test]
    fn boxes_are_seen_from_the_sensor() {
        // An object that looks the same from its place straight ahead and to the left.
        let ahead = encode_box([2.0, 0.0, 0.0], [1.0, 0.5, 2.0], FRAC_PI_4);
        assert_near(&ahead, &[0.0, 0.5_f32.ln(), 2.0_f32.ln(), 1.0, 0.0]);
        assert_near(&encode_box([0.0, 3.0, 0.0], [1.0, 0.5, 2.0], FRAC_PI_4 + FRAC_PI_2), &ahead);
        let (size, yaw) = decode_box([0.0, 3.0, 0.0], ahead);
        assert_near(&size, &[1.0, 0.5, 2.0]);
        assert_near(&[yaw], &[-FRAC_PI_4]);
    }

    #[test]
    fn sizes_have_limits_and_yaws_need_no_length() {
        let (size, yaw) = decode_box([1.0, 0.0, 0.0], [-50.0, 50.0, 0.0, 0.0, -0.25]);
        assert_near(&[size[0], yaw], &[(-LOG_LIMIT).exp(), FRAC_PI_2]);
        assert!((size[1] - LOG_LIMIT.exp()).abs() < 1e-3 && size[2] == 1.0, "{size:?}");
        assert_eq!(decode_box([1.0, 0.0, 0.0], [0.0, 0.0, 0.0, -0.0, -1.0]).1, FRAC_PI_2, "never -pi/2");
        assert_eq!(decode_box([1.0, 0.0, 0.0], [0.0; 5]).1, 0.0);
        assert_eq!(encode_box([1.0, 0.0, 0.0], [0.0, 1.0, 1.0], 0.0)[0], -LOG_LIMIT);
        let huge = doubled_yaw([1.0, 1.0, 0.0], [0.0, 0.0, 0.0, f32::MAX, f32::MAX]);
        assert!(huge.iter().all(|value| value.abs() <= 1.0), "{huge:?}");
    }

    fn any_point() -> impl Strategy<Value = [f32; 3]> {
        prop::array::uniform3(-50.0_f32..50.0)
    }

    proptest! {
        #[test]
        fn votes_come_back(point in any_point(), center in any_point()) {
            let vote = encode_vote(point, center);
            let found = decode_vote(point, vote);
            for (found, expected) in found.iter().zip(center) {
                prop_assert!((found - expected).abs() < 1e-3, "{:?} is not {:?}", found, expected);
            }
            // A turn keeps lengths.
            let length = (center[0] - point[0]).hypot(center[1] - point[1]);
            prop_assert!((vote[0].hypot(vote[1]) - length).abs() < 1e-3);
        }

        #[test]
        fn boxes_come_back_but_for_half_a_turn(
            point in any_point(),
            size in prop::array::uniform3(0.02_f32..90.0),
            yaw in -7.0_f32..7.0,
            factor in 0.1_f32..10.0,
        ) {
            let [length, width, height, sin, cos] = encode_box(point, size, yaw);
            let (found, found_yaw) = decode_box(point, [length, width, height, sin * factor, cos * factor]);
            for (found, expected) in found.iter().zip(size) {
                prop_assert!((found / expected - 1.0).abs() < 1e-4);
            }
            prop_assert!(found_yaw > -FRAC_PI_2 && found_yaw <= FRAC_PI_2);
            prop_assert!((found_yaw - yaw).sin().abs() < 1e-4, "{} is not {}", found_yaw, yaw);
        }
    }
}

//! The loop through the two aisles that the robot and the forklifts follow.

use std::f32::consts::{FRAC_PI_2, PI};

use super::vector::{Pose, vec3};

/// A rectangle with rounded corners on the floor, driven anticlockwise or, mirrored at the x axis, clockwise.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Half the extent along the aisles, in metres.
    pub half_x: f32,
    /// Half the extent across: the aisles' middles lie at `+-half_y`.
    pub half_y: f32,
    /// Radius of the corners, not more than either half extent.
    pub radius: f32,
    /// Driven clockwise (seen from above).
    pub clockwise: bool,
}

impl Route {
    /// Metres once around.
    pub fn length(&self) -> f32 {
        4.0 * (self.half_x + self.half_y - 2.0 * self.radius) + 2.0 * PI * self.radius
    }

    /// The upright pose `along` metres down the route, `lateral` metres to the left of its middle, x pointing forwards.
    pub fn pose(&self, along: f32, lateral: f32) -> Pose {
        let lateral = if self.clockwise { -lateral } else { lateral };
        let (x, y, yaw) = self.anticlockwise(along, lateral);
        if self.clockwise { Pose::yawed(vec3(x, -y, 0.0), -yaw) } else { Pose::yawed(vec3(x, y, 0.0), yaw) }
    }

    fn anticlockwise(&self, along: f32, lateral: f32) -> (f32, f32, f32) {
        let straight_x = 2.0 * (self.half_x - self.radius);
        let straight_y = 2.0 * (self.half_y - self.radius);
        let arc = FRAC_PI_2 * self.radius;
        let mut left = along.rem_euclid(self.length());
        let (mut x, mut y, mut yaw) = (-self.half_x + self.radius, -self.half_y, 0.0f32);
        for side in 0..4 {
            let straight = if side % 2 == 0 { straight_x } else { straight_y };
            let (sin, cos) = yaw.sin_cos();
            if left <= straight {
                return (x + left * cos - lateral * sin, y + left * sin + lateral * cos, yaw);
            }
            left -= straight;
            (x, y) = (x + straight * cos, y + straight * sin);
            // The corner's centre lies to the left of its start.
            let (center_x, center_y) = (x - self.radius * sin, y + self.radius * cos);
            let turned = if left <= arc || side == 3 { left / self.radius } else { FRAC_PI_2 };
            let (sin, cos) = (yaw + turned).sin_cos();
            if left <= arc || side == 3 {
                let radius = self.radius - lateral;
                return (center_x + radius * sin, center_y - radius * cos, yaw + turned);
            }
            left -= arc;
            (x, y, yaw) = (center_x + self.radius * sin, center_y - self.radius * cos, yaw + FRAC_PI_2);
        }
        (x, y, yaw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moves_forwards_at_unit_speed_and_closes(along in 0.0f32..200.0, clockwise in any::<bool>()) {
            let route = Route { half_x: 13.0, half_y: 4.0, radius: 2.5, clockwise };
            let (here, there) = (route.pose(along, 0.0), route.pose(along + 0.02, 0.0));
            let step = there.origin - here.origin;
            prop_assert!((step.length() - 0.02).abs() < 1e-3);
            prop_assert!(step.normalized().dot(here.axes[0]) > 0.99);
            let again = route.pose(along + route.length(), 0.0);
            prop_assert!((again.origin - here.origin).length() < 1e-3);
            let left = route.pose(along, 0.5).origin - here.origin;
            prop_assert!((left - here.axes[1] * 0.5).length() < 1e-3);
        }
    }
}

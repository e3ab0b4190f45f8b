//! Solids joined into things: each thing is built in its own frame and then placed in the warehouse.

use super::shapes::{Bounds, Shape};
use super::texture::{Surface, Texture};
use super::vector::{Pose, Vec3};

/// A shape with the look of its surface.
#[derive(Debug, Clone, Copy)]
pub struct Solid {
    /// Where it is.
    pub shape: Shape,
    /// What it looks like.
    pub surface: Surface,
}

/// The solids of one thing, in the thing's frame: x forwards, y left, z up, the origin on the floor.
#[derive(Debug, Clone, Default)]
pub struct Assembly {
    /// In the order of building.
    pub solids: Vec<Solid>,
    /// Varies the surfaces; stays with the thing over time.
    pub seed: u32,
}

impl Assembly {
    /// Nothing yet.
    pub fn new(seed: u32) -> Self {
        Self { solids: Vec::new(), seed }
    }

    fn push(&mut self, shape: Shape, texture: Texture, color: Vec3, frame: Pose, half: Vec3) -> &mut Surface {
        let seed = super::noise::hash2(self.seed, self.solids.len() as u32);
        let surface = Surface { texture, color, seed, gloss: 0.0, frame, half };
        self.solids.push(Solid { shape, surface });
        let last = self.solids.len() - 1;
        &mut self.solids[last].surface
    }

    /// A block parallel to the thing's axes, from its middle and sizes.
    pub fn block(&mut self, center: Vec3, size: Vec3, texture: Texture, color: Vec3) -> &mut Surface {
        self.push(Shape::block(center, size), texture, color, Pose::at(center), size * 0.5)
    }

    /// A block in any pose.
    pub fn turned(&mut self, pose: Pose, size: Vec3, texture: Texture, color: Vec3) -> &mut Surface {
        let half = size * 0.5;
        self.push(Shape::Turned { pose, half }, texture, color, pose, half)
    }

    /// A rod with round ends; a ball where `a` equals `b`.
    pub fn capsule(&mut self, a: Vec3, b: Vec3, radius: f32, texture: Texture, color: Vec3) -> &mut Surface {
        let half = (b - a).abs() * 0.5 + Vec3::splat(radius);
        self.push(Shape::Capsule { a, b, radius }, texture, color, Pose::at((a + b) * 0.5), half)
    }

    /// A rod with flat ends.
    pub fn cylinder(&mut self, a: Vec3, b: Vec3, radius: f32, texture: Texture, color: Vec3) -> &mut Surface {
        let half = (b - a).abs() * 0.5 + Vec3::splat(radius);
        self.push(Shape::Cylinder { a, b, radius }, texture, color, Pose::at((a + b) * 0.5), half)
    }

    /// Takes the solids from this number on away, as a thing of their own in the same frame. Surfaces stay as they are.
    pub fn split_off(&mut self, from: usize) -> Self {
        Self { solids: self.solids.split_off(from), seed: self.seed }
    }

    /// The solids as seen from the frame in which the thing stands at `pose`.
    pub fn placed(&self, pose: &Pose) -> impl Iterator<Item = Solid> {
        let pose = *pose;
        self.solids.iter().map(move |solid| Solid {
            shape: solid.shape.placed(&pose),
            surface: Surface { frame: pose.then(&solid.surface.frame), ..solid.surface },
        })
    }

    /// The box around all solids, parallel to the thing's axes.
    pub fn bounds(&self) -> Bounds {
        self.solids.iter().fold(Bounds::EMPTY, |all, solid| all.join(&solid.shape.bounds()))
    }
}

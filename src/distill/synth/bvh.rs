//! A bounding volume hierarchy: finds the nearest of many shapes without trying them all.

use super::shapes::{Bounds, Contact, Ray, Shape};

/// Shapes per leaf at most, unless they share one centre.
const LEAF: usize = 3;
/// Candidate planes per axis.
const BINS: usize = 12;

#[derive(Debug, Clone, Copy)]
struct Node {
    bounds: Bounds,
    /// Inner node: index of the second child (the first follows its parent). Leaf: index of the first shape.
    link: u32,
    /// Shapes in the leaf; 0 for an inner node.
    count: u16,
    /// Axis along which the children lie.
    axis: u16,
}

/// Shapes with an index over space. Indices given out are those of the shapes as they were handed in.
#[derive(Debug, Clone, Default)]
pub struct Bvh {
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    order: Vec<u32>,
}

impl Bvh {
    /// Sorts the shapes by the surface area heuristic over binned planes (Wald 2007).
    pub fn new(shapes: &[Shape]) -> Self {
        let bounds: Vec<Bounds> = shapes.iter().map(Shape::bounds).collect();
        let mut order: Vec<u32> = (0..shapes.len() as u32).collect();
        let mut nodes = Vec::with_capacity(shapes.len());
        if !shapes.is_empty() {
            build(&mut nodes, &bounds, &mut order, 0);
        }
        let sorted = order.iter().map(|&index| shapes[index as usize]).collect();
        Self { nodes, shapes: sorted, order }
    }

    /// The first contact nearer than `limit`, with the shape's index.
    pub fn nearest(&self, ray: &Ray, limit: f32) -> Option<(Contact, u32)> {
        let mut best: Option<(Contact, u32)> = None;
        let mut limit = limit;
        self.walk(ray, &mut limit, |shapes, first, limit| {
            for (offset, shape) in shapes.iter().enumerate() {
                if let Some(contact) = shape.contact(ray, *limit) {
                    *limit = contact.distance;
                    best = Some((contact, first + offset as u32));
                }
            }
            false
        });
        best.map(|(contact, position)| (contact, self.order[position as usize]))
    }

    /// True when anything stands on the ray before `limit`.
    pub fn blocks(&self, ray: &Ray, limit: f32) -> bool {
        let mut blocked = false;
        let mut limit = limit;
        self.walk(ray, &mut limit, |shapes, _, limit| {
            blocked = shapes.iter().any(|shape| shape.contact(ray, *limit).is_some());
            blocked
        });
        blocked
    }

    /// Visits leaves the ray enters before `limit`, near ones first, until `visit` returns true.
    #[inline(always)]
    fn walk(&self, ray: &Ray, limit: &mut f32, mut visit: impl FnMut(&[Shape], u32, &mut f32) -> bool) {
        if self.nodes.is_empty() {
            return;
        }
        let backwards = [ray.direction.x < 0.0, ray.direction.y < 0.0, ray.direction.z < 0.0];
        // Depth is bounded in `build`, so the stack cannot overflow.
        let mut stack = [0u32; MAX_DEPTH + 2];
        let mut height = 1;
        while height > 0 {
            height -= 1;
            let index = stack[height] as usize;
            let node = &self.nodes[index];
            if node.bounds.entry(ray, *limit).is_none() {
                continue;
            }
            if node.count > 0 {
                let first = node.link as usize;
                if visit(&self.shapes[first..first + node.count as usize], node.link, limit) {
                    return;
                }
            } else {
                let (near, far) = (index as u32 + 1, node.link);
                let (near, far) = if backwards[node.axis as usize] { (far, near) } else { (near, far) };
                stack[height] = far;
                stack[height + 1] = near;
                height += 2;
            }
        }
    }
}

const MAX_DEPTH: usize = 48;

fn component(v: super::vector::Vec3, axis: usize) -> f32 {
    [v.x, v.y, v.z][axis]
}

fn build(nodes: &mut Vec<Node>, bounds: &[Bounds], order: &mut [u32], first: usize) {
    build_at(nodes, bounds, order, first, 0);
}

fn build_at(nodes: &mut Vec<Node>, bounds: &[Bounds], order: &mut [u32], first: usize, depth: usize) {
    let whole = order.iter().fold(Bounds::EMPTY, |all, &index| all.join(&bounds[index as usize]));
    let index = nodes.len();
    nodes.push(Node { bounds: whole, link: first as u32, count: order.len() as u16, axis: 0 });
    // A leaf's count must fit 16 bits; deeper than the bound, halving by index keeps the tree shallow.
    if order.len() <= LEAF {
        return;
    }
    let Some((axis, plane)) = cheapest_plane(bounds, order) else {
        if order.len() > usize::from(u16::MAX) || depth < MAX_DEPTH / 2 {
            let half = order.len() / 2;
            split(nodes, bounds, order, first, depth, index, 0, half);
        }
        return;
    };
    let mut low = 0;
    for position in 0..order.len() {
        if component(bounds[order[position] as usize].center(), axis) < plane {
            order.swap(low, position);
            low += 1;
        }
    }
    let half = if low == 0 || low == order.len() || depth >= MAX_DEPTH / 2 { order.len() / 2 } else { low };
    split(nodes, bounds, order, first, depth, index, axis, half);
}

#[allow(clippy::too_many_arguments)]
fn split(
    nodes: &mut Vec<Node>,
    bounds: &[Bounds],
    order: &mut [u32],
    first: usize,
    depth: usize,
    index: usize,
    axis: usize,
    half: usize,
) {
    let (left, right) = order.split_at_mut(half);
    build_at(nodes, bounds, left, first, depth + 1);
    let second = nodes.len() as u32;
    build_at(nodes, bounds, right, first + half, depth + 1);
    nodes[index] = Node { link: second, count: 0, axis: axis as u16, ..nodes[index] };
}

/// The axis and coordinate that part the centres at the least expected cost; none when all centres coincide.
fn cheapest_plane(bounds: &[Bounds], order: &[u32]) -> Option<(usize, f32)> {
    let centers = order.iter().fold(Bounds::EMPTY, |all, &index| {
        let center = bounds[index as usize].center();
        all.join(&Bounds { min: center, max: center })
    });
    let mut best: Option<(f32, usize, f32)> = None;
    for axis in 0..3 {
        let (low, high) = (component(centers.min, axis), component(centers.max, axis));
        if high - low < 1e-5 {
            continue;
        }
        let scale = BINS as f32 / (high - low);
        let mut bins = [(Bounds::EMPTY, 0usize); BINS];
        for &index in order {
            let own = &bounds[index as usize];
            let bin = (((component(own.center(), axis) - low) * scale) as usize).min(BINS - 1);
            bins[bin] = (bins[bin].0.join(own), bins[bin].1 + 1);
        }
        let mut after = [0.0f32; BINS];
        let mut joined = (Bounds::EMPTY, 0usize);
        for bin in (1..BINS).rev() {
            joined = (joined.0.join(&bins[bin].0), joined.1 + bins[bin].1);
            after[bin] = joined.0.surface() * joined.1 as f32;
        }
        let mut joined = (Bounds::EMPTY, 0usize);
        for (bin, &beyond) in after.iter().enumerate().skip(1) {
            joined = (joined.0.join(&bins[bin - 1].0), joined.1 + bins[bin - 1].1);
            let cost = joined.0.surface() * joined.1 as f32 + beyond;
            if joined.1 > 0 && joined.1 < order.len() && best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, axis, low + bin as f32 / scale));
            }
        }
    }
    best.map(|(_, axis, plane)| (axis, plane))
}

#[cfg(test)]
mod tests {
    use super::super::noise::{hash2, unit};
    use super::super::vector::{Vec3, vec3};
    use super::*;

    fn random_vector(seed: u32, reach: f32) -> Vec3 {
        let at = |i| (unit(hash2(seed, i)) * 2.0 - 1.0) * reach;
        vec3(at(0), at(1), at(2))
    }

    #[test]
    fn finds_what_trying_every_shape_finds() {
        let shapes: Vec<Shape> = (0..500)
            .map(|i| match i % 3 {
                0 => Shape::block(random_vector(i, 10.0), Vec3::splat(0.2 + unit(hash2(i, 9)))),
                1 => {
                    let a = random_vector(i, 10.0);
                    Shape::Capsule { a, b: a + random_vector(i + 1000, 0.5), radius: 0.2 }
                }
                _ => {
                    let a = random_vector(i, 10.0);
                    Shape::Cylinder { a, b: a + vec3(0.0, 0.0, 1.0), radius: 0.3 }
                }
            })
            .collect();
        let bvh = Bvh::new(&shapes);
        let mut hits = 0;
        for i in 0..3000 {
            let ray = Ray::new(random_vector(i + 7000, 12.0), random_vector(i + 50_000, 1.0).normalized());
            let mut expected: Option<(Contact, u32)> = None;
            for (index, shape) in shapes.iter().enumerate() {
                if let Some(contact) = shape.contact(&ray, expected.map_or(30.0, |(best, _)| best.distance)) {
                    expected = Some((contact, index as u32));
                }
            }
            let found = bvh.nearest(&ray, 30.0);
            assert_eq!(found.map(|(contact, _)| contact.distance), expected.map(|(contact, _)| contact.distance));
            assert_eq!(bvh.blocks(&ray, 30.0), expected.is_some());
            hits += usize::from(found.is_some());
        }
        assert!(hits > 500, "only {hits} rays hit anything");
    }

    #[test]
    fn many_shapes_at_one_place_and_none_at_all() {
        let same = vec![Shape::block(Vec3::default(), Vec3::splat(1.0)); 100];
        let ray = Ray::new(vec3(-5.0, 0.1, 0.1), vec3(1.0, 0.0, 0.0));
        assert!(Bvh::new(&same).nearest(&ray, 10.0).is_some());
        assert!(Bvh::new(&[]).nearest(&ray, 10.0).is_none());
    }
}

//! Carts that people push: roll containers and trolleys. A cart and what lies on it are one object.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::assembly::Assembly;
use super::pallet::{cardboard, goods};
use super::texture::{Texture, pick, srgb};
use super::vector::{Vec3, vec3};

/// Some cart, facing x: who pushes it stands behind.
pub fn build(rng: &mut Pcg64Mcg) -> Assembly {
    let mut cart = Assembly::new(rng.random());
    if rng.random_bool(0.5) {
        let steel = pick(&[(150, 154, 158), (120, 124, 130), (176, 180, 184), (60, 96, 150)], rng.random());
        roll_container(&mut cart, rng, steel);
    } else {
        trolley(&mut cart, rng);
    }
    cart
}

/// A roll container: wheels, a frame of bars before and behind, cartons between them.
pub fn roll_container(cart: &mut Assembly, rng: &mut Pcg64Mcg, steel: Vec3) {
    cart.block(vec3(0.0, 0.0, 0.18), vec3(0.8, 0.68, 0.04), Texture::Plain, steel);
    for side in [-1.0, 1.0] {
        for post in -2..=2 {
            let at = vec3(side * 0.39, post as f32 * 0.16, 0.95);
            cart.block(at, vec3(0.02, 0.02, 1.5), Texture::Plain, steel);
        }
        for rail in 0..5 {
            let at = vec3(side * 0.39, 0.0, 0.3 + rail as f32 * 0.34);
            cart.block(at, vec3(0.02, 0.68, 0.025), Texture::Plain, steel);
        }
        for end in [-1.0, 1.0] {
            wheel(cart, vec3(side * 0.33, end * 0.28, 0.07), 0.07);
        }
    }
    let height = rng.random_range(0.3..1.1);
    let at = vec3(0.0, 0.0, 0.2 + height / 2.0);
    cart.block(at, vec3(0.7, 0.6, height), Texture::Cartons(vec3(0.35, 0.3, 0.28)), cardboard(rng.random()));
}

/// A trolley: a deck on wheels with a handle behind, empty or with goods.
fn trolley(cart: &mut Assembly, rng: &mut Pcg64Mcg) {
    let paint = pick(&[(40, 80, 150), (190, 50, 40), (60, 120, 70), (70, 74, 80), (226, 150, 30)], rng.random());
    let (length, width) = (rng.random_range(0.85..1.1f32), rng.random_range(0.5..0.66f32));
    let deck = 0.26;
    let (texture, color) =
        if rng.random_bool(0.5) { (Texture::Wood, srgb(176, 140, 96)) } else { (Texture::Plain, paint) };
    cart.block(vec3(0.0, 0.0, deck - 0.025), vec3(length, width, 0.05), texture, color);
    for x in [-1.0, 1.0] {
        for y in [-1.0, 1.0] {
            wheel(cart, vec3(x * (length / 2.0 - 0.12), y * (width / 2.0 - 0.06), 0.1), 0.1);
        }
    }
    let (foot, top) = (0.03 - length / 2.0, -0.1 - length / 2.0);
    let (across, grip) = (width / 2.0 - 0.04, 0.98);
    for side in [-1.0, 1.0] {
        let y = side * across;
        cart.capsule(vec3(foot, y, deck), vec3(top, y, grip), 0.016, Texture::Plain, paint).gloss = 0.3;
    }
    cart.capsule(vec3(top, -across, grip), vec3(top, across, grip), 0.016, Texture::Plain, paint).gloss = 0.3;
    let (load, high) = (vec3(length - 0.14, width - 0.06, 0.0), rng.random_range(0.25..0.75f32));
    let at = vec3(0.04, 0.0, deck + high / 2.0);
    let size = load + vec3(0.0, 0.0, high);
    match rng.random_range(0..4u8) {
        0 => {}
        1 => {
            cart.block(at, size, Texture::Cartons(vec3(0.6, 0.4, 0.3)), goods(rng.random())).gloss = 0.25;
        }
        2 => {
            // Two stacks that are not equally high.
            let (shorter, offset) = (size.scaled(vec3(0.48, 0.95, 0.6)), vec3(size.x / 4.0, 0.0, 0.0));
            let low = vec3(at.x, 0.0, deck + shorter.z / 2.0);
            let cell = Texture::Cartons(vec3(0.4, 0.35, 0.25));
            cart.block(at + offset, size.scaled(vec3(0.48, 0.9, 1.0)), cell, cardboard(rng.random()));
            cart.block(low - offset, shorter, cell, cardboard(rng.random()));
        }
        _ => {
            cart.block(at, size, Texture::Cartons(vec3(0.45, 0.35, 0.3)), cardboard(rng.random()));
        }
    }
}

/// A wheel that rolls along x, its middle at `at`.
fn wheel(cart: &mut Assembly, at: Vec3, radius: f32) {
    let half = vec3(0.0, 0.02, 0.0);
    cart.cylinder(at - half, at + half, radius, Texture::Plain, srgb(30, 30, 30));
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn has_the_size_of_a_cart_and_stands_on_the_floor() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        for _ in 0..40 {
            let bounds = build(&mut rng).bounds();
            let size = bounds.max - bounds.min;
            assert!(bounds.min.z.abs() < 1e-4 && (0.95..1.75).contains(&bounds.max.z), "{bounds:?}");
            assert!((0.75..1.3).contains(&size.x) && (0.45..0.7).contains(&size.y), "{bounds:?}");
        }
    }
}

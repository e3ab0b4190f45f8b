//! Wooden pallets, bare, stacked or loaded. A pallet and what stands on it are one object.

use rand::Rng;

use super::assembly::Assembly;
use super::texture::{Texture, pick, srgb};
use super::vector::{Vec3, vec3};

/// Height of one pallet in metres (EUR-pallet, EN 13698-1).
pub const HEIGHT: f32 = 0.144;

const CARDBOARD: [(u8, u8, u8); 6] =
    [(176, 132, 84), (160, 118, 74), (190, 148, 100), (146, 106, 68), (206, 178, 136), (222, 214, 198)];
const GOODS: [(u8, u8, u8); 7] =
    [(60, 90, 150), (170, 60, 50), (70, 130, 80), (200, 200, 205), (90, 90, 95), (200, 160, 60), (120, 80, 130)];

/// A colour of cardboard.
pub fn cardboard(seed: u32) -> Vec3 {
    pick(&CARDBOARD, seed)
}

/// A colour of goods that are not cardboard.
pub fn goods(seed: u32) -> Vec3 {
    pick(&GOODS, seed)
}

/// One pallet with its load, if `loaded` by chance something of up to `highest` metres. The long side lies along x.
pub fn build(rng: &mut impl Rng, loaded: bool, highest: f32) -> Assembly {
    let mut pallet = Assembly::new(rng.random());
    let depth = if rng.random_bool(0.7) { 0.8 } else { 1.0 };
    let blue = rng.random_bool(0.15);
    let wood = if blue {
        srgb(50, 90, 150)
    } else {
        pick(&[(186, 148, 98), (164, 130, 90), (140, 116, 88), (200, 166, 112)], rng.random())
    };
    let stack = if loaded { 1 } else { rng.random_range(1..=7) };
    for level in 0..stack {
        deck(&mut pallet, level as f32 * HEIGHT, 1.2, depth, wood);
    }
    if loaded {
        load(&mut pallet, rng, depth, highest);
    }
    pallet
}

/// Three runners with three blocks each, and the boards on top.
fn deck(pallet: &mut Assembly, z: f32, length: f32, depth: f32, wood: Vec3) {
    for row in -1..=1 {
        let y = row as f32 * (depth / 2.0 - 0.05);
        pallet.block(vec3(0.0, y, z + 0.011), vec3(length, 0.1, 0.022), Texture::Wood, wood);
        for column in -1..=1 {
            let x = column as f32 * (length / 2.0 - 0.07);
            pallet.block(vec3(x, y, z + 0.061), vec3(0.14, 0.1, 0.078), Texture::Wood, wood * 0.9);
        }
    }
    for board in -2..=2 {
        let y = board as f32 * (depth / 2.0 - 0.06) / 2.0;
        pallet.block(vec3(0.0, y, z + 0.122), vec3(length, 0.12, 0.044), Texture::Wood, wood);
    }
}

fn load(pallet: &mut Assembly, rng: &mut impl Rng, depth: f32, highest: f32) {
    let base = HEIGHT;
    let height = rng.random_range(0.35..(highest - base).max(0.5));
    match rng.random_range(0..10) {
        0..=3 => cartons(pallet, rng, depth, height),
        4..=5 => {
            let color = if rng.random_bool(0.5) { goods(rng.random()) } else { cardboard(rng.random()) };
            let size = vec3(rng.random_range(1.0..1.2), depth - rng.random_range(0.0..0.1), height);
            pallet.block(vec3(0.0, 0.0, base + height / 2.0), size, Texture::Film, color).gloss = 0.5;
        }
        6 => {
            // Four drums, 0.58 m across.
            let color = goods(rng.random());
            for (x, y) in [(-0.29, -0.2), (-0.29, 0.2), (0.29, -0.2), (0.29, 0.2)] {
                let (x, y) = (x, y * depth / 0.8);
                let top = base + 0.88;
                pallet.cylinder(vec3(x, y, base), vec3(x, y, top), 0.195, Texture::Plain, color).gloss = 0.4;
                for z in [0.3, 0.6] {
                    pallet.cylinder(
                        vec3(x, y, base + z),
                        vec3(x, y, base + z + 0.03),
                        0.2,
                        Texture::Plain,
                        color * 0.8,
                    );
                }
            }
        }
        7 => {
            // Sacks in layers.
            let layers = ((height / 0.16) as i32).clamp(2, 7);
            let color = pick(&[(214, 204, 186), (190, 170, 140), (225, 225, 225), (150, 130, 100)], rng.random());
            for layer in 0..layers {
                let z = base + 0.08 + layer as f32 * 0.15;
                for column in -1..=1 {
                    let x = column as f32 * 0.38 + if layer % 2 == 0 { 0.02 } else { -0.02 };
                    let reach = depth / 2.0 - 0.12;
                    pallet.capsule(vec3(x - 0.08, -reach, z), vec3(x - 0.08, reach, z), 0.1, Texture::Plain, color);
                    pallet.capsule(vec3(x + 0.08, -reach, z), vec3(x + 0.08, reach, z), 0.1, Texture::Plain, color);
                }
            }
        }
        8 => {
            // A crate of boards.
            let size = vec3(1.14, depth - 0.06, height.min(0.9));
            pallet.block(
                vec3(0.0, 0.0, base + size.z / 2.0),
                size,
                Texture::Cartons(vec3(2.0, 2.0, 0.12)),
                srgb(176, 140, 96),
            );
        }
        _ => {
            // A bulk container: white tank in a cage.
            let z = base + 0.5;
            pallet.block(vec3(0.0, 0.0, z), vec3(1.1, depth - 0.1, 1.0), Texture::Plain, srgb(215, 218, 220)).gloss =
                0.3;
            for side in [-1.0, 1.0] {
                for level in 0..5 {
                    let z = base + 0.1 + level as f32 * 0.2;
                    pallet.block(
                        vec3(0.0, side * (depth / 2.0 - 0.03), z),
                        vec3(1.18, 0.02, 0.025),
                        Texture::Plain,
                        srgb(120, 124, 128),
                    );
                    pallet.block(
                        vec3(side * 0.585, 0.0, z),
                        vec3(0.02, depth - 0.06, 0.025),
                        Texture::Plain,
                        srgb(120, 124, 128),
                    );
                }
            }
        }
    }
}

/// Columns of cartons, not all equally high.
fn cartons(pallet: &mut Assembly, rng: &mut impl Rng, depth: f32, height: f32) {
    let color = cardboard(rng.random());
    let layer = rng.random_range(0.22..0.42f32);
    let layers = (height / layer).round().max(1.0) as i32;
    let (columns, rows) = (rng.random_range(2..=4), if rng.random_bool(0.7) { 2 } else { 3 });
    let full = rng.random_bool(0.5);
    let cell = vec3(1.16 / columns as f32, (depth - 0.04) / rows as f32, layer);
    if full {
        let size = vec3(1.16, depth - 0.04, layer * layers as f32);
        pallet.block(vec3(0.0, 0.0, HEIGHT + size.z / 2.0), size, Texture::Cartons(cell), color);
        return;
    }
    for column in 0..columns {
        for row in 0..rows {
            let missing = if rng.random_bool(0.35) { rng.random_range(0..layers.min(3)) } else { 0 };
            let size = vec3(cell.x - 0.01, cell.y - 0.01, layer * (layers - missing) as f32);
            let x = (column as f32 + 0.5) * cell.x - 0.58;
            let y = (row as f32 + 0.5) * cell.y - (depth - 0.04) / 2.0;
            pallet.block(vec3(x, y, HEIGHT + size.z / 2.0), size, Texture::Cartons(cell), color);
        }
    }
}

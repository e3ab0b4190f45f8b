use image::RgbImage;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::{
    distill::{
        config::ColorJitter,
        student::StudentConfig,
        train::dataset::{self, NetworkInput, Shrunk},
    },
    sensing::letterbox::fill_input,
};

const INSIDE: [u8; 3] = [250, 250, 250];
const OUTSIDE: [u8; 3] = [5, 5, 5];

fn spec() -> InputSpec {
    StudentConfig::new(Default::default(), vec!["a".into()], 160, 96).input_spec()
}

fn painted(width: u32, height: u32, bbox: Box2) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
        let inside = x > bbox.x_min && x < bbox.x_max && y > bbox.y_min && y < bbox.y_max;
        image::Rgb(if inside { INSIDE } else { OUTSIDE })
    })
}

fn target(bbox: Box2) -> TargetBox {
    TargetBox { bbox, probabilities: vec![1.0], weight: 1.0 }
}

/// Edges of the pixels that are brighter than middle grey 127 (the border's grey 114 is not).
fn bright_edges(canvas: &Canvas) -> Option<Box2> {
    let mut edges: Option<Box2> = None;
    for y in 0..canvas.height {
        for x in 0..canvas.width {
            if canvas.pixels[(y * canvas.width + x) * 3] > 127 {
                let pixel = Box2::new(x as f32, y as f32, x as f32 + 1.0, y as f32 + 1.0);
                edges = Some(edges.map_or(pixel, |all| {
                    Box2::new(
                        all.x_min.min(pixel.x_min),
                        all.y_min.min(pixel.y_min),
                        all.x_max.max(pixel.x_max),
                        all.y_max.max(pixel.y_max),
                    )
                }));
            }
        }
    }
    edges
}

fn geometry_only(mosaic: f64) -> AugmentConfig {
    AugmentConfig {
        motion_blur: 0.0,
        color: ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 },
        mosaic,
        min_visible: 0.2,
        ..AugmentConfig::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A solid rectangle stays tight in its box, whatever is drawn.
    #[test]
    fn boxes_move_with_their_pixels(
        seed in any::<u64>(),
        width in 120..400u32,
        height in 90..240u32,
        left in 0.0..0.7f32,
        top in 0.0..0.7f32,
        part_x in 0.25..0.9f32,
        part_y in 0.25..0.9f32,
    ) {
        let (w, h) = (width as f32, height as f32);
        let right = (left + part_x).min(1.0);
        let bottom = (top + part_y).min(1.0);
        let bbox = Box2::new((left * w).round(), (top * h).round(), (right * w).round(), (bottom * h).round());
        let shrunk = dataset::shrink(painted(width, height, bbox), &spec()).unwrap();
        let boxes = FrameBoxes::from(vec![target(bbox)]);
        let frame = Frame { picture: shrunk.picture(), boxes: &boxes };
        let augmenter = Augmenter::new(geometry_only(0.0), spec());
        let Sample { canvas, boxes: moved, .. } = augmenter.draw(&[frame], &mut Pcg64Mcg::seed_from_u64(seed));
        if let [moved] = &moved[..] {
            let edges = bright_edges(&canvas).expect("the box's pixels are seen");
            for (name, is, should) in [
                ("left", moved.bbox.x_min, edges.x_min),
                ("top", moved.bbox.y_min, edges.y_min),
                ("right", moved.bbox.x_max, edges.x_max),
                ("bottom", moved.bbox.y_max, edges.y_max),
            ] {
                prop_assert!((is - should).abs() <= 1.6, "{name}: box {is}, pixels {should}");
            }
        } else if let Some(edges) = bright_edges(&canvas) {
            // Dropped, because too little of it is seen: a narrow part at the edge of the canvas at most.
            let at_edge = edges.x_min < 1.0 || edges.y_min < 1.0
                || edges.x_max > canvas.width as f32 - 1.0 || edges.y_max > canvas.height as f32 - 1.0;
            prop_assert!(at_edge, "dropped in the middle: {edges:?}");
        }
    }

    /// In a mosaic every box keeps to its own quadrant and is bright inside.
    #[test]
    fn mosaic_boxes_cover_bright_pixels(seed in any::<u64>()) {
        let shrunk: Vec<Shrunk> = (0..4)
            .map(|i| {
                let bbox = Box2::new(20.0 + 10.0 * i as f32, 15.0, 90.0, 80.0);
                dataset::shrink(painted(160, 96 + 10 * i, bbox), &spec()).unwrap()
            })
            .collect();
        let boxes: Vec<FrameBoxes> =
            (0..4).map(|i| vec![target(Box2::new(20.0 + 10.0 * i as f32, 15.0, 90.0, 80.0))].into()).collect();
        let frames: Vec<Frame<'_>> =
            shrunk.iter().zip(&boxes).map(|(shrunk, boxes)| Frame { picture: shrunk.picture(), boxes }).collect();
        let augmenter = Augmenter::new(geometry_only(1.0), spec());
        let Sample { canvas, boxes: moved, .. } = augmenter.draw(&frames, &mut Pcg64Mcg::seed_from_u64(seed));
        prop_assert!(moved.len() <= 4);
        for one in &moved {
            let (mut bright, mut all) = (0, 0);
            for y in one.bbox.y_min.ceil() as usize..one.bbox.y_max.floor() as usize {
                for x in one.bbox.x_min.ceil() as usize..one.bbox.x_max.floor() as usize {
                    all += 1;
                    bright += usize::from(canvas.pixels[(y * canvas.width + x) * 3] > 127);
                }
            }
            prop_assert!(all == 0 || bright as f32 >= 0.85 * all as f32, "{bright} of {all} in {:?}", one.bbox);
            for other in &moved {
                prop_assert!(std::ptr::eq(one, other) || one.bbox.intersection(&other.bbox) < 1e-3);
            }
        }
    }
}

#[test]
fn without_augmentation_an_image_is_seen_as_on_the_robot() {
    for (width, height) in [(160, 96), (320, 180), (100, 200), (640, 360)] {
        let image = RgbImage::from_fn(width, height, |x, y| {
            let wave = |v: f32| (127.0 + 100.0 * v.sin()) as u8;
            image::Rgb([wave(x as f32 * 12.0 / width as f32), wave(y as f32 * 9.0 / height as f32), 80])
        });
        let bbox = Box2::new(0.25 * width as f32, 0.5 * height as f32, 0.75 * width as f32, height as f32);
        let shrunk = dataset::shrink(image.clone(), &spec()).unwrap();
        let boxes = FrameBoxes::from(vec![target(bbox)]);
        let frame = Frame { picture: shrunk.picture(), boxes: &boxes };
        let augmenter = Augmenter::new(AugmentConfig::none(), spec());
        let Sample { canvas, boxes: moved, .. } = augmenter.draw(&[frame], &mut Pcg64Mcg::seed_from_u64(1));
        let mut ours = vec![0.0; 3 * 160 * 96];
        canvas.normalize(&spec(), &mut ours);
        let mut robots = vec![0.0; 3 * 160 * 96];
        let letterbox = fill_input(&image, &spec(), &mut robots);
        let mean: f32 = ours.iter().zip(&robots).map(|(a, b)| (a - b).abs()).sum::<f32>() / ours.len() as f32;
        let most = ours.iter().zip(&robots).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(mean < 0.02 && most < 0.35, "{width}x{height}: mean {mean}, most {most} deviations");
        let expected = letterbox.to_input(bbox);
        let found = moved[0].bbox;
        let difference = (expected.x_min - found.x_min).abs() + (expected.y_max - found.y_max).abs();
        assert!(difference < 1e-3, "{expected:?} {found:?}");
        // The same tensor is what validation uses.
        assert_eq!(NetworkInput::new(&image, &spec()).values(), robots);
    }
}

#[test]
fn mixed_samples_show_both_and_weigh_by_what_shows() {
    let augmenter = Augmenter::new(AugmentConfig { mixup: 1.0, ..AugmentConfig::none() }, spec());
    let sample = |x: f32| {
        let bbox = Box2::new(x, 20.0, x + 30.0, 60.0);
        let boxes = FrameBoxes::from(vec![target(bbox)]);
        let shrunk = dataset::shrink(painted(160, 96, bbox), &spec()).unwrap();
        augmenter.draw(&[Frame { picture: shrunk.picture(), boxes: &boxes }], &mut Pcg64Mcg::seed_from_u64(1))
    };
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    assert!(augmenter.wants_mixup(true, &mut rng) && !augmenter.wants_mixup(false, &mut rng));
    let mixed = augmenter.mix(sample(10.0), sample(100.0), &mut rng);
    let [own, other] = &mixed.boxes[..] else { panic!("{:?}", mixed.boxes) };
    assert_eq!((own.bbox.x_min, other.bbox.x_min), (10.0, 100.0));
    assert!((own.weight + other.weight - 1.0).abs() < 1e-6 && (0.4..0.6).contains(&own.weight));
    let pixel = |x: usize, y: usize| mixed.canvas.pixels[(y * mixed.canvas.width + x) * 3];
    let expected = |inside: f32| (250.0 * inside + 5.0 * (1.0 - inside)).round() as u8;
    assert_eq!((pixel(25, 40), pixel(115, 40), pixel(75, 40)), (expected(own.weight), expected(other.weight), 5));
}

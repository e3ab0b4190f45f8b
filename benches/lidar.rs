//! What a lidar detector costs a sweep beside its network: projection, input tensor, and decoding of outputs that hold
//! 20 objects. Writes a line with the medians in milliseconds for a scan of 768 beams and for a lidar of 16 rows and
//! 900 columns.
//!
//! ```text
//! cargo bench --bench lidar
//! ```

use std::f32::consts::PI;
use std::hint::black_box;
use std::time::Instant;

use distilled_perception::model::lidar::{
    LidarOutput, LidarSpec, RangeChannel, decode, encode_box, encode_vote, fill_input, label_hidden_points,
};
use distilled_perception::sensing::range_image::{RangeGrid, RangeImage, Sweep};

const OBJECTS: usize = 20;
const ROUNDS: usize = 201;

fn main() {
    let scan = RangeGrid { rows: 1, columns: 768, azimuth: [-PI, PI], elevation: [0.0; 2] };
    measure("scan of 768 beams", LidarSpec::new(scan, RangeChannel::scan(), 20.0, classes()));
    let cloud = RangeGrid { rows: 16, columns: 900, azimuth: [-PI, PI], elevation: [-0.26, 0.26] };
    measure("cloud of 16 x 900", LidarSpec::new(cloud, RangeChannel::cloud(), 40.0, classes()));
}

fn classes() -> Vec<String> {
    ["person", "forklift", "pallet"].map(str::to_owned).to_vec()
}

/// A round room with objects all around, and a network that knows them.
fn measure(name: &str, spec: LidarSpec) {
    let (rows, columns, cells) = (spec.grid.rows, spec.grid.columns, spec.grid.cells());
    let mut points = Vec::with_capacity(cells);
    let mut logits = vec![-4.0; spec.classes.len() * cells];
    let (mut votes, mut boxes) = (vec![0.0; 3 * cells], vec![0.0; 5 * cells]);
    let [low, high] = spec.grid.elevation;
    for cell in 0..cells {
        let (row, column) = (cell / columns, cell % columns);
        let elevation = low + (row as f32 + 0.5) * (high - low) / rows as f32;
        let azimuth = spec.grid.azimuth_of(column);
        // Two places for each object: where it is, and the gap beside it.
        let place = column * 2 * OBJECTS / columns;
        let distance = if place.is_multiple_of(2) { 4.0 + (place % 5) as f32 } else { 12.0 };
        let point = [distance * azimuth.cos(), distance * azimuth.sin(), distance * elevation.tan()];
        points.push(point);
        if place.is_multiple_of(2) {
            let middle = (place as f32 + 0.5) / (2 * OBJECTS) as f32 * 2.0 * PI - PI;
            let center = [(distance + 0.3) * middle.cos(), (distance + 0.3) * middle.sin(), 0.0];
            logits[(place % spec.classes.len()) * cells + cell] = 3.0;
            let (vote, encoded) = (encode_vote(point, center), encode_box(point, [0.6, 0.6, 1.8], middle));
            vote.iter().enumerate().for_each(|(channel, &value)| votes[channel * cells + cell] = value);
            encoded.iter().enumerate().for_each(|(channel, &value)| boxes[channel * cells + cell] = value);
        }
    }
    let sweep = Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 };
    let image = RangeImage::project(&sweep, &spec.grid);
    let output = LidarOutput { class_logits: &logits, votes: &votes, boxes: &boxes };
    let mut input = vec![0.0; spec.input_len()];
    let project = median(|| drop(black_box(RangeImage::project(black_box(&sweep), &spec.grid))));
    let fill = median(|| fill_input(black_box(&image), &spec, black_box(&mut input)));
    let mut objects = 0;
    let decode = median(|| {
        let mut found = decode(black_box(&output), &image, &spec);
        label_hidden_points(&mut found.points, &image, &sweep);
        objects = black_box(found).objects.len();
    });
    println!("{name}: {objects} objects; project {project:.3} ms, fill {fill:.3} ms, decode {decode:.3} ms");
}

/// The median time in milliseconds.
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

//! Convolution and its gradients on row-major `[B, C, H, W]` values: for each unit of rows or images, its planes, then the
//! inner loops over them. Pointwise convolutions of large images take the images as they are.

use std::cell::RefCell;

use rayon::prelude::*;

use super::{
    any_values,
    kernel::{LANES, Runs, Weights, correlate, multiply},
    planes::{Cut, Unit},
    threads::threads,
};

pub(super) use super::planes::Geometry;

/// Memory that each thread uses again and again.
#[derive(Debug, Default)]
struct Scratch {
    /// Planes of the input.
    planes: Vec<f32>,
    /// Gradients of the outputs, spread.
    gradient: Vec<f32>,
    /// Outputs as they are computed.
    wide: Vec<f32>,
    /// What [`multiply`] needs.
    tail: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends the thread's scratch. It is taken out meanwhile, because a thread that waits for others takes up other work.
fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

fn room(values: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if values.len() < length {
        values.resize(length, 0.0);
    }
    &mut values[..length]
}

/// Images so small that a plane is no more than a few blocks of columns are put together.
const SMALL: usize = 480;

/// How many of so many rows a thread takes, when there are so many tasks for all threads: all, unless some would have nothing to
/// do. Whole blocks of rows.
fn rows_of_part(tasks: usize, rows: usize) -> usize {
    let threads = threads();
    let parts = if tasks >= threads { 1 } else { threads.div_ceil(tasks) };
    rows.div_ceil(parts).next_multiple_of(4).min(rows)
}

/// Weights in as many parts as there are threads left for each task, with the rows of a part.
struct Parts {
    parts: Vec<Weights>,
    rows: usize,
}

impl Parts {
    fn new(tasks: usize, rows: usize, taps: usize, mut write: impl FnMut(usize, &mut [f32])) -> Self {
        let each = rows_of_part(tasks, rows);
        let parts = (0..rows)
            .step_by(each)
            .map(|first| Weights::new(each.min(rows - first), taps, |row, line| write(first + row, line)));
        Self { parts: parts.collect(), rows: each }
    }

    /// See [`multiply`].
    fn multiply(
        &self,
        source: &[f32],
        offsets: &[usize],
        runs: Runs,
        output: &mut [f32],
        stride: usize,
        scratch: &mut Vec<f32>,
    ) {
        match self.parts.as_slice() {
            [whole] => multiply(whole, source, offsets, runs, output, stride, scratch),
            parts => parts.par_iter().zip(output.par_chunks_mut(self.rows * stride)).for_each(|(part, output)| {
                multiply(part, source, offsets, runs, output, stride, &mut Vec::new());
            }),
        }
    }
}

/// [`correlate`] of so many rows, by all threads when there are fewer tasks than those.
fn correlate_rows(
    tasks: usize,
    lines: &[f32],
    stride: usize,
    source: &[f32],
    offsets: &[usize],
    columns: usize,
    sums: &mut [f32],
) {
    let taps = offsets.len();
    let rows = sums.len() / taps;
    let each = rows_of_part(tasks, rows);
    if each == rows {
        return correlate(lines, stride, rows, source, offsets, columns, sums);
    }
    sums.par_chunks_mut(each * taps).enumerate().for_each(|(part, sums)| {
        correlate(&lines[part * each * stride..], stride, sums.len() / taps, source, offsets, columns, sums);
    });
}

/// How the work on a batch is cut.
fn cut(geometry: &Geometry, rows: usize) -> Cut {
    let inputs = geometry.group_in() * geometry.phase_count();
    let values = geometry.row() * (inputs + geometry.group_out());
    let cut = Cut::new(geometry.batch, rows, values);
    match geometry.is_pointwise() {
        true if geometry.pixels_in() >= SMALL => Cut { images: 1, bands: vec![(0, rows)] },
        true => Cut { bands: vec![(0, rows)], ..cut },
        false => cut,
    }
}

/// Whether rows of so many pixels are computed one by one, straight to where they belong, and not together with the columns
/// between them that belong to no pixel.
fn is_row_by_row(width: usize) -> bool {
    width.is_multiple_of(8) && width >= 16
}

/// The planes of a group's input channels, `[channels, phases, images, plane]`, and a few zeros more that may be read.
fn planes_of<'a>(geometry: &Geometry, unit: Unit, input: &[f32], group: usize, values: &'a mut Vec<f32>) -> &'a [f32] {
    let (ins, of_channel) = (geometry.group_in(), geometry.phase_count() * unit.span(geometry));
    let room = room(values, ins * of_channel + LANES);
    let (planes, more) = room.split_at_mut(ins * of_channel);
    more.fill(0.0);
    for (channel, planes) in planes.chunks_exact_mut(of_channel).enumerate() {
        unit.split(geometry, input, group * ins + channel, planes);
    }
    room
}

/// Where each tap of a group's first channels begins in the planes of a unit.
fn input_offsets(geometry: &Geometry, taps: &[(usize, usize)], span: usize) -> Vec<usize> {
    let phases = geometry.phase_count();
    let of_channel = |channel| taps.iter().map(move |(phase, shift)| (channel * phases + phase) * span + shift);
    (0..geometry.group_in()).flat_map(of_channel).collect()
}

/// The convolution of a batch: `[B, out, H', W']`. `weight` is `[out, in / groups, rows, columns]`.
pub(super) fn forward(geometry: &Geometry, input: &[f32], weight: &[f32]) -> Vec<f32> {
    let cut = cut(geometry, geometry.height_out());
    let (length, outs) = (geometry.group_in() * geometry.area(), geometry.group_out());
    let taps = geometry.taps();
    let tasks = geometry.batch.div_ceil(cut.images);
    let weights: Vec<Parts> = weight
        .chunks_exact(outs * length)
        .map(|weight| {
            Parts::new(tasks, outs, length, |row, line| line.copy_from_slice(&weight[row * length..(row + 1) * length]))
        })
        .collect();
    let mut output = any_values(geometry.batch * geometry.channels_out * geometry.pixels_out());
    output
        .par_chunks_mut(cut.images * geometry.channels_out * geometry.pixels_out())
        .zip(input.par_chunks(cut.images * geometry.channels_in * geometry.pixels_in()))
        .for_each(|(output, input)| {
            with_scratch(|scratch| {
                for &(first_row, rows) in &cut.bands {
                    let images = input.len() / (geometry.channels_in * geometry.pixels_in());
                    forward_unit(geometry, Unit { images, first_row, rows }, &taps, &weights, input, output, scratch);
                }
            });
        });
    output
}

fn forward_unit(
    geometry: &Geometry,
    unit: Unit,
    taps: &[(usize, usize)],
    weights: &[Parts],
    input: &[f32],
    output: &mut [f32],
    scratch: &mut Scratch,
) {
    let (ins, outs) = (geometry.group_in(), geometry.group_out());
    let direct = geometry.is_pointwise() && unit.images == 1;
    let span = if direct { geometry.pixels_in() } else { unit.span(geometry) };
    let offsets = input_offsets(geometry, taps, span);
    for (group, weights) in weights.iter().enumerate() {
        if direct {
            let input = &input[group * ins * span..];
            let output = &mut output[group * outs * span..(group + 1) * outs * span];
            weights.multiply(input, &offsets, Runs::one(span), output, span, &mut scratch.tail);
            continue;
        }
        let planes = planes_of(geometry, unit, input, group, &mut scratch.planes);
        let (width, pixels) = (geometry.width_out(), geometry.pixels_out());
        if is_row_by_row(width) {
            let step = geometry.row();
            let runs = Runs { count: unit.rows, columns: width, source_step: step, output_step: width };
            for image in 0..unit.images {
                let first = (image * geometry.channels_out + group * outs) * pixels;
                let output = &mut output[first..first + outs * pixels][unit.first_row * width..];
                let planes = &planes[image * unit.plane(geometry)..];
                weights.multiply(planes, &offsets, runs, output, pixels, &mut scratch.tail);
            }
            continue;
        }
        let columns = unit.columns(geometry).next_multiple_of(LANES);
        let wide = room(&mut scratch.wide, outs * columns);
        weights.multiply(planes, &offsets, Runs::one(columns), wide, columns, &mut scratch.tail);
        for (channel, wide) in wide.chunks_exact(columns).enumerate() {
            unit.gather(geometry, &wide[..unit.columns(geometry)], output, group * outs + channel);
        }
    }
}

/// Weights of the input's gradient for one phase, `[in, out * taps of the phase]`, and the shifts of these taps.
struct PhaseWeights {
    weights: Parts,
    shifts: Vec<usize>,
}

/// Gradients of the input (empty unless asked for) and of the weights, given the output's gradient.
pub(super) fn backward(
    geometry: &Geometry,
    input: &[f32],
    weight: &[f32],
    gradient: &[f32],
    of_input: bool,
) -> (Vec<f32>, Vec<f32>) {
    let cut = cut(geometry, geometry.height_out() + geometry.reach()[0]);
    let (area, ins, outs) = (geometry.area(), geometry.group_in(), geometry.group_out());
    let taps = geometry.taps();
    let tasks = geometry.batch.div_ceil(cut.images);
    let phase_weights = |weight: &[f32], phase: usize| {
        let members: Vec<usize> = (0..area).filter(|&tap| taps[tap].0 == phase).collect();
        let weights = Parts::new(tasks, ins, outs * members.len(), |channel, line| {
            for (out, line) in line.chunks_exact_mut(members.len()).enumerate() {
                let weight = &weight[(out * ins + channel) * area..][..area];
                line.iter_mut().zip(&members).for_each(|(to, &tap)| *to = weight[tap]);
            }
        });
        PhaseWeights { weights, shifts: members.iter().map(|&tap| taps[tap].1).collect() }
    };
    let weights: Vec<Vec<PhaseWeights>> = weight
        .chunks_exact(outs * ins * area)
        .map(|weight| (0..geometry.phase_count()).map(|phase| phase_weights(weight, phase)).collect())
        .collect();
    let image_in = cut.images * geometry.channels_in * geometry.pixels_in();
    let mut input_gradient = any_values(if of_input { input.len() } else { 0 });
    if !geometry.sees_all() {
        input_gradient.fill(0.0);
    }
    let mut targets: Vec<Option<&mut [f32]>> = input_gradient.chunks_mut(image_in).map(Some).collect();
    targets.resize_with(tasks, || None);
    let sums: Vec<Vec<f32>> = targets
        .into_par_iter()
        .zip(input.par_chunks(image_in))
        .zip(gradient.par_chunks(cut.images * geometry.channels_out * geometry.pixels_out()))
        .map(|((mut target, input), gradient)| {
            let mut sums = vec![0.0; weight.len()];
            with_scratch(|scratch| {
                for &(first_row, rows) in &cut.bands {
                    let images = input.len() / (geometry.channels_in * geometry.pixels_in());
                    let unit = Unit { images, first_row, rows };
                    let target = target.as_deref_mut();
                    backward_unit(geometry, unit, tasks, &taps, &weights, input, gradient, target, &mut sums, scratch);
                }
            });
            sums
        })
        .collect();
    // Summed in the order of the images, so that the result is the same for every number of threads.
    let mut sums = sums.into_iter();
    let mut weight_gradient = sums.next().unwrap_or_default();
    for image in sums {
        weight_gradient.iter_mut().zip(image).for_each(|(sum, value)| *sum += value);
    }
    (input_gradient, weight_gradient)
}

#[expect(clippy::too_many_arguments, reason = "the body of a loop")]
fn backward_unit(
    geometry: &Geometry,
    unit: Unit,
    tasks: usize,
    taps: &[(usize, usize)],
    weights: &[Vec<PhaseWeights>],
    input: &[f32],
    gradient: &[f32],
    mut target: Option<&mut [f32]>,
    sums: &mut [f32],
    scratch: &mut Scratch,
) {
    let (ins, outs, phases) = (geometry.group_in(), geometry.group_out(), geometry.phase_count());
    let direct = geometry.is_pointwise() && unit.images == 1;
    let span = if direct { geometry.pixels_in() } else { unit.span(geometry) };
    let offsets = input_offsets(geometry, taps, span);
    let of_group = outs * offsets.len();
    for (group, (weights, sums)) in weights.iter().zip(sums.chunks_exact_mut(of_group)).enumerate() {
        if direct {
            let gradient = &gradient[group * outs * span..];
            correlate_rows(tasks, gradient, span, &input[group * ins * span..], &offsets, span, sums);
            if let (Some(target), [PhaseWeights { weights, .. }]) = (&mut target, weights.as_slice()) {
                let offsets: Vec<usize> = (0..outs).map(|out| out * span).collect();
                let target = &mut target[group * ins * span..(group + 1) * ins * span];
                weights.multiply(gradient, &offsets, Runs::one(span), target, span, &mut scratch.tail);
            }
            continue;
        }
        let planes = planes_of(geometry, unit, input, group, &mut scratch.planes);
        let line = geometry.reach()[1] + span + LANES;
        let lines = room(&mut scratch.gradient, outs * line);
        for (channel, lines) in lines.chunks_exact_mut(line).enumerate() {
            unit.spread(geometry, gradient, group * outs + channel, lines);
        }
        let margin = geometry.margin();
        let columns = unit.columns(geometry).next_multiple_of(LANES);
        correlate_rows(tasks, &lines[margin..], line, planes, &offsets, columns, sums);
        let Some(target) = &mut target else { continue };
        for (phase, PhaseWeights { weights, shifts }) in weights.iter().enumerate() {
            let back = |out: usize| shifts.iter().map(move |shift| out * line + margin - shift);
            let offsets: Vec<usize> = (0..outs).flat_map(back).collect();
            if geometry.stride == 1 && is_row_by_row(geometry.width) {
                let pixels = geometry.pixels_in();
                for image in 0..unit.images {
                    let first = (image * geometry.channels_in + group * ins) * pixels;
                    let target = &mut target[first..first + ins * pixels];
                    let lines = &lines[image * unit.plane(geometry)..];
                    input_rows(geometry, unit, weights, lines, &offsets, target, &mut scratch.tail);
                }
                continue;
            }
            let columns = (unit.images - 1) * unit.plane(geometry) + unit.rows * geometry.row();
            let stride = phases * span;
            let wide = &mut room(&mut scratch.wide, ins * stride)[phase * span..];
            weights.multiply(lines, &offsets, Runs::one(columns), wide, stride, &mut scratch.tail);
        }
        if geometry.stride == 1 && is_row_by_row(geometry.width) {
            continue;
        }
        for (channel, wide) in scratch.wide.chunks_exact(phases * span).take(ins).enumerate() {
            unit.join(geometry, wide, target, group * ins + channel);
        }
    }
}

/// The input's gradient, row by row, of one image of a convolution without stride.
fn input_rows(
    geometry: &Geometry,
    unit: Unit,
    weights: &Parts,
    lines: &[f32],
    offsets: &[usize],
    target: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let [top, left] = geometry.padding;
    let first = unit.first_row.max(top);
    let end = (unit.first_row + unit.rows).min(top + geometry.height);
    let Some(count) = end.checked_sub(first) else { return };
    let (row, width) = (geometry.row(), geometry.width);
    let runs = Runs { count, columns: width, source_step: row, output_step: width };
    let lines = &lines[(first - unit.first_row) * row + left..];
    let target = &mut target[(first - top).min(geometry.height) * width..];
    weights.multiply(lines, offsets, runs, target, geometry.pixels_in(), scratch);
}

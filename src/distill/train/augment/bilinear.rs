//! Bilinear sampling: where the canvas's pixels lie in a picture, and the picture's rows interpolated for all of its columns at once.

use std::ops::Range;

use super::canvas::Picture;

/// A sample position along one axis: the two neighbours and the weight of the second; `None` outside the image.
pub(super) type Tap = Option<(usize, usize, f32)>;

/// The sample positions of `length` canvas pixels from `start` on, several a pixel where the picture is shrunk; also says how
/// many a pixel.
pub(super) fn taps(start: usize, length: usize, scale: f32, shift: f32, ratio: f32, size: usize) -> (Vec<Tap>, usize) {
    let per_pixel = ratio / scale.abs();
    let samples = ((per_pixel / 1.5).ceil() as usize).clamp(1, 8);
    let tap = |index: usize| -> Tap {
        let canvas = start as f32 + (index as f32 + 0.5) / samples as f32;
        let position = (canvas - shift) / scale * ratio;
        if !(0.0..size as f32).contains(&position) {
            return None;
        }
        let position = (position - 0.5).clamp(0.0, (size - 1) as f32);
        let low = position.floor();
        let first = low as usize;
        Some((first, (first + 1).min(size - 1), position - low))
    };
    ((0..length * samples).map(tap).collect(), samples)
}

/// Where the columns of the canvas that a picture covers take their samples. Positions only rise or only fall along an axis, so these
/// columns follow each other without a gap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    /// The first of them, of those that taps were given for.
    pub first: usize,
    /// How many samples of each of them are inside the picture.
    pub counts: Vec<f32>,
    /// Samples a column, inside and outside.
    samples: usize,
    /// The columns of the picture that are looked at.
    used: Range<usize>,
    taps: Vec<ColumnTap>,
}

#[derive(Debug, Clone, PartialEq)]
struct ColumnTap {
    /// Where the sample belongs, `[samples, columns]`.
    at: usize,
    /// The left neighbour, from the first used column of the picture on.
    left: usize,
    /// The right one.
    right: usize,
    /// The weight of the right one.
    weight: f32,
}

impl Columns {
    /// Of the taps along the x axis, so many a column. `None` where the picture covers no column.
    pub fn new(taps: &[Tap], samples: usize) -> Option<Self> {
        let first = taps.iter().position(Option::is_some)? / samples;
        let last = taps.iter().rposition(Option::is_some)? / samples;
        let covered = &taps[first * samples..(last + 1) * samples];
        let inside = || covered.iter().flatten();
        let used = inside().map(|tap| tap.0).min()?..inside().map(|tap| tap.1).max()? + 1;
        let width = last + 1 - first;
        let mut columns = Self { first, counts: vec![0.0; width], samples, used, taps: Vec::new() };
        for (column, taps) in covered.chunks_exact(samples).enumerate() {
            for (sample, tap) in taps.iter().enumerate() {
                if let &Some((left, right, weight)) = tap {
                    let (left, right) = (left - columns.used.start, right - columns.used.start);
                    columns.taps.push(ColumnTap { at: sample * width + column, left, right, weight });
                    columns.counts[column] += 1.0;
                }
            }
        }
        Some(columns)
    }
}

/// Rows of a picture interpolated for the columns of the canvas. The last two are kept, for the next row of the canvas often lies between
/// one of them and the next one.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    picture: Picture<'a>,
    columns: &'a Columns,
    /// What is used of one row, in floats, `[used, 3]`.
    source: Vec<f32>,
    /// The rows that are kept: even ones in the first place, odd ones in the second, so that neighbours never meet.
    kept: [Option<usize>; 2],
    /// The samples of each, `[3, samples, columns]`, with zeros for those outside.
    values: [Vec<f32>; 2],
}

impl<'a> Rows<'a> {
    /// No rows yet.
    pub fn new(picture: &Picture<'a>, columns: &'a Columns) -> Self {
        let values = vec![0.0; 3 * columns.samples * columns.counts.len()];
        let source = vec![0.0; 3 * columns.used.len()];
        Self { picture: *picture, columns, source, kept: [None; 2], values: [values.clone(), values] }
    }

    /// Adds what lies between two neighbouring rows (or in one, given twice) to the sums of each column, `[3, columns]`; `down` is the
    /// weight of the lower one.
    pub fn add_between(&mut self, top: usize, bottom: usize, down: f32, sums: &mut [f32]) {
        self.keep(top);
        self.keep(bottom);
        let width = self.columns.counts.len();
        let plane = self.columns.samples * width;
        let [upper, lower] = [top, bottom].map(|row| self.values[row % 2].chunks_exact(plane));
        for ((sums, upper), lower) in sums.chunks_exact_mut(width).zip(upper).zip(lower) {
            for (upper, lower) in upper.chunks_exact(width).zip(lower.chunks_exact(width)) {
                for ((sum, upper), lower) in sums.iter_mut().zip(upper).zip(lower) {
                    *sum += upper + (lower - upper) * down;
                }
            }
        }
    }

    /// Interpolates a row, unless it is kept.
    fn keep(&mut self, row: usize) {
        let place = row % 2;
        if self.kept[place] == Some(row) {
            return;
        }
        self.kept[place] = Some(row);
        let Range { start, end } = self.columns.used;
        let line = row * self.picture.width;
        let bytes = &self.picture.pixels[(line + start) * 3..(line + end) * 3];
        for (value, byte) in self.source.iter_mut().zip(bytes) {
            *value = f32::from(*byte);
        }
        let source = self.source.as_chunks::<3>().0;
        let plane = self.columns.samples * self.columns.counts.len();
        let (red, others) = self.values[place].split_at_mut(plane);
        let (green, blue) = others.split_at_mut(plane);
        for tap in &self.columns.taps {
            let (left, right) = (source[tap.left], source[tap.right]);
            let between = |channel: usize| left[channel] + (right[channel] - left[channel]) * tap.weight;
            (red[tap.at], green[tap.at], blue[tap.at]) = (between(0), between(1), between(2));
        }
    }
}

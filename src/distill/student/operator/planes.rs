//! How images lie in memory while they are convolved, so that every kernel offset ("tap") is one shift of a whole plane.
//!
//! An image is padded with zeros and, for a stride of s, taken apart into s x s phases: every s-th value of every s-th row.
//! Then output `n` of a plane is the sum over taps of weight times `phase[n + shift]`, where the rows of phases and outputs
//! are equally long; the few outputs at the end of each row that belong to no pixel are computed and left out.

use super::kernel::{clear, join_pairs, split_pairs, vectorized};

/// Sizes of a convolution without dilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: usize,
    pub channels_in: usize,
    pub height: usize,
    pub width: usize,
    pub channels_out: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Zeros above and below, left and right.
    pub padding: [usize; 2],
    /// Input channel `i` reaches output channel `o` only when both are of the same of so many equal parts.
    pub groups: usize,
}

impl Geometry {
    /// Whether there is any output and every number can be worked with.
    pub(super) fn is_possible(&self) -> bool {
        let [rows, columns] = self.kernel;
        let [top, left] = self.padding;
        let sides = self.height + 2 * top >= rows && self.width + 2 * left >= columns;
        let sizes = self.batch > 0 && self.stride > 0 && rows > 0 && columns > 0 && self.height > 0 && self.width > 0;
        sides && sizes && self.channels_in.is_multiple_of(self.groups) && self.channels_out.is_multiple_of(self.groups)
    }

    pub(super) fn height_out(&self) -> usize {
        (self.height + 2 * self.padding[0] - self.kernel[0]) / self.stride + 1
    }

    pub(super) fn width_out(&self) -> usize {
        (self.width + 2 * self.padding[1] - self.kernel[1]) / self.stride + 1
    }

    pub(super) fn pixels_in(&self) -> usize {
        self.height * self.width
    }

    pub(super) fn pixels_out(&self) -> usize {
        self.height_out() * self.width_out()
    }

    /// Input channels of a group.
    pub(super) fn group_in(&self) -> usize {
        self.channels_in / self.groups
    }

    /// Output channels of a group.
    pub(super) fn group_out(&self) -> usize {
        self.channels_out / self.groups
    }

    /// Kernel offsets of one channel.
    pub(super) fn area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// True when images need not be taken apart: their planes are the phases.
    pub(super) fn is_pointwise(&self) -> bool {
        self.area() == 1 && self.stride == 1 && self.padding == [0, 0]
    }

    /// How far the furthest tap shifts, in rows and columns.
    pub(super) fn reach(&self) -> [usize; 2] {
        self.kernel.map(|side| (side - 1) / self.stride)
    }

    /// Length of a row of a phase, and of an output as it is computed.
    pub(super) fn row(&self) -> usize {
        self.width_out() + self.reach()[1]
    }

    /// Phases in vertical and horizontal direction (a kernel smaller than its stride does not see the others).
    pub(super) fn phases(&self) -> [usize; 2] {
        self.kernel.map(|side| side.min(self.stride))
    }

    /// Phases of one channel.
    pub(super) fn phase_count(&self) -> usize {
        self.phases()[0] * self.phases()[1]
    }

    /// For each tap its phase and its shift there.
    pub(super) fn taps(&self) -> Vec<(usize, usize)> {
        let (row, phases, stride) = (self.row(), self.phases()[1], self.stride);
        let places = (0..self.kernel[0]).flat_map(|row| (0..self.kernel[1]).map(move |column| (row, column)));
        let tap = |(vertical, horizontal): (usize, usize)| {
            (vertical % stride * phases + horizontal % stride, vertical / stride * row + horizontal / stride)
        };
        places.map(tap).collect()
    }

    /// Where a gradient's first own row begins behind the rows and columns that taps reach back to; see [`Unit::spread`].
    pub(super) fn margin(&self) -> usize {
        self.reach()[0] * self.row() + self.reach()[1]
    }

    /// Whether every pixel of the input is on a row and in a column of some phase.
    pub(super) fn sees_all(&self) -> bool {
        let [reach, beside] = self.reach();
        let rows = (self.height_out() + reach) * self.stride >= self.height + self.padding[0];
        let columns = (self.width_out() + beside) * self.stride >= self.width + self.padding[1];
        rows && columns && self.phases() == [self.stride; 2]
    }

    /// Row of the image that is a phase's row; none where that is padding.
    fn source_row(&self, phase: usize, place: usize) -> Option<usize> {
        let row = (place * self.stride + phase).checked_sub(self.padding[0])?;
        (row < self.height).then_some(row)
    }

    /// First and one past the last place along one side of a phase that lies on the image and not on its padding.
    fn inside(&self, phase: usize, side: usize, padding: usize) -> (usize, usize) {
        let first = padding.saturating_sub(phase).div_ceil(self.stride);
        let end = (side + padding).saturating_sub(phase).div_ceil(self.stride);
        (first.min(end), end)
    }
}

/// How a batch is cut into what is worked on at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Images that are worked on together.
    pub images: usize,
    /// First row and number of rows, one after the other, in rows of a phase.
    pub bands: Vec<(usize, usize)>,
}

/// Values of a unit's planes that should fit into the second cache of a core (384 KiB of them).
const UNIT: usize = 98_304;

impl Cut {
    /// Cuts a batch whose planes have `rows` rows and take `values` values a row: large images into rows, small images put
    /// together. Depends on the sizes alone, so that sums are the same on every machine.
    pub(super) fn new(batch: usize, rows: usize, values: usize) -> Self {
        let of_image = (rows * values).max(1);
        if of_image <= UNIT {
            // Small images have many channels: then reading their weights takes longer than reading them. Half the batch at most, so that
            // there is something to share, and two of a shard, whose neighbours are shared already.
            let most = batch.div_ceil(2).max(2).min(batch);
            return Self { images: (2 * UNIT / of_image).clamp(1, most), bands: vec![(0, rows)] };
        }
        // Not fewer rows than this, because each band also reads the rows beside it.
        let height = (UNIT / values).max(4);
        let height = rows.div_ceil(rows.div_ceil(height));
        let bands = (0..rows).step_by(height).map(|row| (row, height.min(rows - row)));
        Self { images: 1, bands: bands.collect() }
    }
}

/// Some rows of some images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub images: usize,
    /// First row, in rows of a phase.
    pub first_row: usize,
    pub rows: usize,
}

impl Unit {
    /// Values of one plane: its rows and those that the furthest tap reaches beyond them.
    pub(super) fn plane(&self, geometry: &Geometry) -> usize {
        (self.rows + geometry.reach()[0]) * geometry.row()
    }

    /// Values of all images' planes of one phase.
    pub(super) fn span(&self, geometry: &Geometry) -> usize {
        self.images * self.plane(geometry)
    }

    /// Columns up to and including the last output.
    pub(super) fn columns(&self, geometry: &Geometry) -> usize {
        match self.rows.min(geometry.height_out().saturating_sub(self.first_row)) {
            0 => 0,
            rows => (self.images - 1) * self.plane(geometry) + (rows - 1) * geometry.row() + geometry.width_out(),
        }
    }

    /// Takes one channel of images `[images, C, H, W]` apart: `planes` becomes `[phases, images, plane]`.
    pub(super) fn split(&self, geometry: &Geometry, images: &[f32], channel: usize, planes: &mut [f32]) {
        let (plane, span, row) = (self.plane(geometry), self.span(geometry), geometry.row());
        let [vertical, horizontal] = geometry.phases();
        vectorized(
            #[inline(always)]
            || {
                for image in 0..self.images {
                    let pixels = &images[(image * geometry.channels_in + channel) * geometry.pixels_in()..];
                    for phase in 0..vertical {
                        let planes = &mut planes[phase * horizontal * span..(phase + 1) * horizontal * span];
                        for place in 0..self.rows + geometry.reach()[0] {
                            let lines = &mut planes[image * plane + place * row..];
                            match geometry.source_row(phase, self.first_row + place) {
                                Some(source) => {
                                    let source = &pixels[source * geometry.width..][..geometry.width];
                                    split_line(geometry, row, source, lines, span);
                                }
                                None => lines.chunks_mut(span).for_each(|line| line[..row].fill(0.0)),
                            }
                        }
                    }
                }
            },
        );
    }

    /// The reverse of [`Self::split`], for the unit's own rows: puts planes `[phases, images, plane]` together as one channel
    /// of images `[images, C, H, W]`. What no tap sees keeps its value.
    pub(super) fn join(&self, geometry: &Geometry, planes: &[f32], images: &mut [f32], channel: usize) {
        let (plane, span, row) = (self.plane(geometry), self.span(geometry), geometry.row());
        let [vertical, horizontal] = geometry.phases();
        vectorized(
            #[inline(always)]
            || {
                for image in 0..self.images {
                    let pixels = &mut images[(image * geometry.channels_in + channel) * geometry.pixels_in()..];
                    for phase in 0..vertical {
                        let planes = &planes[phase * horizontal * span..(phase + 1) * horizontal * span];
                        for place in 0..self.rows {
                            if let Some(target) = geometry.source_row(phase, self.first_row + place) {
                                let target = &mut pixels[target * geometry.width..][..geometry.width];
                                join_line(geometry, row, &planes[image * plane + place * row..], span, target);
                            }
                        }
                    }
                }
            },
        );
    }

    /// Lays gradients of outputs `[images, C, H', W']` of one channel out as [`Self::split`] lays the input, behind
    /// [`Geometry::margin`] values of rows above: `lines` becomes `[reach + images * plane]` and zeros after that; zero where
    /// there is no output.
    pub(super) fn spread(&self, geometry: &Geometry, outputs: &[f32], channel: usize, lines: &mut [f32]) {
        let [above, beside] = geometry.reach();
        let (row, width) = (geometry.row(), geometry.width_out());
        let (front, lines) = lines.split_at_mut(beside);
        front.fill(0.0);
        let (lines, end) = lines.split_at_mut(self.span(geometry));
        end.fill(0.0);
        for (image, lines) in lines.chunks_exact_mut(self.plane(geometry)).enumerate() {
            let pixels = &outputs[(image * geometry.channels_out + channel) * geometry.pixels_out()..];
            for (place, line) in lines.chunks_exact_mut(row).enumerate() {
                match (self.first_row + place).checked_sub(above) {
                    Some(place) if place < geometry.height_out() => {
                        line[..width].copy_from_slice(&pixels[place * width..][..width]);
                        line[width..].fill(0.0);
                    }
                    _ => line.fill(0.0),
                }
            }
        }
    }

    /// Copies computed outputs `[images, plane]` of one channel to outputs `[images, C, H', W']`.
    pub(super) fn gather(&self, geometry: &Geometry, lines: &[f32], outputs: &mut [f32], channel: usize) {
        let (row, width) = (geometry.row(), geometry.width_out());
        let rows = self.rows.min(geometry.height_out().saturating_sub(self.first_row));
        for (image, lines) in lines.chunks(self.plane(geometry)).enumerate() {
            let pixels = &mut outputs[(image * geometry.channels_out + channel) * geometry.pixels_out()..];
            let pixels = pixels[self.first_row * width..].chunks_exact_mut(width).take(rows);
            pixels.zip(lines.chunks(row)).for_each(|(to, from)| to.copy_from_slice(&from[..width]));
        }
    }
}

/// Takes a row of an image apart into lines that lie `span` apart, one for each horizontal phase.
#[inline(always)]
fn split_line(geometry: &Geometry, row: usize, source: &[f32], lines: &mut [f32], span: usize) {
    let left = geometry.padding[1];
    let horizontal = geometry.phases()[1];
    if geometry.stride == 2 && horizontal == 2 {
        let (even, odd) = lines.split_at_mut(span);
        return split_pairs(source, left, &mut even[..row], &mut odd[..row]);
    }
    for (phase, line) in lines.chunks_mut(span).take(horizontal).enumerate() {
        let (first, end) = geometry.inside(phase, geometry.width, left);
        let (first, end) = (first.min(row), end.min(row));
        clear(&mut line[..first]);
        clear(&mut line[end..row]);
        let line = &mut line[first..end];
        if line.is_empty() {
            continue;
        }
        let source = &source[first * geometry.stride + phase - left..];
        if geometry.stride == 1 {
            line.copy_from_slice(&source[..line.len()]);
        } else {
            line.iter_mut().zip(source.iter().step_by(geometry.stride)).for_each(|(to, from)| *to = *from);
        }
    }
}

/// The reverse of [`split_line`].
#[inline(always)]
fn join_line(geometry: &Geometry, row: usize, lines: &[f32], span: usize, target: &mut [f32]) {
    let left = geometry.padding[1];
    let horizontal = geometry.phases()[1];
    if geometry.stride == 2 && horizontal == 2 {
        return join_pairs(&lines[..row], &lines[span..span + row], left, target);
    }
    for (phase, line) in lines.chunks(span).take(horizontal).enumerate() {
        let (first, end) = geometry.inside(phase, geometry.width, left);
        let line = &line[first.min(row)..end.min(row)];
        if line.is_empty() {
            continue;
        }
        let target = &mut target[first * geometry.stride + phase - left..];
        if geometry.stride == 1 {
            target[..line.len()].copy_from_slice(line);
        } else {
            target.iter_mut().step_by(geometry.stride).zip(line).for_each(|(to, from)| *to = *from);
        }
    }
}

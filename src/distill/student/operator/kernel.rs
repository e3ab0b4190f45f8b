//! The inner loops of convolution: rows of weights times shifted rows of an image, and sums of products of such rows.
//!
//! Both are matrix products whose right matrix is never made: its rows are slices of one buffer, each from an offset of its
//! own. Blocks of four rows times three vectors keep twelve sums in registers, which is what the sixteen registers of AVX2
//! allow; every value of the image that is read serves four sums, every weight three vectors.

use pulp::{Arch, Simd, WithSimd};

/// Vectors of a block of products, at most.
const VECTORS: usize = 3;
/// Blocks of columns that are worked through with all rows before the next ones, so that they stay in the first cache.
const PANEL: usize = 4;
/// Columns summed up before the sums leave the registers.
const CHUNK: usize = 1024;
/// Lanes that any vector register divides. Lines that are a multiple of this long need no special end.
pub(super) const LANES: usize = 16;

/// Runs a closure with the machine's best vector instructions, if the closure is marked `#[inline(always)]`. (Given to pulp as it
/// is, a closure is called by way of a shim that is compiled without them.)
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    struct Vectorized<F>(F);

    impl<R, F: FnOnce() -> R> WithSimd for Vectorized<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }

    Arch::new().dispatch(Vectorized(work))
}

/// Weights `[rows, taps]`, cut into blocks of rows and transposed within them: the order in which [`multiply`] reads them.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    values: Vec<f32>,
    rows: usize,
    taps: usize,
}

impl Weights {
    /// Weights out of a function that writes one row.
    pub(super) fn new(rows: usize, taps: usize, mut write: impl FnMut(usize, &mut [f32])) -> Self {
        let mut values = vec![0.0; rows * taps];
        let mut line = vec![0.0; taps];
        for (first, height) in blocks(rows) {
            let block = &mut values[first * taps..(first + height) * taps];
            for row in 0..height {
                write(first + row, &mut line);
                block.iter_mut().skip(row).step_by(height).zip(&line).for_each(|(to, from)| *to = *from);
            }
        }
        Self { values, rows, taps }
    }
}

/// First row and height of each block of rows.
fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let height = match rows - first {
            0 => return None,
            1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        first += height;
        Some((first - height, height))
    })
}

/// Runs of columns that a product is computed for: `count` of them, each `columns` long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs {
    pub count: usize,
    pub columns: usize,
    /// Where the next run begins in the source, counted from the last one.
    pub source_step: usize,
    /// And in each row of the output.
    pub output_step: usize,
}

impl Runs {
    /// One run.
    pub(super) fn one(columns: usize) -> Self {
        Self { count: 1, columns, source_step: 0, output_step: 0 }
    }
}

/// `output[row * stride + n]` = sum over taps of `weights[row, tap] * source[offsets[tap] + n]`, for `n` of the first run; the
/// others are their steps further on.
///
/// `scratch` is memory to be used again.
pub(super) fn multiply(
    weights: &Weights,
    source: &[f32],
    offsets: &[usize],
    runs: Runs,
    output: &mut [f32],
    stride: usize,
    scratch: &mut Vec<f32>,
) {
    assert_eq!(offsets.len(), weights.taps, "one offset a tap");
    Arch::new().dispatch(Multiply { weights, source, offsets, runs, output, stride, scratch });
}

struct Multiply<'a> {
    weights: &'a Weights,
    source: &'a [f32],
    offsets: &'a [usize],
    runs: Runs,
    output: &'a mut [f32],
    stride: usize,
    scratch: &'a mut Vec<f32>,
}

/// First column and vectors of the blocks of a run of so many vectors: threes, then as many twos as are needed.
fn blocks_of_run(vectors: usize, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
    let twos = match vectors % 3 {
        0 => 0,
        1 if vectors > 1 => 2,
        _ => 1,
    };
    let threes = vectors.saturating_sub(2 * twos) / 3;
    let wide = (0..threes).map(move |block| (block * 3 * lanes, 3));
    wide.chain((0..twos).map(move |block| {
        let first = threes * 3 + block * 2;
        (first * lanes, (vectors - first).min(2))
    }))
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, source, offsets, runs, output, stride, scratch } = self;
        let lanes = S::F32_LANES;
        let whole = runs.columns / lanes;
        for run in 0..runs.count {
            let (from, to) = (run * runs.source_step, run * runs.output_step);
            let mut panels = blocks_of_run(whole, lanes);
            loop {
                let mut panel = [(0, 0); PANEL];
                let count = panel.iter_mut().zip(&mut panels).map(|(place, block)| *place = block).count();
                if count == 0 {
                    break;
                }
                for (row, height) in blocks(weights.rows) {
                    let block = &weights.values[row * weights.taps..(row + height) * weights.taps];
                    for &(column, vectors) in &panel[..count] {
                        let source = (source, from + column);
                        let output = &mut output[row * stride + to + column..];
                        macro_rules! multiply {
                            ($rows:literal, $vectors:literal) => {
                                product::<S, $rows, $vectors>(simd, block, source, offsets, output, stride)
                            };
                        }
                        match (height, vectors) {
                            (4, 3) => multiply!(4, 3),
                            (4, 2) => multiply!(4, 2),
                            (4, _) => multiply!(4, 1),
                            (2, 3) => multiply!(2, 3),
                            (2, 2) => multiply!(2, 2),
                            (2, _) => multiply!(2, 1),
                            (_, 3) => multiply!(1, 3),
                            (_, 2) => multiply!(1, 2),
                            (_, _) => multiply!(1, 1),
                        }
                    }
                }
            }
            let (first, rest) = (whole * lanes, runs.columns % lanes);
            if rest == 0 {
                continue;
            }
            // The last columns by way of a copy whose lines are as long as a vector.
            scratch.clear();
            scratch.resize((weights.taps + 4) * lanes, 0.0);
            let (copy, tile) = scratch.split_at_mut(weights.taps * lanes);
            for (line, offset) in copy.chunks_exact_mut(lanes).zip(offsets) {
                line[..rest].copy_from_slice(&source[offset + from + first..][..rest]);
            }
            for (row, height) in blocks(weights.rows) {
                let block = &weights.values[row * weights.taps..(row + height) * weights.taps];
                match height {
                    4 => product_of_copy::<S, 4>(simd, block, copy, tile),
                    2 => product_of_copy::<S, 2>(simd, block, copy, tile),
                    _ => product_of_copy::<S, 1>(simd, block, copy, tile),
                }
                for (row, line) in (row..row + height).zip(tile.chunks_exact(lanes)) {
                    output[row * stride + to + first..][..rest].copy_from_slice(&line[..rest]);
                }
            }
        }
    }
}

/// One block of products, straight from the source (from a column on) to the output.
#[inline(always)]
fn product<S: Simd, const ROWS: usize, const WIDTH: usize>(
    simd: S,
    weights: &[f32],
    (source, column): (&[f32], usize),
    offsets: &[usize],
    output: &mut [f32],
    stride: usize,
) {
    let width = WIDTH * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); WIDTH]; ROWS];
    for (weights, &offset) in weights.chunks_exact(ROWS).zip(offsets) {
        add_products(simd, &mut sums, weights, &source[offset + column..][..width]);
    }
    for (row, sums) in sums.iter().enumerate() {
        S::as_mut_simd_f32s(&mut output[row * stride..][..width]).0.copy_from_slice(sums);
    }
}

/// One block of products of lines that are as long as a vector.
#[inline(always)]
fn product_of_copy<S: Simd, const ROWS: usize>(simd: S, weights: &[f32], copy: &[f32], tile: &mut [f32]) {
    let mut sums = [[simd.splat_f32s(0.0); 1]; ROWS];
    for (weights, line) in weights.chunks_exact(ROWS).zip(copy.chunks_exact(S::F32_LANES)) {
        add_products(simd, &mut sums, weights, line);
    }
    for (sums, line) in sums.iter().zip(tile.chunks_exact_mut(S::F32_LANES)) {
        S::as_mut_simd_f32s(line).0.copy_from_slice(sums);
    }
}

#[inline(always)]
fn add_products<S: Simd, const ROWS: usize, const WIDTH: usize>(
    simd: S,
    sums: &mut [[S::f32s; WIDTH]; ROWS],
    weights: &[f32],
    line: &[f32],
) {
    let (line, _) = S::as_simd_f32s(line);
    let line: [S::f32s; WIDTH] = std::array::from_fn(|vector| line[vector]);
    for (sums, &weight) in sums.iter_mut().zip(weights) {
        let weight = simd.splat_f32s(weight);
        for (sum, &value) in sums.iter_mut().zip(&line) {
            *sum = simd.mul_add_e_f32s(weight, value, *sum);
        }
    }
}

/// `sums[row * taps + tap]` += sum over `n` in `0..columns` of `lines[row * stride + n] * source[offsets[tap] + n]`.
pub(super) fn correlate(
    lines: &[f32],
    stride: usize,
    rows: usize,
    source: &[f32],
    offsets: &[usize],
    columns: usize,
    sums: &mut [f32],
) {
    Arch::new().dispatch(Correlate { lines, stride, rows, source, offsets, columns, sums });
}

struct Correlate<'a> {
    lines: &'a [f32],
    stride: usize,
    rows: usize,
    source: &'a [f32],
    offsets: &'a [usize],
    columns: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { lines, stride, rows, source, offsets, columns, sums } = self;
        let taps = offsets.len();
        for start in (0..columns).step_by(CHUNK) {
            let length = CHUNK.min(columns - start);
            if rows == 1 && taps == 9 {
                // A channel of a depthwise convolution.
                let lines = &lines[start..];
                correlation::<S, 1, 9>(simd, lines, stride, source, offsets, start, length, sums, taps);
                continue;
            }
            // All taps of four lines before the next four: the lines stay in the first cache, and taps of one channel read the same plane.
            for (row, height) in blocks(rows) {
                let lines = &lines[row * stride + start..];
                for (group, offsets) in offsets.chunks(VECTORS).enumerate() {
                    let sums = &mut sums[row * taps + group * VECTORS..];
                    macro_rules! sum_up {
                        ($rows:literal, $taps:literal) => {
                            correlation::<S, $rows, $taps>(
                                simd, lines, stride, source, offsets, start, length, sums, taps,
                            )
                        };
                    }
                    match (height, offsets.len()) {
                        (4, 3) => sum_up!(4, 3),
                        (4, 2) => sum_up!(4, 2),
                        (4, _) => sum_up!(4, 1),
                        (2, 3) => sum_up!(2, 3),
                        (2, 2) => sum_up!(2, 2),
                        (2, _) => sum_up!(2, 1),
                        (_, 3) => sum_up!(1, 3),
                        (_, 2) => sum_up!(1, 2),
                        (_, _) => sum_up!(1, 1),
                    }
                }
            }
        }
    }
}

/// One block of sums over one chunk of columns.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "inlined into its one caller")]
fn correlation<S: Simd, const ROWS: usize, const TAPS: usize>(
    simd: S,
    lines: &[f32],
    stride: usize,
    source: &[f32],
    offsets: &[usize],
    start: usize,
    length: usize,
    sums: &mut [f32],
    taps: usize,
) {
    let lines: [_; ROWS] = std::array::from_fn(|row| S::as_simd_f32s(&lines[row * stride..][..length]));
    let sources: [_; TAPS] = std::array::from_fn(|tap| S::as_simd_f32s(&source[offsets[tap] + start..][..length]));
    let vectors = length / S::F32_LANES;
    // Cut to the same length once, so that the loop needs no checks.
    let whole_lines: [&[S::f32s]; ROWS] = std::array::from_fn(|row| &lines[row].0[..vectors]);
    let whole_sources: [&[S::f32s]; TAPS] = std::array::from_fn(|tap| &sources[tap].0[..vectors]);
    let mut found = [[simd.splat_f32s(0.0); TAPS]; ROWS];
    for vector in 0..vectors {
        let values: [S::f32s; TAPS] = std::array::from_fn(|tap| whole_sources[tap][vector]);
        for (found, line) in found.iter_mut().zip(&whole_lines) {
            let line = line[vector];
            for (found, &value) in found.iter_mut().zip(&values) {
                *found = simd.mul_add_e_f32s(line, value, *found);
            }
        }
    }
    for (row, found) in found.iter().enumerate() {
        for (tap, &found) in found.iter().enumerate() {
            let rest: f32 = lines[row].1.iter().zip(sources[tap].1).map(|(a, b)| a * b).sum();
            sums[row * taps + tap] += simd.reduce_sum_f32s(found) + rest;
        }
    }
}

/// Sets few values, where calling `memset` would take longer than setting them.
#[inline(always)]
pub(super) fn clear(values: &mut [f32]) {
    match values {
        [] => {}
        [a] => *a = 0.0,
        [a, b] => (*a, *b) = (0.0, 0.0),
        more => more.fill(0.0),
    }
}

/// Takes every second value of a line, which is `padding` zeros and then `line`: those at even places and those at odd ones.
/// What is not reached is filled with zeros.
#[inline(always)]
pub(super) fn split_pairs(line: &[f32], padding: usize, even: &mut [f32], odd: &mut [f32]) {
    let first = padding.div_ceil(2).min(even.len()).min(odd.len());
    clear(&mut even[..first]);
    clear(&mut odd[..first]);
    let (alone, line) = line.split_at((padding % 2).min(line.len()));
    if let Some(value) = alone.first() {
        odd[first - 1] = *value;
    }
    let (pairs, last) = line.as_chunks::<2>();
    let count = pairs.len().min(even.len() - first).min(odd.len() - first);
    let places = even[first..first + count].iter_mut().zip(&mut odd[first..first + count]);
    for ((even, odd), pair) in places.zip(&pairs[..count]) {
        *even = pair[0];
        *odd = pair[1];
    }
    let mut end = first + count;
    clear(&mut odd[end..]);
    if let (Some(value), true) = (last.first(), end < even.len()) {
        even[end] = *value;
        end += 1;
    }
    clear(&mut even[end..]);
}

/// The reverse of [`split_pairs`]; what was not taken keeps its value.
#[inline(always)]
pub(super) fn join_pairs(even: &[f32], odd: &[f32], padding: usize, line: &mut [f32]) {
    let first = padding.div_ceil(2).min(even.len()).min(odd.len());
    let (alone, line) = line.split_at_mut((padding % 2).min(line.len()));
    if let Some(value) = alone.first_mut() {
        *value = odd[first - 1];
    }
    let (even, odd) = (&even[first..], &odd[first..]);
    let count = (line.len() / 2).min(even.len()).min(odd.len());
    let (pairs, rest) = line.split_at_mut(2 * count);
    let (pairs, _) = pairs.as_chunks_mut::<2>();
    for ((pair, even), odd) in pairs.iter_mut().zip(&even[..count]).zip(&odd[..count]) {
        *pair = [*even, *odd];
    }
    if let (Some(value), Some(even)) = (rest.first_mut(), even.get(count)) {
        *value = *even;
    }
}

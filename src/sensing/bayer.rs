//! Bayer mosaics to RGB by bilinear interpolation: each missing colour is the mean of the nearest pixels that have it, which
//! are two or four; beyond the edge the image is mirrored about its outermost pixels, which keeps the pattern.

/// Fills `out` with `width` x `height` RGB pixels. `red` is the place of red in each 2 x 2 cell. The caller has checked that
/// there are at least 2 x 2 pixels and `data`'s length.
pub(super) fn demosaic(data: &[u8], width: usize, height: usize, step: usize, red: (usize, usize), out: &mut [u8]) {
    let row_at = |y: usize| &data[y * step..][..width];
    for (y, out) in out.chunks_exact_mut(width * 3).enumerate() {
        let above = row_at(if y == 0 { 1 } else { y - 1 });
        let below = row_at(if y + 1 == height { height - 2 } else { y + 1 });
        let here = row_at(y);
        let red_row = y % 2 == red.1;
        for (x, pixel) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let left = if x == 0 { 1 } else { x - 1 };
            let right = if x + 1 == width { width - 2 } else { x + 1 };
            // `own`: the colour of red or blue that this row has.
            let (own, green, other) = if (x % 2 == red.0) == red_row {
                let cross = mean4(here[left], here[right], above[x], below[x]);
                let diagonal = mean4(above[left], above[right], below[left], below[right]);
                (here[x], cross, diagonal)
            } else {
                (mean2(here[left], here[right]), here[x], mean2(above[x], below[x]))
            };
            *pixel = if red_row { [own, green, other] } else { [other, green, own] };
        }
    }
}

fn mean2(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

fn mean4(a: u8, b: u8, c: u8, d: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) / 4) as u8
}

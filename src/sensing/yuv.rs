//! YUV encodings to RGB: BT.601, limited range (luma 16-235, chroma 16-240), which is what cameras' YUV is and what OpenCV's
//! `cvtColor` assumes. Chroma is repeated, not interpolated.

/// The factors of BT.601's limited range in units of 2^-20: luma 1.164, red from V 1.596, green from U -0.391 and from V -0.813,
/// blue from U 2.018.
const SHIFT: u32 = 20;
const LUMA: i32 = 1_220_542;
const RED_V: i32 = 1_673_527;
const GREEN_U: i32 = -409_993;
const GREEN_V: i32 = -852_492;
const BLUE_U: i32 = 2_116_026;

/// What two or four pixels share.
#[derive(Clone, Copy)]
struct Chroma {
    red: i32,
    green: i32,
    blue: i32,
}

impl Chroma {
    fn new(u: u8, v: u8) -> Self {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let half = 1 << (SHIFT - 1);
        Self { red: RED_V * v + half, green: GREEN_U * u + GREEN_V * v + half, blue: BLUE_U * u + half }
    }

    fn rgb(self, luma: u8) -> [u8; 3] {
        // At most 239 * 1.164 * 2^20 plus 127 * 2.018 * 2^20: below 2^30, so nothing overflows.
        let luma = (i32::from(luma) - 16).max(0) * LUMA;
        [self.red, self.green, self.blue].map(|chroma| ((luma + chroma) >> SHIFT).clamp(0, 255) as u8)
    }
}

/// One row of 4:2:2 with luma and chroma in turn: Y U Y V when `luma_first`, else U Y V Y. A lone last column whose pair is
/// not in `row` takes the chroma it lacks from the pair before, or none.
pub(super) fn packed_422_row(row: &[u8], luma_first: bool, out: &mut [u8]) {
    let (luma, chroma) = if luma_first { (0, 1) } else { (1, 0) };
    let (pairs, rest) = row.as_chunks::<4>();
    let mut last_v = 128;
    let mut pixels = out.as_chunks_mut::<3>().0.chunks_mut(2);
    for (pair, pixels) in pairs.iter().zip(&mut pixels) {
        let shared = Chroma::new(pair[chroma], pair[chroma + 2]);
        last_v = pair[chroma + 2];
        for (index, pixel) in pixels.iter_mut().enumerate() {
            *pixel = shared.rgb(pair[luma + index * 2]);
        }
    }
    if let (Some([pixel, ..]), [_, _, ..]) = (pixels.next(), rest) {
        *pixel = Chroma::new(rest[chroma], last_v).rgb(rest[luma]);
    }
}

/// 4:2:0 with a luma plane of `height` rows and a plane of interleaved chroma behind it, U V when `blue_first`, else V U.
/// The chroma rows are `step` bytes apart, rounded up to an even number. The caller has checked `data`'s length.
pub(super) fn semi_planar_420(data: &[u8], width: usize, height: usize, step: usize, blue_first: bool, out: &mut [u8]) {
    let (luma, chroma) = data.split_at(step * height);
    let chroma_step = step.next_multiple_of(2);
    for (y, out) in out.chunks_exact_mut(width * 3).enumerate() {
        let luma = &luma[y * step..][..width];
        let chroma = &chroma[y / 2 * chroma_step..][..width.next_multiple_of(2)];
        let pixels = out.as_chunks_mut::<3>().0;
        for ((pixels, luma), pair) in pixels.chunks_mut(2).zip(luma.chunks(2)).zip(chroma.as_chunks::<2>().0) {
            let [u, v] = if blue_first { *pair } else { [pair[1], pair[0]] };
            let shared = Chroma::new(u, v);
            for (pixel, &luma) in pixels.iter_mut().zip(luma) {
                *pixel = shared.rgb(luma);
            }
        }
    }
}

//! Every image encoding to RGB.
//!
//! | encodings | become RGB by |
//! |---|---|
//! | `rgb8`, `bgr8`, `rgba8`, `bgra8`, `8UC3` (as bgr8), `8UC4` (as bgra8) | reordering channels, alpha dropped |
//! | `mono8`, `8UC1` | repeating the value |
//! | `mono16`, `16UC1` | scaling 0-65535 to 0-255 (value / 257, rounded) and repeating it; `is_bigendian` respected |
//! | `yuv422`, `uyvy` (UYVY), `yuv422_yuy2`, `yuyv` (YUYV), `nv12`, `nv21` | BT.601, limited range, chroma repeated: OpenCV's `cvtColor` |
//! | `bayer_{rggb,bggr,gbrg,grbg}8` | bilinear demosaicing |
//! | compressed: JPEG, PNG | the `image` crate; 16 bits scaled as above, alpha dropped |

use ::image::RgbImage;

use crate::excerpt::excerpt;
use crate::messages::{CompressedImage, Image};
use crate::sensing::image_file::decode_file_into;
use crate::sensing::{bayer, yuv};

/// The encodings that [`decode_image`] reads.
pub const SUPPORTED_ENCODINGS: [&str; 20] = [
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "8UC3",
    "8UC4",
    "mono8",
    "8UC1",
    "mono16",
    "16UC1",
    "yuv422",
    "uyvy",
    "yuv422_yuy2",
    "yuyv",
    "nv12",
    "nv21",
    "bayer_rggb8",
    "bayer_bggr8",
    "bayer_gbrg8",
    "bayer_grbg8",
];

/// Images of more pixels than this are refused whatever the limit asked for, compressed ones before memory is reserved for them
/// (8192 x 8192: more than any camera of a robot gives).
pub const MAX_PIXELS: u64 = 1 << 26;

/// Why an image could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// An encoding that is not one of [`SUPPORTED_ENCODINGS`].
    #[error("image encoding `{encoding}` is not supported (supported: {})", SUPPORTED_ENCODINGS.join(", "))]
    UnsupportedEncoding {
        /// The encoding asked for.
        encoding: String,
    },
    /// No pixels.
    #[error("the image is empty: {width} x {height} pixels")]
    Empty {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A Bayer image that has not one whole 2 x 2 cell.
    #[error("a Bayer image of {width} x {height} pixels has no colour: at least 2 x 2 are needed")]
    BayerTooSmall {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// `step` is less than a row of pixels.
    #[error("field `step` is {step} bytes, but a row of {width} pixels of `{encoding}` takes {needed}")]
    StepTooSmall {
        /// Bytes from row to row.
        step: u32,
        /// Columns.
        width: u32,
        /// The encoding.
        encoding: String,
        /// Bytes that a row takes.
        needed: u64,
    },
    /// `data` ends before the last row does.
    #[error(
        "field `data` has {found} bytes, but {width} x {height} pixels of `{encoding}` with step {step} take {needed}"
    )]
    DataTooShort {
        /// Bytes there are.
        found: usize,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The encoding.
        encoding: String,
        /// Bytes from row to row.
        step: u32,
        /// Bytes that the image takes.
        needed: u64,
    },
    /// More pixels than are taken.
    #[error("the image has {width} x {height} pixels, more than the limit of {most} pixels")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Pixels at most.
        most: u64,
    },
    /// A compressed image whose header claims more than its bytes can hold.
    #[error(
        "the compressed image claims {width} x {height} pixels, more than its {length} bytes can hold: it is damaged, or made to \
         fill the memory"
    )]
    Overstated {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes there are.
        length: usize,
    },
    /// Neither JPEG nor PNG.
    #[error("the compressed image (format `{format}`) is neither JPEG nor PNG")]
    UnsupportedCompression {
        /// What the message calls it.
        format: String,
    },
    /// A depth image of compressed_depth_image_transport.
    #[error(
        "format `{format}` is a compressed depth image, which has no colours: subscribe to a colour topic's `compressed` transport"
    )]
    CompressedDepth {
        /// What the message calls it.
        format: String,
    },
    /// A JPEG file without its end.
    #[error("the JPEG image of {length} bytes ends before its end marker: it was cut short on its way")]
    CutShort {
        /// Bytes there are.
        length: usize,
    },
    /// JPEG or PNG bytes that do not decode.
    #[error("the compressed image does not decode: {0}")]
    Corrupt(#[source] ::image::ImageError),
}

/// An RGB image of a raw image message.
///
/// # Errors
/// An unknown encoding, sizes that do not fit the data, or more than [`MAX_PIXELS`]: see [`ImageError`].
pub fn decode_image(image: &Image<'_>) -> Result<RgbImage, ImageError> {
    decode_image_within(image, MAX_PIXELS)
}

/// [`decode_image`] of images of at most so many pixels.
///
/// # Errors
/// As [`decode_image`].
pub fn decode_image_within(image: &Image<'_>, most: u64) -> Result<RgbImage, ImageError> {
    let mut rgb = RgbImage::default();
    decode_raw(image, most, &mut rgb)?;
    Ok(rgb)
}

/// [`decode_image`] into an image whose memory is reused; after an error its content is unspecified.
///
/// # Errors
/// As [`decode_image`].
pub fn decode_image_into(image: &Image<'_>, rgb: &mut RgbImage) -> Result<(), ImageError> {
    decode_raw(image, MAX_PIXELS, rgb)
}

fn decode_raw(image: &Image<'_>, most: u64, rgb: &mut RgbImage) -> Result<(), ImageError> {
    let encoding = Encoding::parse(image.encoding)
        .ok_or_else(|| ImageError::UnsupportedEncoding { encoding: excerpt(image.encoding) })?;
    check_size(image, encoding)?;
    check_pixels(image.width, image.height, most)?;
    let (width, height, step) = (image.width as usize, image.height as usize, image.step as usize);

    let mut pixels = std::mem::take(rgb).into_raw();
    // The data hold at least a byte a pixel, so this is no more than three times what was received.
    pixels.resize(width * height * 3, 0);
    match encoding {
        Encoding::Channels { count, order } => {
            each_row(image, width * count, &mut pixels, |row, out| channels(row, count, order, out));
        }
        Encoding::Mono8 => each_row(image, width, &mut pixels, |row, out| mono(row.iter().copied(), out)),
        Encoding::Mono16 => {
            let read = if image.is_bigendian == 0 { u16::from_le_bytes } else { u16::from_be_bytes };
            each_row(image, width * 2, &mut pixels, |row, out| {
                mono(row.as_chunks().0.iter().map(|&bytes| scale_to_8_bits(read(bytes))), out);
            });
        }
        Encoding::Packed422 { luma_first } => {
            // A lone last column has its whole pair of columns in the row where `step` leaves room for it.
            let row_bytes = (width.next_multiple_of(2) * 2).min(step);
            // The last row may be cut right behind its last pixel.
            for (y, out) in pixels.chunks_exact_mut(width * 3).enumerate() {
                let start = y * step;
                let row = &image.data[start..image.data.len().min(start + row_bytes)];
                yuv::packed_422_row(row, luma_first, out);
            }
        }
        Encoding::SemiPlanar420 { blue_first } => {
            yuv::semi_planar_420(image.data, width, height, step, blue_first, &mut pixels);
        }
        Encoding::Bayer { red_x, red_y } => {
            bayer::demosaic(image.data, width, height, step, (red_x, red_y), &mut pixels);
        }
    }
    *rgb = RgbImage::from_raw(image.width, image.height, pixels).unwrap_or_default();
    Ok(())
}

/// How pixels lie in a raw image.
#[derive(Clone, Copy)]
enum Encoding {
    /// `count` bytes a pixel, of which `order` are red, green and blue.
    Channels {
        count: usize,
        order: [usize; 3],
    },
    Mono8,
    Mono16,
    /// Two pixels in four bytes.
    Packed422 {
        luma_first: bool,
    },
    /// A luma plane, then a plane of chroma pairs at half the resolution.
    SemiPlanar420 {
        blue_first: bool,
    },
    /// One colour a pixel; where red is in each 2 x 2 cell.
    Bayer {
        red_x: usize,
        red_y: usize,
    },
}

impl Encoding {
    fn parse(encoding: &str) -> Option<Self> {
        Some(match encoding {
            "rgb8" => Self::Channels { count: 3, order: [0, 1, 2] },
            "bgr8" | "8UC3" => Self::Channels { count: 3, order: [2, 1, 0] },
            "rgba8" => Self::Channels { count: 4, order: [0, 1, 2] },
            "bgra8" | "8UC4" => Self::Channels { count: 4, order: [2, 1, 0] },
            "mono8" | "8UC1" => Self::Mono8,
            "mono16" | "16UC1" => Self::Mono16,
            "yuv422" | "uyvy" => Self::Packed422 { luma_first: false },
            "yuv422_yuy2" | "yuyv" => Self::Packed422 { luma_first: true },
            "nv12" => Self::SemiPlanar420 { blue_first: true },
            "nv21" => Self::SemiPlanar420 { blue_first: false },
            "bayer_rggb8" => Self::Bayer { red_x: 0, red_y: 0 },
            "bayer_grbg8" => Self::Bayer { red_x: 1, red_y: 0 },
            "bayer_gbrg8" => Self::Bayer { red_x: 0, red_y: 1 },
            "bayer_bggr8" => Self::Bayer { red_x: 1, red_y: 1 },
            _ => return None,
        })
    }

    /// Bytes of a row of `width` pixels without padding.
    fn row_bytes(self, width: u64) -> u64 {
        match self {
            Self::Channels { count, .. } => width * count as u64,
            Self::Mono8 | Self::SemiPlanar420 { .. } | Self::Bayer { .. } => width,
            Self::Mono16 | Self::Packed422 { .. } => width * 2,
        }
    }

    /// Bytes of all rows, the last one without its padding; more than there can be where 64 bits do not suffice.
    fn data_bytes(self, width: u64, height: u64, step: u64) -> u64 {
        match self {
            Self::SemiPlanar420 { .. } => {
                let chroma = step.next_multiple_of(2).saturating_mul(height.div_ceil(2) - 1);
                step.saturating_mul(height).saturating_add(chroma).saturating_add(width.next_multiple_of(2))
            }
            _ => step.saturating_mul(height - 1).saturating_add(self.row_bytes(width)),
        }
    }
}

/// Everything that the conversions take for granted of sizes.
fn check_size(image: &Image<'_>, encoding: Encoding) -> Result<(), ImageError> {
    let &Image { width, height, step, .. } = image;
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if matches!(encoding, Encoding::Bayer { .. }) && (width < 2 || height < 2) {
        return Err(ImageError::BayerTooSmall { width, height });
    }
    let needed = encoding.row_bytes(u64::from(width));
    if u64::from(step) < needed {
        return Err(ImageError::StepTooSmall { step, width, encoding: excerpt(image.encoding), needed });
    }
    let needed = encoding.data_bytes(u64::from(width), u64::from(height), u64::from(step));
    if (image.data.len() as u64) < needed {
        return Err(ImageError::DataTooShort {
            found: image.data.len(),
            width,
            height,
            encoding: excerpt(image.encoding),
            step,
            needed,
        });
    }
    Ok(())
}

/// No more pixels than are wanted, nor than [`MAX_PIXELS`].
pub(super) fn check_pixels(width: u32, height: u32, most: u64) -> Result<(), ImageError> {
    let most = most.min(MAX_PIXELS);
    if u64::from(width) * u64::from(height) > most {
        return Err(ImageError::TooLarge { width, height, most });
    }
    Ok(())
}

/// Hands out each row's bytes without padding together with its place in the RGB pixels.
fn each_row(image: &Image<'_>, row_bytes: usize, pixels: &mut [u8], convert: impl Fn(&[u8], &mut [u8])) {
    let rows = image.data.chunks(image.step as usize);
    for (row, out) in rows.zip(pixels.chunks_exact_mut(image.width as usize * 3)) {
        convert(&row[..row_bytes], out);
    }
}

fn channels(row: &[u8], count: usize, order: [usize; 3], out: &mut [u8]) {
    if count == 3 && order == [0, 1, 2] {
        out.copy_from_slice(row);
        return;
    }
    let pixels = out.as_chunks_mut::<3>().0;
    // Two loops with the pixel's size known, so that they are vectorised.
    if count == 3 {
        for (pixel, source) in pixels.iter_mut().zip(row.as_chunks::<3>().0) {
            *pixel = order.map(|channel| source[channel]);
        }
    } else {
        for (pixel, source) in pixels.iter_mut().zip(row.as_chunks::<4>().0) {
            *pixel = order.map(|channel| source[channel]);
        }
    }
}

fn mono(values: impl Iterator<Item = u8>, out: &mut [u8]) {
    for (pixel, value) in out.as_chunks_mut::<3>().0.iter_mut().zip(values) {
        *pixel = [value; 3];
    }
}

/// 0-65535 to 0-255, rounded to the nearest.
fn scale_to_8_bits(value: u16) -> u8 {
    // At most (65535 + 128) / 257 = 255.
    ((u32::from(value) + 128) / 257) as u8
}

/// An RGB image of a compressed image message, by what its bytes are; `format` is only used in messages.
///
/// # Errors
/// Neither JPEG nor PNG, a compressed depth image, more than [`MAX_PIXELS`], or bytes that do not decode.
pub fn decode_compressed(image: &CompressedImage<'_>) -> Result<RgbImage, ImageError> {
    decode_compressed_within(image, MAX_PIXELS)
}

/// [`decode_compressed`] of images of at most so many pixels: what the file's header claims is looked at before anything is decoded.
///
/// # Errors
/// As [`decode_compressed`].
pub fn decode_compressed_within(image: &CompressedImage<'_>, most: u64) -> Result<RgbImage, ImageError> {
    let mut rgb = RgbImage::default();
    decode_message_into(image, most, &mut rgb)?;
    Ok(rgb)
}

/// [`decode_compressed`] into an image whose memory is reused; after an error its content is unspecified.
///
/// # Errors
/// As [`decode_compressed`].
pub fn decode_compressed_into(image: &CompressedImage<'_>, rgb: &mut RgbImage) -> Result<(), ImageError> {
    decode_message_into(image, MAX_PIXELS, rgb)
}

/// An RGB image of the bytes of a JPEG or PNG file.
///
/// # Errors
/// Neither JPEG nor PNG, more than [`MAX_PIXELS`], or bytes that do not decode.
pub fn decode_compressed_bytes(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let mut rgb = RgbImage::default();
    decode_file_into(bytes, "unknown", MAX_PIXELS, &mut rgb)?;
    Ok(rgb)
}

fn decode_message_into(image: &CompressedImage<'_>, most: u64, rgb: &mut RgbImage) -> Result<(), ImageError> {
    if image.format.contains("compressedDepth") {
        return Err(ImageError::CompressedDepth { format: excerpt(image.format) });
    }
    decode_file_into(image.data, image.format, most, rgb)
}

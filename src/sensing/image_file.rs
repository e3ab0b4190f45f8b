//! JPEG and PNG files to RGB, none of which is believed before its bytes could hold what it claims.

use std::io::Cursor;

use ::image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::image::{ImageError, MAX_PIXELS, check_pixels};
use crate::excerpt::excerpt;

/// Pixels that a byte of a JPEG file can stand for at most: there is at least a bit for each block of 8 x 8, for a Huffman code has at
/// least one.
const JPEG_PIXELS_A_BYTE: u64 = 8 * 64;
/// The same of a PNG file: DEFLATE makes at most 1032 bytes of one, and a byte holds at most 8 pixels.
const PNG_PIXELS_A_BYTE: u64 = 1032 * 8;
/// Bytes that the decoders of files may take in any case.
const LEAST_WORKING_MEMORY: u64 = 16 << 20;

/// An RGB image of at most so many pixels, of a file's bytes; `claimed` is what the file is said to be, for messages.
pub(super) fn decode_file_into(bytes: &[u8], claimed: &str, most: u64, rgb: &mut RgbImage) -> Result<(), ImageError> {
    let format = match ::image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        _ => return Err(ImageError::UnsupportedCompression { format: excerpt(claimed) }),
    };
    if format == ImageFormat::Jpeg && !jpeg_has_its_end(bytes) {
        return Err(ImageError::CutShort { length: bytes.len() });
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    // Up to eight bytes a pixel (16-bit RGBA) and the decoder's own working memory; small limits leave room for what all files need.
    limits.max_alloc = Some((most.min(MAX_PIXELS) * 12).max(LEAST_WORKING_MEMORY));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(ImageError::Corrupt)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    check_pixels(width, height, most)?;
    let pixels_a_byte = if format == ImageFormat::Jpeg { JPEG_PIXELS_A_BYTE } else { PNG_PIXELS_A_BYTE };
    if u64::from(width) * u64::from(height) > pixels_a_byte.saturating_mul(bytes.len() as u64) {
        return Err(ImageError::Overstated { width, height, length: bytes.len() });
    }
    if decoder.color_type() == ColorType::Rgb8 {
        let mut pixels = std::mem::take(rgb).into_raw();
        pixels.resize(width as usize * height as usize * 3, 0);
        decoder.read_image(&mut pixels).map_err(ImageError::Corrupt)?;
        *rgb = RgbImage::from_raw(width, height, pixels).unwrap_or_default();
    } else {
        *rgb = DynamicImage::from_decoder(decoder).map_err(ImageError::Corrupt)?.into_rgb8();
    }
    Ok(())
}

/// True when the end-of-image marker stands behind the last start-of-scan marker. The decoder would fill what is missing with
/// grey. Neither marker can be part of coded pixels; an embedded thumbnail with an end of its own stands before them.
fn jpeg_has_its_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: [u8; 2] = [0xFF, 0xDA];
    const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
    bytes
        .windows(2)
        .rev()
        .find(|pair| *pair == START_OF_SCAN || *pair == END_OF_IMAGE)
        .is_some_and(|pair| pair == END_OF_IMAGE)
}

//! Any bytes as a raw image of any encoding and size, and as a JPEG or PNG file: no panic, and no more pixels than are wanted.

use distilled_perception::messages::{CompressedImage, Image};
use distilled_perception::sensing::image::{
    SUPPORTED_ENCODINGS, decode_compressed_bytes, decode_compressed_within, decode_image, decode_image_within,
};

use super::source::Source;

/// Pixels that are wanted at most; small, so that a mutated header does not cost seconds.
const MOST: u64 = 1 << 20;

/// The first byte tells what the others are: 0 a raw image of any size, 1 one of a size at which most are whole, else a file.
pub fn check(bytes: &[u8]) {
    let mut source = Source(bytes);
    match source.u8() {
        0 => {
            let (encoding, width, height, step) = (source.u8(), source.u32(), source.u32(), source.u32());
            raw(encoding, width, height, step, source.u8(), source.0);
        }
        1 => {
            let (encoding, width, height) = (source.u8(), u32::from(source.u8() % 16), u32::from(source.u8() % 16));
            let step = width + u32::from(source.u8());
            raw(encoding, width, height, step, source.u8(), source.0);
        }
        _ => {
            let image = CompressedImage { format: "jpeg", data: source.0, ..CompressedImage::default() };
            match decode_compressed_within(&image, MOST) {
                Ok(rgb) => {
                    assert!(u64::from(rgb.width()) * u64::from(rgb.height()) <= MOST);
                    assert_eq!(decode_compressed_bytes(source.0).ok(), Some(rgb));
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

fn raw(encoding: u8, width: u32, height: u32, step: u32, is_bigendian: u8, data: &[u8]) {
    let encoding = SUPPORTED_ENCODINGS[usize::from(encoding) % SUPPORTED_ENCODINGS.len()];
    let image = Image { encoding, width, height, step, is_bigendian, data, ..Image::default() };
    match decode_image(&image) {
        Ok(rgb) => {
            assert_eq!(rgb.dimensions(), (width, height));
            let pixels = u64::from(width) * u64::from(height);
            assert!(decode_image_within(&image, pixels).is_ok() && decode_image_within(&image, pixels - 1).is_err());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

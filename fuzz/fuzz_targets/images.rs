//! Any bytes as a raw image of any encoding and size, and as a JPEG or PNG file: no panic.
#![no_main]

use arbitrary::Arbitrary;
use distilled_perception::messages::Image;
use distilled_perception::sensing::image::{SUPPORTED_ENCODINGS, decode_compressed_bytes, decode_image};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Raw {
        encoding: u8,
        width: u32,
        height: u32,
        step: u32,
        is_bigendian: u8,
        data: &'a [u8],
    },
    /// Sizes at which most images are whole.
    SmallRaw {
        encoding: u8,
        width: u8,
        height: u8,
        padding: u8,
        is_bigendian: u8,
        data: &'a [u8],
    },
    File(&'a [u8]),
}

fn decode(encoding: u8, width: u32, height: u32, step: u32, is_bigendian: u8, data: &[u8]) {
    let encoding = SUPPORTED_ENCODINGS[usize::from(encoding) % SUPPORTED_ENCODINGS.len()];
    let image = Image { encoding, width, height, step, is_bigendian, data, ..Image::default() };
    if let Ok(rgb) = decode_image(&image) {
        assert_eq!(rgb.dimensions(), (width, height));
    }
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Raw { encoding, width, height, step, is_bigendian, data } => {
        decode(encoding, width, height, step, is_bigendian, data);
    }
    Input::SmallRaw { encoding, width, height, padding, is_bigendian, data } => {
        let (width, height) = (u32::from(width % 16), u32::from(height % 16));
        decode(encoding, width, height, width + u32::from(padding), is_bigendian, data);
    }
    Input::File(bytes) => {
        let _ = decode_compressed_bytes(bytes);
    }
});

//! Images that are wrong in some way are refused with an error that says how, and no bytes make a decoder panic.

use distilled_perception::messages::{CompressedImage, Image};
use distilled_perception::sensing::image::{
    ImageError, SUPPORTED_ENCODINGS, decode_compressed, decode_compressed_bytes, decode_compressed_into,
    decode_compressed_within, decode_image, decode_image_into, decode_image_within,
};
use image::{ImageFormat, Rgb, RgbImage};
use proptest::collection::vec;
use proptest::prelude::*;

fn raw<'a>(encoding: &'a str, width: u32, height: u32, step: u32, data: &'a [u8]) -> Image<'a> {
    Image { encoding, width, height, step, data, ..Image::default() }
}

fn file(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn unknown_encodings_are_refused_with_what_is_supported() {
    let error = decode_image(&raw("32FC1", 1, 1, 4, &[0; 4])).unwrap_err();
    assert!(matches!(&error, ImageError::UnsupportedEncoding { encoding } if encoding == "32FC1"));
    for encoding in SUPPORTED_ENCODINGS {
        assert!(error.to_string().contains(encoding), "{error}");
    }
}

#[test]
fn empty_images_are_refused() {
    for encoding in SUPPORTED_ENCODINGS {
        assert!(
            matches!(decode_image(&raw(encoding, 0, 4, 16, &[0; 99])), Err(ImageError::Empty { .. })),
            "{encoding}"
        );
        assert!(
            matches!(decode_image(&raw(encoding, 4, 0, 16, &[0; 99])), Err(ImageError::Empty { .. })),
            "{encoding}"
        );
    }
}

#[test]
fn steps_and_lengths_are_checked_in_every_encoding() {
    for encoding in SUPPORTED_ENCODINGS {
        let error = decode_image(&raw(encoding, 4, 4, 3, &[0; 999])).unwrap_err();
        assert!(matches!(error, ImageError::StepTooSmall { step: 3, .. }), "{encoding}: {error}");
        let ImageError::DataTooShort { needed, .. } = decode_image(&raw(encoding, 4, 4, 20, &[])).unwrap_err() else {
            panic!("{encoding}")
        };
        let data = vec![0; needed as usize];
        decode_image(&raw(encoding, 4, 4, 20, &data)).unwrap();
        let error = decode_image(&raw(encoding, 4, 4, 20, &data[1..])).unwrap_err();
        assert!(matches!(error, ImageError::DataTooShort { .. }), "{encoding}: {error}");
        assert!(error.to_string().contains(&needed.to_string()), "{error}");
    }
}

#[test]
fn giant_claims_do_not_reserve_memory() {
    for encoding in SUPPORTED_ENCODINGS {
        let error = decode_image(&raw(encoding, u32::MAX, u32::MAX, u32::MAX, &[0; 64])).unwrap_err();
        assert!(
            matches!(error, ImageError::DataTooShort { .. } | ImageError::StepTooSmall { .. }),
            "{encoding}: {error}"
        );
    }
}

#[test]
fn bayer_images_need_a_whole_cell() {
    assert!(matches!(decode_image(&raw("bayer_rggb8", 1, 8, 1, &[0; 8])), Err(ImageError::BayerTooSmall { .. })));
    assert!(matches!(decode_image(&raw("bayer_rggb8", 8, 1, 8, &[0; 8])), Err(ImageError::BayerTooSmall { .. })));
}

#[test]
fn a_lone_last_column_without_its_pair_takes_the_chroma_before() {
    // One whole pair, then luma and U of a third pixel: step is exactly two bytes a pixel.
    let whole = decode_image(&raw("yuyv", 4, 1, 8, &[90, 70, 90, 200, 90, 70, 90, 200])).unwrap();
    let odd = decode_image(&raw("yuyv", 3, 1, 6, &[90, 70, 90, 200, 90, 70])).unwrap();
    assert_eq!(odd.get_pixel(2, 0), whole.get_pixel(2, 0));
    let single = decode_image(&raw("uyvy", 1, 1, 2, &[128, 126])).unwrap();
    assert_eq!(single.get_pixel(0, 0), &Rgb([128, 128, 128]));
}

#[test]
fn memory_is_reused() {
    let mut rgb = RgbImage::new(64, 64);
    let memory = rgb.as_ptr();
    decode_image_into(&raw("mono8", 8, 4, 8, &[7; 32]), &mut rgb).unwrap();
    assert_eq!((rgb.as_ptr(), rgb.dimensions()), (memory, (8, 4)));
    assert!(rgb.as_raw().iter().all(|&value| value == 7));
    let data = file(9, 5, ImageFormat::Jpeg);
    decode_compressed_into(&CompressedImage { format: "jpeg", data: &data, ..Default::default() }, &mut rgb).unwrap();
    assert_eq!((rgb.as_ptr(), rgb.dimensions()), (memory, (9, 5)));
}

#[test]
fn other_compressions_are_refused() {
    let image = CompressedImage { format: "16UC1; compressedDepth png", data: &[0; 40], ..Default::default() };
    let error = decode_compressed(&image).unwrap_err();
    assert!(matches!(error, ImageError::CompressedDepth { .. }), "{error}");
    for data in [&b""[..], b"not an image at all", b"GIF89a\x01\0\x01\0", b"RIFF\0\0\0\0WEBPVP8 "] {
        let error =
            decode_compressed(&CompressedImage { format: "rgb8; webp", data, ..Default::default() }).unwrap_err();
        assert!(matches!(&error, ImageError::UnsupportedCompression { format } if format == "rgb8; webp"), "{error}");
        assert!(matches!(decode_compressed_bytes(data), Err(ImageError::UnsupportedCompression { .. })));
    }
}

#[test]
fn cut_files_are_corrupt() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let bytes = file(40, 30, format);
        decode_compressed_bytes(&bytes).unwrap();
        for end in [8, 30, bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() - 20] {
            let result = decode_compressed_bytes(&bytes[..end]);
            assert!(
                matches!(result, Err(ImageError::Corrupt(_) | ImageError::CutShort { .. })),
                "{format:?} cut to {end} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn bytes_behind_the_end_of_a_jpeg_are_padding() {
    let mut bytes = file(40, 30, ImageFormat::Jpeg);
    let whole = decode_compressed_bytes(&bytes).unwrap();
    bytes.extend([0; 64]);
    assert_eq!(decode_compressed_bytes(&bytes).unwrap(), whole);
}

/// A small PNG file whose header claims another size.
fn overstated_png(width: u32, height: u32) -> Vec<u8> {
    let mut png = file(4, 4, ImageFormat::Png);
    // The header chunk: length (4), "IHDR", width (4), height (4), ..., checksum over type and content.
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

#[test]
fn giant_files_are_refused_before_memory_is_reserved() {
    let error = decode_compressed_bytes(&overstated_png(65536, 65536)).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { width: 65536, height: 65536, .. }), "{error}");
}

#[test]
fn files_that_claim_more_than_they_can_hold_are_refused_before_they_are_decoded() {
    let error = decode_compressed_bytes(&overstated_png(8000, 8000)).unwrap_err();
    assert!(matches!(error, ImageError::Overstated { width: 8000, height: 8000, .. }), "{error}");
    let mut jpeg = file(16, 16, ImageFormat::Jpeg);
    // The frame's header: marker (2), length (2), bits (1), height (2), width (2).
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x1F, 0x40, 0x1F, 0x40]);
    let error = decode_compressed_bytes(&jpeg).unwrap_err();
    assert!(matches!(error, ImageError::Overstated { width: 8000, height: 8000, .. }), "{error}");
    // What compresses best is still believed: one colour, as large as cameras have it.
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let grey = RgbImage::from_pixel(2560, 1440, Rgb([128; 3]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        grey.write_to(&mut bytes, format).unwrap();
        assert_eq!(decode_compressed_bytes(bytes.get_ref()).unwrap().dimensions(), (2560, 1440));
    }
}

#[test]
fn more_pixels_than_are_wanted_are_refused() {
    let data = [0; 300];
    let image = raw("mono8", 20, 15, 20, &data);
    assert!(decode_image_within(&image, 300).is_ok());
    let error = decode_image_within(&image, 299).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { width: 20, height: 15, most: 299 }), "{error}");
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let data = file(20, 15, format);
        let image = CompressedImage { format: "any", data: &data, ..Default::default() };
        assert!(decode_compressed_within(&image, 300).is_ok());
        let error = decode_compressed_within(&image, 299).unwrap_err();
        assert!(matches!(error, ImageError::TooLarge { most: 299, .. }), "{error}");
    }
}

#[test]
fn errors_tell_no_more_of_a_text_than_a_log_should_have() {
    let long = "x".repeat(1 << 20);
    assert!(decode_image(&raw(&long, 1, 1, 1, &[0])).unwrap_err().to_string().len() < 600);
    let image = CompressedImage { format: &long, data: &[0; 40], ..Default::default() };
    assert!(decode_compressed(&image).unwrap_err().to_string().len() < 600);
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

proptest! {
    #[test]
    fn no_raw_image_panics(
        encoding in prop::sample::select(&SUPPORTED_ENCODINGS[..]), width in 0_u32..12, height in 0_u32..12, extra in 0_u32..60,
        is_bigendian in 0_u8..2, data in vec(any::<u8>(), 0..800),
    ) {
        let image = Image { is_bigendian, ..raw(encoding, width, height, width + extra, &data) };
        if let Ok(rgb) = decode_image(&image) {
            prop_assert_eq!(rgb.dimensions(), (width, height));
        }
    }

    #[test]
    fn no_file_panics(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_compressed_bytes(&bytes);
    }

    #[test]
    fn no_damaged_file_panics(position in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let mut bytes = file(12, 9, format);
            let index = position.index(bytes.len());
            bytes[index] = value;
            let _ = decode_compressed_bytes(&bytes);
            let _ = decode_compressed_bytes(&bytes[..cut.index(bytes.len())]);
        }
    }
}

//! Clouds of hand-made layouts.

use super::*;
use crate::sensing::range_image::is_void;

fn entry(name: &str, offset: u32, datatype: u8) -> PointField<'_> {
    PointField { name, offset, datatype, count: 1 }
}

/// x, y, z and intensity as most drivers write them: four f32 a point.
fn plain(data: &[u8], width: u32) -> PointCloud2<'_> {
    let names = ["x", "y", "z", "intensity"];
    let fields = names.iter().zip(0..).map(|(name, place)| entry(name, 4 * place, PointField::FLOAT32)).collect();
    PointCloud2 { height: 1, width, fields, point_step: 16, row_step: 16 * width, data, ..PointCloud2::default() }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn the_usual_layout() {
    let data = floats(&[1.0, 2.0, 3.0, 40.0, -1.5, 0.25, 0.0, 41.0]);
    let sweep = Sweep::from_cloud(&plain(&data, 2)).unwrap();
    assert_eq!(sweep.points, [[1.0, 2.0, 3.0], [-1.5, 0.25, 0.0]]);
    assert_eq!(sweep.intensities, [40.0, 41.0]);
    assert_eq!((sweep.rows, sweep.rings.len()), (1, 0));
}

#[test]
fn every_number_type_in_both_byte_orders() {
    // z as f64, x as i16, y as u8, ring as i32, with a byte of padding before each.
    let fields = vec![
        entry("z", 1, PointField::FLOAT64),
        entry("x", 10, PointField::INT16),
        entry("y", 13, PointField::UINT8),
        entry("ring", 15, PointField::INT32),
        entry("reflectivity", 20, PointField::UINT16),
        entry("spare", 23, PointField::INT8),
    ];
    let mut little = vec![0xEE; 24];
    little[1..9].copy_from_slice(&(-2.5_f64).to_le_bytes());
    little[10..12].copy_from_slice(&(-300_i16).to_le_bytes());
    little[13] = 200;
    little[15..19].copy_from_slice(&77_i32.to_le_bytes());
    little[20..22].copy_from_slice(&1000_u16.to_le_bytes());
    let mut big = little.clone();
    for number in [1..9, 10..12, 15..19, 20..22] {
        big[number].reverse();
    }
    for (data, is_bigendian) in [(&little, false), (&big, true)] {
        let cloud = PointCloud2 {
            height: 1,
            width: 1,
            fields: fields.clone(),
            is_bigendian,
            point_step: 24,
            data,
            ..PointCloud2::default()
        };
        let sweep = Sweep::from_cloud(&cloud).unwrap();
        assert_eq!(sweep.points, [[-300.0, 200.0, -2.5]]);
        assert_eq!((sweep.rings, sweep.intensities), (vec![77], vec![1000.0]));
    }
}

#[test]
fn void_points_keep_their_place() {
    let nan = f32::NAN;
    let points = [
        [0.0, 0.0, 0.0, 1.0],
        [nan, 1.0, 1.0, 2.0],
        [1.0, f32::INFINITY, 1.0, 3.0],
        [1.0, 1.0, nan, 4.0],
        [0.0, 0.0, 1.0, nan],
    ];
    let data = floats(points.as_flattened());
    let sweep = Sweep::from_cloud(&plain(&data, 5)).unwrap();
    assert_eq!((sweep.len(), sweep.valid()), (5, 1));
    assert!(sweep.points[..4].iter().all(is_void));
    assert_eq!(sweep.points[4], [0.0, 0.0, 1.0]);
    assert_eq!(sweep.intensities[..4], [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn rows_of_an_organised_cloud_may_be_padded() {
    let mut data = floats(&[1.0, 1.0, 1.0, 0.0, 2.0, 2.0, 2.0, 0.0]);
    data.extend([0xEE; 5]);
    data.extend(floats(&[3.0, 3.0, 3.0, 0.0, 4.0, 4.0, 4.0, 0.0]));
    // The last row has no padding behind it.
    let cloud = PointCloud2 { height: 2, row_step: 37, ..plain(&data, 2) };
    let sweep = Sweep::from_cloud(&cloud).unwrap();
    assert_eq!(sweep.points, [[1.0; 3], [2.0; 3], [3.0; 3], [4.0; 3]]);
    assert_eq!(sweep.rows, 2);

    let text = Sweep::from_cloud(&PointCloud2 { row_step: 31, ..cloud.clone() }).unwrap_err().to_string();
    assert!(text.contains("`row_step` of the point cloud is 31 bytes") && text.contains("takes 32"), "{text}");
    let text = Sweep::from_cloud(&PointCloud2 { row_step: 38, ..cloud }).unwrap_err().to_string();
    assert!(text.contains("has 69 bytes") && text.contains("take 70"), "{text}");
}

#[test]
fn one_row_needs_no_row_step() {
    let data = floats(&[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(Sweep::from_cloud(&PointCloud2 { row_step: 0, ..plain(&data, 1) }).unwrap().valid(), 1);
}

#[test]
fn missing_coordinates_are_told_with_the_fields_there_are() {
    let data = [0; 16];
    let mut cloud = plain(&data, 1);
    cloud.fields[1].name = "Y";
    cloud.fields.remove(2);
    let error = Sweep::from_cloud(&cloud).unwrap_err();
    assert!(matches!(&error, SweepError::MissingField { missing, .. } if missing == &["y", "z"]), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("no field `y`, `z` (its fields: `x`, `Y`, `intensity`)"), "{text}");
    cloud.fields.clear();
    let text = Sweep::from_cloud(&cloud).unwrap_err().to_string();
    assert!(text.contains("(its fields: none)"), "{text}");
}

#[test]
fn fields_that_cannot_be_read_are_told() {
    let data = [0; 16];
    let mut cloud = plain(&data, 1);
    cloud.fields[3].datatype = 9;
    let error = Sweep::from_cloud(&cloud).unwrap_err();
    assert_eq!(error, SweepError::UnknownDatatype { field: "intensity".into(), datatype: 9 });
    cloud.fields[3].datatype = PointField::FLOAT64;
    let error = Sweep::from_cloud(&cloud).unwrap_err();
    assert_eq!(error, SweepError::FieldOutsidePoint { field: "intensity".into(), end: 20, point_step: 16 });
    cloud.fields[0].offset = u32::MAX;
    assert!(matches!(Sweep::from_cloud(&cloud), Err(SweepError::FieldOutsidePoint { field, .. }) if field == "x"));
}

#[test]
fn sizes_that_the_data_cannot_hold_are_told() {
    let data = [0; 40];
    let error = Sweep::from_cloud(&plain(&data, 3)).unwrap_err();
    assert!(matches!(error, SweepError::DataTooShort { found: 40, needed: 48, .. }), "{error:?}");
    let huge = PointCloud2 { width: u32::MAX, height: u32::MAX, ..plain(&data, 1) };
    let points = u64::from(u32::MAX) * u64::from(u32::MAX);
    assert_eq!(Sweep::from_cloud(&huge), Err(SweepError::TooManyPoints { points, most: MAX_POINTS }));
    let without_size = PointCloud2 { point_step: 0, ..plain(&data, 1 << 20) };
    assert!(matches!(Sweep::from_cloud(&without_size), Err(SweepError::FieldOutsidePoint { .. })));
}

#[test]
fn a_cloud_without_points_is_an_empty_sweep() {
    assert_eq!(Sweep::from_cloud(&PointCloud2::default()), Ok(Sweep::default()));
    assert_eq!(Sweep::from_cloud(&plain(&[], 0)), Ok(Sweep::default()));
}

#[test]
fn rings_are_integers_within_16_bits() {
    let data = floats(&[1.0, 2.0, 3.0, -4.0]);
    let mut cloud = plain(&data, 1);
    cloud.fields[3].name = "ring";
    assert!(Sweep::from_cloud(&cloud).unwrap().rings.is_empty());
    // The bits of -4.0 as an integer are below 0, or far above 65535.
    for (name, datatype, ring) in
        [("ring", PointField::INT32, 0), ("channel", PointField::UINT32, u16::MAX), ("line", PointField::UINT8, 0)]
    {
        cloud.fields[3] = entry(name, 12, datatype);
        assert_eq!(Sweep::from_cloud(&cloud).unwrap().rings, [ring], "{name}");
    }
}

/// A cloud whose rows have no padding.
fn numbered<'a>(fields: Vec<PointField<'a>>, data: &'a [u8], height: u32, width: u32, step: u32) -> PointCloud2<'a> {
    PointCloud2 { height, width, fields, point_step: step, row_step: width * step, data, ..PointCloud2::default() }
}

#[test]
fn whole_numbers_of_every_type_and_byte_order() {
    for (datatype, little, expected) in [
        (PointField::UINT8, &[200u8][..], 200),
        (PointField::INT8, &[255][..], NO_NUMBER),
        (PointField::UINT16, &[2, 1][..], 258),
        (PointField::INT16, &[0xff, 0xff][..], NO_NUMBER),
        (PointField::UINT32, &[1, 0, 0, 1][..], 0x0100_0001),
        (PointField::INT32, &[3, 0, 0, 0][..], 3),
        (PointField::FLOAT32, &7.0f32.to_le_bytes()[..], 7),
        (PointField::FLOAT32, &0.5f32.to_le_bytes()[..], NO_NUMBER),
        (PointField::FLOAT32, &f32::NAN.to_le_bytes()[..], NO_NUMBER),
        (PointField::FLOAT64, &9.0f64.to_le_bytes()[..], 9),
    ] {
        let mut data = vec![0xaa];
        data.extend(little);
        let fields = || vec![entry("class", 1, datatype)];
        let step = data.len() as u32;
        let read = whole_numbers(&numbered(fields(), &data, 1, 1, step), "class");
        assert_eq!(read.unwrap(), Some(vec![expected]), "{datatype}");
        data[1..].reverse();
        let swapped = PointCloud2 { is_bigendian: true, ..numbered(fields(), &data, 1, 1, step) };
        assert_eq!(whole_numbers(&swapped, "class").unwrap(), Some(vec![expected]), "{datatype}, big endian");
    }
}

#[test]
fn rows_of_whole_numbers_may_be_padded_and_must_fit() {
    let data = [1, 2, 0, 3, 4, 0];
    let class = || vec![entry("class", 0, PointField::UINT8)];
    let padded = PointCloud2 { row_step: 3, ..numbered(class(), &data, 2, 2, 1) };
    assert_eq!(whole_numbers(&padded, "class").unwrap(), Some(vec![1, 2, 3, 4]));
    assert_eq!(whole_numbers(&padded, "object").unwrap(), None);
    assert_eq!(whole_numbers(&numbered(class(), &[], 1, 0, 1), "class").unwrap(), Some(vec![]));
    // A row's length that is not filled in.
    let flat = PointCloud2 { row_step: 0, ..numbered(class(), &data, 1, 6, 1) };
    assert_eq!(whole_numbers(&flat, "class").unwrap().unwrap().len(), 6);
    for wrong in [
        numbered(class(), &data, 2, 4, 1),
        numbered(class(), &data, 1, u32::MAX, 0),
        PointCloud2 { row_step: 0, ..numbered(class(), &data, 3, 2, 1) },
        numbered(vec![entry("class", 1, PointField::UINT8)], &data, 1, 6, 1),
        numbered(vec![entry("class", 0, 9)], &data, 1, 6, 1),
    ] {
        assert!(whole_numbers(&wrong, "class").is_err(), "{wrong:?}");
    }
}

//! Whole numbers out of the points of a cloud, such as classes.

use crate::messages::{PointCloud2, PointField};

/// Stands for a number that is not whole, negative or too large.
pub(super) const NO_NUMBER: u32 = u32::MAX;

/// The values of a field of whole numbers, one for each point in the order of the cloud, or `None` when there is no such field. Any
/// number type is read; what is no whole number of 32 bits is [`NO_NUMBER`].
///
/// # Errors
/// What about the layout does not fit the data.
pub(super) fn whole_numbers(cloud: &PointCloud2<'_>, name: &str) -> Result<Option<Vec<u32>>, String> {
    let Some(field) = cloud.fields.iter().find(|field| field.name == name) else { return Ok(None) };
    let size = match field.datatype {
        PointField::INT8 | PointField::UINT8 => 1,
        PointField::INT16 | PointField::UINT16 => 2,
        PointField::INT32 | PointField::UINT32 | PointField::FLOAT32 => 4,
        PointField::FLOAT64 => 8,
        other => return Err(format!("field `fields[{name}].datatype` is {other}, which is no number type")),
    };
    let (height, width, step) = (cloud.height as usize, cloud.width as usize, cloud.point_step as usize);
    if height == 0 || width == 0 {
        return Ok(Some(Vec::new()));
    }
    // An unordered cloud has one row, whose length not every publisher fills in.
    let row_step = if height == 1 { width.saturating_mul(step) } else { cloud.row_step as usize };
    let offset = field.offset as usize;
    if offset + size > step || row_step < width.saturating_mul(step) || cloud.data.len() / height < row_step {
        return Err(format!(
            "{height} x {width} points of {step} bytes in rows of {row_step} with `{name}` at {offset} do not fit {} bytes",
            cloud.data.len()
        ));
    }
    let mut numbers = Vec::with_capacity(height * width);
    for row in cloud.data.chunks_exact(row_step).take(height) {
        for point in row.chunks_exact(step).take(width) {
            numbers.push(whole_number(&point[offset..offset + size], field.datatype, cloud.is_bigendian));
        }
    }
    Ok(Some(numbers))
}

/// One number out of as many bytes as its type has.
fn whole_number(bytes: &[u8], datatype: u8, is_bigendian: bool) -> u32 {
    // The least significant byte first, the rest 0.
    let mut little = [0u8; 8];
    for (index, byte) in bytes.iter().enumerate() {
        let place = if is_bigendian { bytes.len() - 1 - index } else { index };
        little[place] = *byte;
    }
    let bits = u64::from_le_bytes(little);
    let from_float = |value: f64| {
        let whole = value.fract() == 0.0 && (0.0..f64::from(NO_NUMBER)).contains(&value);
        if whole { value as u32 } else { NO_NUMBER }
    };
    let from_signed = |value: i64| u32::try_from(value).unwrap_or(NO_NUMBER);
    match datatype {
        PointField::INT8 => from_signed(i64::from(bits as u8 as i8)),
        PointField::INT16 => from_signed(i64::from(bits as u16 as i16)),
        PointField::INT32 => from_signed(i64::from(bits as u32 as i32)),
        PointField::FLOAT32 => from_float(f64::from(f32::from_bits(bits as u32))),
        PointField::FLOAT64 => from_float(f64::from_bits(bits)),
        _ => bits as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud<'a>(fields: Vec<PointField<'a>>, data: &'a [u8], height: u32, width: u32, step: u32) -> PointCloud2<'a> {
        PointCloud2 { height, width, fields, point_step: step, row_step: width * step, data, ..PointCloud2::default() }
    }

    fn field(name: &str, offset: u32, datatype: u8) -> PointField<'_> {
        PointField { name, offset, datatype, count: 1 }
    }

    #[test]
    fn every_type_and_byte_order_is_read() {
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
            let fields = || vec![field("class", 1, datatype)];
            let step = data.len() as u32;
            let read = whole_numbers(&cloud(fields(), &data, 1, 1, step), "class");
            assert_eq!(read, Ok(Some(vec![expected])), "{datatype}");
            data[1..].reverse();
            let swapped = PointCloud2 { is_bigendian: true, ..cloud(fields(), &data, 1, 1, step) };
            assert_eq!(whole_numbers(&swapped, "class"), Ok(Some(vec![expected])), "{datatype}, big endian");
        }
    }

    #[test]
    fn rows_may_be_padded_and_must_fit() {
        let data = [1, 2, 0, 3, 4, 0];
        let class = || vec![field("class", 0, PointField::UINT8)];
        let padded = PointCloud2 { row_step: 3, ..cloud(class(), &data, 2, 2, 1) };
        assert_eq!(whole_numbers(&padded, "class"), Ok(Some(vec![1, 2, 3, 4])));
        assert_eq!(whole_numbers(&padded, "object"), Ok(None));
        assert_eq!(whole_numbers(&cloud(class(), &[], 1, 0, 1), "class"), Ok(Some(vec![])));
        // A row's length that is not filled in.
        let flat = PointCloud2 { row_step: 0, ..cloud(class(), &data, 1, 6, 1) };
        assert_eq!(whole_numbers(&flat, "class").unwrap().unwrap().len(), 6);
        for wrong in [
            cloud(class(), &data, 2, 4, 1),
            cloud(class(), &data, 1, u32::MAX, 0),
            PointCloud2 { row_step: 0, ..cloud(class(), &data, 3, 2, 1) },
            cloud(vec![field("class", 1, PointField::UINT8)], &data, 1, 6, 1),
            cloud(vec![field("class", 0, 9)], &data, 1, 6, 1),
        ] {
            assert!(whole_numbers(&wrong, "class").is_err(), "{wrong:?}");
        }
    }
}

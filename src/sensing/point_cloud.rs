//! Points out of point clouds of any layout.
//!
//! | of a cloud | becomes |
//! |---|---|
//! | fields `x`, `y`, `z`, of any number type and place | points; void where one is NaN or infinite, or all are 0 |
//! | field `intensity`, or else `reflectivity` | intensities |
//! | field `ring`, or else `channel` or `line`, of an integer type | rings |
//! | `height` | rows |
//!
//! Of a field with several numbers the first one counts. `is_bigendian`, padding within points and padding behind rows are
//! respected; `row_step` is not looked at where there is one row, as many drivers leave it open.

use crate::excerpt::excerpt;
use crate::messages::{PointCloud2, PointField};
use crate::sensing::range_image::{MAX_POINTS, Sweep, SweepError, VOID, check_points};

#[cfg(test)]
mod tests;

const COORDINATES: [&str; 3] = ["x", "y", "z"];
const INTENSITIES: [&str; 2] = ["intensity", "reflectivity"];
const RINGS: [&str; 3] = ["ring", "channel", "line"];
/// Field names that an error tells at most.
const TOLD_FIELDS: usize = 24;

/// Stands for a number that is not whole, negative or too large, see [`whole_numbers`].
pub const NO_NUMBER: u32 = u32::MAX;

/// The values of a field of whole numbers, such as classes, one for each point in the order of the cloud; `None` when there is no such
/// field. Any number type is read; what is no whole number of 32 bits is [`NO_NUMBER`].
///
/// # Errors
/// A field that does not fit the points, sizes that do not fit the data, or more than [`MAX_POINTS`] points: see [`SweepError`].
pub fn whole_numbers(cloud: &PointCloud2<'_>, name: &str) -> Result<Option<Vec<u32>>, SweepError> {
    let Some(field) = field(cloud, name) else { return Ok(None) };
    let points = count_points(cloud, MAX_POINTS)?;
    if points == 0 {
        return Ok(Some(Vec::new()));
    }
    let number = Number::of(field, cloud.point_step)?;
    check_size(cloud)?;
    let mut values = Vec::with_capacity(points);
    for_each_point(cloud, |point| {
        let value = number.read(point, cloud.is_bigendian);
        let is_whole = value.fract() == 0.0 && (0.0..f64::from(NO_NUMBER)).contains(&value);
        values.push(if is_whole { value as u32 } else { NO_NUMBER });
    });
    Ok(Some(values))
}

impl Sweep {
    /// The points of a cloud in its order, void ones among them. A cloud without points is an empty sweep, whatever its fields.
    ///
    /// # Errors
    /// Missing coordinates, sizes that do not fit the data, or more than [`MAX_POINTS`] points: see [`SweepError`].
    pub fn from_cloud(cloud: &PointCloud2<'_>) -> Result<Self, SweepError> {
        Self::from_cloud_within(cloud, MAX_POINTS)
    }

    /// [`Self::from_cloud`] of at most so many points.
    ///
    /// # Errors
    /// As [`Self::from_cloud`].
    pub fn from_cloud_within(cloud: &PointCloud2<'_>, most: u64) -> Result<Self, SweepError> {
        if count_points(cloud, most)? == 0 {
            return Ok(Self::default());
        }
        let layout = Layout::of(cloud)?;
        check_size(cloud)?;
        let [x, y, z] = layout.position;
        // What nearly every driver writes gets a loop of its own.
        let is_plain = !cloud.is_bigendian && layout.position.iter().all(|c| c.datatype == PointField::FLOAT32);
        Ok(if is_plain {
            let read = |number: Number, point: &[u8]| f32::from_le_bytes(number.bytes(point));
            gather(cloud, &layout, |point| [read(x, point), read(y, point), read(z, point)])
        } else {
            let is_bigendian = cloud.is_bigendian;
            let read = |number: Number, point: &[u8]| number.read(point, is_bigendian) as f32;
            gather(cloud, &layout, |point| [read(x, point), read(y, point), read(z, point)])
        })
    }
}

/// Where in a point the numbers lie that are read.
struct Layout {
    position: [Number; 3],
    intensity: Option<Number>,
    ring: Option<Number>,
}

impl Layout {
    fn of(cloud: &PointCloud2<'_>) -> Result<Self, SweepError> {
        let [x, y, z] = COORDINATES.map(|name| field(cloud, name));
        let (Some(x), Some(y), Some(z)) = (x, y, z) else {
            let missing = COORDINATES.iter().filter(|name| field(cloud, name).is_none());
            return Err(SweepError::MissingField {
                missing: missing.map(|name| (*name).to_owned()).collect(),
                present: cloud.fields.iter().take(TOLD_FIELDS).map(|field| excerpt(field.name)).collect(),
            });
        };
        let number = |field: &PointField<'_>| Number::of(field, cloud.point_step);
        let intensity = INTENSITIES.iter().find_map(|name| field(cloud, name));
        let ring = RINGS.iter().filter_map(|name| field(cloud, name)).find(|field| is_integer(field.datatype));
        Ok(Self {
            position: [number(x)?, number(y)?, number(z)?],
            intensity: intensity.map(number).transpose()?,
            ring: ring.map(number).transpose()?,
        })
    }
}

/// The first field of a name.
fn field<'c, 'a>(cloud: &'c PointCloud2<'a>, name: &str) -> Option<&'c PointField<'a>> {
    cloud.fields.iter().find(|field| field.name == name)
}

fn is_integer(datatype: u8) -> bool {
    (PointField::INT8..=PointField::UINT32).contains(&datatype)
}

/// A number within each point.
#[derive(Clone, Copy)]
struct Number {
    offset: usize,
    datatype: u8,
}

impl Number {
    /// A field's first number, which must lie within the point.
    fn of(field: &PointField<'_>, point_step: u32) -> Result<Self, SweepError> {
        let bytes = match field.datatype {
            PointField::INT8 | PointField::UINT8 => 1,
            PointField::INT16 | PointField::UINT16 => 2,
            PointField::INT32 | PointField::UINT32 | PointField::FLOAT32 => 4,
            PointField::FLOAT64 => 8,
            datatype => return Err(SweepError::UnknownDatatype { field: excerpt(field.name), datatype }),
        };
        let end = u64::from(field.offset) + bytes;
        if end > u64::from(point_step) {
            return Err(SweepError::FieldOutsidePoint { field: excerpt(field.name), end, point_step });
        }
        Ok(Self { offset: field.offset as usize, datatype: field.datatype })
    }

    /// The number's bytes; [`Self::of`] has seen to it that they lie within the point.
    fn bytes<const N: usize>(self, point: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&point[self.offset..self.offset + N]);
        bytes
    }

    fn read(self, point: &[u8], is_bigendian: bool) -> f64 {
        macro_rules! number {
            ($type:ty) => {{
                let bytes = self.bytes(point);
                f64::from(if is_bigendian { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) })
            }};
        }
        match self.datatype {
            PointField::INT8 => number!(i8),
            PointField::UINT8 => number!(u8),
            PointField::INT16 => number!(i16),
            PointField::UINT16 => number!(u16),
            PointField::INT32 => number!(i32),
            PointField::UINT32 => number!(u32),
            PointField::FLOAT32 => number!(f32),
            // `of` lets no other type pass.
            _ => number!(f64),
        }
    }
}

/// How many points a cloud has.
fn count_points(cloud: &PointCloud2<'_>, most: u64) -> Result<usize, SweepError> {
    let points = u64::from(cloud.width) * u64::from(cloud.height);
    check_points(points, most)?;
    Ok(points as usize)
}

/// That every point lies within the data.
fn check_size(cloud: &PointCloud2<'_>) -> Result<(), SweepError> {
    let &PointCloud2 { width, height, point_step, row_step, .. } = cloud;
    let row = u64::from(width) * u64::from(point_step);
    if height > 1 && u64::from(row_step) < row {
        return Err(SweepError::RowStepTooSmall { row_step, width, point_step, needed: row });
    }
    // The last row may lack its padding. Neither product can be beyond 64 bits, nor, as there are few points, can their sum.
    let needed = (u64::from(height) - 1) * u64::from(row_step) + row;
    if (cloud.data.len() as u64) < needed {
        let found = cloud.data.len();
        return Err(SweepError::DataTooShort { found, width, height, point_step, row_step, needed });
    }
    Ok(())
}

/// Gives the bytes of one point after another. Sizes have been checked.
fn for_each_point(cloud: &PointCloud2<'_>, mut take: impl FnMut(&[u8])) {
    let (width, height) = (cloud.width as usize, cloud.height as usize);
    let (point_step, row_step) = (cloud.point_step as usize, cloud.row_step as usize);
    for row in 0..height {
        let start = row * row_step;
        cloud.data[start..start + width * point_step].chunks_exact(point_step).for_each(&mut take);
    }
}

/// One pass over the data. Sizes have been checked, so what is reserved is bounded by what was received.
fn gather(cloud: &PointCloud2<'_>, layout: &Layout, position: impl Fn(&[u8]) -> [f32; 3]) -> Sweep {
    let (width, height) = (cloud.width as usize, cloud.height as usize);
    let room = |number: Option<Number>| if number.is_some() { width * height } else { 0 };
    let mut sweep = Sweep {
        points: Vec::with_capacity(width * height),
        intensities: Vec::with_capacity(room(layout.intensity)),
        rings: Vec::with_capacity(room(layout.ring)),
        rows: height,
    };
    for_each_point(cloud, |point| {
        sweep.points.push(echo_or_void(position(point)));
        if let Some(intensity) = layout.intensity {
            sweep.intensities.push(intensity.read(point, cloud.is_bigendian) as f32);
        }
        if let Some(ring) = layout.ring {
            // Numbers beyond 16 bits become the nearest that fits.
            sweep.rings.push(ring.read(point, cloud.is_bigendian) as u16);
        }
    });
    sweep
}

/// Drivers mark beams without an echo by NaN, by infinity or by the sensor's own place.
fn echo_or_void(point: [f32; 3]) -> [f32; 3] {
    let sum: f32 = point.iter().map(|coordinate| coordinate.abs()).sum();
    if sum > 0.0 && sum.is_finite() { point } else { VOID }
}

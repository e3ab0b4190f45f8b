//! A labelled recording as a Parquet file: a plain table that pandas and polars read, one row for each sweep.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `stamp` | int64 | header stamp, nanoseconds |
//! | `frame_id` | string | the sensor's frame |
//! | `rows` | int32 | rows of an organised cloud, otherwise 1 |
//! | `x`, `y`, `z` | list of float | the points in metres, NaN where void |
//! | `intensity`, `ring` | list of float, of int32 | as the points, or empty |
//! | `class`, `object` | list of int32 | for each point its class and the place of its object below, -1: background, none |
//! | `weight` | list of float | for each point how much it counts, 0: ignored |
//! | `object_class`, `object_points` | list of int32 | for each object its class and how many points lie on it |
//! | `object_x`, `object_y`, `object_z`, `object_length`, `object_width`, `object_height`, `object_yaw`, `object_score` | list of float | middle, size, turn and score of each object; NaN where not known |
//! | `truth_class` .. `truth_object_score` | as those | the same of the truth to judge by; null where it is not known |
//!
//! Classes, what was lost and counts are JSON under the file's key [`METADATA_KEY`](crate::distill::targets::METADATA_KEY).

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    builder::{ArrayBuilder, Float32Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder},
};
use arrow_schema::{DataType, Field, Schema};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};
use serde::{Deserialize, Serialize};

use super::{
    LabelFacts, LabelledObject, LabelledRecording, LabelledSweep, LidarLabelError, PointClass, PointTarget, SweepLabels,
};
use crate::{
    distill::{
        bag::Loss,
        durable,
        targets::{column, metadata_json, properties},
    },
    sensing::range_image::Sweep,
};

/// Version of the table.
const LABELS_VERSION: u32 = 1;

/// Sweeps that are written and read at a time.
const SWEEPS_AT_A_TIME: usize = 64;

/// Stands for background, and for no object.
const NEITHER: i32 = -1;

/// The numbers of an object, in the order in which [`numbers_of`] gives them.
const OBJECT_NUMBERS: [&str; 8] = ["x", "y", "z", "length", "width", "height", "yaw", "score"];

/// What a file says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Metadata {
    labels_version: u32,
    crate_version: String,
    loss: Loss,
    facts: LabelFacts,
}

/// What every version of [`Metadata`] has.
#[derive(Deserialize)]
struct Version {
    labels_version: u32,
}

/// Writes a labelled recording, whole or not at all.
///
/// # Errors
/// [`LidarLabelError::Write`] when the disk says no.
pub fn write_labels(path: &Path, recording: &LabelledRecording) -> Result<(), LidarLabelError> {
    let fail = |source: ParquetError| LidarLabelError::Write { path: path.into(), source };
    let metadata = Metadata {
        labels_version: LABELS_VERSION,
        crate_version: env!("CARGO_PKG_VERSION").into(),
        loss: recording.loss.clone(),
        facts: recording.facts.clone(),
    };
    let json = serde_json::to_string(&metadata).map_err(|error| fail(ParquetError::External(Box::new(error))))?;
    durable::write_file(path, |file| {
        let mut writer = ArrowWriter::try_new(file, Arc::new(schema()), Some(properties(json)))?;
        for sweeps in recording.sweeps.chunks(SWEEPS_AT_A_TIME) {
            writer.write(&to_batch(sweeps)?)?;
        }
        writer.close()?;
        Ok(())
    })
    .map_err(fail)
}

/// Reads what [`write_labels`] wrote.
///
/// # Errors
/// [`LidarLabelError::Read`] when it is no Parquet file, [`LidarLabelError::Foreign`] when another program or version wrote it.
pub fn read_labels(path: &Path) -> Result<LabelledRecording, LidarLabelError> {
    let fail = |source: ParquetError| LidarLabelError::Read { path: path.into(), source };
    let foreign = |reason: String| LidarLabelError::Foreign { path: path.into(), reason };
    let file = File::open(path).map_err(|error| fail(error.into()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fail)?;
    let json = metadata_json(&builder).map_err(foreign)?;
    // The version first: the rest of another version's metadata may be anything.
    let version: Version = serde_json::from_str(json).map_err(|error| foreign(error.to_string()))?;
    if version.labels_version != LABELS_VERSION {
        let found = version.labels_version;
        return Err(foreign(format!("its table has version {found}, this program reads version {LABELS_VERSION}")));
    }
    let Metadata { loss, facts, .. } = serde_json::from_str(json).map_err(|error| foreign(error.to_string()))?;
    let mut sweeps = Vec::new();
    for batch in builder.with_batch_size(SWEEPS_AT_A_TIME).build().map_err(fail)? {
        let batch = batch.map_err(|error| fail(error.into()))?;
        for row in 0..batch.num_rows() {
            sweeps.push(sweep_of(&batch, row).map_err(foreign)?);
        }
    }
    Ok(LabelledRecording { sweeps, loss, facts })
}

fn schema() -> Schema {
    let list = |kind: DataType| DataType::List(Arc::new(Field::new_list_field(kind, true)));
    let floats = |name: &str, nullable: bool| Field::new(name, list(DataType::Float32), nullable);
    let integers = |name: &str, nullable: bool| Field::new(name, list(DataType::Int32), nullable);
    let mut fields = vec![
        Field::new("stamp", DataType::Int64, false),
        Field::new("frame_id", DataType::Utf8, false),
        Field::new("rows", DataType::Int32, false),
        floats("x", false),
        floats("y", false),
        floats("z", false),
        floats("intensity", false),
        integers("ring", false),
    ];
    for (prefix, nullable) in [("", false), ("truth_", true)] {
        let integer_names = ["class", "object", "object_class", "object_points"];
        fields.extend(integer_names.map(|name| integers(&format!("{prefix}{name}"), nullable)));
        fields.push(floats(&format!("{prefix}weight"), nullable));
        fields.extend(OBJECT_NUMBERS.map(|name| floats(&format!("{prefix}object_{name}"), nullable)));
    }
    Schema::new(fields)
}

type Floats = ListBuilder<Float32Builder>;
type Integers = ListBuilder<Int32Builder>;

/// The columns of one labelling, in the order of [`schema`].
#[derive(Default)]
struct LabelColumns {
    class: Integers,
    object: Integers,
    object_class: Integers,
    object_points: Integers,
    weight: Floats,
    numbers: [Floats; OBJECT_NUMBERS.len()],
}

impl LabelColumns {
    fn append(&mut self, labels: Option<&SweepLabels>) {
        let points = labels.map(|labels| labels.points.as_slice());
        let objects = labels.map(|labels| labels.objects.as_slice());
        let of_points = |value: fn(&PointTarget) -> i32| {
            points.map(|points| points.iter().map(move |point| Some(value(point))).collect::<Vec<_>>())
        };
        let of_objects = |value: fn(&LabelledObject) -> i32| {
            objects.map(|objects| objects.iter().map(move |object| Some(value(object))).collect::<Vec<_>>())
        };
        self.class.append_option(of_points(|point| match point.class {
            PointClass::Background => NEITHER,
            PointClass::Class(class) => i32::from(class),
        }));
        self.object.append_option(of_points(|point| point.object.map_or(NEITHER, |object| whole(object as usize))));
        self.object_class.append_option(of_objects(|object| whole(object.class)));
        self.object_points.append_option(of_objects(|object| whole(object.points)));
        self.weight.append_option(points.map(|points| points.iter().map(|point| Some(point.weight))));
        for (index, numbers) in self.numbers.iter_mut().enumerate() {
            numbers.append_option(
                objects.map(|objects| objects.iter().map(move |object| Some(numbers_of(object)[index]))),
            );
        }
    }

    fn finish(&mut self, columns: &mut Vec<ArrayRef>) {
        columns.push(Arc::new(self.class.finish()));
        columns.push(Arc::new(self.object.finish()));
        columns.push(Arc::new(self.object_class.finish()));
        columns.push(Arc::new(self.object_points.finish()));
        columns.push(Arc::new(self.weight.finish()));
        columns.extend(self.numbers.iter_mut().map(ArrayBuilder::finish));
    }
}

fn whole(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn numbers_of(object: &LabelledObject) -> [f32; OBJECT_NUMBERS.len()] {
    let [x, y, z] = object.center;
    let [length, width, height] = object.size.unwrap_or([f32::NAN; 3]);
    [x, y, z, length, width, height, object.yaw.unwrap_or(f32::NAN), object.score]
}

fn to_batch(sweeps: &[LabelledSweep]) -> Result<RecordBatch, ParquetError> {
    let mut stamp = Int64Builder::new();
    let mut frame_id = StringBuilder::new();
    let mut rows = Int32Builder::new();
    let mut coordinates: [Floats; 3] = Default::default();
    let mut intensity = Floats::default();
    let mut ring = Integers::default();
    let (mut labels, mut truth) = (LabelColumns::default(), LabelColumns::default());
    for labelled in sweeps {
        let sweep = &labelled.sweep;
        stamp.append_value(labelled.stamp);
        frame_id.append_value(&labelled.frame_id);
        rows.append_value(whole(sweep.rows));
        for (axis, column) in coordinates.iter_mut().enumerate() {
            column.append_value(sweep.points.iter().map(|point| Some(point[axis])));
        }
        intensity.append_value(sweep.intensities.iter().map(|value| Some(*value)));
        ring.append_value(sweep.rings.iter().map(|ring| Some(i32::from(*ring))));
        labels.append(Some(&labelled.labels));
        truth.append(labelled.truth.as_ref());
    }
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(stamp.finish()), Arc::new(frame_id.finish()), Arc::new(rows.finish())];
    columns.extend(coordinates.iter_mut().map(ArrayBuilder::finish));
    columns.push(Arc::new(intensity.finish()));
    columns.push(Arc::new(ring.finish()));
    labels.finish(&mut columns);
    truth.finish(&mut columns);
    Ok(RecordBatch::try_new(Arc::new(schema()), columns)?)
}

/// One row as a sweep.
fn sweep_of(batch: &RecordBatch, row: usize) -> Result<LabelledSweep, String> {
    let stamp: &Int64Array = column(batch, "stamp")?;
    let frame_id: &StringArray = column(batch, "frame_id")?;
    let rows: &Int32Array = column(batch, "rows")?;
    let [x, y, z] = [floats(batch, "x", row)?, floats(batch, "y", row)?, floats(batch, "z", row)?];
    if x.len() != y.len() || x.len() != z.len() {
        return Err(format!("the coordinates of sweep {row} are not of one length"));
    }
    let points: Vec<[f32; 3]> = x.into_iter().zip(y).zip(z).map(|((x, y), z)| [x, y, z]).collect();
    let rings = integers(batch, "ring", row)?;
    let sweep = Sweep {
        intensities: floats(batch, "intensity", row)?,
        rings: rings.into_iter().map(|ring| u16::try_from(ring).unwrap_or(u16::MAX)).collect(),
        rows: usize::try_from(rows.value(row)).unwrap_or(1).max(1),
        points,
    };
    let labels = labels_of(batch, "", row, sweep.points.len())?.ok_or_else(|| format!("sweep {row} has no labels"))?;
    let truth = labels_of(batch, "truth_", row, sweep.points.len())?;
    Ok(LabelledSweep { stamp: stamp.value(row), frame_id: frame_id.value(row).to_owned(), sweep, labels, truth })
}

/// The labels in the columns with this prefix; `None` where they are null.
fn labels_of(batch: &RecordBatch, prefix: &str, row: usize, points: usize) -> Result<Option<SweepLabels>, String> {
    let name = |name: &str| format!("{prefix}{name}");
    let class: &ListArray = column(batch, &name("class"))?;
    if class.is_null(row) {
        return Ok(None);
    }
    let class = integers(batch, &name("class"), row)?;
    let object = integers(batch, &name("object"), row)?;
    let weight = floats(batch, &name("weight"), row)?;
    if [class.len(), object.len(), weight.len()] != [points; 3] {
        return Err(format!("sweep {row} has {points} points and {prefix}labels for {}", class.len()));
    }
    let targets = class.into_iter().zip(object).zip(weight).map(|((class, object), weight)| PointTarget {
        class: u16::try_from(class).map_or(PointClass::Background, PointClass::Class),
        weight,
        object: u32::try_from(object).ok(),
    });
    let targets: Vec<PointTarget> = targets.collect();
    let class = integers(batch, &name("object_class"), row)?;
    let counts = integers(batch, &name("object_points"), row)?;
    let mut numbers = Vec::with_capacity(OBJECT_NUMBERS.len());
    for number in OBJECT_NUMBERS {
        numbers.push(floats(batch, &name(&format!("object_{number}")), row)?);
    }
    if counts.len() != class.len() || numbers.iter().any(|column| column.len() != class.len()) {
        return Err(format!("the {prefix}objects of sweep {row} are not of one length"));
    }
    let known = |value: f32| !value.is_nan();
    let object = |(place, (class, points)): (usize, (i32, i32))| {
        let [x, y, z, length, width, height, yaw, score]: [f32; OBJECT_NUMBERS.len()] =
            std::array::from_fn(|index| numbers[index][place]);
        LabelledObject {
            class: usize::try_from(class).unwrap_or_default(),
            center: [x, y, z],
            size: known(length).then_some([length, width, height]),
            yaw: known(yaw).then_some(yaw),
            score,
            points: usize::try_from(points).unwrap_or_default(),
        }
    };
    let objects = class.into_iter().zip(counts).enumerate().map(object).collect();
    Ok(Some(SweepLabels { points: targets, objects }))
}

fn list(batch: &RecordBatch, name: &str, row: usize) -> Result<ArrayRef, String> {
    column::<ListArray>(batch, name).map(|lists| lists.value(row))
}

fn floats(batch: &RecordBatch, name: &str, row: usize) -> Result<Vec<f32>, String> {
    let list = list(batch, name, row)?;
    let values = list.as_any().downcast_ref::<Float32Array>();
    Ok(values.ok_or_else(|| format!("its column `{name}` is no list of float"))?.values().to_vec())
}

fn integers(batch: &RecordBatch, name: &str, row: usize) -> Result<Vec<i32>, String> {
    let list = list(batch, name, row)?;
    let values = list.as_any().downcast_ref::<Int32Array>();
    Ok(values.ok_or_else(|| format!("its column `{name}` is no list of int32"))?.values().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{super::facts::SourceFacts, *};

    fn recording() -> LabelledRecording {
        let labels = SweepLabels {
            points: vec![PointTarget::of_class(1, Some(0)), PointTarget::BACKGROUND, PointTarget::IGNORED],
            objects: vec![LabelledObject {
                class: 1,
                center: [1.0, 2.0, 0.5],
                size: Some([0.5, 0.4, 1.8]),
                yaw: Some(-0.25),
                score: 0.75,
                points: 1,
            }],
        };
        let unsure = SweepLabels {
            points: vec![PointTarget { weight: 0.5, ..PointTarget::of_class(0, None) }; 3],
            objects: vec![LabelledObject { size: None, yaw: None, ..labels.objects[0].clone() }],
        };
        let points = vec![[1.0, 2.0, 0.25], [3.0, -1.0, 0.0], [f32::NAN; 3]];
        let sweep = |stamp, rings: &[u16], labels: &SweepLabels, truth| LabelledSweep {
            stamp,
            frame_id: "lidar".into(),
            sweep: Sweep { points: points.clone(), intensities: vec![7.0, 8.0, 0.0], rings: rings.to_vec(), rows: 1 },
            labels: labels.clone(),
            truth,
        };
        let none = LabelledSweep {
            sweep: Sweep { points: Vec::new(), intensities: Vec::new(), rings: Vec::new(), rows: 2 },
            ..sweep(-5, &[], &SweepLabels::default(), None)
        };
        let mut loss = Loss::default();
        loss.add_broken("one");
        let classes = ["person".to_owned(), "forklift".to_owned()];
        let facts = LabelFacts {
            classes: classes.to_vec(),
            sweeps: 3,
            sources: vec![SourceFacts::new("truth /truth/points".into(), &classes)],
            ..LabelFacts::default()
        };
        let first = sweep(1_700_000_000_123_456_789, &[0, 3, u16::MAX], &labels, Some(unsure.clone()));
        LabelledRecording { sweeps: vec![first, sweep(6, &[], &unsure, None), none], loss, facts }
    }

    #[test]
    fn files_keep_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.parquet");
        let written = recording();
        write_labels(&path, &written).unwrap();
        let read = read_labels(&path).unwrap();
        assert_eq!((&read.loss, &read.facts), (&written.loss, &written.facts));
        assert_eq!(read.sweeps.len(), 3);
        for (read, written) in read.sweeps.iter().zip(&written.sweeps) {
            assert_eq!((read.stamp, &read.frame_id), (written.stamp, &written.frame_id));
            assert_eq!((&read.labels, &read.truth), (&written.labels, &written.truth));
            // Void points are NaN, which is not equal to itself.
            assert_eq!(format!("{:?}", read.sweep), format!("{:?}", written.sweep));
        }
    }

    #[test]
    fn more_sweeps_than_are_read_at_a_time_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.parquet");
        let mut written = recording();
        let first = written.sweeps[0].clone();
        written.sweeps = (0..150).map(|stamp| LabelledSweep { stamp, ..first.clone() }).collect();
        write_labels(&path, &written).unwrap();
        let stamps: Vec<i64> = read_labels(&path).unwrap().sweeps.iter().map(|sweep| sweep.stamp).collect();
        assert_eq!(stamps, (0..150).collect::<Vec<_>>());
        written.sweeps.clear();
        write_labels(&path, &written).unwrap();
        assert!(read_labels(&path).unwrap().sweeps.is_empty());
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.parquet");
        assert!(matches!(read_labels(&path), Err(LidarLabelError::Read { .. })));
        std::fs::write(&path, "no parquet").unwrap();
        assert!(matches!(read_labels(&path), Err(LidarLabelError::Read { .. })));
        let metadata = r#"{"labels_version": 9}"#.to_owned();
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), Arc::new(schema()), Some(properties(metadata))).unwrap();
        writer.write(&to_batch(&[]).unwrap()).unwrap();
        writer.close().unwrap();
        let error = read_labels(&path).unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}

//! One Parquet part of the soft targets: a run of frames of one recording.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
    builder::{ArrayBuilder, Float32Builder, Int64Builder, ListBuilder, StringBuilder, UInt32Builder, UInt64Builder},
};
use arrow_schema::{DataType, Field, Schema};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::Compression,
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use serde::{Deserialize, Serialize};

use super::{ClassStatistics, FrameTargets, PictureStatistics, SoftBox, TargetsError};
use crate::{
    distill::{durable, teacher::TeacherProvenance},
    geometry::Box2,
};

/// Key of [`PartMetadata`] in a part's key-value metadata.
pub const METADATA_KEY: &str = "distilled_perception";

/// Version of the table and of [`PartMetadata`], and of what labelling does: raise it, too, whenever the code comes to give other targets
/// for the same job. It is part of what a job is known by.
pub(super) const TARGETS_VERSION: u32 = 2;

/// What a part says about itself: where its targets come from and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartMetadata {
    /// Version of the table, 2.
    pub targets_version: u32,
    /// Version of this crate that wrote it.
    pub crate_version: String,
    /// Hash (SHA-256, hex) of all that decides the targets: classes, teachers, thresholds, recordings. Parts with the same
    /// hash belong together.
    pub config_hash: String,
    /// Student classes, in the order of the `probabilities`.
    pub classes: Vec<String>,
    /// The teachers that were asked.
    pub teachers: Vec<TeacherProvenance>,
    /// The recordings that were labelled.
    pub sources: Vec<SourceProvenance>,
    /// Number of this part, from 0, over all recordings.
    pub part: u32,
    /// The recording that it is from, an index into `sources`.
    pub source: u32,
    /// Frames in this part, those that failed to decode not counted.
    pub frames: u64,
    /// Frames that failed to decode.
    pub undecodable: u64,
    /// Why the part ends where it does.
    pub end: PartEnd,
    /// Counts per student class.
    pub statistics: Vec<ClassStatistics>,
}

/// Why a part ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartEnd {
    /// It has its full count of frames; more follow.
    Full,
    /// Its recording ends here.
    Source,
    /// Labelling was limited to this many frames.
    Limit(u64),
}

/// A recording that was labelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceProvenance {
    /// Where it was.
    pub path: String,
    /// The image topic, of a bag.
    pub topic: Option<String>,
    /// Size of all its files in bytes.
    pub bytes: u64,
    /// SHA-256 (hex) over each file's name, size, first and last 64 KiB. Tells recordings apart without reading all of
    /// them; it is not proof against a change in the middle of a file.
    pub fingerprint: String,
}

fn schema() -> Schema {
    let column = |name: &str, kind: DataType| Field::new(name, kind, false);
    let box_column = |name: &str, kind: DataType| Field::new(name, kind, true);
    Schema::new(vec![
        column("source", DataType::UInt32),
        column("frame_index", DataType::UInt64),
        column("frame_name", DataType::Utf8),
        column("stamp", DataType::Int64),
        column("image_width", DataType::UInt32),
        column("image_height", DataType::UInt32),
        column("brightness", DataType::Float32),
        column("blur", DataType::Float32),
        box_column("teacher", DataType::UInt32),
        box_column("x_min", DataType::Float32),
        box_column("y_min", DataType::Float32),
        box_column("x_max", DataType::Float32),
        box_column("y_max", DataType::Float32),
        box_column("probabilities", DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))),
        box_column("weight", DataType::Float32),
    ])
}

/// Writes one part, whole or not at all.
///
/// # Errors
/// [`TargetsError::Write`] when the disk says no.
pub fn write_part(path: &Path, metadata: &PartMetadata, frames: &[FrameTargets]) -> Result<(), TargetsError> {
    let fail = |source: ParquetError| TargetsError::Write { path: path.into(), source };
    let batch = to_batch(frames).map_err(fail)?;
    let json = serde_json::to_string(metadata).map_err(|error| fail(ParquetError::External(Box::new(error))))?;
    let properties = properties(json);
    durable::write_file(path, |file| {
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    })
    .map_err(fail)
}

/// How this program writes Parquet files: the metadata as JSON under [`METADATA_KEY`].
pub(in crate::distill) fn properties(json: String) -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(format!("distilled_perception {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(vec![KeyValue::new(METADATA_KEY.to_owned(), json)]))
        .build()
}

/// The metadata that [`properties`] put into a file, when it was written so.
pub(in crate::distill) fn metadata_json(file: &ParquetRecordBatchReaderBuilder<File>) -> Result<&str, String> {
    file.metadata()
        .file_metadata()
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == METADATA_KEY))
        .and_then(|pair| pair.value.as_deref())
        .ok_or_else(|| format!("it has no metadata under `{METADATA_KEY}`"))
}

fn to_batch(frames: &[FrameTargets]) -> Result<RecordBatch, ParquetError> {
    let mut source = UInt32Builder::new();
    let mut index = UInt64Builder::new();
    let mut name = StringBuilder::new();
    let mut stamp = Int64Builder::new();
    let mut size = [UInt32Builder::new(), UInt32Builder::new()];
    let mut brightness = Float32Builder::new();
    let mut blur = Float32Builder::new();
    let mut teacher = UInt32Builder::new();
    let mut edges: [Float32Builder; 4] = std::array::from_fn(|_| Float32Builder::new());
    let mut probabilities = ListBuilder::new(Float32Builder::new());
    let mut weight = Float32Builder::new();
    for frame in frames {
        for (by, row) in rows_of(frame) {
            source.append_value(frame.source);
            index.append_value(frame.index);
            name.append_value(&frame.name);
            stamp.append_value(frame.stamp);
            size[0].append_value(frame.width);
            size[1].append_value(frame.height);
            brightness.append_value(frame.picture.brightness);
            blur.append_value(frame.picture.blur);
            teacher.append_option(by);
            let bbox = row.map(|found| found.bbox);
            for (builder, value) in edges.iter_mut().zip([
                bbox.map(|b| b.x_min),
                bbox.map(|b| b.y_min),
                bbox.map(|b| b.x_max),
                bbox.map(|b| b.y_max),
            ]) {
                builder.append_option(value);
            }
            probabilities.append_option(row.map(|found| found.probabilities.iter().copied().map(Some)));
            weight.append_option(row.map(|found| found.weight));
        }
    }
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(source.finish()), Arc::new(index.finish()), Arc::new(name.finish()), Arc::new(stamp.finish())];
    columns.extend(size.iter_mut().map(ArrayBuilder::finish));
    columns.push(Arc::new(brightness.finish()));
    columns.push(Arc::new(blur.finish()));
    columns.push(Arc::new(teacher.finish()));
    columns.extend(edges.iter_mut().map(ArrayBuilder::finish));
    columns.push(Arc::new(probabilities.finish()));
    columns.push(Arc::new(weight.finish()));
    Ok(RecordBatch::try_new(Arc::new(schema()), columns)?)
}

/// A frame's rows: who found the box, nobody alone for the fused ones, and the box. A frame without fused boxes still gets its row.
fn rows_of(frame: &FrameTargets) -> Vec<(Option<u32>, Option<&SoftBox>)> {
    let mut rows: Vec<_> = frame.boxes.iter().map(|found| (None, Some(found))).collect();
    if rows.is_empty() {
        rows.push((None, None));
    }
    for (teacher, boxes) in (0u32..).zip(&frame.per_teacher) {
        rows.extend(boxes.iter().map(|found| (Some(teacher), Some(found))));
    }
    rows
}

/// Reads what a part says about itself, without its rows.
///
/// # Errors
/// [`TargetsError::Read`] when it is no Parquet file, [`TargetsError::Foreign`] when it is not ours,
/// [`TargetsError::OtherVersion`] when another version of the program wrote it.
pub fn read_part_metadata(path: &Path) -> Result<PartMetadata, TargetsError> {
    open(path).map(|(metadata, _)| metadata)
}

/// Reads a part.
///
/// # Errors
/// Those of [`read_part_metadata`].
pub fn read_part(path: &Path) -> Result<(PartMetadata, Vec<FrameTargets>), TargetsError> {
    let (metadata, builder) = open(path)?;
    let fail = |source: ParquetError| TargetsError::Read { path: path.into(), source };
    let mut frames: Vec<FrameTargets> = Vec::new();
    for batch in builder.build().map_err(fail)? {
        let batch = batch.map_err(|error| fail(error.into()))?;
        append_rows(&batch, &metadata, &mut frames)
            .map_err(|reason| TargetsError::Foreign { path: path.into(), reason })?;
    }
    Ok((metadata, frames))
}

/// What every version of [`PartMetadata`] has.
#[derive(Deserialize)]
struct Version {
    targets_version: u32,
}

type Reader = ParquetRecordBatchReaderBuilder<File>;

fn open(path: &Path) -> Result<(PartMetadata, Reader), TargetsError> {
    let fail = |source: ParquetError| TargetsError::Read { path: path.into(), source };
    let file = File::open(path).map_err(|error| fail(error.into()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fail)?;
    let foreign = |reason: String| TargetsError::Foreign { path: path.into(), reason };
    let json = metadata_json(&builder).map_err(foreign)?;
    // The version first: the rest of another version's metadata may be anything.
    let version: Version = serde_json::from_str(json).map_err(|error| foreign(error.to_string()))?;
    let found = version.targets_version;
    if found != TARGETS_VERSION {
        return Err(TargetsError::OtherVersion { path: path.into(), found, expected: TARGETS_VERSION });
    }
    let metadata: PartMetadata = serde_json::from_str(json).map_err(|error| foreign(error.to_string()))?;
    Ok((metadata, builder))
}

fn append_rows(batch: &RecordBatch, metadata: &PartMetadata, frames: &mut Vec<FrameTargets>) -> Result<(), String> {
    let (classes, teachers) = (metadata.classes.len(), metadata.teachers.len());
    let source: &UInt32Array = column(batch, "source")?;
    let index: &UInt64Array = column(batch, "frame_index")?;
    let name: &StringArray = column(batch, "frame_name")?;
    let stamp: &Int64Array = column(batch, "stamp")?;
    let width: &UInt32Array = column(batch, "image_width")?;
    let height: &UInt32Array = column(batch, "image_height")?;
    let brightness: &Float32Array = column(batch, "brightness")?;
    let blur: &Float32Array = column(batch, "blur")?;
    let teacher: &UInt32Array = column(batch, "teacher")?;
    let x_min: &Float32Array = column(batch, "x_min")?;
    let y_min: &Float32Array = column(batch, "y_min")?;
    let x_max: &Float32Array = column(batch, "x_max")?;
    let y_max: &Float32Array = column(batch, "y_max")?;
    let probabilities: &ListArray = column(batch, "probabilities")?;
    let weight: &Float32Array = column(batch, "weight")?;
    for row in 0..batch.num_rows() {
        let key = (source.value(row), index.value(row));
        if frames.last().is_none_or(|last| (last.source, last.index) != key) {
            frames.push(FrameTargets {
                source: key.0,
                index: key.1,
                name: name.value(row).to_owned(),
                stamp: stamp.value(row),
                width: width.value(row),
                height: height.value(row),
                picture: PictureStatistics { brightness: brightness.value(row), blur: blur.value(row) },
                boxes: Vec::new(),
                per_teacher: vec![Vec::new(); teachers],
            });
        }
        if probabilities.is_null(row) {
            continue;
        }
        let scores = probabilities.value(row);
        let scores = scores.as_any().downcast_ref::<Float32Array>().ok_or("`probabilities` is no list of float")?;
        if scores.len() != classes {
            return Err(format!("row {row} has {} probabilities for {classes} classes", scores.len()));
        }
        let found = SoftBox {
            bbox: Box2::new(x_min.value(row), y_min.value(row), x_max.value(row), y_max.value(row)),
            probabilities: scores.values().to_vec(),
            weight: weight.value(row),
        };
        let Some(frame) = frames.last_mut() else { continue };
        if teacher.is_null(row) {
            frame.boxes.push(found);
        } else {
            let by = teacher.value(row);
            let boxes = frame.per_teacher.get_mut(by as usize);
            boxes.ok_or_else(|| format!("row {row} is of teacher {by}, there are {teachers}"))?.push(found);
        }
    }
    Ok(())
}

/// A column of a table by its name, as the array type that it must have.
pub(in crate::distill) fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, String> {
    batch
        .column_by_name(name)
        .ok_or_else(|| format!("it has no column `{name}`"))?
        .as_any()
        .downcast_ref()
        .ok_or_else(|| format!("its column `{name}` has another type"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{HeadFormat, InputSpec, ModelSpec};

    pub fn teacher(name: &str) -> TeacherProvenance {
        let class_map = [("person".to_owned(), "person".to_owned())].into();
        let spec = ModelSpec::new(InputSpec::default(), HeadFormat::Yolox, vec!["person".into()]);
        TeacherProvenance {
            name: name.into(),
            path: "a.onnx".into(),
            sha256: "5ha".into(),
            trust: 0.5,
            class_map,
            spec,
        }
    }

    pub fn metadata(part: u32, end: PartEnd) -> PartMetadata {
        PartMetadata {
            targets_version: TARGETS_VERSION,
            crate_version: "0.1.0".into(),
            config_hash: "c0ffee".into(),
            classes: vec!["person".into(), "forklift".into()],
            teachers: vec![teacher("yolox"), teacher("nanodet")],
            sources: vec![SourceProvenance {
                path: "hall.mcap".into(),
                topic: Some("/camera".into()),
                bytes: 17,
                fingerprint: "abad1dea".into(),
            }],
            part,
            source: 0,
            frames: 3,
            undecodable: 1,
            end,
            statistics: vec![],
        }
    }

    pub fn frame(index: u64, boxes: usize) -> FrameTargets {
        let soft_box = |n: usize| SoftBox {
            bbox: Box2::new(n as f32, 1.5, n as f32 + 10.0, 20.25),
            probabilities: vec![0.75, 0.125],
            weight: 0.5,
        };
        FrameTargets {
            source: 0,
            index,
            name: format!("frame {index}"),
            stamp: 1_700_000_000_123_456_789 + index as i64,
            width: 640,
            height: 360,
            picture: PictureStatistics { brightness: 101.5, blur: index as f32 },
            boxes: (0..boxes).map(soft_box).collect(),
            per_teacher: vec![vec![], (0..2 * boxes).map(soft_box).collect()],
        }
    }

    #[test]
    fn parts_keep_everything_and_frames_without_boxes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-00000.parquet");
        // What one teacher doubts may be too little for the fusion.
        let doubtful = FrameTargets { boxes: vec![], ..frame(5, 1) };
        let frames = [frame(0, 2), frame(1, 0), frame(3, 0), frame(4, 1), doubtful];
        let metadata = metadata(0, PartEnd::Limit(5));
        write_part(&path, &metadata, &frames).unwrap();
        assert_eq!(read_part(&path).unwrap(), (metadata.clone(), frames.to_vec()));
        assert_eq!(read_part_metadata(&path).unwrap(), metadata);
        write_part(&path, &metadata, &[]).unwrap();
        assert_eq!(read_part(&path).unwrap().1, []);
    }

    #[test]
    fn rows_without_a_teacher_are_the_whole_labelling() {
        let frames = [frame(0, 2), frame(1, 0), FrameTargets { boxes: vec![], ..frame(2, 1) }];
        let batch = to_batch(&frames).unwrap();
        let teacher: &UInt32Array = column(&batch, "teacher").unwrap();
        let index: &UInt64Array = column(&batch, "frame_index").unwrap();
        let fused: Vec<u64> =
            (0..batch.num_rows()).filter(|&row| teacher.is_null(row)).map(|row| index.value(row)).collect();
        assert_eq!(fused, [0, 0, 1, 2]);
        assert_eq!(batch.num_rows(), 4 + 4 + 2);
    }

    #[test]
    fn foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-00000.parquet");
        assert!(matches!(read_part(&path), Err(TargetsError::Read { .. })));
        std::fs::write(&path, "no table").unwrap();
        assert!(matches!(read_part(&path), Err(TargetsError::Read { .. })));
        let newer = PartMetadata { targets_version: 9, ..metadata(0, PartEnd::Full) };
        write_part(&path, &newer, &[]).unwrap();
        assert!(read_part(&path).unwrap_err().to_string().contains("version 9"));
        let older = PartMetadata { targets_version: 1, ..newer };
        write_part(&path, &older, &[]).unwrap();
        let error = read_part_metadata(&path).unwrap_err();
        assert!(matches!(error, TargetsError::OtherVersion { found: 1, .. }), "{error}");
        assert!(error.to_string().contains("label again"), "{error}");
        let three_classes = PartMetadata { classes: vec!["a".into(); 3], ..metadata(0, PartEnd::Full) };
        write_part(&path, &three_classes, &[frame(0, 1)]).unwrap();
        assert!(read_part(&path).unwrap_err().to_string().contains("2 probabilities for 3 classes"));
        let one_teacher = PartMetadata { teachers: vec![teacher("yolox")], ..metadata(0, PartEnd::Full) };
        write_part(&path, &one_teacher, &[frame(0, 1)]).unwrap();
        assert!(read_part(&path).unwrap_err().to_string().contains("teacher 1, there are 1"));
    }
}

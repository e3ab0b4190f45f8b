//! Any bytes as an ONNX file: no panic when its metadata and the files that it names are read, and what is written into it is found
//! again.

use distilled_perception::model::bundle::{BundleMetadata, metadata_of, write_metadata};
use distilled_perception::model::lidar::LidarSpec;
use distilled_perception::model::{HeadFormat, InputSpec, ModelSpec, external_tensors};

pub fn check(bytes: &[u8]) {
    let _ = (metadata_of::<ModelSpec>(bytes), metadata_of::<LidarSpec>(bytes));
    let named = external_tensors(bytes);
    let spec = ModelSpec::new(InputSpec::default(), HeadFormat::Yolov8, vec!["person".into()]);
    let metadata = BundleMetadata::new(spec);
    if let Ok(written) = write_metadata(bytes, &metadata) {
        assert_eq!(metadata_of::<ModelSpec>(&written).as_ref(), Ok(&Some(metadata)));
        // Metadata names no files.
        assert_eq!(external_tensors(&written), named);
    }
}

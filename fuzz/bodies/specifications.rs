//! Any text as the YAML beside a model, and as the metadata inside a bundle: no panic, and what is taken can be run.

use distilled_perception::model::ModelSpec;
use distilled_perception::model::bundle::{BundleMetadata, BundleSpec};
use distilled_perception::model::lidar::LidarSpec;

pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match ModelSpec::from_yaml(&text) {
        Ok(spec) => assert_eq!(spec.validate(), Ok(())),
        Err(reason) => assert!(!reason.is_empty()),
    }
    json::<ModelSpec>(&text);
    json::<LidarSpec>(&text);
}

fn json<S: BundleSpec>(text: &str) {
    match BundleMetadata::<S>::from_json(text) {
        Ok(metadata) => assert_eq!(metadata.spec.validate(), Ok(())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

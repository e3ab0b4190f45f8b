//! Which model it is, for diagnostics.

use crate::node::onlooker::ModelIdentity;

/// Digits of a hash that people compare.
const SHORT: usize = 12;

/// The lines that diagnostics begin with.
pub(in crate::node) fn lines(model: &ModelIdentity) -> Vec<(&'static str, String)> {
    let version = model.bundle_version.map_or("none: not a bundle".to_owned(), |version| version.to_string());
    vec![
        ("model", model.path.clone()),
        ("model_sha256_short", model.sha256.chars().take(SHORT).collect()),
        ("model_sha256", model.sha256.clone()),
        ("bundle_version", version),
        ("model_parameters", model.parameters.to_string()),
        ("provider", model.provider.to_owned()),
        ("classes", model.classes.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_hash() {
        let model = ModelIdentity {
            path: "/models/student.onnx".into(),
            sha256: "0123456789abcdef".repeat(4),
            bundle_version: Some(1),
            figures: serde_json::Map::new(),
            classes: vec!["person".into(), "pallet".into()],
            provider: "cpu",
            parameters: 300_011,
        };
        let told = lines(&model);
        let value = |key: &str| told.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        assert_eq!((value("model"), value("model_sha256_short")), (Some("/models/student.onnx"), Some("0123456789ab")));
        assert_eq!((value("bundle_version"), value("classes")), (Some("1"), Some("person, pallet")));
        let foreign = lines(&ModelIdentity { bundle_version: None, ..model });
        assert!(foreign.iter().any(|(key, value)| *key == "bundle_version" && value.starts_with("none")));
    }
}

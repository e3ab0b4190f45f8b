//! `--set key.path=value`: single values of an experiment changed from the command line.

use serde_yaml::{Mapping, Value};

use super::ConfigError;

/// Sets each `key.path=value` in the document. The value is read as YAML (`3`, `true`, `[0.5, 1.5]`, `{a: 1}`, `text`); a number
/// in the path counts a list from 0 (`data.0.path=...`); sections that are not there are made.
pub(super) fn apply(document: &mut Value, overrides: &[String]) -> Result<(), ConfigError> {
    for text in overrides {
        let (key, value) = text.split_once('=').ok_or_else(|| ConfigError::Override(text.clone()))?;
        let value: Value = serde_yaml::from_str(value)
            .map_err(|error| ConfigError::Invalid { origin: format!("--set {text}"), message: error.to_string() })?;
        *slot(document, key.trim())? = value;
    }
    Ok(())
}

/// The place that a key path points to.
fn slot<'a>(document: &'a mut Value, key: &str) -> Result<&'a mut Value, ConfigError> {
    let mut place = document;
    let mut parent = String::from("the experiment");
    for part in key.split('.') {
        let wrong = || ConfigError::OverridePath { key: key.to_owned(), parent: parent.clone(), part: part.to_owned() };
        if place.is_null() {
            *place = Value::Mapping(Mapping::new());
        }
        place = match place {
            Value::Mapping(mapping) if !part.is_empty() => {
                mapping.entry(Value::String(part.to_owned())).or_insert(Value::Null)
            }
            Value::Sequence(list) => {
                part.parse::<usize>().ok().and_then(|index| list.get_mut(index)).ok_or_else(wrong)?
            }
            _ => return Err(wrong()),
        };
        parent = part.to_owned();
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_yaml::from_str("train: {epochs: 3}\ndata: [{path: a}]").unwrap()
    }

    #[test]
    fn sets_sections_lists_and_new_keys() {
        let mut value = document();
        let texts = ["train.epochs=5", "data.0.path=b=c", "augment.scale=[0.5, 2]", "train.batch=4"];
        apply(&mut value, &texts.map(str::to_owned)).unwrap();
        assert_eq!(value["train"]["epochs"], Value::from(5));
        assert_eq!(value["train"]["batch"], Value::from(4));
        assert_eq!(value["data"][0]["path"], Value::from("b=c"));
        assert_eq!(value["augment"]["scale"][1], Value::from(2));
    }

    #[test]
    fn values_may_be_whole_lists_and_maps_of_json_too() {
        let mut value = document();
        let texts = [r#"train={"epochs":7,"device":"cpu"}"#, r#"terms=[{"kind":"hint","layers":[1,2]}]"#];
        apply(&mut value, &texts.map(str::to_owned)).unwrap();
        assert_eq!((&value["train"]["epochs"], &value["train"]["device"]), (&Value::from(7), &Value::from("cpu")));
        assert_eq!(value["terms"][0]["layers"][1], Value::from(2));
    }

    #[test]
    fn refuses_what_points_nowhere() {
        for text in ["train", "data.7.path=x", "train.epochs.more=1", "=3"] {
            assert!(apply(&mut document(), &[text.to_owned()]).is_err(), "{text}");
        }
    }
}

//! Parameters out of YAML: as ROS's parameter files have them, and as they stand in a container's own file.

use r2r::ParameterValue;
use serde_yaml::{Mapping, Value};

/// What ROS's parameter files have between a node's name and its parameters.
const PARAMETERS: &str = "ros__parameters";

/// Parameters by their names.
pub(super) type Parameters = Vec<(String, ParameterValue)>;

/// The parameters of a mapping; those of mappings in it get their names with dots.
///
/// # Errors
/// The parameter and why it has no value that ROS knows.
pub(super) fn parameters_of(mapping: &Mapping) -> Result<Parameters, String> {
    let mut found = Vec::new();
    collect(mapping, "", &mut found)?;
    Ok(found)
}

/// The parameters that a parameter file has for a node of this full name (`/robot1/front_camera`). Later ones take the place of
/// earlier ones.
///
/// # Errors
/// The parameter and why it has no value that ROS knows, or a file without `ros__parameters`.
pub(super) fn parameters_of_file(file: &Mapping, full_name: &str) -> Result<Parameters, String> {
    let (mut found, mut is_any) = (Vec::new(), false);
    search(file, "", full_name, &mut found, &mut is_any)?;
    if !is_any {
        return Err(format!("it has no `{PARAMETERS}`; a parameter file is `/**: {{{PARAMETERS}: {{name: value}}}}`"));
    }
    Ok(found)
}

/// Adds a parameter, in place of an earlier one of its name.
pub(super) fn put(parameters: &mut Parameters, name: String, value: ParameterValue) {
    parameters.retain(|(known, _)| *known != name);
    parameters.push((name, value));
}

/// Looks below a node's name or a namespace.
fn search(
    mapping: &Mapping,
    above: &str,
    full_name: &str,
    found: &mut Parameters,
    is_any: &mut bool,
) -> Result<(), String> {
    for (key, value) in mapping {
        let (key, Some(below)) = (text(key)?, value.as_mapping()) else { continue };
        if key == PARAMETERS {
            *is_any = true;
            if is_meant(above, full_name) {
                for (name, value) in parameters_of(below)? {
                    put(found, name, value);
                }
            }
        } else {
            let name = if above.is_empty() { key.to_owned() } else { format!("{above}/{}", key.trim_matches('/')) };
            search(below, &name, full_name, found, is_any)?;
        }
    }
    Ok(())
}

/// Whether a node is meant by what stands above its parameters: its full name, its name alone, or the name of all nodes.
fn is_meant(above: &str, full_name: &str) -> bool {
    let is_all = matches!(above, "/**" | "**");
    is_all
        || full_name.trim_start_matches('/') == above.trim_start_matches('/')
        || full_name.rsplit('/').next() == Some(above)
}

fn collect(mapping: &Mapping, above: &str, found: &mut Parameters) -> Result<(), String> {
    for (key, value) in mapping {
        let key = text(key)?;
        let name = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
        match value {
            Value::Mapping(below) => collect(below, &name, found)?,
            value => put(found, name.clone(), scalar_or_list(value).map_err(|reason| format!("`{name}`: {reason}"))?),
        }
    }
    Ok(())
}

fn text(key: &Value) -> Result<&str, String> {
    key.as_str().ok_or_else(|| format!("{key:?} is no name"))
}

fn scalar_or_list(value: &Value) -> Result<ParameterValue, String> {
    match value {
        Value::Bool(value) => Ok(ParameterValue::Bool(*value)),
        Value::String(value) => Ok(ParameterValue::String(value.clone())),
        Value::Sequence(values) => list(values),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(ParameterValue::Integer(integer)),
            (None, Some(double)) if !number.is_u64() => Ok(ParameterValue::Double(double)),
            _ => Err(format!("{number} is too large")),
        },
        Value::Null | Value::Mapping(_) | Value::Tagged(_) => Err("it has no value".to_owned()),
    }
}

/// A list of one kind, as ROS has no others; an empty one has none.
fn list(values: &[Value]) -> Result<ParameterValue, String> {
    if values.is_empty() {
        return Ok(ParameterValue::NotSet);
    }
    let strings = values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let bools = values.iter().map(Value::as_bool).collect::<Option<Vec<_>>>();
    let integers = values.iter().map(Value::as_i64).collect::<Option<Vec<_>>>();
    let doubles = values.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
    strings
        .map(ParameterValue::StringArray)
        .or(bools.map(ParameterValue::BoolArray))
        .or(integers.map(ParameterValue::IntegerArray))
        .or(doubles.map(ParameterValue::DoubleArray))
        .ok_or_else(|| "a list holds values of one kind: texts, numbers or true and false".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(text: &str) -> Mapping {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn values_have_the_kinds_that_ros_gives_them() {
        let text = "{a: true, b: 3, c: 3.0, d: x, e: [x, y], f: [1, 2], g: [1, 2.5], h: [], 
            i: {person: 0.4, far: {x: ''}}, j: [true]}";
        let expected = [
            ("a", ParameterValue::Bool(true)),
            ("b", ParameterValue::Integer(3)),
            ("c", ParameterValue::Double(3.0)),
            ("d", ParameterValue::String("x".into())),
            ("e", ParameterValue::StringArray(vec!["x".into(), "y".into()])),
            ("f", ParameterValue::IntegerArray(vec![1, 2])),
            ("g", ParameterValue::DoubleArray(vec![1.0, 2.5])),
            ("h", ParameterValue::NotSet),
            ("i.person", ParameterValue::Double(0.4)),
            ("i.far.x", ParameterValue::String(String::new())),
            ("j", ParameterValue::BoolArray(vec![true])),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(parameters_of(&mapping(text)).unwrap(), expected);
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (text, word) in [
            ("{a: {b: }}", "`a.b`"),
            ("{a: [1, x]}", "`a`"),
            ("{1: x}", "no name"),
            ("{a: 18446744073709551615}", "large"),
        ] {
            let error = parameters_of(&mapping(text)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_file_holds_for_the_nodes_that_it_names() {
        let file = mapping(
            "
            /**: {ros__parameters: {all: 1, own: 1}}
            /robot1/front: {ros__parameters: {full: 1}}
            robot1: {front: {ros__parameters: {nested: 1}}, rear: {ros__parameters: {other: 1}}}
            front: {ros__parameters: {own: 2}}
            /front: {ros__parameters: {root: 1}}
            /robot2/front: {ros__parameters: {other: 1}}",
        );
        let names = |full_name: &str| {
            let found = parameters_of_file(&file, full_name).unwrap();
            found.into_iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("/robot1/front"), "all=Integer(1) full=Integer(1) nested=Integer(1) own=Integer(2)");
        assert_eq!(names("/rear"), "all=Integer(1) own=Integer(1)");
        assert!(parameters_of_file(&mapping("{model: x}"), "/rear").unwrap_err().contains(PARAMETERS));
    }
}

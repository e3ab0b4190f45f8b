//! That docs/nodes.md and the files of config/ say of the parameters what the code says.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use r2r::ParameterValue;
use serde_yaml::Value;

use super::{
    CameraDetectorParameters, Descriptor, Holds, LidarDetectorParameters, NodeParameters, ObstacleFusionParameters,
    descriptors, value::written,
};

/// The files of config/ say something else than the default on purpose: they are for a warehouse, and the code knows of none.
const OTHER_THAN_DEFAULT: [&str; 1] = ["keep_classes"];

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// What a value may be, for a table.
fn allowed(descriptor: &Descriptor) -> String {
    let words: Vec<String> = descriptor.choices.iter().map(|word| format!("`{word}`")).collect();
    match descriptor.range {
        Some((least, most)) => format!("{least} to {most}"),
        None => words.join(", "),
    }
}

/// The parameters of a node as a table in Markdown.
fn table<P: NodeParameters>() -> String {
    let mut table = "| parameter | type | default | range | a change holds | |\n|---|---|---|---|---|---|\n".to_owned();
    for descriptor in descriptors(&P::default()) {
        let (holds, about) = Holds::split(&descriptor.description);
        let (name, kind, default) = (&descriptor.name, descriptor.value.type_name(), written(&descriptor.value));
        let (range, about) = (allowed(&descriptor), about.replace('|', "\\|"));
        writeln!(table, "| `{name}` | {kind} | `{default}` | {range} | {} | {about} |", holds.words()).unwrap();
    }
    table
}

/// Compares the table of a node in docs/nodes.md, or writes it anew where that is wanted.
fn has_its_table<P: NodeParameters>(node: &str) {
    let file = path("docs/nodes.md");
    let text = fs::read_to_string(&file).unwrap();
    let (begin, end) = (format!("<!-- parameters of {node} -->\n"), "<!-- end -->");
    let found = text.find(&begin).map(|start| start + begin.len());
    let start = found.unwrap_or_else(|| panic!("docs/nodes.md lacks the line {begin}"));
    let end = start + text[start..].find(end).unwrap_or_else(|| panic!("docs/nodes.md lacks the line {end}"));
    let table = table::<P>();
    if text[start..end] != table {
        assert!(
            env::var_os("BLESS").is_some(),
            "docs/nodes.md says something else of the parameters of {node} than the code; \
             `BLESS=1 scripts/test documented` writes:\n{table}"
        );
        fs::write(&file, format!("{}{table}{}", &text[..start], &text[end..])).unwrap();
    }
}

#[test]
fn the_tables_of_the_documentation_are_those_of_the_code() {
    has_its_table::<CameraDetectorParameters>("camera_detector");
    has_its_table::<LidarDetectorParameters>("lidar_detector");
    has_its_table::<ObstacleFusionParameters>("obstacle_fusion");
}

/// The values of a parameter file, by their full names.
fn flatten(name: &str, value: &Value, values: &mut BTreeMap<String, ParameterValue>) {
    let value = match value {
        Value::Mapping(inner) => {
            for (key, value) in inner {
                let key = key.as_str().unwrap();
                flatten(&if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }, value, values);
            }
            return;
        }
        Value::Bool(value) => ParameterValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => ParameterValue::Integer(number),
            None => ParameterValue::Double(number.as_f64().unwrap()),
        },
        Value::String(text) => ParameterValue::String(text.clone()),
        Value::Sequence(items) => {
            // ROS's parameter files have no empty list: one empty text stands for it.
            let texts = items.iter().map(|item| item.as_str().unwrap().to_owned());
            ParameterValue::StringArray(texts.filter(|text| !text.is_empty()).collect())
        }
        other => panic!("{name}: {other:?}"),
    };
    values.insert(name.to_owned(), value);
}

fn has_its_file<P: NodeParameters>(node: &str) {
    let file = format!("config/{node}.yaml");
    let text = fs::read_to_string(path(&file)).unwrap();
    let parsed: Value = serde_yaml::from_str(&text).unwrap();
    let mut given = BTreeMap::new();
    flatten("", &parsed["/**"]["ros__parameters"], &mut given);
    // What the launch file gives stands there as a comment.
    let comments = text.lines().filter_map(|line| Some(line.strip_prefix("    # ")?.split_once(':')?.0));
    let comments: BTreeSet<&str> = comments.filter(|name| !name.contains(' ')).collect();
    let known = descriptors(&P::default());
    for descriptor in &known {
        let (name, default) = (descriptor.name.as_str(), written(&descriptor.value));
        match given.remove(name) {
            Some(_) if OTHER_THAN_DEFAULT.contains(&name) => {}
            Some(value) => assert_eq!(value, descriptor.value, "{file}: {name} is {default} by default"),
            None => assert!(comments.contains(name), "{file} lacks {name}, which is {default} by default"),
        }
    }
    assert!(given.is_empty(), "{file} names what {node} does not have: {:?}", given.keys());
    for name in comments {
        assert!(known.iter().any(|known| known.name == name), "{file} names what {node} does not have: {name}");
    }
}

#[test]
fn the_files_of_config_name_every_parameter_with_its_default() {
    has_its_file::<CameraDetectorParameters>("camera_detector");
    has_its_file::<LidarDetectorParameters>("lidar_detector");
    has_its_file::<ObstacleFusionParameters>("obstacle_fusion");
}

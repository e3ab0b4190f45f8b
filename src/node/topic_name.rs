//! The full names of topics.

/// Arguments that lead a rule of remapping.
const REMAP: [&str; 2] = ["-r", "--remap"];

/// The full name of the topic that a node of ours listens to or offers by this name: expanded by its namespace and remapped as its
/// command line says. r2r does not tell it.
pub(super) fn resolved(topic: &str, node: &r2r::Node) -> String {
    let name = node.name().unwrap_or_default();
    let namespace = node.namespace().unwrap_or_else(|_| "/".into());
    let arguments = std::env::args_os().filter_map(|argument| argument.into_string().ok());
    resolve(topic, &namespace, &name, arguments)
}

/// As rcl does it (<https://design.ros2.org/articles/static_remapping.html>): the first rule that fits decides.
fn resolve(topic: &str, namespace: &str, node: &str, arguments: impl Iterator<Item = String>) -> String {
    let expanded = expand(topic, namespace, node);
    for rule in rules(arguments) {
        let Some((from, to)) = rule.split_once(":=") else { continue };
        // `node:from` is a rule for one node; `rostopic://` says what is so anyway.
        let from = from.strip_prefix("rostopic://").unwrap_or(from);
        let from = match from.split_once(':') {
            Some((of, from)) if of == node => from,
            Some(_) => continue,
            None => from,
        };
        if !from.starts_with("__") && expand(from, namespace, node) == expanded {
            return expand(to, namespace, node);
        }
    }
    expanded
}

/// The rules of remapping among a program's arguments.
fn rules(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut rules = Vec::new();
    let (mut is_ros, mut is_rule) = (false, false);
    for argument in arguments {
        if is_rule {
            rules.push(argument);
            is_rule = false;
            continue;
        }
        match argument.as_str() {
            "--ros-args" => is_ros = true,
            "--" => is_ros = false,
            word => is_rule = is_ros && REMAP.contains(&word),
        }
    }
    rules
}

/// A name with its namespace.
fn expand(name: &str, namespace: &str, node: &str) -> String {
    let namespace = namespace.trim_end_matches('/');
    match name.strip_prefix('~') {
        Some(own) => format!("{namespace}/{node}{own}"),
        None if name.starts_with('/') => name.to_owned(),
        None => format!("{namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_expanded_and_remapped() {
        let line = "node --ros-args -p model:=m.onnx -r image:=/camera/image_raw --remap other:info:=never \
                    -r detector:info:=camera_info -r __ns:=/front -r ~/a:=b -- -r points:=cloud";
        let named = |topic: &str| resolve(topic, "/front", "detector", line.split_whitespace().map(str::to_owned));
        for (topic, expected) in [
            ("image", "/camera/image_raw"),
            ("/front/image", "/camera/image_raw"),
            ("/image", "/image"),
            ("info", "/front/camera_info"),
            ("~/a", "/front/b"),
            ("~/detections", "/front/detector/detections"),
            ("points", "/front/points"),
        ] {
            assert_eq!(named(topic), expected, "{topic}");
        }
        assert_eq!(resolve("image", "/", "detector", std::iter::empty()), "/image");
    }
}

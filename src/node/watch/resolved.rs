//! What ROS makes of a topic's name. r2r does not tell, and the graph is asked by the full name.

/// The full name of a topic for a node with that full name, which the program's arguments may remap
/// (<https://design.ros2.org/articles/static_remapping.html>; substitutions such as `{node}` are not known here).
pub(super) fn resolved(topic: &str, node: &str, arguments: &[String]) -> String {
    let full = expanded(topic, node);
    let rules = remappings(arguments);
    let remapped = rules.iter().find_map(|rule| remapped(rule, &full, node));
    remapped.unwrap_or(full)
}

/// A relative or private name in full.
fn expanded(name: &str, node: &str) -> String {
    let namespace = node.rsplit_once('/').map_or("", |(namespace, _)| namespace);
    match name.strip_prefix('~') {
        Some(rest) => format!("{node}{rest}"),
        None if name.starts_with('/') => name.to_owned(),
        None => format!("{namespace}/{name}"),
    }
}

/// The rules behind `-r` or `--remap` between `--ros-args` and `--`.
fn remappings(arguments: &[String]) -> Vec<&str> {
    let (mut rules, mut is_ros) = (Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--ros-args" => is_ros = true,
            "--" => is_ros = false,
            "-r" | "--remap" if is_ros => rules.extend(rest.next().map(String::as_str)),
            _ => {}
        }
    }
    rules
}

/// What a rule such as `node:from:=to` makes of a full name; nothing where it is for something else.
fn remapped(rule: &str, full: &str, node: &str) -> Option<String> {
    const TOPICS: &str = "rostopic://";
    let (from, to) = rule.split_once(":=")?;
    let from = match from.split_once(':') {
        Some((name, rest)) if !rest.starts_with("//") => {
            let own = node.rsplit_once('/').map_or(node, |(_, own)| own);
            if name != own {
                return None;
            }
            rest
        }
        _ => from,
    };
    let from = from.strip_prefix(TOPICS).unwrap_or(from);
    let is_for_others = from.contains("://") || from.starts_with("__");
    (!is_for_others && expanded(from, node) == full).then(|| expanded(to, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_rcl_resolves_them() {
        // As `Node.resolve_topic_name` of rclpy (Jazzy) gives them.
        for (topic, arguments, node, expected) in [
            ("image", "", "/cam", "/image"),
            ("image", "", "/front/cam", "/front/image"),
            ("~/image", "", "/front/cam", "/front/cam/image"),
            ("/image", "", "/front/cam", "/image"),
            ("image", "-r image:=/camera/image_raw", "/front/cam", "/camera/image_raw"),
            ("image", "-r /image:=/camera/image_raw", "/front/cam", "/front/image"),
            ("image", "-r /front/image:=/camera/image_raw", "/front/cam", "/camera/image_raw"),
            ("image", "-r image:=raw", "/front/cam", "/front/raw"),
            ("image", "-r image:=~/raw", "/front/cam", "/front/cam/raw"),
            ("image", "-r other:image:=/x -r cam:image:=/y", "/front/cam", "/y"),
            ("image", "-r rostopic://image:=/y", "/front/cam", "/y"),
            ("image", "-r cam:rostopic://image:=/y", "/front/cam", "/y"),
            ("image", "-r rosservice://image:=/y", "/front/cam", "/front/image"),
            ("image", "-r image:=a -r a:=b -r image:=c", "/cam", "/a"),
            ("/tf", "-r /tf:=tf", "/front/cam", "/front/tf"),
            ("image", "--remap image:=/z", "/cam", "/z"),
            ("image", "-r image:=/z -- -r image:=/w", "/cam", "/z"),
            ("image", "-r __node:=eye -r eye:image:=/q", "/eye", "/q"),
            ("image", "-r __ns:=/n", "/n/cam", "/n/image"),
        ] {
            let arguments: Vec<String> =
                ["program", "--ros-args"].into_iter().chain(arguments.split_whitespace()).map(str::to_owned).collect();
            assert_eq!(resolved(topic, node, &arguments), expected, "{topic} {arguments:?}");
        }
        let outside = ["program", "-r", "image:=/z"].map(str::to_owned);
        assert_eq!(resolved("image", "/cam", &outside), "/image");
    }
}

//! The full names of topics, as ROS 2 makes them of relative, private and remapped ones.
//!
//! r2r does not say under which name it offers a topic. What rcl does is done here once more: a name is expanded (`~/x` is below the
//! node, a relative name in its namespace), then the first remapping rule of the command line whose left side expands to the same name
//! replaces it.

/// Makes full names of a node's topics.
#[derive(Debug, Clone)]
pub(super) struct TopicNames {
    namespace: String,
    node: String,
    /// Full name and what it becomes, in the command line's order.
    rules: Vec<(String, String)>,
}

impl TopicNames {
    /// Names for a node, both as they are after remapping, with the rules of the program's arguments.
    pub(super) fn new(namespace: &str, node: &str, arguments: impl IntoIterator<Item = String>) -> Self {
        let mut names =
            Self { namespace: namespace.trim_end_matches('/').to_owned(), node: node.to_owned(), rules: Vec::new() };
        let rules = remappings(arguments);
        names.rules = rules.iter().filter_map(|rule| names.rule(rule)).collect();
        names
    }

    /// The full name of a topic.
    pub(super) fn full(&self, topic: &str) -> String {
        let expanded = self.expand(topic);
        let rule = self.rules.iter().find(|(from, _)| *from == expanded);
        rule.map_or(expanded, |(_, to)| to.clone())
    }

    fn expand(&self, name: &str) -> String {
        let (namespace, node) = (&self.namespace, &self.node);
        let name = name.replace("{node}", node).replace("{ns}", namespace).replace("{namespace}", namespace);
        if name.starts_with('/') {
            name
        } else if let Some(below) = name.strip_prefix('~') {
            format!("{namespace}/{node}{below}")
        } else {
            format!("{namespace}/{name}")
        }
    }

    /// A rule such as `image:=/front/image` or `detector:image:=/front/image`; nothing where it is of another node or no topic's.
    fn rule(&self, rule: &str) -> Option<(String, String)> {
        let (mut from, to) = rule.split_once(":=")?;
        if let Some((node, rest)) = from.split_once(':')
            && !rest.starts_with("//")
        {
            if node != self.node {
                return None;
            }
            from = rest;
        }
        let from = from.strip_prefix("rostopic://").unwrap_or(from);
        let is_of_topic = !from.starts_with("rosservice://") && !from.starts_with("__");
        is_of_topic.then(|| (self.expand(from), self.expand(to)))
    }
}

/// The remapping rules among a program's arguments.
fn remappings(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rules = Vec::new();
    let mut is_for_ros = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--ros-args" => is_for_ros = true,
            "--" => is_for_ros = false,
            "-r" | "--remap" if is_for_ros => rules.extend(arguments.next()),
            // What follows these is theirs, whatever it looks like.
            "-p" | "--param" | "--params-file" | "-e" | "--enclave" | "--log-level" | "--log-config-file"
                if is_for_ros =>
            {
                arguments.next();
            }
            // The form of ROS 2's first years, which rcl still takes.
            rule if !is_for_ros && rule.contains(":=") => rules.push(rule.to_owned()),
            _ => {}
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(namespace: &str, arguments: &[&str]) -> TopicNames {
        TopicNames::new(namespace, "detector", arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn names_are_expanded() {
        for (namespace, topic, full) in [
            ("/", "image", "/image"),
            ("/", "~/detections", "/detector/detections"),
            ("/robot", "image", "/robot/image"),
            ("/robot", "~/detections", "/robot/detector/detections"),
            ("/robot", "/image", "/image"),
            ("/robot/front", "{node}/image", "/robot/front/detector/image"),
        ] {
            assert_eq!(names(namespace, &[]).full(topic), full, "{topic} in {namespace}");
        }
    }

    #[test]
    fn names_are_as_rcl_resolves_them() {
        // As `Node.resolve_topic_name` of rclpy (Jazzy) gives them.
        for (topic, rules, namespace, node, full) in [
            ("image", "-r /image:=/camera/image_raw", "/front", "cam", "/front/image"),
            ("image", "-r /front/image:=/camera/image_raw", "/front", "cam", "/camera/image_raw"),
            ("image", "-r image:=raw", "/front", "cam", "/front/raw"),
            ("image", "-r image:=~/raw", "/front", "cam", "/front/cam/raw"),
            ("image", "-r other:image:=/x -r cam:image:=/y", "/front", "cam", "/y"),
            ("image", "-r cam:rostopic://image:=/y", "/front", "cam", "/y"),
            ("image", "-r rosservice://image:=/y", "/front", "cam", "/front/image"),
            ("image", "-r image:=a -r a:=b -r image:=c", "/", "cam", "/a"),
            ("/tf", "-r /tf:=tf", "/front", "cam", "/front/tf"),
            ("image", "-r image:=/z -- -r image:=/w", "/", "cam", "/z"),
            ("image", "-r __node:=eye -r eye:image:=/q", "/", "eye", "/q"),
            ("image", "-r __ns:=/n", "/n", "cam", "/n/image"),
        ] {
            let arguments = ["program", "--ros-args"].into_iter().chain(rules.split_whitespace()).map(str::to_owned);
            let names = TopicNames::new(namespace, node, arguments);
            assert_eq!(names.full(topic), full, "{topic} {rules}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_is_followed() {
        let arguments = [
            "program",
            "--ros-args",
            "-p",
            "image:=/no/rule",
            "-r",
            "__ns:=/robot",
            "-r",
            "other:image:=/of/another/node",
            "-r",
            "image:=/front/image",
            "--remap",
            "image:=/too/late",
            "-r",
            "detector:~/detections:=people",
            "-r",
            "rostopic://~/annotated:=~/picture",
            "-r",
            "rosservice://~/label_info:=/service",
            "--",
            "scan:=/old/form",
        ];
        let names = names("/robot", &arguments);
        for (topic, full) in [
            ("image", "/front/image"),
            ("/robot/image", "/front/image"),
            ("~/detections", "/robot/people"),
            ("~/annotated", "/robot/detector/picture"),
            ("~/label_info", "/robot/detector/label_info"),
            ("scan", "/old/form"),
        ] {
            assert_eq!(names.full(topic), full, "{topic}");
        }
    }
}

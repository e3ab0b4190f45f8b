//! Message definition texts, which bags carry as schemas so that other tools can read them.

/// Every type here and all that they are made of, in the form that [`definition`] hands out.
const DEFINITIONS: &str = include_str!("definitions.txt");

/// Stands between two definitions.
const SEPARATOR: &str = "================================================================================\n";

/// Stands before the name of each type.
const NAME_PREFIX: &str = "MSG: ";

/// The definition of a message type as MCAP's `ros2msg` schema wants it: its own text, then each type it is made of, behind
/// a line of `=` and a line `MSG: package/Type`. Names are given as `sensor_msgs/msg/Image`; `None` for a type not known here.
///
/// ```
/// let text = distilled_perception::messages::definition("rosgraph_msgs/msg/Clock").unwrap();
/// assert!(text.starts_with("builtin_interfaces/Time clock\n="));
/// assert!(text.ends_with("MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"));
/// ```
pub fn definition(type_name: &str) -> Option<String> {
    let name = type_name.replacen("/msg/", "/", 1);
    let mut text = own_definition(&name)?.to_owned();
    let mut written = vec![name.as_str()];
    let mut queue = parts(own_definition(&name)?);
    while !queue.is_empty() {
        for part in std::mem::take(&mut queue) {
            if written.contains(&part) {
                continue;
            }
            let body = own_definition(part)?;
            text.push_str(SEPARATOR);
            text.push_str(NAME_PREFIX);
            text.push_str(part);
            text.push('\n');
            text.push_str(body);
            written.push(part);
            queue.extend(parts(body));
        }
    }
    Some(text)
}

/// The text of one type alone.
fn own_definition(name: &str) -> Option<&'static str> {
    DEFINITIONS.split(SEPARATOR).find_map(|section| {
        let (first_line, body) = section.split_once('\n')?;
        (first_line.strip_prefix(NAME_PREFIX)? == name).then_some(body)
    })
}

/// The types of fields that are not primitives, which are those with a package's name.
fn parts(body: &'static str) -> Vec<&'static str> {
    body.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|field_type| field_type.split('[').next().unwrap_or(field_type))
        .filter(|field_type| field_type.contains('/'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_complete() {
        let names: Vec<&str> = DEFINITIONS.lines().filter_map(|line| line.strip_prefix(NAME_PREFIX)).collect();
        assert!(names.len() > 20);
        for name in names {
            let text = definition(name).unwrap_or_else(|| panic!("{name} refers to a type without a definition"));
            for part in text.lines().filter_map(|line| line.split_whitespace().next()).filter(|part| part.contains('/'))
            {
                let part = part.split('[').next().unwrap();
                assert!(text.contains(&format!("MSG: {part}\n")), "{name} lacks {part}");
            }
        }
    }

    #[test]
    fn unknown_types_have_no_definition() {
        assert_eq!(definition("sensor_msgs/msg/Imag"), None);
        assert_eq!(definition(""), None);
    }
}

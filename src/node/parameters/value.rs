//! Parameter values as messages and as text.

use r2r::{ParameterValue, rcl_interfaces::msg};

/// The number that `rcl_interfaces/msg/ParameterType` gives a value's type.
pub(super) fn type_number(value: &ParameterValue) -> u8 {
    match value {
        ParameterValue::NotSet => 0,
        ParameterValue::Bool(_) => 1,
        ParameterValue::Integer(_) => 2,
        ParameterValue::Double(_) => 3,
        ParameterValue::String(_) => 4,
        ParameterValue::ByteArray(_) => 5,
        ParameterValue::BoolArray(_) => 6,
        ParameterValue::IntegerArray(_) => 7,
        ParameterValue::DoubleArray(_) => 8,
        ParameterValue::StringArray(_) => 9,
    }
}

/// A value as a message.
pub(super) fn to_message(value: &ParameterValue) -> msg::ParameterValue {
    let mut message = msg::ParameterValue { type_: type_number(value), ..Default::default() };
    match value {
        ParameterValue::NotSet => {}
        ParameterValue::Bool(value) => message.bool_value = *value,
        ParameterValue::Integer(value) => message.integer_value = *value,
        ParameterValue::Double(value) => message.double_value = *value,
        ParameterValue::String(value) => message.string_value = value.clone(),
        ParameterValue::ByteArray(values) => message.byte_array_value = values.clone(),
        ParameterValue::BoolArray(values) => message.bool_array_value = values.clone(),
        ParameterValue::IntegerArray(values) => message.integer_array_value = values.clone(),
        ParameterValue::DoubleArray(values) => message.double_array_value = values.clone(),
        ParameterValue::StringArray(values) => message.string_array_value = values.clone(),
    }
    message
}

/// What a message holds; nothing where its type is none that ROS 2 knows.
pub(super) fn from_message(message: &msg::ParameterValue) -> Option<ParameterValue> {
    Some(match message.type_ {
        0 => ParameterValue::NotSet,
        1 => ParameterValue::Bool(message.bool_value),
        2 => ParameterValue::Integer(message.integer_value),
        3 => ParameterValue::Double(message.double_value),
        4 => ParameterValue::String(message.string_value.clone()),
        5 => ParameterValue::ByteArray(message.byte_array_value.clone()),
        6 => ParameterValue::BoolArray(message.bool_array_value.clone()),
        7 => ParameterValue::IntegerArray(message.integer_array_value.clone()),
        8 => ParameterValue::DoubleArray(message.double_array_value.clone()),
        9 => ParameterValue::StringArray(message.string_array_value.clone()),
        _ => return None,
    })
}

/// A value as one writes it in YAML and on the command line.
pub(in crate::node) fn written(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Bool(value) => value.to_string(),
        ParameterValue::Integer(value) => value.to_string(),
        ParameterValue::Double(value) => format!("{value:?}"),
        ParameterValue::String(value) => format!("{value:?}"),
        ParameterValue::StringArray(values) => format!("{values:?}"),
        other => format!("{other:?}"),
    }
}

/// A named value as a message.
pub(super) fn parameter(name: &str, value: &ParameterValue) -> msg::Parameter {
    msg::Parameter { name: name.to_owned(), value: to_message(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_survives_a_message() {
        let values = [
            ParameterValue::NotSet,
            ParameterValue::Bool(true),
            ParameterValue::Integer(-7),
            ParameterValue::Double(0.25),
            ParameterValue::String("odom".into()),
            ParameterValue::ByteArray(vec![1, 2]),
            ParameterValue::BoolArray(vec![true, false]),
            ParameterValue::IntegerArray(vec![3]),
            ParameterValue::DoubleArray(vec![0.5]),
            ParameterValue::StringArray(vec!["person".into()]),
        ];
        for (number, value) in (0..).zip(values) {
            let message = to_message(&value);
            assert_eq!(message.type_, number);
            assert_eq!(from_message(&message), Some(value));
        }
        assert_eq!(from_message(&msg::ParameterValue { type_: 10, ..Default::default() }), None);
    }
}

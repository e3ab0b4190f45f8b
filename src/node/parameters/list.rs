//! Kinds of parameters that r2r does not have.

use std::collections::BTreeMap;

use r2r::{Error, Parameter, ParameterValue, RosParams, indexmap::IndexMap};

/// A list of texts. In ROS a string array; one string is a list of one, and an empty string or an empty list is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextList(pub Vec<String>);

impl TextList {
    fn read(value: &ParameterValue) -> r2r::Result<Vec<String>> {
        match value {
            ParameterValue::StringArray(list) => Ok(list.clone()),
            ParameterValue::String(text) if text.is_empty() => Ok(Vec::new()),
            ParameterValue::String(text) => Ok(vec![text.clone()]),
            // What ROS makes of `[]`, which has no type: nothing in a parameter file, booleans in `ros2 param`.
            ParameterValue::NotSet => Ok(Vec::new()),
            ParameterValue::BoolArray(list) if list.is_empty() => Ok(Vec::new()),
            _ => Err(Error::InvalidParameterType { name: String::new(), ty: "ParameterValue::StringArray" }),
        }
    }
}

impl RosParams for TextList {
    fn register_parameters(
        &mut self,
        prefix: &str,
        param: Option<Parameter>,
        params: &mut IndexMap<String, Parameter>,
    ) -> r2r::Result<()> {
        if let Some(given) = params.shift_remove(prefix) {
            self.0 = Self::read(&given.value).map_err(|error| error.update_param_name(prefix))?;
        }
        let description = param.map_or("", |param| param.description);
        let value = ParameterValue::StringArray(self.0.clone());
        params.insert(prefix.to_owned(), Parameter { value, description });
        Ok(())
    }

    fn get_parameter(&mut self, param_name: &str) -> r2r::Result<ParameterValue> {
        is_whole(param_name)?;
        Ok(ParameterValue::StringArray(self.0.clone()))
    }

    fn set_parameter(&mut self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        is_whole(param_name)?;
        self.0 = Self::read(param_val)?;
        Ok(())
    }

    fn check_parameter(&self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        is_whole(param_name)?;
        Self::read(param_val).map(|_| ())
    }
}

/// A list has no parameters below it.
fn is_whole(param_name: &str) -> r2r::Result<()> {
    if param_name.is_empty() { Ok(()) } else { Err(Error::InvalidParameterName { name: param_name.to_owned() }) }
}

/// A number per class: in ROS the parameters `<name>.<class>`, and `<name>.default` for the classes that have none of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PerClass {
    /// For classes that are not in `own`.
    pub default: f64,
    /// By the class's name.
    pub own: BTreeMap<String, f64>,
}

impl PerClass {
    /// The same for all classes.
    pub fn all(default: f64) -> Self {
        Self { default, own: BTreeMap::new() }
    }

    /// The number of a class.
    pub fn of(&self, class: &str) -> f64 {
        self.own.get(class).copied().unwrap_or(self.default)
    }

    fn read(value: &ParameterValue) -> r2r::Result<f64> {
        match value {
            ParameterValue::Double(value) => Ok(*value),
            ParameterValue::Integer(value) => Ok(*value as f64),
            _ => Err(Error::InvalidParameterType { name: String::new(), ty: "ParameterValue::Double" }),
        }
    }
}

/// Name of the number for all other classes.
const DEFAULT: &str = "default";

impl RosParams for PerClass {
    fn register_parameters(
        &mut self,
        prefix: &str,
        param: Option<Parameter>,
        params: &mut IndexMap<String, Parameter>,
    ) -> r2r::Result<()> {
        let description = param.map_or("", |param| param.description);
        let below = format!("{prefix}.");
        let names: Vec<String> = params.keys().filter(|name| name.starts_with(&below)).cloned().collect();
        for name in names {
            if let Some(given) = params.shift_remove(&name) {
                let class = name.strip_prefix(&below).unwrap_or_default();
                self.set_parameter(class, &given.value).map_err(|error| error.update_param_name(&name))?;
            }
        }
        let value = ParameterValue::Double(self.default);
        params.insert(format!("{below}{DEFAULT}"), Parameter { value, description });
        for (class, &number) in &self.own {
            let value = ParameterValue::Double(number);
            params.insert(format!("{below}{class}"), Parameter { value, description });
        }
        Ok(())
    }

    fn get_parameter(&mut self, param_name: &str) -> r2r::Result<ParameterValue> {
        let own = self.own.get(param_name).copied();
        let number = if param_name == DEFAULT { Some(self.default) } else { own };
        number.map(ParameterValue::Double).ok_or_else(|| Error::InvalidParameterName { name: param_name.to_owned() })
    }

    fn set_parameter(&mut self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        self.check_parameter(param_name, param_val)?;
        let number = Self::read(param_val)?;
        if param_name == DEFAULT {
            self.default = number;
        } else {
            self.own.insert(param_name.to_owned(), number);
        }
        Ok(())
    }

    fn check_parameter(&self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        if param_name.is_empty() {
            return Err(Error::InvalidParameterName { name: param_name.to_owned() });
        }
        Self::read(param_val).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[(&str, ParameterValue)]) -> IndexMap<String, Parameter> {
        values.iter().map(|(name, value)| ((*name).to_owned(), Parameter::new(value.clone()))).collect()
    }

    #[test]
    fn lists_are_read_however_they_are_written() {
        let array = |texts: &[&str]| ParameterValue::StringArray(texts.iter().map(|text| (*text).to_owned()).collect());
        for (value, expected) in [
            (array(&["a", "b"]), vec!["a", "b"]),
            (ParameterValue::String("a".into()), vec!["a"]),
            (ParameterValue::String(String::new()), vec![]),
            (ParameterValue::NotSet, vec![]),
            (ParameterValue::BoolArray(Vec::new()), vec![]),
        ] {
            let mut list = TextList(vec!["default".into()]);
            let mut params = given(&[("cameras", value)]);
            list.register_parameters("cameras", Some(Parameter::empty()), &mut params).unwrap();
            assert_eq!(list.0, expected);
            assert_eq!(params["cameras"].value, array(&expected));
        }
        let mut params = given(&[("cameras", ParameterValue::Integer(3))]);
        let error = TextList::default().register_parameters("cameras", None, &mut params).unwrap_err();
        assert!(error.to_string().contains("cameras"), "{error}");
    }

    #[test]
    fn a_class_without_a_number_of_its_own_has_the_default() {
        let mut inflation = PerClass::all(0.1);
        let mut params = given(&[
            ("inflation.person", ParameterValue::Double(0.4)),
            ("inflation.forklift", ParameterValue::Integer(1)),
            ("inflationary", ParameterValue::Double(9.0)),
        ]);
        inflation.register_parameters("inflation", Some(Parameter::empty()), &mut params).unwrap();
        assert_eq!((inflation.of("person"), inflation.of("forklift"), inflation.of("pallet")), (0.4, 1.0, 0.1));
        assert_eq!(params["inflation.default"].value, ParameterValue::Double(0.1));
        inflation.set_parameter("default", &ParameterValue::Double(0.2)).unwrap();
        assert_eq!(inflation.get_parameter("default").unwrap(), ParameterValue::Double(0.2));
        assert!(inflation.set_parameter("person", &ParameterValue::Bool(true)).is_err());
    }
}

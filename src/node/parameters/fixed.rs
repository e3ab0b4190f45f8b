//! Parameters that nobody can change while the node runs.

use r2r::{Error, Parameter, ParameterValue, RosParams, indexmap::IndexMap};

/// A parameter that is read at the start and keeps its value to the end: what limits others must not be widened by whoever may set
/// parameters over the network. To set what it already is changes nothing and is taken, so that `ros2 param load` works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fixed<T>(pub T);

impl<T: RosParams + Clone> Fixed<T> {
    fn check(&self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        if self.0.clone().get_parameter(param_name)? == *param_val {
            return Ok(());
        }
        let msg =
            "it is read at the start and cannot be changed while the node runs; start the node with another value";
        Err(Error::ParameterValueConv { name: param_name.to_owned(), msg: msg.to_owned() })
    }
}

impl<T: RosParams + Clone> RosParams for Fixed<T> {
    fn register_parameters(
        &mut self,
        prefix: &str,
        param: Option<Parameter>,
        params: &mut IndexMap<String, Parameter>,
    ) -> r2r::Result<()> {
        self.0.register_parameters(prefix, param, params)
    }

    fn get_parameter(&mut self, param_name: &str) -> r2r::Result<ParameterValue> {
        self.0.get_parameter(param_name)
    }

    fn set_parameter(&mut self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        self.check(param_name, param_val)
    }

    fn check_parameter(&self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        self.check(param_name, param_val)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::node::parameters::{CameraDetectorParameters, Guarded, TextList};

    #[test]
    fn what_is_fixed_is_read_at_the_start_and_then_stays() {
        let folders = |folder: &str| ParameterValue::StringArray(vec![folder.to_owned()]);
        let mut list = Fixed::<TextList>::default();
        let mut params = IndexMap::from([("model_folders".to_owned(), Parameter::new(folders("/models")))]);
        list.register_parameters("model_folders", Some(Parameter::empty()), &mut params).unwrap();
        assert_eq!(list.0.0, ["/models"]);

        let parameters = CameraDetectorParameters { model: "m.onnx".into(), model_folders: list, ..Default::default() };
        let shared = Arc::new(Mutex::new(parameters));
        let mut guarded = Guarded::new(shared.clone());
        let empty = ParameterValue::StringArray(Vec::new());
        for (name, value) in [
            ("model_folders", folders("/")),
            ("model_folders", empty),
            ("onnxruntime_library", ParameterValue::String("/tmp/mine.so".into())),
        ] {
            let error = guarded.set_parameter(name, &value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("read at the start"), "{error}");
        }
        guarded.set_parameter("model_folders", &folders("/models")).unwrap();
        assert_eq!(shared.lock().unwrap().model_folders.0.0, ["/models"]);
    }
}

//! Parameters that others cannot set to what makes no sense.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use r2r::{Error, Parameter, ParameterValue, RosParams, indexmap::IndexMap};

use super::ParameterError;
use crate::node::{host::lock, watch::StampLimits};

/// The parameters that every node has, which know what values make sense.
pub(in crate::node) trait NodeParameters: RosParams + Default + Clone + Send + 'static {
    /// Checks every value.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    fn check(&self) -> Result<(), ParameterError>;

    /// Whether the node configures and activates itself at its start.
    fn autostart(&self) -> bool;

    /// How long a silent lifecycle manager is waited for before the log says so; nothing where there shall be no bond.
    fn bond_timeout(&self) -> Option<Duration>;

    /// What the stamps and rates of inputs may be like before it is told.
    fn stamp_limits(&self) -> StampLimits;
}

/// What r2r's services work on: a value that makes no sense is refused, and whoever sets it gets the reason. Values from the start are
/// not refused here: the node ends with their error.
pub(in crate::node) struct Guarded<P>(Arc<Mutex<P>>);

impl<P: NodeParameters> Guarded<P> {
    /// Guards parameters that others read.
    pub(in crate::node) fn new(parameters: Arc<Mutex<P>>) -> Self {
        Self(parameters)
    }

    /// The parameters with one changed.
    fn changed(&self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<P> {
        let mut changed = lock(&self.0).clone();
        changed.set_parameter(param_name, param_val)?;
        changed
            .check()
            .map_err(|error| Error::ParameterValueConv { name: param_name.to_owned(), msg: error.to_string() })?;
        Ok(changed)
    }
}

impl<P: NodeParameters> RosParams for Guarded<P> {
    fn register_parameters(
        &mut self,
        prefix: &str,
        param: Option<Parameter>,
        params: &mut IndexMap<String, Parameter>,
    ) -> r2r::Result<()> {
        lock(&self.0).register_parameters(prefix, param, params)
    }

    fn get_parameter(&mut self, param_name: &str) -> r2r::Result<ParameterValue> {
        lock(&self.0).get_parameter(param_name)
    }

    fn set_parameter(&mut self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        let changed = self.changed(param_name, param_val)?;
        *lock(&self.0) = changed;
        Ok(())
    }

    fn check_parameter(&self, param_name: &str, param_val: &ParameterValue) -> r2r::Result<()> {
        self.changed(param_name, param_val).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::ObstacleFusionParameters;

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let parameters = ObstacleFusionParameters { lidar: "/objects".into(), ..Default::default() };
        let shared = Arc::new(Mutex::new(parameters));
        let mut guarded = Guarded::new(shared.clone());
        guarded.set_parameter("rate", &ParameterValue::Double(5.0)).unwrap();
        for (name, value) in [
            ("rate", ParameterValue::Double(0.0)),
            ("rate", ParameterValue::String("fast".into())),
            ("inflation.person", ParameterValue::Double(50.0)),
            ("min_height", ParameterValue::Double(3.0)),
            ("no_such_parameter", ParameterValue::Double(3.0)),
        ] {
            let error = guarded.set_parameter(name, &value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(guarded.check_parameter(name, &value).is_err());
        }
        let known = lock(&shared).clone();
        assert_eq!((known.rate, known.min_height, known.inflation.of("person")), (5.0, 0.05, -1.0));
    }
}

//! Parameters that others cannot set to what makes no sense.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use r2r::{Error, Parameter, ParameterValue, RosParams, indexmap::IndexMap};

use super::{Descriptor, Holds, ParameterError, QosOverrides, descriptors};
use crate::{
    node::{diagnostics::Thresholds, host::lock, watch::StampLimits},
    spelling,
};

/// Every node's parameter for the clock.
pub(super) const USE_SIM_TIME: &str = "use_sim_time";
const ABOUT_SIM_TIME: &str = "Whether ROS time comes from /clock: simulation, or playback with a clock.";

/// The parameters that every node has, which know what values make sense.
pub(in crate::node) trait NodeParameters: RosParams + Default + Clone + Send + 'static {
    /// From and to of every number, both included; a number per class (`inflation.<class>`) has one row for all classes. This is the
    /// one place where ranges stand.
    const RANGES: &'static [(&'static str, f64, f64)];

    /// The words of every text that is not free.
    fn choices() -> Vec<(&'static str, Vec<&'static str>)>;

    /// Checks every value.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    fn check(&self) -> Result<(), ParameterError>;

    /// Whether the node configures and activates itself at its start.
    fn autostart(&self) -> bool;

    /// How long a silent lifecycle manager is waited for before the log says so; nothing where there shall be no bond.
    fn bond_timeout(&self) -> Option<Duration>;

    /// From where on diagnostics warn.
    fn thresholds(&self) -> Thresholds;

    /// What the stamps and rates of inputs may be like before it is told.
    fn stamp_limits(&self) -> StampLimits;
}

/// Why parameters were not set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::node) enum Refusal {
    /// There is none of that name.
    #[error("there is no parameter {name}{hint}")]
    Unknown {
        /// What was written.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// It holds from the start to the end.
    #[error(
        "parameter {name} is read-only: it is taken from the command line or a parameter file when the node starts"
    )]
    ReadOnly {
        /// The parameter.
        name: String,
    },
    /// Its values are of another type.
    #[error("parameter {name} is a {known}, and a value of type {given} does not fit{hint}")]
    WrongType {
        /// The parameter.
        name: String,
        /// Type of its values.
        known: &'static str,
        /// Type of the value that was given.
        given: &'static str,
        /// The mend.
        hint: String,
    },
    /// The value makes no sense.
    #[error(transparent)]
    Value(#[from] ParameterError),
}

/// ` (did you mean ..?)`, or nothing where no name is like what was written.
fn did_you_mean<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    spelling::nearest(written, names).map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// All that the parameter services work on: the node's own parameters, `use_sim_time`, and the quality of service of the topics. A
/// value that makes no sense is refused, and whoever sets it gets the reason. Values from the start are not refused here: the node
/// ends with their error.
pub(super) struct Guarded<P> {
    parameters: Arc<Mutex<P>>,
    use_sim_time: bool,
    /// Quality of service of the topics.
    pub(super) qos: QosOverrides,
}

impl<P: NodeParameters> Guarded<P> {
    /// Takes what was given at the start. What is given and not known is not for this node, or a slip of which the log tells.
    ///
    /// # Errors
    /// Values of a wrong type, and overrides of the quality of service that make no sense.
    pub(super) fn from_start(given: &IndexMap<String, Parameter>) -> anyhow::Result<Self> {
        let is_own = |name: &String| name != USE_SIM_TIME && !QosOverrides::has(name);
        let mut own: IndexMap<String, Parameter> = given
            .iter()
            .filter(|&(name, _)| is_own(name))
            .map(|(name, parameter)| (name.clone(), Parameter::new(parameter.value.clone())))
            .collect();
        let mut parameters = P::default();
        parameters.register_parameters("", None, &mut own).context("a parameter has the wrong type")?;
        let use_sim_time = match given.get(USE_SIM_TIME).map(|parameter| &parameter.value) {
            None => false,
            Some(ParameterValue::Bool(value)) => *value,
            Some(other) => {
                anyhow::bail!(
                    "a parameter has the wrong type: {USE_SIM_TIME} is a boolean, not a {}",
                    other.type_name()
                )
            }
        };
        let qos = QosOverrides::from_start(given)?;
        let guarded = Self { parameters: Arc::new(Mutex::new(parameters)), use_sim_time, qos };
        let known = guarded.known();
        for name in own.keys().filter(|name| !known.contains_key(*name)) {
            match did_you_mean(name, known.keys().map(String::as_str)) {
                hint if hint.is_empty() => tracing::debug!("there is no parameter {name}; it is left out"),
                hint => tracing::warn!("there is no parameter {name}{hint}; it is left out"),
            }
        }
        Ok(guarded)
    }

    /// The parameters for others, who see them change.
    pub(super) fn shared(&self) -> Arc<Mutex<P>> {
        self.parameters.clone()
    }

    /// Whether ROS time comes from `/clock`.
    pub(super) fn use_sim_time(&self) -> bool {
        self.use_sim_time
    }

    /// Every parameter by its name.
    pub(super) fn known(&self) -> BTreeMap<String, Descriptor> {
        let sim_time = Descriptor {
            name: USE_SIM_TIME.to_owned(),
            value: ParameterValue::Bool(self.use_sim_time),
            description: ABOUT_SIM_TIME.to_owned(),
            range: None,
            choices: Vec::new(),
            holds: Holds::AtOnce,
        };
        let own = descriptors(&*lock(&self.parameters));
        let all = own.into_iter().chain([sim_time]).chain(self.qos.descriptors());
        all.map(|descriptor| (descriptor.name.clone(), descriptor)).collect()
    }

    /// Sets all of these or none; they are looked at together, as what makes sense may depend on several.
    ///
    /// # Errors
    /// Why none was set.
    pub(super) fn set(&mut self, wanted: &[(String, ParameterValue)]) -> Result<(), Refusal> {
        let known = self.known();
        let before = lock(&self.parameters).clone();
        let (mut changed, mut use_sim_time) = (before.clone(), self.use_sim_time);
        for (name, value) in wanted {
            match known.get(name) {
                // Its own value again, as when a dumped file is loaded, changes nothing.
                Some(descriptor) if descriptor.is_read_only() && is_same(&descriptor.value, value) => {}
                Some(descriptor) if descriptor.is_read_only() => {
                    return Err(Refusal::ReadOnly { name: name.clone() });
                }
                None if QosOverrides::has(name) => return Err(Refusal::ReadOnly { name: name.clone() }),
                Some(_) if name == USE_SIM_TIME => match value {
                    ParameterValue::Bool(value) => use_sim_time = *value,
                    other => return Err(wrong_type(name, "boolean", other)),
                },
                _ => set_one(&mut changed, &known, name, value)?,
            }
        }
        let is_wanted = |name: &str| wanted.iter().any(|(wanted, _)| wanted == name);
        descriptors(&changed)
            .iter()
            .filter(|descriptor| is_wanted(&descriptor.name))
            .try_for_each(Descriptor::check)?;
        if let Err(error) = changed.check() {
            // What was wrong before, such as a model that is not given yet, does not keep the rest from being set.
            let is_old = before.check().is_err_and(|old| old == error) && !is_wanted(&error.name);
            if !is_old {
                return Err(error.into());
            }
        }
        *lock(&self.parameters) = changed;
        self.use_sim_time = use_sim_time;
        Ok(())
    }
}

/// Whether a node with these parameters takes one of this name and type at its start; what the value says is not looked at.
///
/// # Errors
/// Why it does not.
pub(in crate::node) fn check_type<P: NodeParameters>(name: &str, value: &ParameterValue) -> Result<(), Refusal> {
    match value {
        _ if QosOverrides::has(name) => Ok(()),
        ParameterValue::Bool(_) if name == USE_SIM_TIME => Ok(()),
        other if name == USE_SIM_TIME => Err(wrong_type(name, "boolean", other)),
        _ => {
            let mut parameters = P::default();
            let own = descriptors(&parameters).into_iter();
            let known: BTreeMap<String, Descriptor> =
                own.map(|descriptor| (descriptor.name.clone(), descriptor)).collect();
            set_one(&mut parameters, &known, name, value)
        }
    }
}

/// Sets one of a node's own parameters, of which these are known.
fn set_one<P: NodeParameters>(
    parameters: &mut P,
    known: &BTreeMap<String, Descriptor>,
    name: &str,
    value: &ParameterValue,
) -> Result<(), Refusal> {
    parameters.set_parameter(name, value).map_err(|error| match error {
        Error::InvalidParameterName { .. } => {
            let hint = did_you_mean(name, known.keys().map(String::as_str));
            Refusal::Unknown { name: name.to_owned(), hint }
        }
        Error::InvalidParameterType { .. } => {
            // What is set without being there yet is a number for another class.
            wrong_type(name, known.get(name).map_or("double", |known| known.value.type_name()), value)
        }
        other => ParameterError::new(name, other.to_string()).into(),
    })
}

/// Whether a value is the one that is known; an empty list is, whatever type ROS made of `[]`.
fn is_same(known: &ParameterValue, value: &ParameterValue) -> bool {
    let is_empty = |value: &ParameterValue| match value {
        ParameterValue::NotSet => true,
        ParameterValue::BoolArray(list) => list.is_empty(),
        ParameterValue::StringArray(list) => list.is_empty(),
        _ => false,
    };
    let is_empty_list = matches!(known, ParameterValue::StringArray(list) if list.is_empty());
    known == value || (is_empty_list && is_empty(value))
}

fn wrong_type(name: &str, known: &'static str, value: &ParameterValue) -> Refusal {
    let hint = match value {
        ParameterValue::Integer(number) if known == "double" => format!("; write {number}.0"),
        _ => String::new(),
    };
    Refusal::WrongType { name: name.to_owned(), known, given: value.type_name(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::{CameraDetectorParameters, ObstacleFusionParameters};

    fn given(values: &[(&str, ParameterValue)]) -> IndexMap<String, Parameter> {
        values.iter().map(|(name, value)| ((*name).to_owned(), Parameter::new(value.clone()))).collect()
    }

    fn fusion(values: &[(&str, ParameterValue)]) -> Guarded<ObstacleFusionParameters> {
        let mut all = given(values);
        all.insert("lidar".into(), Parameter::new(text("/objects")));
        Guarded::from_start(&all).unwrap()
    }

    fn text(text: &str) -> ParameterValue {
        ParameterValue::String(text.to_owned())
    }

    fn one(name: &str, value: ParameterValue) -> [(String, ParameterValue); 1] {
        [(name.to_owned(), value)]
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let mut guarded = fusion(&[]);
        guarded.set(&one("rate", ParameterValue::Double(5.0))).unwrap();
        for (name, value, word) in [
            ("rate", ParameterValue::Double(0.0), "from 0.1 to 200"),
            ("rate", text("fast"), "double"),
            ("rate", ParameterValue::Integer(5), "write 5.0"),
            ("rate", ParameterValue::NotSet, "not set"),
            ("inflation.person", ParameterValue::Double(50.0), "from -1 to 5"),
            ("inflation.person", text("wide"), "double"),
            ("min_height", ParameterValue::Double(3.0), "min_height"),
            ("input_reliability", text("best effort"), "best_effort"),
            ("autostart", ParameterValue::Bool(false), "read-only"),
            ("qos_overrides./objects.subscription.depth", ParameterValue::Integer(1), "read-only"),
            ("use_sim_time", text("yes"), "boolean"),
            ("max_hieght", ParameterValue::Double(3.0), "did you mean max_height?"),
            ("no_such_parameter", ParameterValue::Double(3.0), "no parameter no_such_parameter"),
        ] {
            let refusal = guarded.set(&one(name, value)).unwrap_err().to_string();
            assert!(refusal.contains(word), "{name}: {refusal}");
        }
        let known = lock(&guarded.shared()).clone();
        assert_eq!((known.rate, known.min_height, known.inflation.of("person")), (5.0, 0.05, -1.0));
    }

    #[test]
    fn together_they_are_looked_at_together() {
        let mut guarded = fusion(&[]);
        let both = |least: f64, most: f64| {
            [
                ("min_height".to_owned(), ParameterValue::Double(least)),
                ("max_height".to_owned(), ParameterValue::Double(most)),
            ]
        };
        guarded.set(&both(3.0, 4.0)).unwrap();
        assert!(guarded.set(&both(5.0, 4.5)).is_err());
        let [least, most] = both(1.0, 2.0);
        assert!(guarded.set(&[least, most, ("rate".to_owned(), ParameterValue::Double(0.0))]).is_err());
        let known = lock(&guarded.shared()).clone();
        assert_eq!((known.min_height, known.max_height, known.rate), (3.0, 4.0, 10.0));
    }

    #[test]
    fn what_was_wrong_before_does_not_keep_the_rest_from_being_set() {
        let mut guarded = Guarded::<CameraDetectorParameters>::from_start(&given(&[])).unwrap();
        guarded.set(&one("threads", ParameterValue::Integer(2))).unwrap();
        assert!(guarded.set(&one("threads", ParameterValue::Integer(-1))).is_err());
        assert!(guarded.set(&one("model", text(""))).is_err());
        guarded.set(&one("model", text("student.onnx"))).unwrap();
        let known = lock(&guarded.shared()).clone();
        assert_eq!((known.threads, known.model.as_str()), (2, "student.onnx"));
    }

    #[test]
    fn everything_is_known_with_its_value() {
        let mut guarded = fusion(&[
            ("use_sim_time", ParameterValue::Bool(true)),
            ("inflation.person", ParameterValue::Double(0.4)),
            ("qos_overrides./objects.subscription.depth", ParameterValue::Integer(1)),
            ("unknown", ParameterValue::Double(0.4)),
        ]);
        let value = |guarded: &Guarded<ObstacleFusionParameters>, name: &str| {
            guarded.known().get(name).map(|known| known.value.clone())
        };
        assert_eq!(value(&guarded, "use_sim_time"), Some(ParameterValue::Bool(true)));
        assert_eq!(value(&guarded, "inflation.person"), Some(ParameterValue::Double(0.4)));
        let name = "qos_overrides./objects.subscription.depth";
        assert_eq!(value(&guarded, name), Some(ParameterValue::Integer(1)));
        assert_eq!(value(&guarded, "unknown"), None);
        guarded.set(&one("use_sim_time", ParameterValue::Bool(false))).unwrap();
        assert!(!guarded.use_sim_time());
        // What a dump holds can be loaded again, also what is read-only.
        let dumped: Vec<_> = guarded.known().into_iter().map(|(name, known)| (name, known.value)).collect();
        guarded.set(&dumped).unwrap();
    }

    #[test]
    fn an_empty_list_that_is_read_only_can_be_loaded_again() {
        let mut guarded = Guarded::<CameraDetectorParameters>::from_start(&given(&[])).unwrap();
        for empty in [ParameterValue::StringArray(Vec::new()), ParameterValue::BoolArray(Vec::new())] {
            guarded.set(&one("model_folders", empty)).unwrap();
        }
        for other in [ParameterValue::StringArray(vec!["/models".into()]), ParameterValue::BoolArray(vec![true])] {
            let refusal = guarded.set(&one("model_folders", other)).unwrap_err();
            assert_eq!(refusal, Refusal::ReadOnly { name: "model_folders".to_owned() });
        }
    }

    #[test]
    fn wrong_types_at_the_start_are_errors() {
        for (name, value) in [("rate", text("fast")), ("use_sim_time", ParameterValue::Integer(1))] {
            let result = Guarded::<ObstacleFusionParameters>::from_start(&given(&[(name, value)]));
            let error = format!("{:#}", result.err().unwrap());
            assert!(error.contains("wrong type") && error.contains(name), "{error}");
        }
    }
}

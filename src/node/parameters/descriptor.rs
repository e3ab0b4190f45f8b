//! What is known of each parameter: its type, what it may be, and when a change of it holds.

use r2r::{
    ParameterValue,
    indexmap::IndexMap,
    rcl_interfaces::msg::{FloatingPointRange, IntegerRange, ParameterDescriptor},
};

use super::{NodeParameters, ParameterError, none_of, value::type_number};

/// When a new value holds. A parameter's doc comment says so in its last sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// From the next message on.
    AtOnce,
    /// From the next activation on.
    OnActivate,
    /// From the next configuration on.
    OnConfigure,
    /// Never: the node reads it when it starts.
    AtStart,
}

impl Holds {
    const SENTENCES: [(Self, &'static str); 3] = [
        (Self::OnActivate, "Read on activate."),
        (Self::OnConfigure, "Read on configure."),
        (Self::AtStart, "Read at the start."),
    ];

    /// What a description says of it, and the rest of the description.
    pub(super) fn split(description: &str) -> (Self, &str) {
        let found = Self::SENTENCES
            .into_iter()
            .find_map(|(holds, sentence)| Some((holds, description.strip_suffix(sentence)?.trim_end())));
        found.unwrap_or((Self::AtOnce, description))
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::OnActivate => "on activate",
            Self::OnConfigure => "on configure",
            Self::AtStart => "at the start",
        }
    }
}

/// A parameter as it is now, and what it may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Descriptor {
    /// Its name.
    pub(super) name: String,
    /// Its value.
    pub(super) value: ParameterValue,
    /// What it is for, in full.
    pub(super) description: String,
    /// From and to of a number.
    pub(super) range: Option<(f64, f64)>,
    /// The words that a text may be; none where it is free.
    pub(super) choices: Vec<&'static str>,
    /// When a new value holds.
    pub(super) holds: Holds,
}

impl Descriptor {
    /// Whether it cannot be changed while the node runs.
    pub(super) fn is_read_only(&self) -> bool {
        self.holds == Holds::AtStart
    }

    /// Checks the value against the range and the words.
    ///
    /// # Errors
    /// What the value should be.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let number = match self.value {
            ParameterValue::Double(number) => Some(number),
            ParameterValue::Integer(number) => Some(number as f64),
            _ => None,
        };
        if let (Some(number), Some((least, most))) = (number, self.range)
            && !(least..=most).contains(&number)
        {
            let (_, about) = Holds::split(&self.description);
            let reason = format!("{number} is not from {least} to {most}. {about}");
            return Err(ParameterError::new(&self.name, reason));
        }
        if let ParameterValue::String(text) = &self.value
            && !self.choices.is_empty()
            && !self.choices.contains(&text.as_str())
        {
            return Err(ParameterError::new(&self.name, none_of(text, &self.choices)));
        }
        Ok(())
    }

    /// What cannot be said by type and range.
    fn constraints(&self) -> String {
        let mut parts = Vec::new();
        if !self.choices.is_empty() {
            parts.push(format!("one of: {}", self.choices.join(", ")));
        }
        if self.holds != Holds::AtOnce {
            parts.push(format!("read {}", self.holds.words()));
        }
        parts.join("; ")
    }

    /// As `ros2 param describe` shows it.
    pub(super) fn message(&self) -> ParameterDescriptor {
        let mut message = ParameterDescriptor {
            name: self.name.clone(),
            type_: type_number(&self.value),
            description: self.description.clone(),
            additional_constraints: self.constraints(),
            read_only: self.is_read_only(),
            ..Default::default()
        };
        match (&self.value, self.range) {
            (ParameterValue::Integer(_), Some((least, most))) => {
                let range = IntegerRange { from_value: least as i64, to_value: most as i64, step: 1 };
                message.integer_range = vec![range];
            }
            (ParameterValue::Double(_), Some((least, most))) => {
                let range = FloatingPointRange { from_value: least, to_value: most, step: 0.0 };
                message.floating_point_range = vec![range];
            }
            _ => {}
        }
        message
    }
}

/// What is known of a node's parameters, in the order of their struct.
pub(super) fn descriptors<P: NodeParameters>(parameters: &P) -> Vec<Descriptor> {
    let mut registered = IndexMap::new();
    // Where nothing is given, nothing can be of the wrong type.
    let _ = parameters.clone().register_parameters("", None, &mut registered);
    let choices = P::choices();
    let described = registered.into_iter().map(|(name, parameter)| {
        // A number per class has one range for all classes.
        let group = name.split('.').next().unwrap_or_default();
        let range = P::RANGES.iter().find(|(ranged, ..)| *ranged == group).map(|&(_, least, most)| (least, most));
        let words = choices.iter().find(|(worded, _)| *worded == name);
        Descriptor {
            value: parameter.value,
            range,
            choices: words.map_or_else(Vec::new, |(_, words)| words.clone()),
            holds: Holds::split(parameter.description).0,
            description: parameter.description.to_owned(),
            name,
        }
    });
    described.collect()
}

/// Checks each number against its range and each text against its words.
///
/// # Errors
/// The first value that is not what it may be.
pub(super) fn check_values<P: NodeParameters>(parameters: &P) -> Result<(), ParameterError> {
    descriptors(parameters).iter().try_for_each(Descriptor::check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::{
        CameraDetectorParameters, LidarDetectorParameters, ObstacleFusionParameters, PerClass,
    };

    fn of<P: NodeParameters>(parameters: &P, name: &str) -> ParameterDescriptor {
        descriptors(parameters).into_iter().find(|known| known.name == name).unwrap().message()
    }

    #[test]
    fn descriptions_say_when_a_value_holds() {
        for (description, expected) in [
            ("The rate.", (Holds::AtOnce, "The rate.")),
            ("The rate. Read on configure.", (Holds::OnConfigure, "The rate.")),
            ("The bond. Read on activate.", (Holds::OnActivate, "The bond.")),
            ("Whether. Read at the start.", (Holds::AtStart, "Whether.")),
            ("Read on configure. Or not.", (Holds::AtOnce, "Read on configure. Or not.")),
        ] {
            assert_eq!(Holds::split(description), expected);
        }
    }

    #[test]
    fn descriptors_have_ranges_words_and_when_they_hold() {
        let fusion = ObstacleFusionParameters { inflation: PerClass::all(0.1), ..Default::default() };
        let rate = of(&fusion, "rate");
        let range = FloatingPointRange { from_value: 0.1, to_value: 200.0, step: 0.0 };
        assert_eq!((rate.type_, rate.floating_point_range), (3, vec![range]));
        assert_eq!((rate.additional_constraints.as_str(), rate.read_only), ("", false));
        assert_eq!(rate.description, "Clouds, detections and markers a second.");
        let hits = of(&fusion, "doubted_hits");
        assert_eq!((hits.type_, hits.integer_range[0].to_value), (2, 100));
        assert!(hits.floating_point_range.is_empty());
        assert_eq!(of(&fusion, "inflation.default").floating_point_range[0].to_value, 5.0);
        let camera = CameraDetectorParameters::default();
        let transport = of(&camera, "image_transport");
        assert_eq!(transport.additional_constraints, "one of: raw, compressed; read on configure");
        assert!(of(&camera, "autostart").read_only);
        assert_eq!(of(&camera, "bond_timeout").additional_constraints, "read on activate");
    }

    /// A number without a range, or a row for a parameter that is not there, is a slip.
    fn tables_are_whole<P: NodeParameters>() {
        let known = descriptors(&P::default());
        for descriptor in &known {
            let is_number = matches!(descriptor.value, ParameterValue::Double(_) | ParameterValue::Integer(_));
            assert_eq!(descriptor.range.is_some(), is_number, "the range of {}", descriptor.name);
            assert!(descriptor.description.ends_with('.'), "the description of {}", descriptor.name);
            assert!(!descriptor.description.contains("  "), "the description of {}", descriptor.name);
            assert_eq!(descriptor.check(), Ok(()), "the default of {}", descriptor.name);
        }
        let is_known = |row: &str| known.iter().any(|known| known.name.split('.').next() == Some(row));
        for row in P::RANGES.iter().map(|(name, ..)| *name).chain(P::choices().iter().map(|(name, _)| *name)) {
            assert!(is_known(row), "there is no parameter {row}");
        }
    }

    #[test]
    fn every_number_has_a_range_and_every_row_a_parameter() {
        tables_are_whole::<CameraDetectorParameters>();
        tables_are_whole::<LidarDetectorParameters>();
        tables_are_whole::<ObstacleFusionParameters>();
    }

    #[test]
    fn what_is_out_of_range_is_named_with_what_it_is_for() {
        let wrong = ObstacleFusionParameters { rate: f64::NAN, ..Default::default() };
        let error = check_values(&wrong).unwrap_err().to_string();
        assert_eq!(error, "parameter rate: NaN is not from 0.1 to 200. Clouds, detections and markers a second.");
        let mut inflation = PerClass::all(-1.0);
        inflation.own.insert("person".into(), 5.5);
        let wrong = ObstacleFusionParameters { inflation, ..Default::default() };
        assert_eq!(check_values(&wrong).unwrap_err().name, "inflation.person");
        let wrong = CameraDetectorParameters { image_transport: "rgb8".into(), ..Default::default() };
        let error = check_values(&wrong).unwrap_err().to_string();
        assert_eq!(error, "parameter image_transport: `rgb8` is none of raw, compressed");
    }
}

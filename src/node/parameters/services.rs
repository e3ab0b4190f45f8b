//! What `ros2 param` and others ask a node for, and what it tells them.
//!
//! | name | type |
//! |---|---|
//! | `~/list_parameters`, `~/get_parameters`, `~/get_parameter_types`, `~/describe_parameters` | rcl_interfaces/srv of the same names |
//! | `~/set_parameters` | rcl_interfaces/srv/SetParameters: one after the other, each with its own reason where it is refused |
//! | `~/set_parameters_atomically` | rcl_interfaces/srv/SetParametersAtomically: looked at together, then all or none |
//! | `/parameter_events` | rcl_interfaces/msg/ParameterEvent on every change and once at the start, reliable, depth 1000 |

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use r2r::{
    ParameterValue, Publisher, QosProfile,
    rcl_interfaces::{
        msg::{self, ListParametersResult, ParameterDescriptor, ParameterEvent, SetParametersResult},
        srv::{
            DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters,
            SetParametersAtomically,
        },
    },
};

use super::{
    Guarded, NodeParameters, QosOverrides,
    value::{from_message, parameter, to_message, type_number},
};
use crate::node::{
    clock,
    host::lock,
    requests::{Requests, offer, respond, waiting},
};

/// Between the parts of a parameter's name.
const SEPARATOR: char = '.';
/// The depth that stands for all; `DEPTH_RECURSIVE` of ListParameters.
const ALL: u64 = 0;
/// How often is looked for what the node itself changed, such as the model after a rollback.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The parameters of a node and the services for them.
pub(in crate::node) struct ParameterServices<P> {
    node: String,
    guarded: Guarded<P>,
    list: Requests<ListParameters::Service>,
    get: Requests<GetParameters::Service>,
    types: Requests<GetParameterTypes::Service>,
    describe: Requests<DescribeParameters::Service>,
    set: Requests<SetParameters::Service>,
    set_atomically: Requests<SetParametersAtomically::Service>,
    events: Publisher<ParameterEvent>,
    /// What others were told last.
    told: BTreeMap<String, ParameterValue>,
    /// When that was looked at last.
    looked: Instant,
    /// Whether ROS time comes from `/clock`.
    is_simulated: bool,
}

impl<P: NodeParameters> ParameterServices<P> {
    /// Takes what was given at the start, and offers the services of a node whose full name is `name`.
    ///
    /// # Errors
    /// Parameters of a wrong type, or a ROS 2 that refuses a service.
    pub(in crate::node) fn create(node: &mut r2r::Node, name: String) -> anyhow::Result<Self> {
        let guarded = Guarded::from_start(&lock(&node.params))?;
        let events = node.create_publisher("/parameter_events", QosProfile::parameter_events());
        let mut services = Self {
            node: name,
            guarded,
            events: events.context("ROS 2 refuses the topic /parameter_events")?,
            list: offer(node, "~/list_parameters")?,
            get: offer(node, "~/get_parameters")?,
            types: offer(node, "~/get_parameter_types")?,
            describe: offer(node, "~/describe_parameters")?,
            set: offer(node, "~/set_parameters")?,
            set_atomically: offer(node, "~/set_parameters_atomically")?,
            told: BTreeMap::new(),
            looked: Instant::now(),
            is_simulated: false,
        };
        services.tell();
        services.follow_clock(node);
        Ok(services)
    }

    /// The parameters for others, who see them change.
    pub(in crate::node) fn shared(&self) -> Arc<Mutex<P>> {
        self.guarded.shared()
    }

    /// Whether ROS time comes from `/clock`.
    pub(in crate::node) fn is_simulated(&self) -> bool {
        self.is_simulated
    }

    /// Quality of service of the topics.
    pub(in crate::node) fn qos(&self) -> &QosOverrides {
        &self.guarded.qos
    }

    /// The same, for topics that come and go.
    pub(in crate::node) fn qos_mut(&mut self) -> &mut QosOverrides {
        &mut self.guarded.qos
    }

    /// Answers everything that was asked, and tells what changed.
    pub(in crate::node) fn answer(&mut self, node: &mut r2r::Node) {
        if self.guarded.qos.take_change() || self.looked.elapsed() >= LOOK_EVERY {
            self.tell();
        }
        while let Some(request) = waiting(&mut self.list) {
            let known = self.guarded.known();
            let (prefixes, depth) = (&request.message.prefixes, request.message.depth);
            let result = list(known.keys().map(String::as_str), prefixes, depth);
            respond(request, ListParameters::Response { result });
        }
        while let Some(request) = waiting(&mut self.get) {
            let values = self.look_up(&request.message.names, to_message);
            respond(request, GetParameters::Response { values });
        }
        while let Some(request) = waiting(&mut self.types) {
            let types = self.look_up(&request.message.names, type_number);
            respond(request, GetParameterTypes::Response { types });
        }
        while let Some(request) = waiting(&mut self.describe) {
            let known = self.guarded.known();
            let descriptor = |name: &String| match known.get(name) {
                Some(descriptor) => descriptor.message(),
                None => ParameterDescriptor { name: name.clone(), ..Default::default() },
            };
            let descriptors = request.message.names.iter().map(descriptor).collect();
            respond(request, DescribeParameters::Response { descriptors });
        }
        while let Some(request) = waiting(&mut self.set) {
            let one_by_one = request.message.parameters.iter();
            let results = one_by_one.map(|wanted| self.change(std::slice::from_ref(wanted))).collect();
            respond(request, SetParameters::Response { results });
        }
        while let Some(request) = waiting(&mut self.set_atomically) {
            let result = self.change(&request.message.parameters);
            respond(request, SetParametersAtomically::Response { result });
        }
        self.follow_clock(node);
    }

    /// Something of the value of each of these; what is not known has none.
    fn look_up<T>(&self, names: &[String], of: impl Fn(&ParameterValue) -> T) -> Vec<T> {
        let known = self.guarded.known();
        let looked_up = names.iter().map(|name| match known.get(name) {
            Some(descriptor) => of(&descriptor.value),
            None => of(&ParameterValue::NotSet),
        });
        looked_up.collect()
    }

    /// Sets all of these or none, and tells what changed.
    fn change(&mut self, wanted: &[msg::Parameter]) -> SetParametersResult {
        let read = |wanted: &msg::Parameter| Some((wanted.name.clone(), from_message(&wanted.value)?));
        let Some(wanted) = wanted.iter().map(read).collect::<Option<Vec<_>>>() else {
            let reason = "a value is of a type that ROS 2 does not have".to_owned();
            return SetParametersResult { successful: false, reason };
        };
        match self.guarded.set(&wanted) {
            Ok(()) => {
                self.tell();
                SetParametersResult { successful: true, reason: String::new() }
            }
            Err(refusal) => SetParametersResult { successful: false, reason: refusal.to_string() },
        }
    }

    /// Tells everybody what changed since the last time.
    pub(in crate::node) fn tell(&mut self) {
        let known = self.guarded.known().into_iter();
        let now: BTreeMap<String, ParameterValue> = known.map(|(name, descriptor)| (name, descriptor.value)).collect();
        if let Some(changes) = changes(&self.told, &now) {
            let stamp = clock::ros_time(clock::now());
            let event = ParameterEvent { stamp, node: self.node.clone(), ..changes };
            if let Err(error) = self.events.publish(&event) {
                tracing::warn!("the change of parameters cannot be told: {error}");
            }
        }
        self.told = now;
        self.looked = Instant::now();
    }

    /// Takes ROS time from where the parameter says.
    fn follow_clock(&mut self, node: &mut r2r::Node) {
        let is_wanted = self.guarded.use_sim_time();
        if is_wanted == self.is_simulated {
            return;
        }
        self.is_simulated = is_wanted;
        let source = node.get_time_source();
        if is_wanted {
            if let Err(error) = source.enable_sim_time(node) {
                tracing::error!("use_sim_time: ROS 2 refuses the topic /clock: {error}");
            }
        } else {
            source.disable_sim_time();
        }
    }
}

/// The names that begin with one of the prefixes, or all where there is no prefix, at most so many parts deep; as rclcpp lists them.
fn list<'n>(names: impl Iterator<Item = &'n str>, prefixes: &[String], depth: u64) -> ListParametersResult {
    let is_near = |name: &str| depth == ALL || (name.matches(SEPARATOR).count() as u64) < depth;
    let is_below = |name: &str, prefix: &str| {
        let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(SEPARATOR));
        name == prefix || rest.is_some_and(is_near)
    };
    let is_asked = |&name: &&str| {
        if prefixes.is_empty() { is_near(name) } else { prefixes.iter().any(|prefix| is_below(name, prefix)) }
    };
    let names: Vec<&str> = names.filter(is_asked).collect();
    let parents: BTreeSet<&str> = names.iter().filter_map(|name| Some(name.rsplit_once(SEPARATOR)?.0)).collect();
    ListParametersResult {
        names: names.into_iter().map(str::to_owned).collect(),
        prefixes: parents.into_iter().map(str::to_owned).collect(),
    }
}

/// What became new, other, or is gone; nothing where all is as it was. Neither stamped nor named.
fn changes(
    before: &BTreeMap<String, ParameterValue>,
    now: &BTreeMap<String, ParameterValue>,
) -> Option<ParameterEvent> {
    let mut event = ParameterEvent::default();
    for (name, value) in now {
        match before.get(name) {
            None => event.new_parameters.push(parameter(name, value)),
            Some(old) if old != value => event.changed_parameters.push(parameter(name, value)),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    event.deleted_parameters = gone.map(|name| parameter(name, &ParameterValue::NotSet)).collect();
    let count = event.new_parameters.len() + event.changed_parameters.len() + event.deleted_parameters.len();
    (count > 0).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_those_of_rclcpp() {
        let names = ["a", "a.b", "a.b.c", "a.b.d", "ab", "qos./t.publisher.depth"];
        let listed = |prefixes: &[&str], depth: u64| {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
            list(names.into_iter(), &prefixes, depth)
        };
        for (prefixes, depth, expected) in [
            (&[][..], 0, &names[..]),
            (&[][..], 1, &["a", "ab"][..]),
            (&[][..], 2, &["a", "a.b", "ab"][..]),
            (&["a"][..], 0, &["a", "a.b", "a.b.c", "a.b.d"][..]),
            (&["a"][..], 1, &["a", "a.b"][..]),
            (&["a.b"][..], 1, &["a.b", "a.b.c", "a.b.d"][..]),
            (&["qos", "ab"][..], 0, &["ab", "qos./t.publisher.depth"][..]),
            (&["b"][..], 0, &[][..]),
        ] {
            assert_eq!(listed(prefixes, depth).names, expected, "{prefixes:?} at depth {depth}");
        }
        assert_eq!(listed(&[], 0).prefixes, ["a", "a.b", "qos./t.publisher"]);
    }

    #[test]
    fn events_tell_what_changed_and_nothing_else() {
        let of = |values: &[(&str, i64)]| -> BTreeMap<String, ParameterValue> {
            values.iter().map(|(name, value)| ((*name).to_owned(), ParameterValue::Integer(*value))).collect()
        };
        let before = of(&[("kept", 1), ("changed", 2), ("gone", 3)]);
        assert_eq!(changes(&before, &before), None);
        let event = changes(&before, &of(&[("kept", 1), ("changed", 4), ("new", 5)])).unwrap();
        let names =
            |parameters: &[msg::Parameter]| parameters.iter().map(|known| known.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&event.new_parameters), ["new"]);
        assert_eq!(names(&event.changed_parameters), ["changed"]);
        assert_eq!(event.changed_parameters[0].value.integer_value, 4);
        assert_eq!(names(&event.deleted_parameters), ["gone"]);
    }
}

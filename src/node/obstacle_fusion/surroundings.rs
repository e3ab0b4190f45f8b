//! What is watched beside the inputs: who publishes transforms, and whether the inputs' clocks are the same.

use std::time::Instant;

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use super::input::Input;
use crate::{
    messages::TFMessage,
    node::{
        diagnostics::{OK, pair},
        host::{Host, latched, reliable},
        parameters::ObstacleFusionParameters,
        watch::{Chronicle, InputWatch, NOBODY, Settings, SyncWatch},
    },
};

/// There is no parameter for the topics of transforms, and many publish on them.
const TRANSFORMS: Settings = Settings { topic: "", reliability: "", kind: "", kinds: &[], is_shared: true };

/// All that concerns the whole node rather than one input.
pub(super) struct Surroundings {
    moving: InputWatch,
    fixed: InputWatch,
    sync: SyncWatch,
    chronicle: Chronicle,
    /// Messages that were dropped for want of a transform, when diagnostics were made last.
    without_transform: u64,
}

impl Surroundings {
    /// The inputs have not spoken yet.
    pub(super) fn new(host: &Host<ObstacleFusionParameters>, inputs: &[Input]) -> Self {
        // The depth makes no difference here.
        let watch = |topic, qos| InputWatch::new(host, topic, TFMessage::TYPE_NAME, qos, TRANSFORMS);
        Self {
            moving: watch("/tf", reliable(1)),
            fixed: watch("/tf_static", latched()),
            sync: SyncWatch::new(inputs.iter().map(|input| input.topic.clone())),
            chronicle: Chronicle::default(),
            without_transform: 0,
        }
    }

    /// The node is active from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.moving.begin(now);
        self.fixed.begin(now);
        self.sync.begin();
    }

    /// Takes the stamp, in nanoseconds, of an input's message that comes now.
    pub(super) fn arrived(&mut self, input: usize, stamp: i64, now: Instant) {
        self.sync.arrived(input, stamp, now);
    }

    /// Looks around now and then.
    pub(super) fn look(&mut self, host: &mut Host<ObstacleFusionParameters>, now: Instant) {
        self.fixed.look(host, now);
        if !self.moving.look(host, now) {
            return;
        }
        self.sync.set_limit(host.parameters().skew_limit());
        let found: Vec<_> = self.sync.finding(now).into_iter().collect();
        self.chronicle.note(&found);
    }

    /// Adds what is wrong to the status of the whole node, of which so many messages were dropped for want of a transform.
    pub(super) fn tell(&mut self, whole: &mut DiagnosticStatus, without_transform: u64, is_placed: bool, now: Instant) {
        whole.values.push(pair(SyncWatch::KEY, &self.chronicle.count(SyncWatch::KEY).to_string()));
        // A robot whose sensors stand still needs nobody on /tf, and one that has no fixed frames nobody on /tf_static.
        let is_missed = whole.level > OK && (!is_placed || without_transform > self.without_transform);
        self.without_transform = without_transform;
        if let Some(finding) = self.sync.finding(now) {
            finding.tell(whole);
        }
        if let Some(finding) = self.moving.finding(now).filter(|finding| is_missed || finding.key != NOBODY) {
            finding.tell(whole);
        }
        if let Some(finding) = self.fixed.finding(now).filter(|finding| finding.key != NOBODY) {
            finding.tell(whole);
        }
    }
}

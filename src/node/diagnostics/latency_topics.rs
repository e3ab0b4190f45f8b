//! The latencies of each frame as topics, for plots and for whoever acts on them.
//!
//! | topic | type | what it is |
//! |---|---|---|
//! | `~/latency/<stage>_ms` | std_msgs/msg/Float64 | milliseconds of that stage, one message a frame, while somebody listens |
//!
//! Reliable, depth 10. A stage that is not known of a frame, such as the age by another clock's stamp, is left out.

use std::time::Duration;

use r2r::{Publisher, std_msgs::msg::Float64};

use super::Stage;
use crate::node::{
    host::{Host, reliable},
    parameters::NodeParameters,
};

/// Messages that wait for slow listeners.
const DEPTH: usize = 10;

/// Topics of some stages; of none by default.
#[derive(Default)]
pub(in crate::node) struct LatencyTopics {
    topics: Vec<(Stage, Publisher<Float64>)>,
}

impl LatencyTopics {
    /// Offers the topics of these stages, until [`Host::withdraw`].
    ///
    /// # Errors
    /// When ROS 2 refuses one.
    pub(in crate::node) fn offer<P: NodeParameters>(host: &mut Host<P>, stages: &[Stage]) -> anyhow::Result<Self> {
        let mut topics = Vec::with_capacity(stages.len());
        for &stage in stages {
            let topic = format!("~/latency/{}_ms", stage.name());
            topics.push((stage, host.advertise_typed::<Float64>(&topic, reliable(DEPTH))?));
        }
        Ok(Self { topics })
    }

    /// Whether anybody listens to one of them.
    pub(in crate::node) fn is_heard(&self) -> bool {
        self.topics.iter().any(|(_, topic)| is_heard(topic))
    }

    /// Publishes what is known of a frame.
    pub(in crate::node) fn publish(&self, latencies: &[(Stage, Option<Duration>)]) {
        for (stage, topic) in &self.topics {
            let found = latencies.iter().find(|(of, _)| of == stage).and_then(|(_, latency)| *latency);
            if let Some(latency) = found
                && is_heard(topic)
                && let Err(error) = topic.publish(&Float64 { data: 1e3 * latency.as_secs_f64() })
            {
                tracing::debug!("the latency of stage {} cannot be published: {error}", stage.name());
            }
        }
    }
}

fn is_heard(topic: &Publisher<Float64>) -> bool {
    topic.get_inter_process_subscription_count().unwrap_or(0) > 0
}

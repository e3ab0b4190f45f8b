//! `~/record_now` (std_srvs/srv/Trigger): the newest frame is recorded at once.

use std::time::Instant;

use r2r::std_srvs::srv::Trigger;

use super::desk::Desk;
use crate::node::requests::{Requests, offer, respond, waiting};

/// The service's name.
const NAME: &str = "~/record_now";

/// The service. r2r lets go of one only with its next request, so a node keeps it from the first configuration that records on.
pub(in crate::node) struct RecordNow(Requests<Trigger::Service>);

impl RecordNow {
    /// Offers it.
    ///
    /// # Errors
    /// When ROS 2 refuses it.
    pub(in crate::node) fn offer(node: &mut r2r::Node) -> anyhow::Result<Self> {
        Ok(Self(offer(node, NAME)?))
    }

    /// Answers who asked; without a desk nothing is recorded.
    pub(super) fn answer(&mut self, desk: Option<&Desk>) {
        while let Some(request) = waiting(&mut self.0) {
            let recorded = match desk {
                Some(desk) => desk.record_now(Instant::now()),
                None => Err("recording is off: set the parameter record_folder and configure the node"),
            };
            let (success, message) = match recorded {
                Ok(stamp) => (true, format!("the frame of stamp {stamp} ns is being recorded")),
                Err(reason) => (false, reason.to_owned()),
            };
            respond(request, Trigger::Response { success, message });
        }
    }
}

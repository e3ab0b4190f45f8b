//! What the node publishes, at a fixed rate.

use std::time::Instant;

use r2r::{Publisher, PublisherUntyped, visualization_msgs::msg::MarkerArray};

use super::{
    disagreement::Sought,
    fuser::Fuser,
    markers::MarkerBoard,
    messages::{cloud, detections},
    options::footprint_points,
    speed::{SpeedGovernor, no_limit, speed_limit},
};
use crate::{
    messages::{Detection3DArray, Header, LabelInfo, PointCloud2, SpeedLimit, Time},
    node::{
        host::{Host, casual, latched, reliable},
        labels::label_info,
        parameters::ObstacleFusionParameters,
    },
};

/// The node's topics and what must be remembered about them.
pub(super) struct Outputs {
    obstacles: PublisherUntyped,
    detections: PublisherUntyped,
    uncertain: PublisherUntyped,
    labels: PublisherUntyped,
    markers: Publisher<MarkerArray>,
    speed: Option<PublisherUntyped>,
    board: MarkerBoard,
    governor: SpeedGovernor,
    /// Classes that are published by now.
    labelled: Option<usize>,
    frame_id: String,
}

impl Outputs {
    /// Offers the topics.
    ///
    /// # Errors
    /// When ROS 2 refuses one of them; speed limits alone are left out, with a warning, where their message type is not known.
    pub(super) fn create(
        host: &mut Host<ObstacleFusionParameters>,
        parameters: &ObstacleFusionParameters,
    ) -> anyhow::Result<Self> {
        let speed = if parameters.slow_distance > 0.0 {
            match host.advertise(&parameters.speed_limit_topic, SpeedLimit::TYPE_NAME, reliable(10)) {
                Ok(publisher) => Some(publisher),
                Err(error) => {
                    let is_unknown =
                        matches!(error.downcast_ref::<r2r::Error>(), Some(r2r::Error::InvalidMessageType { .. }));
                    if !is_unknown {
                        return Err(error);
                    }
                    tracing::warn!(
                        "slow_distance is set, but there are no speed limits: {error:#}; the package must be built where \
                         nav2_msgs is installed, and IDL_PACKAGE_FILTER, if set, must have nav2_msgs in it"
                    );
                    None
                }
            }
        } else {
            None
        };
        Ok(Self {
            obstacles: host.advertise("~/obstacles", PointCloud2::TYPE_NAME, reliable(5))?,
            detections: host.advertise("~/detections", Detection3DArray::TYPE_NAME, reliable(5))?,
            uncertain: host.advertise("~/uncertain", Header::TYPE_NAME, reliable(10))?,
            labels: host.advertise("~/label_info", LabelInfo::TYPE_NAME, latched())?,
            markers: host.advertise_typed("~/markers", casual())?,
            speed,
            board: MarkerBoard::default(),
            governor: SpeedGovernor::default(),
            labelled: None,
            frame_id: parameters.target_frame.trim_start_matches('/').to_owned(),
        })
    }

    /// Asks the detectors' recorders for frames.
    ///
    /// # Errors
    /// When ROS 2 refuses the message.
    pub(super) fn seek(&self, frames: &[Sought]) -> r2r::Result<()> {
        for Sought { stamp, frame_id } in frames {
            let asked = Header { stamp: Time::from_nanoseconds(*stamp), frame_id };
            self.uncertain.publish_raw(&asked.encode())?;
        }
        Ok(())
    }

    /// Publishes the classes where they are new.
    ///
    /// # Errors
    /// When ROS 2 refuses the message.
    pub(super) fn publish_labels(&mut self, fuser: &Fuser) -> r2r::Result<()> {
        let names = fuser.classes.names();
        if self.labelled != Some(names.len()) {
            self.labelled = Some(names.len());
            self.labels.publish_raw(&label_info(names, 0, 0.0))?;
        }
        Ok(())
    }

    /// Publishes the tracks as they are at the newest sensor stamp, and says how many there are. Before the first detections nothing
    /// is published: an empty cloud would say that the way is clear. `robot` is where the robot is in the target frame, in metres, as
    /// far as that is known.
    ///
    /// # Errors
    /// When ROS 2 refuses a message.
    pub(super) fn publish(
        &mut self,
        fuser: &mut Fuser,
        parameters: &ObstacleFusionParameters,
        robot: Option<[f64; 3]>,
        now: Instant,
    ) -> r2r::Result<usize> {
        self.publish_labels(fuser)?;
        let Some(newest) = fuser.newest() else { return Ok(0) };
        let tracks = fuser.tracks();
        let classes = &fuser.classes;
        let header = Header { stamp: Time::from_nanoseconds(newest), frame_id: &self.frame_id };
        let points = footprint_points(&tracks, classes, robot, parameters);
        self.obstacles.publish_raw(&cloud(header, &points))?;
        self.detections.publish_raw(&detections(header, &tracks, classes))?;
        if self.markers.get_inter_process_subscription_count().unwrap_or(0) > 0 {
            self.markers.publish(&self.board.draw(&tracks, classes, &self.frame_id, newest))?;
        } else {
            self.board.forget();
        }
        if let Some(speed) = &self.speed
            && let Some(limit) = self.governor.decide(&tracks, classes, robot, parameters, now)
        {
            speed.publish_raw(&speed_limit(header, limit))?;
        }
        Ok(tracks.len())
    }

    /// Ends a speed limit: who is no longer there cannot lift it. What is shown is begun anew by whatever is published next.
    pub(super) fn leave(&mut self) {
        if let Some(speed) = &self.speed
            && self.governor.is_limited()
            && let Err(error) = speed.publish_raw(&no_limit(Header { frame_id: &self.frame_id, ..Default::default() }))
        {
            tracing::warn!("the speed limit cannot be ended: {error}");
        }
        self.governor = SpeedGovernor::default();
        self.board.forget();
    }
}

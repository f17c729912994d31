//! Background work of a service whose clock somebody else moves.

use std::sync::Arc;

use super::Wiring;
use crate::{
    node::{AuditAgent, FailuresAgent, NodeAgent},
    rotate::SteppedScheduler,
};

/// The background work of [`Wiring::start`], done when the caller says so: in time that does not pass by itself.
pub struct SteppedBackground {
    wiring: Arc<Wiring>,
    node: NodeAgent,
    failures: FailuresAgent,
    audit: AuditAgent,
    rotation: Option<SteppedScheduler>,
}

impl SteppedBackground {
    /// Background work that has done nothing yet.
    pub fn new(wiring: Arc<Wiring>) -> Self {
        Self {
            node: wiring.agent(),
            failures: wiring.failures_agent(),
            audit: wiring.audit_agent(),
            rotation: wiring.stepped_scheduler(),
            wiring,
        }
    }

    /// Does once what is due at the present time of the service's clock.
    pub async fn step(&mut self) {
        self.node.tick(&self.wiring.settings().node()).await;
        if let Some(rotation) = &mut self.rotation {
            rotation.round().await;
        }
        self.failures.tick().await;
        self.audit.tick().await;
    }
}

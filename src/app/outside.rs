//! Doctor's look at what is outside of an installation: those who vouch for users, and the way to them and to others.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    network::{self, Remote},
    provider_checks::SignInChecks,
};
use crate::{
    clock::{Clock, ClockGuard},
    config::Settings,
    operate::{Check, OutsideChecks},
    secret::Entropy,
};

/// Checks of what the settings name.
pub(super) struct Outside {
    providers: SignInChecks,
    remotes: Vec<Remote>,
}

impl Outside {
    /// Makes the checks of these settings.
    pub(super) fn new(settings: &Settings, clock: &Arc<ClockGuard>, entropy: &Arc<dyn Entropy>) -> Self {
        Self { providers: SignInChecks::new(settings, clock, entropy), remotes: Remote::of(settings) }
    }
}

/// Checks what is outside by these settings, also where no service can be opened.
pub async fn check_outside(settings: &Settings, clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) -> Vec<Check> {
    let clock = Arc::new(ClockGuard::new(Arc::clone(clock), settings.clock().patience));
    Outside::new(settings, &clock, entropy).check_outside().await
}

#[async_trait]
impl OutsideChecks for Outside {
    async fn check_outside(&self) -> Vec<Check> {
        let mut checks = self.providers.check_providers().await;
        checks.extend(network::check_process(&self.remotes).await);
        checks
    }
}

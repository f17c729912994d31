//! Faults of the REST API, queued by tests: each affects a given number of calls, then it is gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The calls of the REST API. As a string, a verb is the permission that Braze requires for it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", prefix = "sdk_authentication.")]
pub(super) enum Verb {
    Create,
    Keys,
    Primary,
    Delete,
}

impl Verb {
    /// Returns the permission that a REST API key needs for this verb, as Braze spells it.
    pub(super) fn permission(self) -> &'static str {
        self.into()
    }
}

/// Effect of a fault on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultKind {
    /// The call is done; the connection closes without an answer after the delay.
    TimeoutAfterEffect,
    /// Nothing is done; the connection closes without an answer after the delay.
    TimeoutBeforeEffect,
    /// Nothing is done; the status is 500.
    ErrorBeforeEffect,
    /// The call is done; the status is 500.
    ErrorAfterEffect,
    /// Nothing is done; the status is 429, and the limit resets after the delay.
    RateLimited,
    /// The call is done after the delay.
    Slow,
    /// Nothing is done; the status is 401, as for an unknown API key.
    Unauthorized,
    /// Nothing is done; the status is 404.
    NotFound,
}

/// A fault that waits for its call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    on: Verb,
    pub(super) kind: FaultKind,
    #[serde(default = "once")]
    times: u32,
    #[serde(default)]
    delay_ms: u64,
}

fn once() -> u32 {
    1
}

impl Fault {
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

/// Queued faults, oldest first.
#[derive(Debug, Default)]
pub(super) struct FaultQueue(Vec<Fault>);

impl FaultQueue {
    /// Queues a fault.
    pub(super) fn add(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.0.push(fault);
        }
    }

    /// Takes the oldest fault of this verb, once.
    pub(super) fn take(&mut self, verb: Verb) -> Option<Fault> {
        let at = self.0.iter().position(|fault| fault.on == verb)?;
        self.0[at].times -= 1;
        let fault = self.0[at].clone();
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }

    /// Returns the queued faults.
    pub(super) fn pending(&self) -> &[Fault] {
        &self.0
    }
}

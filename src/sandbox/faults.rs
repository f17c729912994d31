//! Bad days of the REST API, asked for in advance: each fault strikes so many times, then it is used up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The calls of the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verb {
    Create,
    Keys,
    Primary,
    Delete,
}

impl Verb {
    /// The permission that an API key needs for it, in Braze's words.
    pub(super) fn permission(self) -> &'static str {
        match self {
            Self::Create => "sdk_authentication.create",
            Self::Keys => "sdk_authentication.keys",
            Self::Primary => "sdk_authentication.primary",
            Self::Delete => "sdk_authentication.delete",
        }
    }

    pub(super) const ALL: [Self; 4] = [Self::Create, Self::Keys, Self::Primary, Self::Delete];
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// It is done, then the connection closes without an answer, after the delay.
    TimeoutAfterEffect,
    /// Nothing is done, and the connection closes without an answer, after the delay.
    TimeoutBeforeEffect,
    /// Nothing is done; 500.
    ErrorBeforeEffect,
    /// It is done; 500.
    ErrorAfterEffect,
    /// Nothing is done; 429, with the limit's reset after the delay.
    RateLimited,
    /// It is done, after the delay.
    Slow,
    /// Nothing is done; 401, as if the API key were unknown.
    Unauthorized,
    /// Nothing is done; 404.
    NotFound,
}

/// A fault that waits for its call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    on: Verb,
    pub(super) kind: Kind,
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

/// The faults that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.0.push(fault);
        }
    }

    /// The fault that strikes this call, if one waits for it.
    pub(super) fn strike(&mut self, verb: Verb) -> Option<Fault> {
        let at = self.0.iter().position(|fault| fault.on == verb)?;
        self.0[at].times -= 1;
        let fault = self.0[at].clone();
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }

    pub(super) fn waiting(&self) -> &[Fault] {
        &self.0
    }
}

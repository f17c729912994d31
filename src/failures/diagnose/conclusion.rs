//! Conclusion of a rule, and the parts of sentences.

use std::time::Duration;

use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence},
        ids::Kid,
    },
};

/// Time in which reports about a token that was replaced still come: several requests were under way.
pub(super) const IN_FLIGHT: Duration = Duration::from_mins(2);

/// Characters of a key's id that sentences show; commands accept a beginning of it.
const SHOWN: usize = 8;

/// Conclusion of a rule: a cause, with the facts that speak for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) cause: Cause,
    pub(super) confidence: Confidence,
    pub(super) sentence: String,
}

impl Conclusion {
    pub(super) fn high(cause: Cause, sentence: String) -> Self {
        Self { cause, confidence: Confidence::High, sentence }
    }

    pub(super) fn likely(cause: Cause, sentence: String) -> Self {
        Self { cause, confidence: Confidence::Likely, sentence }
    }

    pub(super) fn possible(cause: Cause, sentence: String) -> Self {
        Self { cause, confidence: Confidence::Possible, sentence }
    }

    /// The same, with at most this confidence.
    #[must_use]
    pub(super) fn at_most(self, most: Confidence) -> Self {
        Self { confidence: self.confidence.min(most), ..self }
    }
}

/// Beginning of a key's id.
pub(super) fn short(kid: &Kid) -> String {
    kid.as_str().chars().take(SHOWN).chain(['…']).collect()
}

/// Point in time as people read it: the minute in UTC, with the date where it is not the day of `now`.
pub(super) fn at(time: UnixMillis, now: UnixMillis) -> String {
    let (text, today) = (time.to_string(), now.to_string());
    match (text.get(..10), text.get(11..16)) {
        (Some(date), Some(minute)) if today.get(..10) == Some(date) => format!("{minute} UTC"),
        (Some(date), Some(minute)) => format!("{date} {minute} UTC"),
        _ => "a time out of range".to_owned(),
    }
}

/// Duration in one unit.
pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

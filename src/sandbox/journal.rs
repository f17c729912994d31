//! Record of the received traffic: requests with their verdicts, accepted events and push tokens, counts by code and day.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

use super::push_tokens::PushTokens;
use crate::{clock::UnixMillis, domain::verdict::ErrorCode};

/// Number of requests that are kept; the oldest are dropped.
const KEPT_REQUESTS: usize = 10_000;
/// Number of events that are kept; later ones are dropped.
const KEPT_EVENTS: usize = 200_000;

/// A received request of an SDK, with its verdict.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Received {
    /// Number of the request, from 1.
    pub(super) seq: u64,
    pub(super) time: UnixMillis,
    pub(super) app: String,
    pub(super) path: String,
    pub(super) user_ids: Vec<String>,
    /// Number of the try, as the SDK counts.
    pub(super) attempt: Option<u64>,
    pub(super) has_token: bool,
    /// The token's claims, unverified.
    pub(super) claims: Option<Value>,
    pub(super) accepted: bool,
    /// Braze's error code; also set on a request that was accepted in spite of it (`Enforcement::Optional`).
    pub(super) code: Option<i64>,
    pub(super) reason: Option<&'static str>,
    pub(super) text: Option<String>,
    /// Number of events in the request.
    pub(super) events: usize,
    /// Push token to unregister; only on `/push/unregister`.
    pub(super) push: Option<Unregistered>,
}

/// Push token that a request unregisters, if it is accepted.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Unregistered {
    pub(super) token: String,
    /// User whom its pushes were for until then.
    pub(super) user_id: Option<String>,
}

/// An accepted event.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Event {
    pub(super) app: String,
    pub(super) name: Value,
    pub(super) user_id: Value,
    pub(super) session_id: Value,
    pub(super) time: Value,
    pub(super) data: Value,
    /// Number of times that the event arrived; more than 1 is a repeated delivery.
    pub(super) deliveries: u64,
}

/// Number of occurrences of each error code.
type Counts = BTreeMap<i64, u64>;

/// Traffic of all apps, in memory.
#[derive(Debug, Default)]
pub(super) struct Journal {
    seq: u64,
    requests: VecDeque<Received>,
    events: Vec<Event>,
    /// Index in `events` of each event, by its app and JSON text.
    known: HashMap<String, usize>,
    pub(super) push_tokens: PushTokens,
    apps: HashMap<String, AppCounts>,
}

/// Counts of one app.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct AppCounts {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) counts: Counts,
    /// `counts` by day (UTC), as Braze's dashboard charts them.
    pub(super) counts_by_day: BTreeMap<String, Counts>,
}

impl Journal {
    /// Records a request under the next number; returns the record.
    pub(super) fn receive(&mut self, received: Received, code: Option<ErrorCode>) -> &Received {
        self.seq += 1;
        let counts = self.apps.entry(received.app.clone()).or_default();
        *(if received.accepted { &mut counts.accepted } else { &mut counts.rejected }) += 1;
        if let Some(code) = code {
            let day = received.time.to_string().chars().take(10).collect();
            *counts.counts.entry(code.number()).or_default() += 1;
            *counts.counts_by_day.entry(day).or_default().entry(code.number()).or_default() += 1;
        }
        if self.requests.len() == KEPT_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(Received { seq: self.seq, ..received });
        &self.requests[self.requests.len() - 1]
    }

    /// Records an accepted event. One that equals an earlier one in every member is a repeated delivery of it.
    pub(super) fn deliver(&mut self, app: &str, event: &Value) {
        let key = format!("{app} {event}");
        if let Some(&at) = self.known.get(&key) {
            self.events[at].deliveries += 1;
        } else if self.events.len() < KEPT_EVENTS {
            let member = |name: &str| event.get(name).cloned().unwrap_or_default();
            self.known.insert(key, self.events.len());
            self.events.push(Event {
                app: app.to_owned(),
                name: member("name"),
                user_id: member("user_id"),
                session_id: member("session_id"),
                time: member("time"),
                data: member("data"),
                deliveries: 1,
            });
        }
    }

    /// Returns the requests after this number, oldest first.
    pub(super) fn requests_after(&self, seq: u64) -> Vec<&Received> {
        self.requests.iter().filter(|request| request.seq > seq).collect()
    }

    /// Returns every accepted event, in the order of arrival.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the counts of an app.
    pub(super) fn counts(&self, app: &str) -> AppCounts {
        self.apps.get(app).cloned().unwrap_or_default()
    }

    /// Deletes all records; the numbering continues.
    pub(super) fn reset(&mut self) {
        *self = Self { seq: self.seq, ..Self::default() };
    }
}

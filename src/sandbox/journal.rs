//! What was received: every request with its verdict, every accepted event, and counts by code and day.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::{clock::UnixMillis, domain::verdict::ErrorCode};

/// How many requests are kept; the oldest go.
const KEPT_REQUESTS: usize = 10_000;
/// How many events are kept; later ones are no longer told apart.
const KEPT_EVENTS: usize = 200_000;

/// A request of an SDK, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Received {
    /// Counts up from 1.
    pub(super) seq: u64,
    pub(super) time: UnixMillis,
    pub(super) app: String,
    pub(super) path: String,
    /// The users whom it named.
    pub(super) user_ids: Vec<String>,
    /// The SDK's own count of its tries.
    pub(super) attempt: Option<u64>,
    pub(super) has_token: bool,
    /// The token's claims, not believed.
    pub(super) claims: Option<Value>,
    /// Whether its rows were taken.
    pub(super) accepted: bool,
    /// What is wrong with it by Braze's rules, also where it was accepted all the same.
    pub(super) code: Option<i64>,
    pub(super) reason: Option<&'static str>,
    pub(super) text: Option<String>,
    /// How many events it carried.
    pub(super) events: usize,
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
    /// How often it came: 1 is as it should be.
    pub(super) deliveries: u64,
}

/// Codes by number, each with how often it was given.
type Counts = BTreeMap<i64, u64>;

/// The journal of all apps.
#[derive(Debug, Default)]
pub(super) struct Journal {
    seq: u64,
    requests: VecDeque<Received>,
    events: Vec<Event>,
    /// An event's text → its place in `events`.
    known: HashMap<String, usize>,
    apps: HashMap<String, AppCounts>,
}

/// An app's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct AppCounts {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) counts: Counts,
    /// The same by day (UTC), as Braze's dashboard charts them.
    pub(super) counts_by_day: BTreeMap<String, Counts>,
}

impl Journal {
    /// Writes a request down; its number.
    pub(super) fn receive(&mut self, received: Received, code: Option<ErrorCode>) -> &Received {
        self.seq += 1;
        let figures = self.apps.entry(received.app.clone()).or_default();
        *(if received.accepted { &mut figures.accepted } else { &mut figures.rejected }) += 1;
        if let Some(code) = code {
            let day = received.time.to_string().chars().take(10).collect();
            *figures.counts.entry(code.number()).or_default() += 1;
            *figures.counts_by_day.entry(day).or_default().entry(code.number()).or_default() += 1;
        }
        if self.requests.len() == KEPT_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(Received { seq: self.seq, ..received });
        &self.requests[self.requests.len() - 1]
    }

    /// Takes an accepted event; one that is equal in every member to an earlier one is that one, delivered again.
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

    /// The requests behind this number, oldest first.
    pub(super) fn requests_after(&self, seq: u64) -> Vec<&Received> {
        self.requests.iter().filter(|request| request.seq > seq).collect()
    }

    /// Every accepted event, in the order of arrival.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// An app's figures.
    pub(super) fn of_app(&self, app: &str) -> AppCounts {
        self.apps.get(app).cloned().unwrap_or_default()
    }

    /// Forgets everything; numbers go on.
    pub(super) fn reset(&mut self) {
        *self = Self { seq: self.seq, ..Self::default() };
    }
}

//! The counters, in OpenMetrics. Labels come from closed sets only: what a client sends never makes a new series.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct App {
    app: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AppDecision {
    app: String,
    decision: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RingKind {
    ring: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Work {
    work: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Key {
    ring: String,
    kid: String,
    state: &'static str,
}

/// Something an operator should be woken for, or at least told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A refresh token newer than the store: the store lost writes.
    StoreLostWrites,
    /// A long replaced refresh token came back: somebody has a copy.
    Reuse,
    /// A handler panicked; the request got a 500, the process lives.
    Panic,
    /// The store did not answer.
    Store,
    /// A key could not be loaded or could not sign.
    Key,
    /// The clock went back, or far ahead.
    Clock,
    /// A reload was refused, the old configuration stays.
    Reload,
    /// What Braze holds is not what it should hold.
    Drift,
    /// Signatures that were computed together came out wrong, time and again.
    SignatureFaults,
}

impl Alarm {
    const ALL: [Self; 9] = [
        Self::StoreLostWrites,
        Self::Reuse,
        Self::Panic,
        Self::Store,
        Self::Key,
        Self::Clock,
        Self::Reload,
        Self::Drift,
        Self::SignatureFaults,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::StoreLostWrites => "store_lost_writes",
            Self::Reuse => "reuse",
            Self::Panic => "panic",
            Self::Store => "store",
            Self::Key => "key",
            Self::Clock => "clock",
            Self::Reload => "reload",
            Self::Drift => "drift",
            Self::SignatureFaults => "signature_faults",
        }
    }
}

/// What the store was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreWork {
    /// One reading query.
    Read,
    /// One write, from asking for it to its durable answer.
    Write,
    /// Moving the log into the store's file, beside the writes.
    Checkpoint,
}

/// Every metric of the service.
pub struct Metrics {
    registry: Registry,
    mints: Family<App, Counter>,
    refreshes: Family<AppDecision, Counter>,
    refusals: Family<Code, Counter>,
    failures: Family<Code, Counter>,
    alarms: Family<Kind, Counter>,
    sign_time: Histogram,
    sign_queue_time: Histogram,
    sign_queue: Gauge,
    sign_together: Histogram,
    signature_faults: Counter,
    shed: Counter,
    store_time: Family<Work, Histogram, fn() -> Histogram>,
    commit_group: Histogram,
    sessions: Family<App, Gauge>,
    keys: Family<Key, Gauge>,
    drift: Family<RingKind, Gauge>,
    connections: Gauge,
    connections_refused: Counter,
    requests: Counter,
}

/// 10 µs to about 2.6 s, each bucket twice the last.
fn time_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 2.0, 18))
}

impl Metrics {
    /// Metrics of a fresh process.
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("countersign"),
            mints: Family::default(),
            refreshes: Family::default(),
            refusals: Family::default(),
            failures: Family::default(),
            alarms: Family::default(),
            sign_time: time_buckets(),
            sign_queue_time: time_buckets(),
            sign_queue: Gauge::default(),
            sign_together: Histogram::new(exponential_buckets(1.0, 2.0, 4)),
            signature_faults: Counter::default(),
            shed: Counter::default(),
            store_time: Family::new_with_constructor(time_buckets),
            commit_group: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            sessions: Family::default(),
            keys: Family::default(),
            drift: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            requests: Counter::default(),
        };
        metrics.register();
        // An alarm that never rang is a zero, not an absence: alerts need the series from the start.
        for alarm in Alarm::ALL {
            drop(metrics.alarms.get_or_create(&Kind { kind: alarm.as_str() }));
        }
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("mints", "Tokens minted at login", self.mints.clone());
        r.register("refreshes", "Refreshes by decision", self.refreshes.clone());
        r.register("refusals", "Requests refused, by problem code", self.refusals.clone());
        r.register("reported_failures", "Failures that apps reported, by Braze's code", self.failures.clone());
        r.register("alarms", "Things an operator should know of", self.alarms.clone());
        r.register_with_unit("sign", "One signature", Unit::Seconds, self.sign_time.clone());
        r.register_with_unit(
            "sign_queue",
            "Waiting for a signature's turn",
            Unit::Seconds,
            self.sign_queue_time.clone(),
        );
        r.register("sign_queue_length", "Signatures that wait now", self.sign_queue.clone());
        r.register("sign_together", "Signatures that were computed together", self.sign_together.clone());
        r.register(
            "signature_faults",
            "Signatures that came out wrong and were thrown away",
            self.signature_faults.clone(),
        );
        r.register("shed", "Requests refused because too many signatures waited", self.shed.clone());
        r.register_with_unit("store", "The store, by kind of work", Unit::Seconds, self.store_time.clone());
        r.register("store_commit_group", "Writes that shared one commit", self.commit_group.clone());
        r.register("sessions_live", "Live sessions, counted now and then", self.sessions.clone());
        r.register_with_unit("key_age", "Since the key came into its state", Unit::Seconds, self.keys.clone());
        r.register(
            "braze_drift",
            "What is not as it should be at Braze, by kind, at the last look",
            self.drift.clone(),
        );
        r.register("connections", "Open connections on the public listener", self.connections.clone());
        r.register("connections_refused", "Connections closed at a cap", self.connections_refused.clone());
        r.register("http_requests", "Requests on the public listener", self.requests.clone());
        r.register("build", "This build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }

    /// The text that `/metrics` answers with.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A token was minted at login.
    pub fn minted(&self, app: &str) {
        self.mints.get_or_create(&App { app: app.to_owned() }).inc();
    }

    /// A refresh was decided.
    pub fn refreshed(&self, app: &str, decision: &'static str) {
        self.refreshes.get_or_create(&AppDecision { app: app.to_owned(), decision }).inc();
    }

    /// A request was refused with this problem code.
    pub fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&Code { code }).inc();
    }

    /// An app reported a failure; `code` is one of Braze's, or `other`.
    pub fn failure_reported(&self, code: &'static str) {
        self.failures.get_or_create(&Code { code }).inc();
    }

    /// Something an operator should know of.
    pub fn alarm(&self, alarm: Alarm) {
        self.alarms.get_or_create(&Kind { kind: alarm.as_str() }).inc();
    }

    /// A signature's turn came after `waited`.
    pub fn sign_waited(&self, waited: Duration) {
        self.sign_queue_time.observe(waited.as_secs_f64());
    }

    /// Of `together` signatures that were computed together, so many were made; each took `share`.
    pub fn signed(&self, signatures: usize, together: usize, share: Duration) {
        self.sign_together.observe(f64::from(u32::try_from(together).unwrap_or(u32::MAX)));
        for _ in 0..signatures {
            self.sign_time.observe(share.as_secs_f64());
        }
    }

    /// A signature came out wrong, and was thrown away.
    pub fn signature_fault(&self) {
        self.signature_faults.inc();
    }

    /// So many signatures wait now.
    pub fn sign_queue_length(&self, waiting: usize) {
        self.sign_queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// A request was refused because too many signatures waited.
    pub fn request_shed(&self) {
        self.shed.inc();
    }

    /// The store did a piece of work.
    pub fn store_worked(&self, work: StoreWork, took: Duration) {
        let work = match work {
            StoreWork::Read => "read",
            StoreWork::Write => "write",
            StoreWork::Checkpoint => "checkpoint",
        };
        self.store_time.get_or_create(&Work { work }).observe(took.as_secs_f64());
    }

    /// So many writes shared one commit.
    pub fn committed(&self, writes: usize) {
        self.commit_group.observe(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    }

    /// So many sessions of an app are live.
    pub fn live_sessions(&self, app: &str, sessions: u64) {
        self.sessions.get_or_create(&App { app: app.to_owned() }).set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }

    /// The keys on record, as (ring, kid, state, time in that state); replaces what was known before.
    pub fn keys(&self, keys: impl Iterator<Item = (String, String, &'static str, Duration)>) {
        self.keys.clear();
        for (ring, kid, state, age) in keys {
            let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            self.keys.get_or_create(&Key { ring, kid, state }).set(age);
        }
    }

    /// What a comparison of a ring's keys with Braze's lists found, by kind.
    pub fn drift(&self, ring: &str, counts: impl IntoIterator<Item = (&'static str, usize)>) {
        for (kind, count) in counts {
            let labels = RingKind { ring: ring.to_owned(), kind };
            self.drift.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A connection was opened on the public listener.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// It was closed.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection was closed at once, because there were too many.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// A request came in on the public listener.
    pub fn request(&self) {
        self.requests.inc();
    }
}

/// Measures a span of real time, for metrics; decisions use [`crate::clock::Clock`].
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that measures")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests;

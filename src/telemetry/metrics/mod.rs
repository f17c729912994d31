//! Metrics in OpenMetrics and in Prometheus' text format. Labels come from closed sets only: nothing that a client
//! sends makes a new series.

mod conditions;
mod labels;
#[cfg(target_os = "linux")]
mod process;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{prometheus_text, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry, Unit},
};
use strum::VariantArray;

use super::log_writer::dropped_lines;

pub use self::labels::{Alarm, StoreWork};
use self::labels::{
    AppLabel, CodeLabel, ConditionLabel, CostLabels, DecisionLabels, DriftLabels, FailureLabels, KeyLabels, KindLabel,
    OperationLabels, OutcomeLabel, RequestLabels, ResultLabels, RouteLabel, WorkLabel,
};

/// Declares every metric of the service, each in one place: `name: type, help`, where its type has no default
/// `name: type = constructor, help`, and with a unit `name: type = constructor, unit, help`.
///
/// In the exposition a metric is called `countersign_<name>`, followed by its unit; the order is the order here.
macro_rules! metrics {
    ($($name:ident: $type:ty $(= $new:expr)?, $($unit:ident,)? $help:literal;)+) => {
        /// Every metric of the service.
        pub struct Metrics {
            registry: Registry,
            /// Metrics with the names that every process has.
            process: Registry,
            $($name: $type,)+
        }

        impl Metrics {
            fn registered() -> Self {
                let mut registry = Registry::with_prefix("countersign");
                $(
                    let $name: $type = metrics!(@new $($new)?);
                    register(&mut registry, stringify!($name), $help, metrics!(@unit $($unit)?), $name.clone());
                )+
                Self { registry, process: Registry::default(), $($name,)+ }
            }
        }
    };
    (@new) => { Default::default() };
    (@new $new:expr) => { $new };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

metrics! {
    mints: Family<AppLabel, Counter>, "Tokens minted at login";
    sign_ins: Family<ResultLabels, Counter>, "Credentials presented to sign in, by app and result";
    sign_outs: Family<ResultLabels, Counter>, "Logout tokens that identity providers sent, by result";
    refreshes: Family<DecisionLabels, Counter>, "Refreshes by decision";
    refused_tokens: Family<AppLabel, Counter>, "Requests for a token of an app that were refused or could not be answered";
    refusals: Family<CodeLabel, Counter>, "Requests refused, by problem code";
    reported_failures: Family<FailureLabels, Counter>, "Failures that apps reported, by app, Braze's code and cause";
    webhook_events: Family<OutcomeLabel, Counter>, "Events about failures for the webhook, by result";
    alarms: Family<KindLabel, Counter>, "Things an operator should know of";
    condition_failed: Family<ConditionLabel, Gauge>, "1 while a condition of /readyz does not hold, else 0";
    sign: Histogram = times(), Seconds, "One signature";
    sign_queue: Histogram = times(), Seconds, "Waiting for a signature's turn";
    sign_queue_length: Gauge, "Signatures that wait now";
    sign_together: Histogram = counts(4), "Signatures that were computed together";
    signature_faults: Counter, "Signatures that came out wrong and were thrown away";
    signature_cost: Family<CostLabels, Gauge<f64, AtomicU64>>, Seconds,
        "Processor time of a signature as measured when the key was loaded, by key and library";
    shed: Counter, "Requests refused because too many signatures waited";
    store: Family<WorkLabel, Histogram, fn() -> Histogram> = Family::new_with_constructor(times), Seconds,
        "The store, by kind of work";
    store_outage: Gauge, Seconds, "Time for which the store has been out of reach; 0 while it is not";
    degraded_answers: Family<OperationLabels, Counter>, "Tokens issued while the store was out of reach, by operation";
    revocation_staleness: Gauge, Seconds, "Time since the last complete look at what has ended";
    ended_sessions_memory: Gauge, Bytes, "Memory for what has ended, as reckoned";
    ended_sessions_covered: Gauge, "1 where all that has ended is in memory, 0 where older sessions are not";
    store_commit_group: Histogram = counts(10), "Writes that shared one commit";
    sessions_live: Family<AppLabel, Gauge>, "Live sessions, counted now and then";
    sessions_evicted: Family<AppLabel, Counter>, "Live sessions ended because their user began too many newer ones";
    key_age: Family<KeyLabels, Gauge>, Seconds, "Since the key came into its state";
    braze_drift: Family<DriftLabels, Gauge>, "What is not as it should be at Braze, by kind, at the last look";
    connections: Gauge, "Open connections on the public listener";
    connections_refused: Counter, "Connections closed at a cap";
    http_requests: Family<RequestLabels, Counter>, "Requests on the public listener, by matched route, method and status";
    http_request: Family<RouteLabel, Histogram, fn() -> Histogram> = Family::new_with_constructor(request_times), Seconds,
        "Requests on the public listener, from their headers to their answer, by matched route";
}

/// Numbers of answers to requests for tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub mints: u64,
    pub refreshes: u64,
    /// Requests that were refused, or could not be answered.
    pub refused: u64,
}

impl Answers {
    /// Sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Numbers that are new since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    fn with(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Self {
            mints: of(self.mints, other.mints),
            refreshes: of(self.refreshes, other.refreshes),
            refused: of(self.refused, other.refused),
        }
    }
}

/// Code and cause of a report that no session of ours sent.
const UNAUTHENTICATED: &str = "unauthenticated";

/// Buckets of 10 µs to about 1.3 s, each twice the one before.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 2.0, 18))
}

/// Buckets of 100 µs to about 13 s, each twice the one before.
fn request_times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

/// Buckets of 1, 2, 4 and so on, `length` of them.
fn counts(length: u16) -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, length))
}

fn register(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>, metric: impl Metric) {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric),
        None => registry.register(name, help, metric),
    }
}

impl Metrics {
    /// Makes the metrics of a new process.
    pub fn new() -> Arc<Self> {
        let mut metrics = Self::registered();
        let dropped = "Log lines that could not be written";
        metrics.registry.register("log_lines_dropped", dropped, dropped_lines());
        metrics.registry.register("build", "This build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        #[cfg(target_os = "linux")]
        metrics.process.register_collector(Box::new(process::ProcessCollector::new()));
        // Alerts need each alarm's series from the start, as a zero.
        for &alarm in Alarm::VARIANTS {
            drop(metrics.alarms.get_or_create(&KindLabel { kind: alarm.into() }));
        }
        Arc::new(metrics)
    }

    /// Encodes every metric in OpenMetrics 1.0.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String does not fail.
        let _ = text::encode_registry(&mut text, &self.process).and_then(|()| text::encode(&mut text, &self.registry));
        text
    }

    /// Encodes every metric in Prometheus' text format 0.0.4.
    pub fn encode_prometheus_text(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String does not fail.
        let _ = [&self.process, &self.registry].map(|registry| prometheus_text::encode(&mut text, registry));
        text
    }

    /// Counts a token that was minted at login.
    pub fn minted(&self, app: &str) {
        self.mints.get_or_create(&AppLabel { app: app.to_owned() }).inc();
    }

    /// Counts a credential that was presented to sign in; `result` comes from a closed set.
    pub fn signed_in(&self, app: &str, result: &'static str) {
        self.sign_ins.get_or_create(&ResultLabels { app: app.to_owned(), result }).inc();
    }

    /// Counts a logout token that a provider presented; `result` comes from a closed set.
    pub fn signed_out(&self, app: &str, result: &'static str) {
        self.sign_outs.get_or_create(&ResultLabels { app: app.to_owned(), result }).inc();
    }

    /// Counts a refresh by its decision.
    pub fn refreshed(&self, app: &str, decision: &'static str) {
        self.refreshes.get_or_create(&DecisionLabels { app: app.to_owned(), decision }).inc();
    }

    /// Returns the numbers of an app's tokens that were issued so far, by operation.
    pub fn issued(&self, app: &str) -> [(&'static str, u64); 2] {
        let label = || AppLabel { app: app.to_owned() };
        let minted = self.mints.get(&label()).map_or(0, |count| count.get());
        let decided = |decision| {
            let labels = DecisionLabels { app: app.to_owned(), decision };
            self.refreshes.get(&labels).map_or(0, |count| count.get())
        };
        let degraded = OperationLabels { app: app.to_owned(), operation: "refresh" };
        let degraded = self.degraded_answers.get(&degraded).map_or(0, |count| count.get());
        let refreshed = ["rotate", "repeat", "ahead"].map(decided).iter().sum::<u64>();
        [("mint", minted), ("refresh", refreshed + degraded)]
    }

    /// Counts a request for a token of a configured app that was refused, or could not be answered.
    pub fn token_refused(&self, app: &str) {
        self.refused_tokens.get_or_create(&AppLabel { app: app.to_owned() }).inc();
    }

    /// Returns the numbers of an app's answers so far.
    pub fn answers(&self, app: &str) -> Answers {
        let [(_, mints), (_, refreshes)] = self.issued(app);
        let refused = self.refused_tokens.get(&AppLabel { app: app.to_owned() }).map_or(0, |count| count.get());
        Answers { mints, refreshes, refused }
    }

    /// Counts a refused request by its problem code.
    pub fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&CodeLabel { code: code.into() }).inc();
    }

    /// Counts a failure that a session of an app reported; `code` is one of Braze's numbers or `other`, and `cause` comes
    /// from a closed set.
    pub fn failure_reported(&self, app: &str, code: &str, cause: &'static str) {
        let labels = FailureLabels { app: app.to_owned(), code: code.to_owned().into(), cause };
        self.reported_failures.get_or_create(&labels).inc();
    }

    /// Counts a failure whose report came with a refresh token that is not ours: it is anybody's claim.
    pub fn unauthenticated_failure_reported(&self) {
        self.failure_reported("", UNAUTHENTICATED, UNAUTHENTICATED);
    }

    /// Counts an event for the webhook; `result` comes from a closed set.
    pub fn webhook_event(&self, result: &'static str) {
        self.webhook_events.get_or_create(&OutcomeLabel { result }).inc();
    }

    /// Counts an alarm.
    pub fn alarm(&self, alarm: Alarm) {
        self.alarms.get_or_create(&KindLabel { kind: alarm.into() }).inc();
    }

    /// Observes how long a signature waited in the queue.
    pub fn sign_waited(&self, waited: Duration) {
        self.sign_queue.observe(waited.as_secs_f64());
    }

    /// Observes a batch: `signatures` of the `together` that were computed came out, and each took `share`.
    pub fn signed(&self, signatures: usize, together: usize, share: Duration) {
        self.sign_together.observe(f64::from(u32::try_from(together).unwrap_or(u32::MAX)));
        for _ in 0..signatures {
            self.sign.observe(share.as_secs_f64());
        }
    }

    /// Counts a signature that came out wrong and was thrown away.
    pub fn signature_fault(&self) {
        self.signature_faults.inc();
    }

    /// Sets the number of signatures that wait now.
    pub fn sign_queue_length(&self, waiting: usize) {
        self.sign_queue_length.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts a request that was refused because too many signatures waited.
    pub fn request_shed(&self) {
        self.shed.inc();
    }

    /// Observes a piece of the store's work.
    pub fn store_worked(&self, work: StoreWork, took: Duration) {
        self.store.get_or_create(&WorkLabel { work: work.into() }).observe(took.as_secs_f64());
    }

    /// Sets for how long the store has been out of reach.
    pub fn store_outage(&self, lasts: Duration) {
        self.store_outage.set(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX));
    }

    /// Sets how old the knowledge of what has ended is.
    pub fn revocation_staleness(&self, lasts: Duration) {
        self.revocation_staleness.set(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX));
    }

    /// Sets the memory for what has ended, and whether it has room for all.
    pub fn ended_sessions(&self, bytes: usize, all_covered: bool) {
        self.ended_sessions_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.ended_sessions_covered.set(i64::from(all_covered));
    }

    /// Counts a token that was issued while the store was out of reach; `operation` comes from a closed set.
    pub fn answered_degraded(&self, app: &str, operation: &'static str) {
        self.degraded_answers.get_or_create(&OperationLabels { app: app.to_owned(), operation }).inc();
    }

    /// Observes the number of writes that shared one commit.
    pub fn committed(&self, writes: usize) {
        self.store_commit_group.observe(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    }

    /// Counts live sessions that were ended because their user began too many newer ones.
    pub fn sessions_evicted(&self, app: &str, sessions: u64) {
        if sessions > 0 {
            self.sessions_evicted.get_or_create(&AppLabel { app: app.to_owned() }).inc_by(sessions);
        }
    }

    /// Sets the number of an app's live sessions.
    pub fn live_sessions(&self, app: &str, sessions: u64) {
        self.sessions_live
            .get_or_create(&AppLabel { app: app.to_owned() })
            .set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }

    /// Replaces the keys on record, each as (ring, kid, state, time in that state).
    pub fn keys(&self, keys: impl Iterator<Item = (String, String, &'static str, Duration)>) {
        self.key_age.clear();
        for (ring, kid, state, age) in keys {
            let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            self.key_age.get_or_create(&KeyLabels { ring, kid, state }).set(age);
        }
    }

    /// Replaces the measured costs of signatures, each as (kid, library, processor time).
    pub fn signature_costs(&self, costs: impl Iterator<Item = (String, String, Duration)>) {
        self.signature_cost.clear();
        for (kid, library, cost) in costs {
            self.signature_cost.get_or_create(&CostLabels { kid, library }).set(cost.as_secs_f64());
        }
    }

    /// Sets the differences between a ring's keys and Braze's lists, by kind.
    pub fn drift(&self, ring: &str, counts: impl IntoIterator<Item = (&'static str, usize)>) {
        for (kind, count) in counts {
            let labels = DriftLabels { ring: ring.to_owned(), kind };
            self.braze_drift.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Removes the differences of a ring that is no longer compared.
    pub fn forget_drift(&self, ring: &str, kinds: &[&'static str]) {
        for kind in kinds {
            self.braze_drift.remove(&DriftLabels { ring: ring.to_owned(), kind });
        }
    }

    /// Counts a connection that was opened on the public listener.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// Counts a connection that was closed on the public listener.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// Counts a connection that was closed at once, because there were too many.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Counts a request on the public listener, and observes its time. `route` and `method` come from closed sets.
    pub fn request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let label = RouteLabel { route: route.to_owned() };
        self.http_request.get_or_create(&label).observe(took.as_secs_f64());
        let labels = RequestLabels { route: label.route, method, status: status.into() };
        self.http_requests.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests;

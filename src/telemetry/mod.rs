//! Observability of the service: metrics in OpenMetrics, logs as text or JSON lines, readiness.

mod logs;
mod metrics;
mod readiness;
mod stopwatch;

pub use logs::{LogConfig, LogFormat, init as init_logs};
pub use metrics::{Alarm, Metrics, StoreWork};
pub use readiness::{Condition, Readiness, ReadinessReport};
pub use stopwatch::Stopwatch;

//! What the service says about itself: metrics in OpenMetrics, logs as text or JSON lines.

mod logs;
mod metrics;
mod readiness;

pub use logs::{LogConfig, LogFormat, init as init_logs};
pub use metrics::{Alarm, Metrics, Stopwatch, StoreWork};
pub use readiness::{Condition, Readiness, ReadinessReport};

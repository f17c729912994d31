//! Observability of the service: metrics, logs as text or JSON lines, readiness.

mod limits;
mod log_level;
mod log_writer;
mod logs;
mod metrics;
mod readiness;
mod request_span;
mod span_fields;
mod stopwatch;
mod supervision;

pub use limits::{TOO_FEW_FILES, check_room, start_thread};
pub use logs::{Log, LogConfig, LogFormat, RequestLog, init as init_logs};
pub use metrics::{Alarm, Answers, Metrics, StoreWork};
pub use readiness::{Condition, Readiness, ReadinessReport};
pub use request_span::{record_app, record_client, record_session, record_session_of, request_span};
pub use stopwatch::Stopwatch;
pub use supervision::run_again_after_panics;

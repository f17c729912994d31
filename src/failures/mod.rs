//! Failures that apps report: each is diagnosed from what is known here, and counted.
//!
//! [`Knowledge`] is the copy of the records that a report is compared with, so that no report asks the store;
//! [`FailureEvidence`] is one report with these facts, and [`diagnose()`] finds its cause. [`Counts`] has the numbers,
//! and [`Reports`] takes each report through all of them.

mod changes;
mod config;
mod counts;
mod diagnose;
mod events;
mod evidence;
mod explain;
mod key_history;
mod knowledge;
mod overview;
mod records;
mod reports;
mod rise;
mod signature;
mod webhook;

pub use changes::Change;
pub use config::{Config, WebhookConfig, WebhookSecrets};
pub use counts::{Counts, Report};
pub use diagnose::{Diagnosis, Fix, diagnose};
pub use events::{EVENT_WINDOW, FailureEvent, events};
pub use evidence::{
    AppFacts, FailureEvidence, JudgedSignature, KnownInstallation, RefusedToken, ReportFacts, ReportedSignature,
    SessionFacts, TokenFacts, UserRelation,
};
pub use key_history::{KeyFacts, Stay, StayEnd};
pub use knowledge::Knowledge;
pub use overview::{FailureRow, OverviewFacts, ShownExample, overview};
pub use reports::{ReportedUser, Reports, UnverifiedReport};
pub use webhook::{Webhook, check_webhook_url};

//! Failures that apps report: each is diagnosed from what is known here, and counted.
//!
//! [`Knowledge`] is the copy of the records that a report is compared with, so that no report asks the store;
//! [`FailureEvidence`] is one report with these facts, and [`diagnose`] finds its cause. [`Counts`] has the numbers,
//! and [`Reports`] takes each report through all of them.

mod counts;
mod diagnose;
mod evidence;
mod key_history;
mod knowledge;
mod records;
mod reports;
mod rise;
mod signature;

pub use counts::{Counts, Report};
pub use diagnose::{Diagnosis, Fix, diagnose};
pub use evidence::{
    AppFacts, FailureEvidence, KnownInstallation, ReportFacts, ReportedSignature, SessionFacts, TokenFacts,
    UserRelation,
};
pub use key_history::{KeyFacts, Stay, StayEnd};
pub use knowledge::Knowledge;
pub use reports::{ReportedUser, Reports, UnverifiedReport};
pub use signature::JudgedSignature;

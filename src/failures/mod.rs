//! Failures that apps report: each is diagnosed from what is known here, and counted.
//!
//! [`Knowledge`] is the copy of the records that a report is compared with, so that no report asks the store;
//! [`FailureEvidence`] is one report with these facts, and [`diagnose`] finds its cause.

mod diagnose;
mod evidence;
mod key_history;
mod knowledge;
mod records;
mod signature;

pub use diagnose::{Diagnosis, Fix, diagnose};
pub use evidence::{
    AppFacts, FailureEvidence, JudgedSignature, KnownInstallation, RefusedToken, ReportFacts, ReportedSignature,
    SessionFacts, TokenFacts, UserRelation,
};
pub use key_history::{KeyFacts, Stay, StayEnd};
pub use knowledge::Knowledge;

//! Diagnosis of a report: the most probable cause here, one sentence for this installation, and the fix.

use crate::domain::failure::{Cause, Confidence};

use super::evidence::FailureEvidence;

/// Diagnosis of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    pub cause: Cause,
    pub confidence: Confidence,
    /// Sentence for this installation, with names and times. It has no user id, hash or address.
    pub sentence: String,
    pub fix: Fix,
}

/// Remedy of a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    pub text: String,
    /// Command to copy into a shell, where one does it or shows more.
    pub command: Option<String>,
}

/// Finds the cause of a report.
pub fn diagnose(evidence: &FailureEvidence<'_>) -> Diagnosis {
    Diagnosis {
        cause: Cause::Unknown,
        confidence: Confidence::Possible,
        sentence: format!("nothing known here explains the failure of app {}", evidence.app),
        fix: Fix { text: "inspect a refused token".to_owned(), command: None },
    }
}

//! Diagnosis of a report: the most probable cause here, one sentence for this installation, and the fix.
//!
//! The code says which rules apply. A token that came with the report and was examined decides before they do; without
//! it, they go by the token that was issued with the refresh token. Sources: Braze, "Set up SDK authentication" (error
//! codes and their meaning), and the SDKs' release notes.

mod conclusion;
mod expiry;
mod fixes;
mod keys;
mod misuse;
mod refused_token;
mod sdk_faults;
mod users;

use self::conclusion::Conclusion;
use super::evidence::FailureEvidence;
use crate::domain::{
    failure::{Cause, Confidence, ReportedCode},
    verdict::ErrorCode,
};

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
    let ReportedCode::Braze(code) = evidence.report.code else {
        let text = format!("app {} reported a code that Braze does not document", evidence.app);
        return complete(evidence, Conclusion::possible(Cause::Unknown, text));
    };
    let conclusion = refused_token::conclude(evidence, code)
        .or_else(|| sdk_faults::conclude(evidence, code))
        .unwrap_or_else(|| by_code(evidence, code));
    complete(evidence, conclusion)
}

/// Returns the remedy of a cause.
pub(super) fn remedy(cause: Cause, evidence: &FailureEvidence<'_>) -> Fix {
    fixes::fix(cause, evidence)
}

fn by_code(evidence: &FailureEvidence<'_>, code: ErrorCode) -> Conclusion {
    match code {
        ErrorCode::DecodingError | ErrorCode::PublicKeyError | ErrorCode::NoMatchingPublicKeys => {
            keys::conclude(evidence, code)
        }
        ErrorCode::SubjectMismatch => users::mismatch(evidence),
        ErrorCode::PayloadUserIdMismatch => users::mixed(evidence),
        ErrorCode::Expired => expiry::conclude(evidence),
        ErrorCode::MissingToken => misuse::missing(evidence),
        ErrorCode::ExpirationRequired | ErrorCode::InvalidPayload | ErrorCode::IncorrectAlgorithm => {
            misuse::not_as_issued(evidence, code)
        }
    }
}

fn complete(evidence: &FailureEvidence<'_>, conclusion: Conclusion) -> Diagnosis {
    let Conclusion { cause, confidence, sentence } = conclusion;
    Diagnosis { cause, confidence, sentence, fix: fixes::fix(cause, evidence) }
}

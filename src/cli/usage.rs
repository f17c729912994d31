//! Error in the use of a command.

/// Error in the use of a command; the exit code is that of a mistyped option.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(String);

impl UsageError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

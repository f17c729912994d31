//! Braze's error codes.

use strum::{FromRepr, IntoStaticStr, VariantArray};

/// Error code of Braze's SDK authentication; the names are Braze's, and Braze's page explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromRepr, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[repr(i64)]
pub enum ErrorCode {
    ExpirationRequired = 10,
    DecodingError = 20,
    SubjectMismatch = 21,
    Expired = 22,
    InvalidPayload = 23,
    IncorrectAlgorithm = 24,
    PublicKeyError = 25,
    MissingToken = 26,
    NoMatchingPublicKeys = 27,
    PayloadUserIdMismatch = 28,
}

impl ErrorCode {
    /// Returns the code of this number, if Braze has one.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::from_repr(number)
    }

    /// Returns the code of Braze's reason, if Braze has one, in any case of its letters.
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|code| code.reason().eq_ignore_ascii_case(reason))
    }

    /// Number of the code.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// Number of the code as text, for metrics and logs.
    pub fn label(self) -> String {
        self.number().to_string()
    }

    /// Braze's reason, e.g. `SUBJECT_MISMATCH`.
    pub fn reason(self) -> &'static str {
        self.into()
    }
}

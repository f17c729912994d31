//! Braze's error codes.

/// An error code of Braze's SDK authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Braze's own, explained on Braze's page")]
pub enum Code {
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

impl Code {
    /// Every code, in the order of its numbers.
    pub const ALL: [Self; 10] = [
        Self::ExpirationRequired,
        Self::DecodingError,
        Self::SubjectMismatch,
        Self::Expired,
        Self::InvalidPayload,
        Self::IncorrectAlgorithm,
        Self::PublicKeyError,
        Self::MissingToken,
        Self::NoMatchingPublicKeys,
        Self::PayloadUserIdMismatch,
    ];

    /// The code of this number, if Braze has one.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Its number.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// Its number as text, for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::ExpirationRequired => "10",
            Self::DecodingError => "20",
            Self::SubjectMismatch => "21",
            Self::Expired => "22",
            Self::InvalidPayload => "23",
            Self::IncorrectAlgorithm => "24",
            Self::PublicKeyError => "25",
            Self::MissingToken => "26",
            Self::NoMatchingPublicKeys => "27",
            Self::PayloadUserIdMismatch => "28",
        }
    }

    /// Braze's word for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ExpirationRequired => "EXPIRATION_REQUIRED",
            Self::DecodingError => "DECODING_ERROR",
            Self::SubjectMismatch => "SUBJECT_MISMATCH",
            Self::Expired => "EXPIRED",
            Self::InvalidPayload => "INVALID_PAYLOAD",
            Self::IncorrectAlgorithm => "INCORRECT_ALGORITHM",
            Self::PublicKeyError => "PUBLIC_KEY_ERROR",
            Self::MissingToken => "MISSING_TOKEN",
            Self::NoMatchingPublicKeys => "NO_MATCHING_PUBLIC_KEYS",
            Self::PayloadUserIdMismatch => "PAYLOAD_USER_ID_MISMATCH",
        }
    }
}

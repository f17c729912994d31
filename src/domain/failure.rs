//! Authentication failures that apps report from the SDK's callback: closed sets, so that nothing that a client sends
//! becomes a label, a row or a log line as it came.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::{
    as_text::as_text,
    ids::{AppName, Kid},
    key::KeyState,
    verdict::ErrorCode,
};

/// Platform of the SDK that reported.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Platform {
    Web,
    Android,
    Ios,
    Flutter,
    ReactNative,
    Unity,
    Cordova,
    Maui,
    /// Another name, or a row beyond the bound of rows.
    Other,
    /// The report names none.
    #[default]
    Unknown,
}

impl Platform {
    /// Name in the store, in metrics and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Platform of this name in the store; a later version of this program may know more.
    pub fn from_store(name: &str) -> Self {
        name.parse().unwrap_or(Self::Other)
    }
}

/// Error code of a report: Braze's number, or `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ReportedCode {
    Braze(ErrorCode),
    Other,
}

impl ReportedCode {
    /// Braze's number, or `other`: the name in the store, in metrics and on the command line.
    pub fn label(self) -> String {
        match self {
            Self::Braze(code) => code.label(),
            Self::Other => "other".to_owned(),
        }
    }

    /// Code of this label.
    pub fn from_label(label: &str) -> Self {
        label.parse().ok().and_then(ErrorCode::from_number).map_or(Self::Other, Self::Braze)
    }
}

impl From<ReportedCode> for String {
    fn from(code: ReportedCode) -> Self {
        code.label()
    }
}

impl From<String> for ReportedCode {
    fn from(label: String) -> Self {
        Self::from_label(&label)
    }
}

/// Why tokens of this installation were refused.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// The signing key was not at Braze yet.
    KeyNotPublished,
    /// The signing key was deleted at Braze while its tokens were valid.
    KeyWithdrawnTooEarly,
    /// Braze has the signing key at another app only.
    KeyAtAnotherApp,
    /// The signing key was added moments before; Braze may not use it everywhere yet.
    KeyNotPropagated,
    /// The key ring's keys are none of those that Braze has: the app is another environment's.
    OtherEnvironment,
    /// The key was declared compromised and its tokens are refused, as intended.
    KeyCompromised,
    /// The token expired while the device was offline.
    ExpiredOffline,
    /// Tokens live shorter than the app needs between two refreshes.
    LifetimeTooShort,
    /// The app never refreshes its token.
    NeverRefreshed,
    /// This service's clock is behind Braze's.
    ClockBehind,
    /// The app set an old token again.
    StaleTokenSet,
    /// The SDK sends no token: none was given to it, or its flag is off.
    TokenMissing,
    /// The app refreshes and the SDK still sends no token: its flag is off.
    SdkFlagOff,
    /// This version of the SDK has a fault in authentication that a later one mends.
    SdkTooOld,
    /// The app gave the SDK something that is no token: its refresh token, or a JWT for another purpose.
    WrongTokenGiven,
    /// The app switched users, and the event is about the one before.
    UserSwitched,
    /// The user ids differ by case only.
    UserIdCase,
    /// The user ids differ by whitespace only.
    UserIdWhitespace,
    /// The user id is a number in one place and text in another.
    UserIdNumeric,
    /// The user ids are different ones.
    UserIdDiffers,
    /// The token was signed by no key of this installation.
    NotOurToken,
    /// The token was changed after it was signed.
    TokenTampered,
    /// The token has an algorithm other than RS256.
    WrongAlgorithm,
    /// A key of this installation signed it, with a payload that this service does not make.
    PayloadNotOurs,
    /// Braze refuses a claim that the configuration of the app adds.
    ClaimRefused,
    /// The public key at Braze is not a key: it was pasted wrongly.
    KeyPastedWrongly,
    /// One request to Braze had events of several users.
    MixedBatch,
    /// Nothing known here explains it.
    Unknown,
}

impl Cause {
    /// Name in the store, in metrics and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Cause of this name in the store; a later version of this program may know more.
    pub fn from_store(name: &str) -> Self {
        name.parse().unwrap_or(Self::Unknown)
    }
}

/// Confidence in a cause.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Confidence {
    /// One cause among several that the facts allow.
    Possible,
    /// The facts point to it, and do not exclude others.
    Likely,
    /// The facts leave no other.
    High,
}

impl Confidence {
    /// Name in the store and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Version of an SDK, as `6.13.0`: up to four numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String)]
pub struct SdkVersion(Box<str>);

as_text!(SdkVersion);

impl SdkVersion {
    /// Version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SdkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SdkVersion {
    type Err = BadSdkVersion;

    /// Accepts `^\d{1,4}(\.\d{1,6}){1,3}$`, ASCII digits only.
    fn from_str(text: &str) -> Result<Self, BadSdkVersion> {
        let mut parts = text.split('.');
        let is_number =
            |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let first = parts.next().is_some_and(|part| is_number(part, 4));
        let rest: Vec<&str> = parts.collect();
        if first && (1..=3).contains(&rest.len()) && rest.iter().all(|part| is_number(part, 6)) {
            Ok(Self(text.into()))
        } else {
            Err(BadSdkVersion)
        }
    }
}

/// Error for a text that is not an SDK's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version of two to four numbers, like 6.13.0")]
pub struct BadSdkVersion;

/// Latest report of a cause at an app, as far as it is kept: no id, no hash, no address, and nothing that a client
/// wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureExample {
    /// States of the ring's keys when the failure was reported; of no more than
    /// [`KEYS_OF_EXAMPLE`](Self::KEYS_OF_EXAMPLE) keys.
    pub keys: Vec<(Kid, KeyState)>,
    /// Seconds from the issue of the token to its end, where the refresh token says so.
    pub issue_to_end: Option<i64>,
    /// Seconds from the issue of the token to the report.
    pub issue_to_report: Option<i64>,
}

impl FailureExample {
    /// Largest number of keys of an example.
    pub const KEYS_OF_EXAMPLE: usize = 16;
}

/// Identity of a row of counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct FailureKey {
    pub app: AppName,
    pub platform: Platform,
    #[schema(value_type = String)]
    pub code: ReportedCode,
    pub cause: Cause,
    /// Key that signed the token issued with the refresh token; `None`: an older refresh token, or a row beyond the
    /// bound of rows.
    pub kid: Option<Kid>,
}

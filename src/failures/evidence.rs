//! Evidence about one report: the report itself, and what this installation knows. It has no id of a user or a session,
//! and no token.

use std::{collections::BTreeMap, time::Duration};

use super::key_history::KeyFacts;
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Platform, ReportedCode, SdkVersion},
        ids::{AppName, Kid, RingName, UserId},
        policy::{AppPolicy, ClaimsPolicy},
    },
};

/// Evidence about one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureEvidence<'a> {
    pub app: &'a AppName,
    pub report: ReportFacts,
    pub session: SessionFacts,
    /// Token that was issued with the presented refresh token; `None`: the refresh token is of an older version, and
    /// does not say.
    pub token: Option<TokenFacts>,
    pub installation: &'a KnownInstallation,
    /// Time of the report.
    pub now: UnixMillis,
}

/// Report of an app, reduced to closed sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFacts {
    pub code: ReportedCode,
    pub platform: Platform,
    pub sdk_version: Option<SdkVersion>,
    /// Relation of the user id in the report to the session's.
    pub user: UserRelation,
    pub signature: ReportedSignature,
    /// The report came with a request to refresh, not alone.
    pub with_refresh: bool,
}

/// Relation of a user id that came from outside to the session's user id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UserRelation {
    /// There is none, or it is empty, as of Flutter on Android.
    #[default]
    Absent,
    /// The same text.
    Same,
    /// They differ in case only.
    Case,
    /// They differ in white space only, or in case and white space.
    Whitespace,
    /// They are the same number, written in two ways or as two types.
    Numeric,
    /// They are two ids.
    Different,
}

impl UserRelation {
    /// Compares a user id of a report or a token with the session's. Neither is kept.
    pub fn of(other: Option<&str>, user: &UserId) -> Self {
        let user = user.as_str();
        let Some(other) = other.filter(|other| !other.is_empty()) else { return Self::Absent };
        let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let digits = |text: &str| {
            let text = text.trim();
            let text = text.strip_suffix(".0").unwrap_or(text);
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.trim_start_matches('0').to_owned())
        };
        match () {
            () if other == user => Self::Same,
            () if other.to_lowercase() == user.to_lowercase() => Self::Case,
            () if bare(other).to_lowercase() == bare(user).to_lowercase() => Self::Whitespace,
            () if digits(other).is_some_and(|number| digits(user).is_some_and(|own| own == number)) => Self::Numeric,
            () => Self::Different,
        }
    }
}

/// Token that was refused, as the report has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReportedSignature {
    /// The report has none.
    #[default]
    Absent,
    /// It was not examined: too many came.
    Unjudged,
    /// It was examined, and dropped.
    Judged(JudgedSignature),
}

/// Facts about a refused token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JudgedSignature {
    /// It is a refresh token of this service.
    RefreshToken,
    /// It begins as a token does, and cannot be decoded: a part of it is missing or was changed.
    Damaged,
    /// It is no JWT.
    NoJwt,
    /// It is a JWT.
    Token(RefusedToken),
}

/// Facts about a refused JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedToken {
    /// The algorithm is RS256.
    pub rs256: bool,
    /// Key of this installation that signed it.
    pub signed_by: Option<Kid>,
    pub expires: Option<UnixMillis>,
    /// Relation of its subject to the session's user id. [`UserRelation::Absent`]: it has none, or not as text.
    pub user: UserRelation,
    /// It has the claims of a token of this service, and no other.
    pub shape_is_ours: bool,
    /// It has a random id in the form that this service makes.
    pub has_our_id: bool,
    /// It has claims that no token for Braze has, or another audience.
    pub for_another_purpose: bool,
}

/// Facts about the token issued with the presented refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Key that signed it.
    pub kid: Kid,
    pub issued: UnixMillis,
    pub expires: UnixMillis,
}

/// Facts about the session, from the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Time of the login.
    pub created: UnixMillis,
    /// Number of refreshes before the presented refresh token was issued.
    pub refreshes: u64,
    /// The user id has digits only.
    pub numeric_user: bool,
}

/// Records and configuration that reports are compared with, as of one point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownInstallation {
    pub apps: BTreeMap<AppName, AppFacts>,
    pub keys: BTreeMap<Kid, KeyFacts>,
    /// This service's clock less another one that is trusted, in milliseconds: Braze's, or the database's. `None`: not
    /// measured.
    pub clock_offset: Option<i64>,
}

/// Facts about an app, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFacts {
    pub ring: RingName,
    /// Lifetime of its tokens.
    pub lifetime: Duration,
    pub claims: ClaimsPolicy,
    /// Operators add and delete its keys by hand: what is known of Braze is their word.
    pub by_hand: bool,
    /// Time for which Braze must have listed a key of the ring before it signs.
    pub soak: Duration,
}

impl AppFacts {
    /// Facts of an app's settings, with the soak of its ring.
    pub fn new(policy: &AppPolicy, soak: Duration) -> Self {
        Self {
            ring: policy.ring.clone(),
            lifetime: policy.lifetime,
            claims: policy.claims,
            by_hand: policy.workspace.is_none() || policy.braze_app_id.is_none(),
            soak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UserIdRules;

    #[test]
    fn two_user_ids_are_compared_by_how_they_differ() {
        use UserRelation::{Absent, Case, Different, Numeric, Same, Whitespace};
        for (session, other, relation) in [
            ("u-1", None, Absent),
            ("u-1", Some(""), Absent),
            ("u-1", Some("u-1"), Same),
            ("ÅSA", Some("åsa"), Case),
            ("u-1", Some(" u-1"), Whitespace),
            ("a b", Some("A  B"), Whitespace),
            ("007", Some("7"), Numeric),
            ("12345", Some("12345.0"), Numeric),
            ("0", Some("000"), Numeric),
            ("7", Some("8"), Different),
            ("u-1", Some("1"), Different),
            ("u-1", Some("null"), Different),
        ] {
            let session = UserId::parse(session, UserIdRules::default()).unwrap();
            assert_eq!(UserRelation::of(other, &session), relation, "{session:?} {other:?}");
        }
    }
}

//! Intake of reports: each is compared with what is known here, diagnosed and counted. Nothing of it is kept as it came.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

use super::{
    Counts, FailureEvidence, JudgedSignature, Knowledge, KnownInstallation, Report, ReportFacts, ReportedSignature,
    SessionFacts, TokenFacts, UserRelation, diagnose,
};
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{FailureExample, FailureKey, Platform, ReportedCode, SdkVersion},
        ids::UserId,
        refresh_token::Presented,
    },
};

/// Signatures that a node examines in one second of its clock: each costs a verification for each key.
const EXAMINED_PER_SECOND: u32 = 20;

/// Longest signature that is examined, in bytes: several times that of a token of this service.
const LONGEST_SIGNATURE: usize = 4096;

/// Report as an app sent it, of which nothing is verified. `Debug` hides it; what is secret of it is zeroed on drop.
#[derive(PartialEq, Eq)]
pub struct UnverifiedReport {
    pub code: ReportedCode,
    pub platform: Platform,
    pub sdk_version: Option<SdkVersion>,
    pub user: Option<ReportedUser>,
    /// Token that Braze refused, as some SDKs report it.
    pub signature: Option<Zeroizing<String>>,
}

/// User id of a report.
#[derive(PartialEq, Eq)]
pub enum ReportedUser {
    Text(Zeroizing<String>),
    /// A JSON number, as text.
    Number(Zeroizing<String>),
}

impl fmt::Debug for UnverifiedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[report]")
    }
}

impl UnverifiedReport {
    fn user_relation(&self, user: &UserId) -> UserRelation {
        match &self.user {
            None => UserRelation::Absent,
            Some(ReportedUser::Text(text)) => UserRelation::of(Some(text), user),
            Some(ReportedUser::Number(number)) => match UserRelation::of(Some(number), user) {
                // Braze compares text with text: a number is another type.
                UserRelation::Same => UserRelation::Numeric,
                relation => relation,
            },
        }
    }
}

/// Intake of the reports of one node.
pub struct Reports {
    pub knowledge: Arc<Knowledge>,
    pub counts: Arc<Counts>,
    /// Second of the clock, and the signatures that were examined in it.
    examined: Mutex<(i64, u32)>,
}

impl Reports {
    /// Makes the intake.
    pub fn new(knowledge: Arc<Knowledge>, counts: Arc<Counts>) -> Self {
        Self { knowledge, counts, examined: Mutex::default() }
    }

    /// Diagnoses and counts a report of the session that presented a refresh token. `with_refresh`: the report came with
    /// a request to refresh. A report that repeats one of the last five minutes is neither diagnosed nor examined: it
    /// costs next to nothing, and leaves the examinations of the second to others.
    pub fn take(&self, presented: &Presented, report: &UnverifiedReport, with_refresh: bool, now: UnixMillis) {
        let diagnosed = || self.diagnosed(presented, report, with_refresh, now);
        if let Some(cause) = self.counts.count_first(now, presented.session, report.code, diagnosed) {
            let (code, cause) = (report.code.label(), cause.as_str());
            tracing::info!(%code, cause, "an app reported an authentication failure");
        }
    }

    fn diagnosed(
        &self,
        presented: &Presented,
        report: &UnverifiedReport,
        with_refresh: bool,
        now: UnixMillis,
    ) -> Report {
        let installation = self.knowledge.load();
        let evidence = FailureEvidence {
            app: &presented.app,
            report: ReportFacts {
                code: report.code,
                platform: report.platform,
                sdk_version: report.sdk_version.clone(),
                user: report.user_relation(&presented.user),
                signature: self.examine(report, presented, &installation, now),
                with_refresh,
            },
            session: SessionFacts {
                created: presented.session.created(),
                refreshes: presented.counter,
                numeric_user: presented.user.as_str().bytes().all(|byte| byte.is_ascii_digit()),
            },
            token: token_facts(presented, &installation),
            installation: &installation,
            now,
        };
        let diagnosis = diagnose(&evidence);
        Report {
            key: FailureKey {
                app: presented.app.clone(),
                platform: report.platform,
                code: report.code,
                cause: diagnosis.cause,
                kid: evidence.token.as_ref().map(|token| token.kid.clone()),
            },
            session: presented.session,
            user: presented.user.clone(),
            confidence: diagnosis.confidence,
            example: example(&evidence),
            sdk_version: report.sdk_version.clone(),
        }
    }

    /// Counts a report whose refresh token does not open: anybody may have sent it.
    pub fn take_unauthenticated(&self) {
        self.counts.count_unauthenticated();
    }

    fn examine(
        &self,
        report: &UnverifiedReport,
        presented: &Presented,
        installation: &KnownInstallation,
        now: UnixMillis,
    ) -> ReportedSignature {
        match &report.signature {
            None => ReportedSignature::Absent,
            Some(signature) if signature.len() <= LONGEST_SIGNATURE && self.may_examine(now) => {
                ReportedSignature::Judged(JudgedSignature::of(signature, &presented.user, installation))
            }
            Some(_) => ReportedSignature::Unjudged,
        }
    }

    fn may_examine(&self, now: UnixMillis) -> bool {
        let mut examined = self.examined.lock().unwrap_or_else(PoisonError::into_inner);
        if examined.0 != now.seconds() {
            *examined = (now.seconds(), 0);
        }
        examined.1 += 1;
        examined.1 <= EXAMINED_PER_SECOND
    }
}

/// Returns the facts about the token that was issued with the refresh token; `None` where no key known here signed it.
fn token_facts(presented: &Presented, installation: &KnownInstallation) -> Option<TokenFacts> {
    let with = presented.issued_with();
    let kid = installation.keys.keys().find(|kid| with.is_of(kid))?.clone();
    Some(TokenFacts { kid, issued: with.issued(), expires: with.expires() })
}

fn example(evidence: &FailureEvidence<'_>) -> FailureExample {
    let known = evidence.installation;
    let ring = known.apps.get(evidence.app).map(|app| &app.ring);
    let of_ring = known.keys.iter().filter(|(_, key)| Some(&key.ring) == ring);
    let seconds = |end: UnixMillis, begin: UnixMillis| end.seconds() - begin.seconds();
    let token = evidence.token.as_ref();
    FailureExample {
        keys: of_ring.map(|(kid, key)| (kid.clone(), key.state)).take(FailureExample::KEYS_OF_EXAMPLE).collect(),
        issue_to_end: token.map(|token| seconds(token.expires, token.issued)),
        issue_to_report: token.map(|token| seconds(evidence.now, token.issued)),
    }
}

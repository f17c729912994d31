//! Braze's answer to the device of the model, its report, and what the service knows then.

use countersign::{
    clock::UnixMillis,
    domain::{
        failure::ReportedCode,
        ids::{AppName, RingName},
        rotation::{Progress, Published},
        verdict::{Against, Claimed, ErrorCode, Finding, examine},
    },
    failures::{
        AppFacts, FailureEvidence, JudgedSignature, KnownInstallation, ReportFacts, ReportedSignature, SessionFacts,
        TokenFacts, UserRelation,
    },
    store::{KeyLife, RingRecords},
};

use super::model::{Key, MINUTE, Model};
use crate::support::domain::user;

/// Report of the device, with what the service knows then.
pub struct Observed {
    pub app: AppName,
    pub code: ErrorCode,
    report: ReportFacts,
    session: SessionFacts,
    token: Option<TokenFacts>,
    installation: KnownInstallation,
    now: UnixMillis,
}

impl Observed {
    pub fn evidence(&self) -> FailureEvidence<'_> {
        FailureEvidence {
            app: &self.app,
            report: self.report.clone(),
            session: self.session,
            token: self.token.clone(),
            installation: &self.installation,
            now: self.now,
        }
    }
}

impl Model {
    /// The fault that Braze answers with; `None`: the request is accepted.
    fn answer(&self) -> Option<ErrorCode> {
        let rows: Vec<Option<&str>> = self.device.rows.iter().map(Option::as_deref).collect();
        let claimed = Claimed::of(rows, [self.device.sdk_user.as_str()]);
        let user = match claimed {
            Claimed::Nobody => return None,
            Claimed::Conflicting(_) => return Some(ErrorCode::PayloadUserIdMismatch),
            Claimed::User(user) => user,
        };
        let none = Vec::new();
        let against = Against {
            public_keys: Some(self.braze.get(&self.device.braze_app).unwrap_or(&none)),
            user: Some(&user),
            sdk_api_key: Some("0a1b2c3d"),
            now: UnixMillis(self.now.0 + self.braze_ahead),
        };
        let findings: Vec<Finding> = examine(self.device.sends.as_deref().unwrap_or_default(), &against);
        let mut codes = findings.iter().filter_map(|finding| finding.code);
        let code = if self.last_fault_first { codes.next_back() } else { codes.next() }?;
        let is_twenty = self.twenty && code == ErrorCode::NoMatchingPublicKeys;
        Some(if is_twenty { ErrorCode::DecodingError } else { code })
    }

    fn installation(&self) -> KnownInstallation {
        let soak = 5 * MINUTE;
        let apps = self.policies.iter().map(|(app, policy)| (app.clone(), AppFacts::new(policy, soak)));
        let mut rings: Vec<RingName> = self.keys.iter().map(|key| key.record.ring.clone()).collect();
        rings.sort();
        rings.dedup();
        let records = |ring: &RingName| {
            let keys: Vec<&Key> = self.keys.iter().filter(|key| key.record.ring == *ring).collect();
            let of_ring = |known: &&Published| keys.iter().any(|key| key.kid == known.kid);
            RingRecords {
                keys: keys.iter().map(|key| (key.record.clone(), KeyLife::default())).collect(),
                publications: self.publications.iter().filter(of_ring).cloned().collect(),
                progress: Progress::default(),
            }
        };
        let rings: Vec<RingRecords> = rings.iter().map(records).collect();
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        KnownInstallation::from_records(apps.collect(), &rings, &events, self.clock_offset)
    }

    /// Lets the device send, and report Braze's refusal.
    pub fn observe(self) -> Observed {
        let code = self.answer().expect("Braze refuses the request");
        let installation = self.installation();
        let session_user = user(&self.user);
        let reported = Some(self.device.sdk_user.as_str()).filter(|_| !self.device.loses_user_id);
        let signature = match &self.device.sends {
            Some(token) if self.device.judged => {
                ReportedSignature::Judged(JudgedSignature::of(token, &session_user, &installation))
            }
            _ => ReportedSignature::Absent,
        };
        let report = ReportFacts {
            code: ReportedCode::Braze(code),
            platform: self.device.platform,
            sdk_version: self.device.sdk_version.as_ref().map(|version| version.parse().unwrap()),
            user: UserRelation::of(reported, &session_user),
            signature,
            with_refresh: self.device.with_refresh,
        };
        Observed { app: self.app, code, report, session: self.session, token: self.token, installation, now: self.now }
    }
}

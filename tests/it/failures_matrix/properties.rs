//! Properties of every diagnosis, whatever the evidence: there is one, its sentence can be shown to anybody, and its
//! command is one of this program.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
    time::Duration,
};

use countersign::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Platform, ReportedCode},
        ids::{AppName, Kid},
        key::KeyState,
        policy::ClaimsPolicy,
        verdict::ErrorCode,
    },
    failures::{
        AppFacts, FailureEvidence, Fix, JudgedSignature, KeyFacts, KnownInstallation, RefusedToken, ReportFacts,
        ReportedSignature, SessionFacts, Stay, StayEnd, TokenFacts, UserRelation, diagnose,
    },
};
use proptest::prelude::*;
use strum::VariantArray;

use super::cases::cases;

const NOW: i64 = 1_795_000_000_678;
const APPS: [&str; 3] = ["web", "ios", "kiosk"];
const RELATIONS: [UserRelation; 6] = [
    UserRelation::Absent,
    UserRelation::Same,
    UserRelation::Case,
    UserRelation::Whitespace,
    UserRelation::Numeric,
    UserRelation::Different,
];

fn time() -> impl Strategy<Value = UnixMillis> {
    let near = -90_000_000_000_i64..90_000_000_000;
    prop_oneof![
        6 => near.prop_map(|offset| UnixMillis(NOW + offset)),
        4 => (-400_000_i64..400_000).prop_map(|offset| UnixMillis(NOW + offset)),
        1 => any::<i64>().prop_map(UnixMillis),
        1 => prop::sample::select(vec![UnixMillis(i64::MIN), UnixMillis(i64::MAX), UnixMillis(0)]),
    ]
}

/// One of four keys, some of which begin as an option does.
fn kid(number: u8) -> Kid {
    Kid::from_thumbprint(&[[0xF8; 32], [0xFC; 32], [0x10; 32], [0xFB; 32]][usize::from(number % 4)])
}

fn app_name() -> impl Strategy<Value = AppName> {
    prop::sample::select(APPS.to_vec()).prop_map(|name| name.parse().unwrap())
}

fn ring(number: u8) -> countersign::domain::ids::RingName {
    ["main", "staging"][usize::from(number % 2)].parse().unwrap()
}

fn stay() -> impl Strategy<Value = Stay> {
    let end = prop_oneof![Just(StayEnd::Open), Just(StayEnd::Vanished), time().prop_map(StayEnd::At)];
    (time(), end).prop_map(|(since, end)| Stay { since, end })
}

fn key_facts() -> impl Strategy<Value = KeyFacts> {
    let state = || prop::sample::select(KeyState::VARIANTS.to_vec());
    let changes = prop::collection::vec((time(), state()), 0..5);
    let asked = prop::collection::btree_map(app_name(), time(), 0..2);
    let stays = prop::collection::btree_map(app_name(), prop::collection::vec(stay(), 0..3), 0..4);
    (any::<u8>(), state(), changes, asked, stays).prop_map(|(number, state, changes, asked, stays)| KeyFacts {
        ring: ring(number),
        state,
        public_key: String::new(),
        changes,
        asked,
        stays,
    })
}

fn app_facts() -> impl Strategy<Value = AppFacts> {
    (any::<u8>(), 0_u64..100_000, any::<[bool; 4]>(), 0_u64..10_000).prop_map(|(number, life, flags, soak)| AppFacts {
        ring: ring(number),
        lifetime: Duration::from_secs(life),
        claims: ClaimsPolicy { jti: flags[0], aud: flags[1], iss: flags[2], ..ClaimsPolicy::default() },
        by_hand: flags[3],
        soak: Duration::from_secs(soak),
    })
}

fn installation() -> impl Strategy<Value = KnownInstallation> {
    let apps = prop::collection::btree_map(app_name(), app_facts(), 0..4);
    let keys = prop::collection::btree_map((0_u8..3).prop_map(kid), key_facts(), 0..4);
    (apps, keys, any::<Option<i32>>()).prop_map(|(apps, keys, offset)| KnownInstallation {
        apps,
        keys,
        clock_offset: offset.map(i64::from),
    })
}

fn signature() -> impl Strategy<Value = ReportedSignature> {
    let relation = prop::sample::select(RELATIONS.to_vec());
    let signer = prop::option::of((0_u8..4).prop_map(kid));
    let token = (any::<[bool; 4]>(), signer, prop::option::of(time()), relation);
    let token = token.prop_map(|(flags, signed_by, expires, user)| RefusedToken {
        rs256: flags[0],
        signed_by,
        expires,
        user,
        shape_is_ours: flags[1],
        has_our_id: flags[2],
        for_another_purpose: flags[3],
    });
    prop_oneof![
        2 => Just(ReportedSignature::Absent),
        1 => Just(ReportedSignature::Unjudged),
        1 => Just(ReportedSignature::Judged(JudgedSignature::Damaged)),
        1 => Just(ReportedSignature::Judged(JudgedSignature::NoJwt)),
        1 => Just(ReportedSignature::Judged(JudgedSignature::RefreshToken)),
        4 => token.prop_map(|token| ReportedSignature::Judged(JudgedSignature::Token(token))),
    ]
}

fn report() -> impl Strategy<Value = ReportFacts> {
    let codes = ErrorCode::VARIANTS.iter().map(|code| ReportedCode::Braze(*code)).chain([ReportedCode::Other]);
    let code = prop::sample::select(codes.collect::<Vec<_>>());
    let platform = prop::sample::select(Platform::VARIANTS.to_vec());
    let version = prop::option::of("[0-9]{1,4}\\.[0-9]{1,6}");
    let relation = prop::sample::select(RELATIONS.to_vec());
    (code, platform, version, relation, signature(), any::<bool>()).prop_map(
        |(code, platform, version, user, signature, with_refresh)| ReportFacts {
            code,
            platform,
            sdk_version: version.map(|version| version.parse().unwrap()),
            user,
            signature,
            with_refresh,
        },
    )
}

type Parts = (KnownInstallation, ReportFacts, SessionFacts, Option<TokenFacts>, UnixMillis, AppName);

fn parts() -> impl Strategy<Value = Parts> {
    let refreshes = prop_oneof![0_u64..5, any::<u64>()];
    let session = (time(), refreshes, any::<bool>()).prop_map(|(created, refreshes, numeric_user)| SessionFacts {
        created,
        refreshes,
        numeric_user,
    });
    let token = (0_u8..4, time(), time()).prop_map(|(number, issued, expires)| TokenFacts {
        kid: kid(number),
        issued,
        expires,
    });
    (installation(), report(), session, prop::option::of(token), time(), app_name())
}

/// A sentence that can be shown to anybody: it names the app, and has no control character, no whole id and no address.
fn assert_presentable(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
    let longest =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))).map(str::len).max().unwrap_or(0);
    assert!(longest < 30, "{text:?}");
    assert!(!text.contains('@') && !text.contains("://"), "{text:?}");
    assert!(text.len() < 400, "{text:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_evidence_has_a_presentable_diagnosis((installation, report, session, token, now, app) in parts()) {
        let evidence = FailureEvidence { app: &app, report, session, token, installation: &installation, now };
        let diagnosis = diagnose(&evidence);
        assert!(diagnosis.sentence.contains(app.as_str()), "{:?}", diagnosis.sentence);
        assert_presentable(&diagnosis.sentence);
        assert_presentable(&diagnosis.fix.text);
        assert_eq!(diagnosis, diagnose(&evidence));
    }

    #[test]
    fn a_token_is_needed_for_the_causes_that_are_in_it(
        (installation, report, session, token, now, app) in parts(),
        judged in any::<bool>(),
    ) {
        let signature = if judged { ReportedSignature::Unjudged } else { ReportedSignature::Absent };
        let report = ReportFacts { signature, ..report };
        let evidence = FailureEvidence { app: &app, report, session, token, installation: &installation, now };
        let diagnosis = diagnose(&evidence);
        let in_the_token = [
            Cause::NotOurToken,
            Cause::TokenTampered,
            Cause::WrongAlgorithm,
            Cause::PayloadNotOurs,
            Cause::WrongTokenGiven,
        ];
        if in_the_token.contains(&diagnosis.cause) {
            prop_assert_eq!(diagnosis.confidence, countersign::domain::failure::Confidence::Possible);
        }
    }
}

/// Fixes that the cases of the matrix have, and one of each key whose id begins as an option does.
fn fixes() -> Vec<Fix> {
    let cases = cases(7);
    let mut found: Vec<Fix> = cases.iter().map(|case| diagnose(&case.observed.evidence()).fix).collect();
    let by_hand = AppFacts {
        ring: ring(0),
        lifetime: Duration::from_hours(1),
        claims: ClaimsPolicy::default(),
        by_hand: true,
        soak: Duration::from_mins(5),
    };
    for number in 0..4 {
        let key = KeyFacts {
            ring: ring(0),
            state: KeyState::Active,
            public_key: String::new(),
            changes: vec![(UnixMillis(NOW - 1), KeyState::Active)],
            asked: BTreeMap::new(),
            stays: BTreeMap::new(),
        };
        let app: AppName = "kiosk".parse().unwrap();
        let installation = KnownInstallation {
            apps: BTreeMap::from([(app.clone(), by_hand.clone())]),
            keys: BTreeMap::from([(kid(number), key)]),
            clock_offset: None,
        };
        let report = ReportFacts {
            code: ReportedCode::Braze(ErrorCode::NoMatchingPublicKeys),
            platform: Platform::Web,
            sdk_version: None,
            user: UserRelation::Same,
            signature: ReportedSignature::Absent,
            with_refresh: true,
        };
        let session = SessionFacts { created: UnixMillis(NOW), refreshes: 0, numeric_user: false };
        let evidence = FailureEvidence {
            app: &app,
            report,
            session,
            token: None,
            installation: &installation,
            now: UnixMillis(NOW),
        };
        found.push(diagnose(&evidence).fix);
    }
    found
}

/// Runs a command without a configuration: it must fail for that, not for its words.
fn assert_is_a_command(command: &str) {
    let mut words = shlex::split(command).unwrap();
    assert_eq!(words.remove(0), "countersign");
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["--config", "/nonexistent/countersign.toml"])
        .args(&words)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("Usage:") && output.status.code() != Some(2), "{command}: {said}");
}

#[test]
fn every_command_of_a_fix_is_one_of_this_program() {
    let commands: BTreeSet<String> = fixes().into_iter().filter_map(|fix| fix.command).collect();
    let mut forms = BTreeSet::new();
    for command in commands {
        // Ids of keys are random: one of each beginning is enough.
        let form: String = match command.strip_prefix("countersign keys public ") {
            Some(operand) => format!("keys public {}", &operand[..1.min(operand.len())]),
            None => command.clone(),
        };
        if forms.insert(form) {
            assert_is_a_command(&command);
        }
    }
    assert!(forms.len() >= 8, "{forms:?}");
}

/// The document has one row for each cause, and no other.
#[test]
fn every_cause_is_documented() {
    let document = include_str!("../../../docs/failures.md");
    let table = document.split("| cause | codes |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut listed: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut causes: Vec<&str> = Cause::VARIANTS.iter().map(|cause| cause.as_str()).collect();
    causes.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, causes);
}

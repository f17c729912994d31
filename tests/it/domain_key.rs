//! States of a signing key: every state with every transition, and properties of all sequences of transitions.

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::Kid,
        key::{KeyRecord, KeyState, WrongState},
    },
};
use proptest::prelude::*;
use strum::VariantArray;

use crate::support::domain::NOW;

const LATER: UnixMillis = UnixMillis(NOW.0 + 60_000);

type Step = fn(KeyRecord, UnixMillis) -> Result<KeyRecord, WrongState>;
const STEPS: [(&str, Step); 5] = [
    ("published", KeyRecord::published),
    ("activated", KeyRecord::activated),
    ("superseded", KeyRecord::superseded),
    ("retired", KeyRecord::retired),
    ("compromised", |key, now| Ok(key.compromised(now))),
];

fn key(state: KeyState) -> KeyRecord {
    KeyRecord {
        kid: Kid::from_thumbprint(&[3; 32]),
        ring: "main".parse().unwrap(),
        state,
        bits: 2048,
        public_key: "-----BEGIN PUBLIC KEY-----".to_owned(),
        custody: "file".to_owned(),
        locator: "a.pem".to_owned(),
        created: NOW,
        changed: NOW,
    }
}

/// Expected state after a transition; `None`: refused.
fn planned(from: KeyState, step: &str) -> Option<KeyState> {
    use KeyState::{Active, Compromised, Pending, Published, Retired, Retiring};
    match (from, step) {
        (Pending | Published, "published") => Some(Published),
        (Published | Retiring, "activated") => Some(Active),
        (Active, "superseded") => Some(Retiring),
        (Pending | Published | Retiring | Retired, "retired") => Some(Retired),
        (_, "compromised") => Some(Compromised),
        _ => None,
    }
}

#[test]
fn every_state_allows_exactly_the_planned_steps() {
    for from in KeyState::VARIANTS.iter().copied() {
        for (name, step) in STEPS {
            let found = step(key(from), LATER);
            match planned(from, name) {
                Some(to) => {
                    let changed = if to == from { NOW } else { LATER };
                    assert_eq!(found, Ok(KeyRecord { state: to, changed, ..key(from) }), "{from:?} {name}");
                }
                None => assert!(found.is_err(), "{from:?} {name}"),
            }
        }
    }
}

#[test]
fn a_refusal_names_the_key_its_state_and_what_it_cannot_become() {
    let refusal = key(KeyState::Pending).activated(LATER).unwrap_err().to_string();
    let kid = Kid::from_thumbprint(&[3; 32]);
    assert_eq!(refusal, format!("key {kid} is pending, it cannot become active"));
    let refusal = key(KeyState::Compromised).published(LATER).unwrap_err().to_string();
    assert!(refusal.ends_with("is compromised, it cannot become published"), "{refusal}");
}

#[test]
fn a_key_is_verifiable_while_its_tokens_may_live_and_held_while_it_may_sign() {
    let table = [
        (KeyState::Pending, false, true),
        (KeyState::Published, true, true),
        (KeyState::Active, true, true),
        (KeyState::Retiring, true, true),
        (KeyState::Retired, false, false),
        (KeyState::Compromised, false, false),
    ];
    for (state, verifiable, held) in table {
        assert_eq!((state.is_verifiable(), state.is_held()), (verifiable, held), "{state:?}");
    }
}

#[test]
fn every_state_has_one_name_and_no_other_name_is_a_state() {
    for state in KeyState::VARIANTS.iter().copied() {
        assert_eq!(state.as_str().parse::<KeyState>().unwrap(), state);
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for name in ["", "Active", "active ", "revoked"] {
        assert!(name.parse::<KeyState>().is_err(), "{name:?}");
    }
}

/// Applies the allowed transitions, and returns all states of the key.
fn walk(from: KeyState, steps: &[usize]) -> Vec<KeyState> {
    let mut record = key(from);
    let mut path = vec![from];
    for &step in steps {
        if let Ok(next) = STEPS[step].1(record.clone(), LATER) {
            record = next;
            path.push(record.state);
        }
    }
    path
}

proptest! {
    #[test]
    fn no_pending_key_signs_before_it_was_published(steps in proptest::collection::vec(0..STEPS.len(), 0..40)) {
        let path = walk(KeyState::Pending, &steps);
        let first = |state| path.iter().position(|&on| on == state);
        if let Some(active) = first(KeyState::Active) {
            prop_assert!(first(KeyState::Published).is_some_and(|published| published < active));
        }
    }

    #[test]
    fn no_step_leads_out_of_the_end(steps in proptest::collection::vec(0..STEPS.len(), 0..40)) {
        for end in [KeyState::Retired, KeyState::Compromised] {
            prop_assert!(walk(end, &steps).iter().all(|state| !state.is_held()), "from {:?}", end);
        }
    }
}

//! The decision, by table and against a model of a provider.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    WantedKey,
    decision::{Decision, FETCH_INTERVAL, FetchNumber, KeySet, KeySetState, SeenAfter},
    keys::UsableKey,
};
use crate::domain::sign_in::JwsAlgorithm;

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rsa(bytes: usize, change: &Value) -> Value {
    let n = URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
    let mut key = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
    key.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    key
}

fn set<'a>(kids: impl IntoIterator<Item = &'a str>, fresh_for: Duration) -> KeySet {
    let key = |kid| UsableKey::read(&rsa(256, &json!({ "kid": kid }))).unwrap();
    KeySet { keys: kids.into_iter().map(key).collect(), fresh_for }
}

fn kid(kid: &str) -> WantedKey<'_> {
    WantedKey { kid: Some(kid), algorithm: JwsAlgorithm::RS256 }
}

/// End of a request that need not wait.
#[derive(Debug, PartialEq)]
enum End {
    Keys(usize),
    Refused,
    Unavailable(Duration),
}

/// Cache without tasks: a fetch ends when the test says so.
struct Cache {
    state: KeySetState,
    flight: Option<FetchNumber>,
    fetches: Vec<Duration>,
}

impl Cache {
    fn new() -> Self {
        Self { state: KeySetState::new(DAY), flight: None, fetches: Vec::new() }
    }

    fn loaded(kids: &[&str], fresh_for: Duration, now: Duration) -> Self {
        let mut cache = Self::new();
        cache.begin(now);
        cache.end(Some(set(kids.iter().copied(), fresh_for)), now);
        cache
    }

    fn begin(&mut self, now: Duration) {
        assert!(self.state.may_fetch(now));
        self.flight = Some(self.state.begin(now));
        self.fetches.push(now);
    }

    fn end(&mut self, set: Option<KeySet>, now: Duration) {
        self.state.end(self.flight.take().unwrap(), set, now);
    }

    /// Decides as often as it needs no waiting; `None`: it waits for the fetch in flight.
    fn decide(&mut self, wanted: WantedKey<'_>, seen: SeenAfter, now: Duration) -> Option<End> {
        match self.state.decide(wanted, seen, now) {
            Decision::Try { keys, refresh } => {
                if refresh {
                    self.begin(now);
                }
                Some(if keys.is_empty() { End::Refused } else { End::Keys(keys.len()) })
            }
            Decision::Fetch => {
                self.begin(now);
                None
            }
            Decision::Wait => {
                assert!(self.flight.is_some());
                None
            }
            Decision::Unavailable(retry_after) => Some(End::Unavailable(retry_after)),
        }
    }

    /// One request of which each fetch ends at once with this set.
    fn ask(&mut self, wanted: WantedKey<'_>, provider: Option<&KeySet>, now: Duration) -> End {
        let seen = self.state.seen(wanted);
        loop {
            if let Some(end) = self.decide(wanted, seen, now) {
                if self.flight.is_some() {
                    self.end(provider.cloned(), now);
                }
                return end;
            }
            self.end(provider.cloned(), now);
        }
    }
}

#[test]
fn a_new_key_is_never_refused_because_junk_came_first() {
    let (old, new) = (set(["old"], HOUR), set(["old", "new"], HOUR));
    let mut cache = Cache::new();
    assert_eq!(cache.ask(kid("junk"), Some(&old), s(100)), End::Refused);
    // Key change at t = 5 s; the honest token comes at t = 6 s.
    assert_eq!(cache.ask(kid("new"), Some(&new), s(106)), End::Unavailable(s(24)));
    assert_eq!(cache.ask(kid("junk"), Some(&new), s(107)), End::Refused);
    assert_eq!(cache.ask(kid("new"), Some(&new), s(130)), End::Keys(1));
    assert_eq!(cache.fetches, [s(100), s(130)]);
}

#[test]
fn a_fetch_that_began_before_a_kid_was_seen_does_not_refuse_it() {
    let mut cache = Cache::new();
    let junk = cache.state.seen(kid("junk"));
    assert_eq!(cache.decide(kid("junk"), junk, s(1)), None);
    // The answer is on its way when the key changes and its first token comes, in the same millisecond.
    let new = cache.state.seen(kid("new"));
    assert_eq!(cache.decide(kid("new"), new, s(1)), None);
    cache.end(Some(set(["old"], HOUR)), s(1));
    assert_eq!(cache.decide(kid("junk"), junk, s(1)), Some(End::Refused));
    assert_eq!(cache.decide(kid("new"), new, s(1)), Some(End::Unavailable(s(30))));
}

#[test]
fn ten_thousand_random_kids_cost_two_fetches_and_refuse_nobody() {
    let (old, new) = (set(["old"], HOUR), set(["old", "new"], HOUR));
    let mut cache = Cache::loaded(&["old"], HOUR, s(0));
    let mut new_from = None;
    for n in 0..10_000_u64 {
        let now = s(60) + Duration::from_millis(n * 3);
        let provider = if n < 5_000 { &old } else { &new };
        assert!(!matches!(cache.ask(kid(&format!("junk-{n}")), Some(provider), now), End::Keys(_)));
        assert_eq!(cache.ask(kid("old"), Some(provider), now), End::Keys(1));
        if n >= 5_000 {
            match cache.ask(kid("new"), Some(provider), now) {
                End::Unavailable(retry) => assert!(retry <= FETCH_INTERVAL),
                End::Keys(_) => new_from = new_from.or(Some(now)),
                End::Refused => unreachable!("refused at {now:?}"),
            }
        }
    }
    assert_eq!(cache.fetches[1..], [s(60)]);
    assert_eq!(cache.ask(kid("new"), Some(&new), s(90)), End::Keys(1));
    assert_eq!(new_from, None);
}

#[test]
fn a_provider_that_is_down_refuses_nobody() {
    let provider = set(["a"], HOUR);
    let mut cache = Cache::loaded(&["a"], HOUR, s(0));
    for minute in 0..=24 * 60 {
        assert_eq!(cache.ask(kid("a"), None, s(minute * 60)), End::Keys(1), "minute {minute}");
    }
    assert_eq!(cache.ask(kid("new"), None, s(24 * 3600)), End::Unavailable(s(30)));
    let gone = s(25 * 3600);
    for wanted in ["a", "junk"] {
        assert_eq!(cache.ask(kid(wanted), None, gone), End::Unavailable(s(30)), "{wanted}");
    }
    assert_eq!(cache.ask(kid("a"), Some(&provider), gone + s(30)), End::Keys(1));
}

#[test]
fn a_set_is_fetched_ahead_of_its_end_and_waited_for_after_it() {
    let mut cache = Cache::loaded(&["a"], HOUR, s(0));
    let seen = cache.state.seen(kid("a"));
    assert_eq!(cache.decide(kid("a"), seen, s(2_879)), Some(End::Keys(1)));
    assert!(cache.flight.is_none());
    assert_eq!(cache.decide(kid("a"), seen, s(2_880)), Some(End::Keys(1)));
    assert!(cache.flight.is_some(), "a fetch in the background");
    assert_eq!(cache.decide(kid("a"), seen, s(2_881)), Some(End::Keys(1)));
    cache.end(Some(set(["b"], HOUR)), s(2_882));
    // After its end a set may have keys that were withdrawn: it is used only while the provider fails.
    let seen = cache.state.seen(kid("b"));
    assert_eq!(cache.decide(kid("b"), seen, s(2_880 + 3_601)), None);
    assert_eq!(cache.decide(kid("b"), seen, s(2_880 + 3_601)), None);
    cache.end(None, s(2_880 + 3_604));
    assert_eq!(cache.decide(kid("b"), seen, s(2_880 + 3_604)), Some(End::Keys(1)));
    assert_eq!(cache.decide(kid("b"), seen, s(2_880 + 3_640)), Some(End::Keys(1)));
    assert!(cache.flight.is_some(), "requests do not wait for a provider that has just failed");
}

#[test]
fn a_key_must_agree_with_the_algorithm() {
    let entries = [
        rsa(256, &json!({ "kid": "any" })),
        rsa(256, &json!({ "kid": "rs256", "alg": "RS256", "use": "sig" })),
        rsa(256, &json!({ "kid": "verify", "key_ops": ["verify"] })),
    ];
    let keys = entries.iter().map(|entry| UsableKey::read(entry).unwrap()).collect();
    let mut cache = Cache::new();
    let provider = KeySet { keys, fresh_for: HOUR };
    let table = [
        (Some("any"), JwsAlgorithm::RS256, End::Keys(1)),
        (Some("any"), JwsAlgorithm::PS512, End::Keys(1)),
        (Some("any"), JwsAlgorithm::ES256, End::Refused),
        (Some("rs256"), JwsAlgorithm::RS256, End::Keys(1)),
        (Some("rs256"), JwsAlgorithm::RS384, End::Refused),
        (Some("verify"), JwsAlgorithm::RS256, End::Keys(1)),
        (None, JwsAlgorithm::RS256, End::Keys(3)),
        (None, JwsAlgorithm::RS512, End::Keys(2)),
    ];
    for (kid, algorithm, expected) in table {
        let found = cache.ask(WantedKey { kid, algorithm }, Some(&provider), s(0));
        assert_eq!(found, expected, "{kid:?} {algorithm:?}");
    }
    assert_eq!(cache.fetches.len(), 1);
    // Without a kid, a key of a new kind is looked for as a new kid is.
    let ed = WantedKey { kid: None, algorithm: JwsAlgorithm::EdDSA };
    assert_eq!(cache.ask(ed, Some(&provider), s(1)), End::Unavailable(s(29)));
    assert_eq!(cache.ask(ed, Some(&provider), s(30)), End::Refused);
}

#[test]
fn at_most_four_keys_are_tried() {
    let kids: Vec<_> = (0..9).map(|n| n.to_string()).collect();
    let provider = set(kids.iter().map(String::as_str), HOUR);
    let wanted = WantedKey { kid: None, algorithm: JwsAlgorithm::RS256 };
    assert_eq!(Cache::new().ask(wanted, Some(&provider), s(0)), End::Keys(4));
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let ec = |crv, x: &[u8], y: &[u8]| {
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "kty": "EC", "crv": crv, "x": x, "y": y })
    };
    let long = "k".repeat(129);
    let table = [
        (json!({ "kty": "RSA", "kid": "k", "e": "AQAB" }), "its type or curve"),
        (json!({ "kty": "oct", "k": "AAAA" }), "symmetric"),
        (json!({ "kid": 7 }), "no JWK"),
        (json!("key"), "no JWK"),
        (rsa(128, &json!({})), "1024 bits"),
        (rsa(2048, &json!({})), "16384 bits"),
        (rsa(256, &json!({ "e": "AQ" })), "RSA modulus or exponent"),
        (rsa(256, &json!({ "e": "AQAA" })), "RSA modulus or exponent"),
        (rsa(256, &json!({ "e": "AQAAAAAB" })), "RSA modulus or exponent"),
        (rsa(256, &json!({ "n": URL_SAFE_NO_PAD.encode([0; 257]) })), "RSA modulus or exponent"),
        (rsa(256, &json!({ "n": "AQAB==" })), "base64url"),
        (rsa(256, &json!({ "d": "AQAB" })), "private key"),
        (rsa(256, &json!({ "use": "enc" })), "use, key_ops or alg"),
        (rsa(256, &json!({ "key_ops": ["encrypt"] })), "use, key_ops or alg"),
        (rsa(256, &json!({ "alg": "RSA-OAEP" })), "use, key_ops or alg"),
        (rsa(256, &json!({ "alg": "HS256" })), "use, key_ops or alg"),
        (rsa(256, &json!({ "alg": "ES256" })), "use, key_ops or alg"),
        (rsa(256, &json!({ "kid": long })), "longer than 128"),
        (ec("P-256", &[1; 32], &[1; 32]), "not on the curve"),
        (ec("P-256", &[1; 31], &[1; 32]), "not on the curve"),
        (ec("P-521", &[1; 66], &[1; 66]), "its type or curve"),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 31]) }), "not on the curve"),
    ];
    for (entry, expected) in table {
        let why = UsableKey::read(&entry).unwrap_err().to_string();
        assert!(why.contains(expected), "{entry}: {why}");
    }
    for bytes in [256, 384, 512, 1024] {
        assert!(UsableKey::read(&rsa(bytes, &json!({}))).is_ok(), "{bytes}");
    }
}

/// Event at a provider or a request, after some time.
#[derive(Clone, Debug)]
enum Event {
    Junk(u16),
    /// A token of the newest key.
    Honest,
    ChangeKey,
    SetUp(bool),
    EndFetch,
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        4 => any::<u16>().prop_map(|n| Event::Junk(n % 40)),
        5 => Just(Event::Honest),
        2 => Just(Event::ChangeKey),
        1 => any::<bool>().prop_map(Event::SetUp),
        5 => Just(Event::EndFetch),
    ];
    let pause = prop_oneof![3 => 0..1_500_u64, 3 => 0..40_000_u64, 1 => 0..4_000_000_u64];
    prop::collection::vec((pause, event), 1..120)
}

proptest! {
    #[test]
    fn honest_kids_are_never_refused_and_fetches_keep_their_interval(events in events()) {
        let (mut cache, mut now, mut up, mut newest) = (Cache::new(), s(1000), true, 0_u32);
        let mut answer = None;
        let mut waiting: Vec<(String, SeenAfter)> = Vec::new();
        for (pause, event) in events {
            now += Duration::from_millis(pause);
            let asked = match event {
                Event::Junk(n) => Some(format!("junk-{n}")),
                Event::Honest => Some(format!("key-{newest}")),
                Event::ChangeKey => { newest += 1; None }
                Event::SetUp(now_up) => { up = now_up; None }
                Event::EndFetch => {
                    if cache.flight.is_some() {
                        cache.end(answer.take().flatten(), now);
                    }
                    None
                }
            };
            let mut asking = if cache.flight.is_none() { std::mem::take(&mut waiting) } else { Vec::new() };
            asking.extend(asked.map(|name| { let seen = cache.state.seen(kid(&name)); (name, seen) }));
            for (name, seen) in asking {
                let idle = cache.flight.is_none();
                match cache.decide(kid(&name), seen, now) {
                    Some(End::Keys(_)) => prop_assert!(name.starts_with("key-")),
                    Some(End::Refused) => prop_assert!(name.starts_with("junk-"), "{name} was refused"),
                    Some(End::Unavailable(retry)) => {
                        prop_assert!(retry <= FETCH_INTERVAL && cache.state.may_fetch(now + retry));
                    }
                    None => waiting.push((name, seen)),
                }
                // The provider answers with what it has when the fetch begins: the oldest answer it can give.
                if idle && cache.flight.is_some() {
                    let names: Vec<_> = (0..=newest).map(|n| format!("key-{n}")).collect();
                    answer = Some(up.then(|| set(names.iter().map(String::as_str), s(600))));
                }
            }
        }
        prop_assert!(cache.fetches.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) >= FETCH_INTERVAL));
    }
}

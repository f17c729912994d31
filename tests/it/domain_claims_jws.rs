//! Tokens, byte for byte (R08–R11): Braze reads exactly the claims of the policy and the clock.

use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::UnixMillis,
    domain::{
        claims::Claims,
        ids::{BRAZE_MAX_USER_ID_BYTES, Kid, UserId},
        jws::{HEADER, MAX_TOKEN_BYTES, Signature, SigningInput},
        policy::{AppPolicy, ClaimsPolicy, LIFETIMES},
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::domain::{HOUR, NOW, OURS, WIDEST, policy, user};

const JTI: [u8; 16] = [0xfb; 16];
const JTI_TEXT: &str = "-_v7-_v7-_v7-_v7-_v7-w";
const API_KEY: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const NONE: ClaimsPolicy = ClaimsPolicy { jti: false, iat: false, aud: false, iss: false, kid: false };
const ALL: ClaimsPolicy = ClaimsPolicy { jti: true, iat: true, aud: true, iss: true, kid: true };

fn kid() -> Kid {
    Kid::from_thumbprint(&[1; 32])
}

fn input(user: &UserId, policy: &AppPolicy, now: UnixMillis, lifetime: Duration, jti: [u8; 16]) -> SigningInput {
    let kid = kid();
    SigningInput::new(&Claims::new(user, policy, now, lifetime, jti), policy.claims.kid.then_some(&kid))
}

/// Header and claims of a signing input, decoded.
fn texts(input: &SigningInput) -> (String, String) {
    let input = std::str::from_utf8(input.as_bytes()).unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    let text = |part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (text(header), text(claims))
}

fn written(id: &str, claims: ClaimsPolicy) -> (String, String) {
    texts(&input(&user(id), &policy(claims), NOW, HOUR, JTI))
}

#[test]
fn the_header_is_these_bytes() {
    assert_eq!(HEADER, r#"{"alg":"RS256","typ":"JWT"}"#);
    let input = input(&user("u-1"), &policy(ClaimsPolicy::default()), NOW, HOUR, JTI);
    assert!(input.as_bytes().starts_with(b"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."));
    let kid = kid();
    assert_eq!(written("u-1", NONE).0, HEADER);
    assert_eq!(written("u-1", ALL).0, format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}"#));
}

#[test]
fn the_claims_are_these_bytes() {
    let with_jti = format!(r#"{{"sub":"u-1","exp":1795003600,"jti":"{JTI_TEXT}"}}"#);
    assert_eq!(written("u-1", ClaimsPolicy::default()).1, with_jti);
    assert_eq!(written("u-1", NONE).1, r#"{"sub":"u-1","exp":1795003600}"#);
    let everything = format!(
        r#"{{"sub":"u-1","exp":1795003600,"iat":1795000000,"jti":"{JTI_TEXT}","aud":"braze","iss":"{API_KEY}"}}"#
    );
    assert_eq!(written("u-1", ALL).1, everything);
    assert_eq!(written("007", NONE).1, r#"{"sub":"007","exp":1795003600}"#, "a number stays a string");
    assert_eq!(written(r#"a"b\c/dé🦀"#, NONE).1, r#"{"sub":"a\"b\\c/dé🦀","exp":1795003600}"#);
}

#[test]
fn the_whole_token_is_these_bytes() {
    let input = input(&user("u-1"), &policy(NONE), NOW, HOUR, JTI);
    let token = input.signed(&Signature(vec![0xff; 4]));
    let golden = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1LTEiLCJleHAiOjE3OTUwMDM2MDB9._____w";
    assert_eq!(token.expose(), golden);
    assert_eq!(format!("{token:?}"), "[token]");
}

fn combination(bits: u8) -> ClaimsPolicy {
    let on = |bit: u8| bits & 1 << bit != 0;
    ClaimsPolicy { jti: on(0), iat: on(1), aud: on(2), iss: on(3), kid: on(4) }
}

fn expected(claims: ClaimsPolicy) -> (Value, Value) {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    let mut body = json!({"sub": "u-1", "exp": 1_795_003_600});
    let optional = [
        (claims.jti, "jti", json!(JTI_TEXT)),
        (claims.iat, "iat", json!(1_795_000_000)),
        (claims.aud, "aud", json!("braze")),
        (claims.iss, "iss", json!(API_KEY)),
    ];
    for (on, name, value) in optional {
        if on {
            body[name] = value;
        }
    }
    if claims.kid {
        header["kid"] = json!(kid().as_str());
    }
    (header, body)
}

#[test]
fn each_of_the_32_combinations_says_what_it_should_and_nothing_else() {
    for claims in (0..32).map(combination) {
        let (header, body) = written("u-1", claims);
        let found: (Value, Value) = (serde_json::from_str(&header).unwrap(), serde_json::from_str(&body).unwrap());
        assert_eq!(found, expected(claims), "{claims:?}");
        assert!(!header.contains(' ') && !body.contains(' '));
    }
}

#[test]
fn an_app_without_sdk_api_key_has_no_iss() {
    let app = AppPolicy { sdk_api_key: None, ..policy(ALL) };
    assert!(!texts(&input(&user("u-1"), &app, NOW, HOUR, JTI)).1.contains("iss"));
}

#[test]
fn every_jti_is_another_and_so_is_its_token() {
    let (user, policy) = (user("u-1"), policy(ClaimsPolicy::default()));
    let token = |n: u128| texts(&input(&user, &policy, NOW, HOUR, n.to_be_bytes())).1;
    let some = (0..1000).chain((0..1000).map(|n| u128::MAX - n));
    let tokens: HashSet<String> = some.map(token).collect();
    assert_eq!(tokens.len(), 2000);
}

/// Longest user ids in a token: every character is escaped, or has four bytes.
fn longest_ids() -> [String; 4] {
    let fours = BRAZE_MAX_USER_ID_BYTES / 4;
    ["\"".repeat(997), "\\".repeat(997), "🦀".repeat(fours) + "\"", "\u{10fffd}".repeat(fours) + "\\"]
}

#[test]
fn the_longest_token_travels_in_one_header() {
    for id in longest_ids() {
        assert_eq!(id.len(), BRAZE_MAX_USER_ID_BYTES);
        for bits in [2048, 3072, 4096] {
            let input = input(&user(&id), &policy(ALL), UnixMillis(253_402_300_799_999), HOUR * 24, JTI);
            let token = input.signed(&Signature(vec![0xff; bits / 8]));
            assert!(token.expose().len() <= MAX_TOKEN_BYTES, "{} bytes, {bits} bits", token.expose().len());
            assert!(token.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        }
    }
}

#[test]
fn an_independent_library_accepts_the_token_and_refuses_it_changed() {
    let key = DecodingKey::from_rsa_pem(OURS.public_pem().as_bytes()).unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&["braze"]);
    rules.set_issuer(&[API_KEY]);
    rules.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
    // The library reads the machine's clock: the token must outlive the test.
    let far = UnixMillis(253_402_300_799_000);
    for id in longest_ids().iter().map(String::as_str).chain(["u-1", "007", "ÅSA", "A\u{30a}SA", " x".trim()]) {
        let input = input(&user(id), &policy(ALL), far, HOUR, JTI);
        let signature = OURS.sign(input.as_bytes());
        let token = input.signed(&signature).expose().to_owned();
        let read = jsonwebtoken::decode::<Value>(token.as_bytes(), &key, &rules).unwrap();
        assert_eq!(read.claims["sub"], id);
        assert_eq!(read.header.kid.as_deref(), Some(kid().as_str()));
        let changed = token.replacen(".ey", ".eY", 1);
        assert!(jsonwebtoken::decode::<Value>(changed.as_bytes(), &key, &rules).is_err());
    }
}

proptest! {
    #[test]
    fn sub_is_the_user_id_byte_for_byte(id in "\\PC{1,120}|[\"\\\\/<>&'\u{2028}\u{2029}\u{7f}-\u{ff}]{1,40}") {
        let Ok(user) = UserId::parse(&id, WIDEST) else { return Ok(()) };
        let (_, claims) = texts(&input(&user, &policy(ALL), NOW, HOUR, JTI));
        let read: Value = serde_json::from_str(&claims).unwrap();
        prop_assert_eq!(read["sub"].as_str().unwrap().as_bytes(), id.as_bytes());
    }

    /// `exp` is a whole second, later than a second before now + lifetime and never after it.
    #[test]
    fn exp_is_in_whole_seconds_and_never_too_late(now in 0..4_102_444_800_000_i64, life_ms in 60_000..86_400_000_u64) {
        let (user, policy, now) = (user("u-1"), policy(NONE), UnixMillis(now));
        let lifetime = Duration::from_millis(life_ms);
        let claims = Claims::new(&user, &policy, now, lifetime, JTI);
        let written: Value = serde_json::to_value(&claims).unwrap();
        let exp = written["exp"].as_i64().expect("an integer");
        let end = now.plus(lifetime);
        prop_assert!(exp * 1000 <= end.0 && end.0 < (exp + 1) * 1000);
        prop_assert_eq!(claims.expires(), UnixMillis(exp * 1000));
    }

    #[test]
    fn a_request_shortens_a_life_and_never_lengthens_it(app_s in 60..=86_400_u64, asked_ms in 0..200_000_000_u64) {
        let app = AppPolicy { lifetime: Duration::from_secs(app_s), ..policy(NONE) };
        let asked = Duration::from_millis(asked_ms);
        prop_assert_eq!(app.lifetime(None), app.lifetime);
        prop_assert_eq!(app.lifetime(Some(asked)), asked.min(app.lifetime));
    }
}

#[test]
fn a_life_lasts_a_minute_to_a_day() {
    assert_eq!((*LIFETIMES.start(), *LIFETIMES.end()), (Duration::from_mins(1), Duration::from_hours(24)));
}

#[test]
fn the_end_of_time_is_no_panic() {
    let (user, policy) = (user("u-1"), policy(ALL));
    for now in [UnixMillis(i64::MAX), UnixMillis(i64::MIN)] {
        let claims = Claims::new(&user, &policy, now, Duration::MAX, JTI);
        assert!(claims.expires() <= now.plus(Duration::MAX));
    }
}

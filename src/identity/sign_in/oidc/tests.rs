//! Properties of the reader, of signatures and of the decision on claims.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::jwks::{WantedKey, candidates_of},
    claims,
    compact::{CompactJws, MAX_BYTES, UnverifiedCredential},
    logout, signature,
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{UserId, UserIdRules},
        sign_in::{Audience, ClaimPath, JwsAlgorithm, KeySource, LONGEST_AGE, OidcRules, UserIdSource},
    },
};

const NOW: i64 = 1_795_000_000;

fn rules() -> OidcRules {
    OidcRules {
        issuer: "https://id.example.com".to_owned(),
        keys: KeySource::Discovery,
        algorithms: vec![JwsAlgorithm::RS256],
        audience: Audience { claim: "aud".to_owned(), accepted: vec!["app".to_owned()] },
        token_types: vec![String::new()],
        user_id: UserIdSource { claim: ClaimPath("sub".to_owned()), prefix: String::new(), verified_email: false },
        required_claims: Vec::new(),
        refused_claims: Vec::new(),
        max_age: None,
        leeway: Duration::ZERO,
        jwks_max_stale: Duration::ZERO,
        allow_private_addresses: false,
    }
}

fn decide(claims: &Value, rules: &OidcRules) -> Option<UserId> {
    claims::decide(claims, rules, UserIdRules::default(), UnixMillis(NOW * 1000)).ok().map(|(user, _)| user)
}

/// Vectors that are valid and refused here, each with the reason.
const REFUSED_VECTORS: [(u64, &str); 4] = [
    (346, "the key's alg is PS256, the header's PS384"),
    (347, "ES512"),
    (350, "the key's alg is PS256, the header's PS384"),
    (351, "ES512"),
];

#[test]
fn wycheproof_vectors_of_jws_are_judged_right() {
    let file: Value =
        serde_json::from_slice(include_bytes!("../../../../tests/fixtures/wycheproof/json_web_signature.json"))
            .unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in file["groups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let is_refused = REFUSED_VECTORS.iter().any(|(refused, _)| *refused == id);
            let expected = test["result"] == "valid" && !is_refused;
            assert_eq!(verifies(&group["public"], test["jws"].as_str().unwrap()), expected, "{id} {}", test["comment"]);
            if expected { valid += 1 } else { invalid += 1 }
        }
    }
    assert_eq!((valid, invalid), (32, 329));
}

/// Tells whether the key of a set verifies the JWS, by any algorithm that it names.
fn verifies(key: &Value, jws: &str) -> bool {
    let Ok(jws) = CompactJws::read(jws) else { return false };
    let Ok(algorithm) = jws.algorithm.parse::<JwsAlgorithm>() else { return false };
    let wanted = WantedKey { kid: jws.kid.as_deref(), algorithm };
    candidates_of(std::slice::from_ref(key), wanted).iter().any(|key| signature::is_by(key, algorithm, &jws))
}

static KEY: LazyLock<(EncodingKey, Value)> = LazyLock::new(|| {
    let key = EncodingKey::from_ed_pem(include_bytes!("../../../../tests/fixtures/keys/ed25519.pkcs8.pem")).unwrap();
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = "k".into();
    (key, jwk)
});

static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": "k" })), part(json!({ "iss": "i", "sub": "u" })));
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &KEY.0, Algorithm::EdDSA).unwrap();
    format!("{input}.{signature}")
});

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,300}") {
        prop_assert!(UnverifiedCredential::read(&text).is_err() || text.split('.').count() == 3);
    }

    #[test]
    fn what_is_read_has_one_text(header in "[ -~]{0,40}", claims in "[ -~]{0,40}", signature in prop::collection::vec(any::<u8>(), 0..80)) {
        let header = json!({ "alg": "RS256", "x": header }).to_string();
        let claims = json!({ "y": claims }).to_string();
        let text = [header.as_bytes(), claims.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let read = CompactJws::read(&text);
        prop_assert_eq!(read.is_ok(), !signature.is_empty());
        if let Ok(jws) = read {
            prop_assert_eq!(format!("{}.{}", jws.signing_input, jws.signature), text);
        }
    }

    #[test]
    fn no_changed_token_verifies(at in any::<prop::sample::Index>(), change in 0..4_u8, with in "[A-Za-z0-9_.= -]") {
        prop_assert!(verifies(&KEY.1, &TOKEN));
        let at = at.index(TOKEN.len());
        let (before, after) = TOKEN.split_at(at);
        let changed = match change {
            0 => format!("{before}{with}{}", &after[1..]),
            1 => format!("{before}{with}{after}"),
            2 => format!("{before}{}", &after[1..]),
            _ => before.to_owned(),
        };
        prop_assert!(changed == *TOKEN || !verifies(&KEY.1, &changed));
    }

    #[test]
    fn a_long_text_is_not_read(length in MAX_BYTES + 1..MAX_BYTES + 10_000) {
        let padding = "A".repeat(length - TOKEN.len());
        let text = format!("{}{padding}", *TOKEN);
        prop_assert!(CompactJws::read(&text).is_err());
    }

    #[test]
    fn times_are_judged_as_their_inequalities_say(
        exp in -100..100_i64,
        iat in -100..100_i64,
        nbf in proptest::option::of(-100..100_i64),
        max_age in proptest::option::of(0..150_u64),
        leeway in 0..=30_u64,
    ) {
        let mut claims = json!({ "aud": "app", "sub": "u", "exp": NOW + exp, "iat": NOW + iat });
        if let Some(nbf) = nbf {
            claims["nbf"] = (NOW + nbf).into();
        }
        let max_age = max_age.map(Duration::from_secs);
        let rules = OidcRules { max_age, leeway: Duration::from_secs(leeway), ..rules() };
        let leeway = i64::try_from(leeway).unwrap();
        let oldest = i64::try_from(max_age.unwrap_or(LONGEST_AGE).as_secs()).unwrap();
        let expected = exp > -leeway
            && iat <= leeway
            && nbf.is_none_or(|nbf| nbf <= leeway)
            && -iat < oldest + leeway;
        prop_assert_eq!(decide(&claims, &rules).is_some(), expected);
    }

    #[test]
    fn a_user_id_is_the_text_of_a_claim(text in prop_oneof![".{0,20}", "[a-z0-9|@.-]{1,20}"], prefix in "[a-z|]{0,4}") {
        let claims = json!({ "aud": "app", "sub": text, "exp": NOW + 1, "iat": NOW });
        let mut rules = rules();
        rules.user_id.prefix.clone_from(&prefix);
        let parse = |id: &str| UserId::parse(id, UserIdRules::default()).ok();
        let expected = parse(&text).and_then(|_| parse(&format!("{prefix}{text}")));
        prop_assert_eq!(decide(&claims, &rules), expected);
    }

    #[test]
    fn a_number_is_a_user_id_where_every_reader_reads_it_alike(number in prop_oneof![any::<i64>(), -(1_i64 << 53) - 2..(1 << 53) + 3]) {
        let claims = json!({ "aud": "app", "sub": number, "exp": NOW + 1, "iat": NOW });
        let user = decide(&claims, &rules());
        prop_assert_eq!(user.is_some(), number.unsigned_abs() <= 1 << 53);
        prop_assert!(user.is_none_or(|user| user.as_str() == number.to_string()));
    }

    #[test]
    fn a_credential_is_no_logout_token_nor_the_reverse(has_events: bool, has_nonce: bool) {
        let mut claims = json!({ "aud": "app", "sub": "u", "jti": "j", "exp": NOW + 1, "iat": NOW });
        if has_events {
            claims["events"] = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
        }
        if has_nonce {
            claims["nonce"] = "n".into();
        }
        let logout = logout::decide(&claims, &rules(), UnixMillis(NOW * 1000));
        prop_assert_eq!(logout.is_ok(), has_events && !has_nonce);
        prop_assert_eq!(decide(&claims, &rules()).is_some(), !has_events);
    }
}

//! Operator tokens and cookies of the console: parsed only in the form that is shown, stored as a hash only, refused from the
//! exact instant of expiry.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::UnixMillis,
    domain::operator::{ConsoleSecret, OperatorName, OperatorRecord, OperatorToken, OperatorTokenId, PREFIX, Role},
};
use proptest::prelude::*;
use strum::VariantArray;

use crate::support::domain::{MILLI, NOW};

fn token() -> OperatorToken {
    OperatorToken::new([0xab; 8], [0xff; 32])
}

fn record() -> OperatorRecord {
    OperatorRecord {
        name: "ann".parse().unwrap(),
        role: Role::Viewer,
        token: token().id,
        hash: token().hash(),
        created: NOW,
        expires: None,
        revoked: None,
    }
}

fn text(id: &str, secret: &[u8]) -> String {
    format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret))
}

#[test]
fn a_token_is_shown_with_its_prefix_its_id_and_its_secret() {
    assert_eq!(PREFIX, "cso1_");
    assert_eq!(*token().reveal(), text("abababababababab", &[0xff; 32]));
    assert_eq!(token().id.to_string(), "abababababababab");
}

#[test]
fn a_text_that_is_not_exactly_a_token_is_refused() {
    let good = "0123456789abcdef";
    assert!(OperatorToken::parse(&text(good, &[7; 32])).is_ok());
    for id in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcde "] {
        assert!(OperatorToken::parse(&text(id, &[7; 32])).is_err(), "{id:?}");
        assert!(id.parse::<OperatorTokenId>().is_err(), "{id:?}");
    }
    for length in [0, 1, 31, 33, 64] {
        assert!(OperatorToken::parse(&text(good, &vec![7; length])).is_err(), "{length} bytes");
        assert!(ConsoleSecret::parse(&URL_SAFE_NO_PAD.encode(vec![7; length])).is_none(), "{length} bytes");
    }
    let token = text(good, &[7; 32]);
    let api_key = token.replacen("cso1_", "csk1_", 1);
    for text in ["", PREFIX, &token[1..], &token[..21], &api_key, &format!("{token}="), "cso1__"] {
        assert!(OperatorToken::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn neither_a_token_nor_its_hash_shows_itself() {
    assert_eq!(format!("{:?}", token()), "OperatorToken(abababababababab)");
    assert_eq!(format!("{:?}", token().hash()), "SecretHash");
    assert!(!format!("{:?}", record()).contains("255"), "{:?}", record());
}

#[test]
fn a_token_lives_until_it_is_revoked_or_its_end_has_come() {
    let ends = OperatorRecord { expires: Some(NOW), ..record() };
    assert!(record().is_live(UnixMillis(i64::MAX)));
    assert!(ends.is_live(NOW.minus(MILLI)));
    assert!(!ends.is_live(NOW) && !ends.is_live(NOW.plus(MILLI)));
    let revoked = OperatorRecord { revoked: Some(NOW), ..record() };
    for now in [NOW.minus(MILLI), NOW, NOW.plus(MILLI)] {
        assert!(!revoked.is_live(now), "revoked for good, whatever the clock says");
    }
}

/// The store and the command line have these names.
#[test]
fn roles_have_these_names() {
    let names: Vec<&str> = Role::VARIANTS.iter().map(|role| role.as_str()).collect();
    assert_eq!(names, ["viewer", "operator"]);
    assert!(names.iter().zip(Role::VARIANTS).all(|(name, role)| name.parse() == Ok(*role)));
    assert!("ann".parse::<OperatorName>().is_ok() && "Ann Smith".parse::<OperatorName>().is_err());
}

proptest! {
    #[test]
    fn a_token_reads_as_it_was_shown(id: [u8; 8], secret: [u8; 32], other: [u8; 32]) {
        let token = OperatorToken::new(id, secret);
        let again = OperatorToken::parse(&token.reveal()).unwrap();
        prop_assert_eq!(&again.id, &token.id);
        prop_assert!(again.hash().matches(&token.hash()));
        prop_assert_eq!(OperatorToken::new(id, other).hash().matches(&token.hash()), other == secret);
        let cookie = ConsoleSecret::new(secret);
        prop_assert!(ConsoleSecret::parse(&cookie.reveal()).unwrap().hash().matches(&cookie.hash()));
    }

    #[test]
    fn any_text_is_read_without_panic(text: String, rest in "cso1_[0-9a-f]{0,17}_?[A-Za-z0-9_-]{0,50}") {
        prop_assert!(OperatorToken::parse(&text).is_err());
        if let Ok(token) = OperatorToken::parse(&rest) {
            prop_assert_eq!(&*token.reveal(), &rest);
        }
        if let Some(cookie) = ConsoleSecret::parse(&text) {
            prop_assert_eq!(&*cookie.reveal(), &text);
        }
    }
}

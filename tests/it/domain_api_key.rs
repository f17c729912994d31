//! API keys: parsed only in the form that is shown, stored as a hash only, refused from the exact instant of expiry.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::UnixMillis,
    domain::api_key::{ApiKey, ApiKeyId, ApiKeyRecord, PREFIX},
};
use proptest::prelude::*;

use crate::support::domain::{MILLI, NOW};

fn key() -> ApiKey {
    ApiKey::new([0xab; 8], [0xff; 32])
}

fn record() -> ApiKeyRecord {
    ApiKeyRecord {
        id: key().id,
        client: "backend".parse().unwrap(),
        apps: vec!["web".parse().unwrap()],
        hash: key().hash(),
        created: NOW,
        expires: None,
        revoked: None,
        last_used: None,
    }
}

fn text(id: &str, secret: &[u8]) -> String {
    format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret))
}

#[test]
fn a_key_is_shown_with_its_prefix_its_id_and_its_secret() {
    assert_eq!(*key().reveal(), text("abababababababab", &[0xff; 32]));
    assert_eq!(*ApiKey::new([0, 0, 0, 0, 0, 0, 0, 1], [0; 32]).reveal(), text("0000000000000001", &[0; 32]));
    assert_eq!(key().id.to_string(), "abababababababab");
}

#[test]
fn what_is_not_exactly_a_key_is_refused() {
    let good = "0123456789abcdef";
    assert!(ApiKey::parse(&text(good, &[7; 32])).is_ok());
    for id in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcde "] {
        assert!(ApiKey::parse(&text(id, &[7; 32])).is_err(), "{id:?}");
        assert!(id.parse::<ApiKeyId>().is_err(), "{id:?}");
    }
    for length in [0, 1, 31, 33, 64] {
        assert!(ApiKey::parse(&text(good, &vec![7; length])).is_err(), "{length} bytes");
    }
    let key = text(good, &[7; 32]);
    for text in ["", PREFIX, &key[1..], &key[..21], &key.replacen("csk1_", "csr1_", 1), &format!("{key}="), "csk1__"] {
        assert!(ApiKey::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_hash_is_that_of_its_own_secret_only() {
    let hash = key().hash();
    assert!(hash.matches(&key().hash()));
    assert!(hash.matches(&ApiKey::new([1; 8], [0xff; 32]).hash()), "the secret proves, the id only finds");
    for byte in 0..32 {
        let mut secret = [0xff; 32];
        secret[byte] ^= 1;
        assert!(!hash.matches(&ApiKey::new([0xab; 8], secret).hash()), "byte {byte}");
    }
    // SHA-256 of 32 bytes 0xff: stores hold it, so that it must never change.
    assert_eq!(hash.0[..4], [0xaf, 0x96, 0x13, 0x76]);
}

#[test]
fn neither_a_key_nor_its_hash_shows_itself() {
    assert_eq!(format!("{:?}", key()), "ApiKey(abababababababab)");
    assert_eq!(format!("{:?}", key().hash()), "ApiKeyHash");
}

#[test]
fn a_key_lives_until_it_is_revoked_or_its_end_has_come() {
    let ends = ApiKeyRecord { expires: Some(NOW), ..record() };
    assert!(record().is_live(UnixMillis(i64::MAX)));
    assert!(ends.is_live(NOW.minus(MILLI)));
    assert!(ends.is_live(NOW.minus(Duration::from_hours(1))));
    assert!(!ends.is_live(NOW));
    assert!(!ends.is_live(NOW.plus(MILLI)));
    let revoked = ApiKeyRecord { revoked: Some(NOW), ..record() };
    let both = ApiKeyRecord { revoked: Some(NOW), ..ends };
    for now in [NOW.minus(MILLI), NOW, NOW.plus(MILLI)] {
        assert!(!revoked.is_live(now), "revoked for good, whatever the clock says");
        assert!(!both.is_live(now));
    }
}

proptest! {
    #[test]
    fn a_key_reads_as_it_was_shown(id: [u8; 8], secret: [u8; 32]) {
        let key = ApiKey::new(id, secret);
        let again = ApiKey::parse(&key.reveal()).unwrap();
        prop_assert_eq!(&again.id, &key.id);
        prop_assert_eq!(key.id.as_str().parse::<ApiKeyId>(), Ok(key.id.clone()));
        prop_assert!(again.hash().matches(&key.hash()));
    }

    #[test]
    fn any_text_is_read_without_panic(text: String, rest in "csk1_[0-9a-f]{0,17}_?[A-Za-z0-9_-]{0,50}") {
        prop_assert!(ApiKey::parse(&text).is_err());
        if let Ok(key) = ApiKey::parse(&rest) {
            prop_assert_eq!(&*key.reveal(), &rest);
        }
    }
}

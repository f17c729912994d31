//! Sealed refresh tokens: one opens exactly as it was issued, and in no other form (R23).

use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid, SessionId, UserId},
        login_record::{LoginHash, LoginRecord},
        refresh_token::{Contents, Forged, IssuedWith, MAX_BYTES, PREFIX, RefreshToken, unseal},
        sealing::{NONCE_BYTES, SealingKeys, SealingSecrets},
    },
    secret::{SystemEntropy, random},
};
use proptest::prelude::*;

use crate::support::domain::{REFRESH, WIDEST, newest_of, sealing_keys, session, user};

/// Opens a token, and returns its contents.
fn opened(token: &str, keys: &SealingKeys) -> Result<Contents, Forged> {
    unseal(token, keys).map(|presented| (*presented).clone())
}

fn contents() -> Contents {
    Contents { counter: 41, user: user("canary-user"), ..newest_of(&session(REFRESH)) }
}

fn token() -> String {
    RefreshToken::seal(&contents(), &sealing_keys(&[1]), [5; NONCE_BYTES]).expose().to_owned()
}

fn bytes_of(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).unwrap()).unwrap()
}

fn text_of(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn assert_forged(text: &str) {
    // Versions 1 and 3 are one bit apart, so that a changed bit gives a version that has a key.
    assert_eq!(opened(text, &sealing_keys(&[1, 3])), Err(Forged), "{text}");
}

#[test]
fn any_bit_flipped_is_refused() {
    let keys = sealing_keys(&[1, 3]);
    let sealed = bytes_of(&token());
    assert_eq!(opened(&text_of(&sealed), &keys), Ok(contents()));
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opened(&text_of(&flipped), &keys), Err(Forged), "bit {bit}");
    }
}

#[test]
fn any_character_exchanged_is_refused() {
    let keys = sealing_keys(&[1, 3]);
    let token = token();
    for at in 0..token.len() {
        for byte in 0..=127 {
            let mut text = token.clone().into_bytes();
            if std::mem::replace(&mut text[at], byte) != byte {
                let text = String::from_utf8(text).unwrap();
                assert_eq!(opened(&text, &keys), Err(Forged), "{byte} at {at}");
            }
        }
    }
}

#[test]
fn any_length_but_its_own_is_refused() {
    let token = token();
    (0..token.len()).for_each(|length| assert_forged(&token[..length]));
    (1..token.len()).for_each(|from| assert_forged(&token[from..]));
    for more in ["A", "AA", "AAA", "AAAA", "=", "==", " ", "\n", "\0", ".", &token] {
        assert_forged(&format!("{token}{more}"));
        assert_forged(&format!("{more}{token}"));
    }
    let sealed = bytes_of(&token);
    (0..sealed.len()).for_each(|length| assert_forged(&text_of(&sealed[..length])));
}

#[test]
fn another_case_or_alphabet_is_refused() {
    let token = token();
    assert_forged(&token.to_uppercase());
    assert_forged(&token.to_lowercase());
    assert_forged(&token.replacen("csr1_", "CSR1_", 1));
    let standard = token[PREFIX.len()..].replace('-', "+").replace('_', "/");
    assert_ne!(standard, token[PREFIX.len()..], "this token must have a character where the alphabets differ");
    assert_forged(&format!("{PREFIX}{standard}"));
}

/// RFC 4648 §3.5: the unused bits of the last character must be zero, or one token would have several texts.
#[test]
fn unused_bits_at_the_end_must_be_zero() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut lengths = HashSet::new();
    for id in ["u", "uv", "uvw"] {
        let contents = Contents { user: user(id), ..contents() };
        let token = RefreshToken::seal(&contents, &sealing_keys(&[1]), [5; NONCE_BYTES]);
        let (rest, last) = token.expose().split_at(token.expose().len() - 1);
        let value = ALPHABET.iter().position(|&b| b == last.as_bytes()[0]).unwrap();
        lengths.insert(bytes_of(token.expose()).len() % 3);
        for other in (0..64).filter(|&other| other != value) {
            assert_forged(&format!("{rest}{}", char::from(ALPHABET[other])));
        }
    }
    assert_eq!(lengths.len(), 3, "every number of unused bits");
}

#[test]
fn another_key_version_or_prefix_is_refused() {
    let token = token();
    assert_eq!(opened(&token, &sealing_keys(&[2])), Err(Forged), "its version is not there");
    let mut as_two = bytes_of(&token);
    as_two[..4].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(opened(&text_of(&as_two), &sealing_keys(&[1, 2])), Err(Forged), "another version's key");
    let same_secret_twice = format!("1:{0} 2:{0}", "0123456789abcdef".repeat(4));
    let keys = SealingKeys::derive(&SealingSecrets::parse(&same_secret_twice).unwrap());
    let mut as_one = bytes_of(RefreshToken::seal(&contents(), &keys, [5; NONCE_BYTES]).expose());
    as_one[..4].copy_from_slice(&1_u32.to_be_bytes());
    assert_eq!(opened(&text_of(&as_one), &keys), Err(Forged), "the version is bound even where secrets are the same");
    for prefix in ["", "csr2_", "csk1_", "csr1", "csr1-"] {
        assert_forged(&token.replacen(PREFIX, prefix, 1));
    }
}

#[test]
fn a_new_sealing_secret_seals_and_the_old_one_still_opens_until_it_is_dropped() {
    let old = token();
    let both = sealing_keys(&[1, 2]);
    assert_eq!(opened(&old, &both), Ok(contents()));
    let new = RefreshToken::seal(&contents(), &both, [5; NONCE_BYTES]);
    assert_eq!(bytes_of(new.expose())[..4], 2_u32.to_be_bytes());
    assert_eq!(opened(new.expose(), &sealing_keys(&[2])), Ok(contents()));
    assert_eq!(opened(new.expose(), &sealing_keys(&[1])), Err(Forged));
}

#[test]
fn nothing_inside_is_seen_from_outside() {
    let sealed = bytes_of(&token());
    let contents = contents();
    let hidden = [
        contents.user.as_str().as_bytes().to_vec(),
        contents.app.as_str().as_bytes().to_vec(),
        contents.session.0.to_vec(),
        contents.issued.0.to_be_bytes().to_vec(),
    ];
    for part in hidden {
        assert!(!sealed.windows(part.len()).any(|window| window == part), "{part:?}");
    }
    assert!(!token().contains("canary"));
    let token = RefreshToken::seal(&contents, &sealing_keys(&[1]), [5; NONCE_BYTES]);
    assert_eq!(format!("{token:?}"), "[refresh token]");
}

#[test]
fn a_hundred_thousand_tokens_of_the_same_contents_are_all_different() {
    let (keys, contents) = (sealing_keys(&[1]), contents());
    let tokens: HashSet<String> = (0..100_000)
        .map(|_| RefreshToken::seal(&contents, &keys, random(&SystemEntropy).unwrap()).expose().to_owned())
        .collect();
    assert_eq!(tokens.len(), 100_000);
}

#[test]
fn with_the_same_nonce_other_contents_still_give_another_token() {
    let keys = sealing_keys(&[1]);
    let seal = |counter| RefreshToken::seal(&Contents { counter, ..contents() }, &keys, [5; NONCE_BYTES]);
    let tokens: HashSet<String> = (0..1000).map(|counter| seal(counter).expose().to_owned()).collect();
    assert_eq!(tokens.len(), 1000);
    // The first blocks must not repeat either: AES-GCM-SIV derives its key stream from all of the contents.
    assert_ne!(bytes_of(seal(1).expose())[16..32], bytes_of(seal(2).expose())[16..32]);
}

#[test]
fn the_longest_token_is_looked_at_and_a_longer_text_is_not() {
    let contents = Contents { app: "x".repeat(63).parse().unwrap(), user: user(&"u".repeat(997)), ..contents() };
    let token = RefreshToken::seal(&contents, &sealing_keys(&[1]), [5; NONCE_BYTES]);
    assert!(token.expose().len() <= MAX_BYTES);
    assert_eq!(opened(token.expose(), &sealing_keys(&[1])), Ok(contents));
    assert_forged(&format!("{PREFIX}{}", "A".repeat(MAX_BYTES)));
}

/// A caller may shorten a lifetime, and no refresh may lengthen it again (R10), not even one below a second.
#[test]
fn a_shortened_life_stays_shortened() {
    let shortened = |life| {
        let contents = Contents { shortened: Some(life), ..contents() };
        let token = RefreshToken::seal(&contents, &sealing_keys(&[1]), [5; NONCE_BYTES]);
        opened(token.expose(), &sealing_keys(&[1])).unwrap().shortened
    };
    let seconds = |s| Some(Duration::from_secs(s));
    assert_eq!(shortened(Duration::from_mins(1)), seconds(60));
    assert_eq!(shortened(Duration::from_millis(60_999)), seconds(60));
    assert_eq!(shortened(Duration::from_millis(1)), seconds(1));
    assert_eq!(shortened(Duration::ZERO), seconds(1));
    assert_eq!(shortened(Duration::MAX), seconds(u32::MAX.into()));
}

/// Sealed by the version before refresh tokens named a JWT, for nodes of both versions side by side.
const OF_THE_VERSION_BEFORE: &str = "csr1_AAAAAQUFBQUFBQUFBQUFBX6B_4n0_-m5z6O69Y7m7gdb0HPjXWUlu7gLS-IdTK-\
Oay5AIindw72hVMUY-CgtY8H3BY1Cs_fwfVvlnfdpmNFe3JVDUbimCyEyl8DRnrJXuwR2";

#[test]
fn a_token_of_the_version_before_opens_and_names_no_key() {
    let old = unseal(OF_THE_VERSION_BEFORE, &sealing_keys(&[1])).unwrap();
    assert_eq!(*old, contents());
    assert!(!old.issued_with().is_of(&Kid::from_thumbprint(&[7; 32])));
}

/// The version before takes any nonce, and these contents: it opens the token.
#[test]
fn a_token_that_names_a_jwt_differs_from_one_of_the_version_before_in_its_nonce_only() {
    let kid = Kid::from_thumbprint(&[7; 32]);
    let named = IssuedWith::new(&kid, (UnixMillis(1_795_000_000_500), UnixMillis(1_795_000_900_000)));
    let keys = sealing_keys(&[1]);
    let token = RefreshToken::seal(&contents(), &keys, named.nonce());
    let opened = unseal(token.expose(), &keys).unwrap();
    assert_eq!((*opened).clone(), contents());
    assert_eq!(opened.issued_with(), named);
    assert_eq!(named.issued(), UnixMillis(1_795_000_000_000));
    assert_eq!(named.expires(), UnixMillis(1_795_000_900_000));
    assert!(named.is_of(&kid));
    // One bit less in what it names, and it is forged.
    let mut bytes = bytes_of(token.expose());
    bytes[4] ^= 1;
    assert_eq!(unseal(&text_of(&bytes), &keys).map(|_| ()), Err(Forged));
    let before = RefreshToken::seal(&contents(), &keys, [5; NONCE_BYTES]);
    assert_eq!(before.expose(), OF_THE_VERSION_BEFORE);
    assert_eq!(before.expose().len(), token.expose().len());
}

prop_compose! {
    fn any_contents()(
        session: [u8; 16], app in "[a-z0-9][a-z0-9_-]{0,62}", id in "[^\\pC\\s]{1,60}", counter: u64, issued: i64,
        idle: i64, end: i64, shortened in proptest::option::of(1..=u32::MAX),
        login in proptest::option::of(any::<([u8; 16], [u8; 16], i64)>()), unwritten: bool,
    ) -> Contents {
        Contents {
            session: SessionId(session),
            app: app.parse::<AppName>().unwrap(),
            user: UserId::parse(&id, WIDEST).unwrap(),
            counter,
            issued: UnixMillis(issued),
            idle_expires: UnixMillis(idle),
            expires: UnixMillis(end),
            shortened: shortened.map(|s| Duration::from_secs(s.into())),
            login: login.map(|(subject, session, issued)| LoginRecord {
                subject: LoginHash(subject),
                session: LoginHash(session),
                issued: UnixMillis(issued),
            }),
            unwritten,
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_the_same(contents in any_contents(), nonce: [u8; NONCE_BYTES]) {
        let keys = sealing_keys(&[1, 2]);
        let token = RefreshToken::seal(&contents, &keys, nonce);
        prop_assert!(token.expose().len() <= MAX_BYTES);
        prop_assert_eq!(opened(token.expose(), &keys), Ok(contents));
    }

    #[test]
    fn any_text_is_refused_and_never_panics(text: String, encoded in "csr1_[A-Za-z0-9_-]{0,300}", bytes: Vec<u8>) {
        let sealed_by_nobody = [&1_u32.to_be_bytes()[..], &bytes].concat();
        for text in [text, encoded, text_of(&bytes), text_of(&sealed_by_nobody)] {
            prop_assert_eq!(opened(&text, &sealing_keys(&[1, 3])), Err(Forged));
        }
    }
}

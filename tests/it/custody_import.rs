//! Import of keys: the accepted forms, and the refused ones, each named with the next step.

use countersign::custody::{ImportError, PublicHalf, UnsupportedKey, describe, inspect_pem};
use proptest::prelude::*;

use crate::custody::{Custody, PASSPHRASE, fixture};

fn text(name: &str) -> String {
    String::from_utf8(fixture(name)).unwrap()
}

fn inspected(bytes: &[u8]) -> Result<PublicHalf, ImportError> {
    inspect_pem(bytes)
}

/// Error of importing these bytes, the same by every way; it shows none of them.
fn refusal(bytes: &[u8]) -> ImportError {
    let custody = Custody::plain();
    let refusal = custody.import(bytes, None).unwrap_err();
    assert_eq!(inspected(bytes).unwrap_err(), refusal);
    assert!(custody.files().is_empty(), "something was kept: {:?}", custody.files());
    refusal
}

#[test]
fn what_is_no_rsa_private_key_is_refused_by_name_with_the_next_step() {
    let table = [
        ("rsa-2048.public.pem", UnsupportedKey::PublicKey, "a public key: give the private key"),
        ("rsa-2048.public-pkcs1.pem", UnsupportedKey::PublicKey, "BEGIN PRIVATE KEY"),
        ("openssh.public", UnsupportedKey::PublicKey, "BEGIN PRIVATE KEY"),
        ("certificate.pem", UnsupportedKey::Certificate, "give the private key that belongs to it"),
        ("certificate-request.pem", UnsupportedKey::CertificateRequest, "give the private key that belongs to it"),
        ("ec-p256.sec1.pem", UnsupportedKey::EcKey, "an EC key: Braze accepts RS256 only"),
        ("ec-p256.pkcs8.pem", UnsupportedKey::EcKey, "countersign keys generate"),
        ("ed25519.pkcs8.pem", UnsupportedKey::EdwardsKey, "countersign keys generate"),
        ("x25519.pkcs8.pem", UnsupportedKey::EdwardsKey, "countersign keys generate"),
        ("rsa-pss.pkcs8.pem", UnsupportedKey::RsaPss, "countersign keys generate"),
        ("dsa.pkcs8.pem", UnsupportedKey::DsaKey, "countersign keys generate"),
        ("dsa.traditional.pem", UnsupportedKey::DsaKey, "countersign keys generate"),
        ("openssh.private", UnsupportedKey::OpenSsh, "ssh-keygen -p -m pkcs8"),
        ("rsa-2048.legacy-encrypted.pem", UnsupportedKey::LegacyEncrypted, "openssl pkcs8 -topk8"),
        ("rsa-2048.pkcs8.der", UnsupportedKey::Der, "openssl pkey -inform DER"),
        ("rsa-2048.pkcs1.der", UnsupportedKey::Der, "openssl pkey -inform DER"),
        ("rsa-2048.encrypted.der", UnsupportedKey::Der, "openssl pkey -inform DER"),
        ("rsa-2048.public.der", UnsupportedKey::PublicKey, "BEGIN PRIVATE KEY"),
        ("certificate.der", UnsupportedKey::Certificate, "BEGIN PRIVATE KEY"),
        ("certificate-request.der", UnsupportedKey::CertificateRequest, "BEGIN PRIVATE KEY"),
        ("bundle.p12", UnsupportedKey::Pkcs12, "openssl pkcs12 -in"),
        ("rsa-2048.jwk.json", UnsupportedKey::Json, "export the key as PEM"),
    ];
    for (name, foreign, next) in table {
        let refusal = refusal(&fixture(name));
        assert_eq!(refusal, ImportError::Unsupported(foreign), "{name}");
        assert!(refusal.to_string().contains(next), "{name}: {refusal}");
        assert_eq!(describe(&fixture(name)), foreign.name(), "{name}");
    }
}

/// Base64 of a PEM file, as one line.
fn bare(name: &str) -> Vec<u8> {
    text(name).lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes()
}

/// JSON with a key in it, as a cloud gives it.
fn service_account(pem: &str) -> Vec<u8> {
    serde_json::json!({ "type": "service_account", "keys": [{ "private_key": pem }] }).to_string().into_bytes()
}

#[test]
fn a_label_that_does_not_fit_is_corrected_by_the_body() {
    let key = inspected(&fixture("rsa-2048.pkcs8.pem")).unwrap();
    let bodies = [fixture("rsa-2048.pkcs8.der"), fixture("rsa-2048.pkcs1.der")];
    for label in
        ["RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "PUBLIC KEY", "RSA PUBLIC KEY"]
    {
        for body in &bodies {
            assert_eq!(inspected(&armoured(label, body)).unwrap(), key, "{label}");
        }
        let custody = Custody::plain();
        let encrypted = armoured(label, &fixture("rsa-2048.encrypted.der"));
        let held = custody.import(&encrypted, Some(PASSPHRASE));
        if label.ends_with("PRIVATE KEY") {
            assert_eq!(held.unwrap().kid, key.kid, "{label}");
        }
    }
    for (label, body, unsupported) in [
        ("PRIVATE KEY", "rsa-2048.public.der", UnsupportedKey::PublicKey),
        ("RSA PRIVATE KEY", "certificate.der", UnsupportedKey::Certificate),
        ("PRIVATE KEY", "bundle.p12", UnsupportedKey::Pkcs12),
    ] {
        assert_eq!(refusal(&armoured(label, &fixture(body))), ImportError::Unsupported(unsupported), "{label}");
    }
    let sec1 = text("ec-p256.sec1.pem");
    let sec1 = &sec1[sec1.find("-----BEGIN EC PRIVATE").unwrap()..];
    let mislabelled = sec1.replace("EC PRIVATE", "PRIVATE");
    assert_eq!(refusal(mislabelled.as_bytes()), ImportError::Unsupported(UnsupportedKey::EcKey));
}

/// Runs the command of a hint in a folder in which these bytes are the file that it reads; the file that it writes.
fn follow(hint: &str, read: &str, bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(read), bytes).unwrap();
    let command = hint.rsplit(": ").next().unwrap();
    let done = std::process::Command::new("sh").args(["-c", command]).current_dir(folder.path()).status().unwrap();
    assert!(done.success(), "{command}");
    std::fs::read(folder.path().join("key.pem")).unwrap()
}

#[test]
#[ignore = "needs openssl and jq; tests/run.sh runs it"]
fn a_hint_that_is_followed_leads_to_a_key() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let pem = text("rsa-2048.pkcs8.pem");
    let key = inspected(pem.as_bytes()).unwrap();
    let utf16: Vec<u8> = format!("\u{FEFF}{pem}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (read, bytes) in [
        ("key.txt", pem.replace('\n', "\\n").into_bytes()),
        ("key.txt", format!("\"{}\"", pem.replace('\n', "\\n")).into_bytes()),
        ("key.txt", STANDARD.encode(&pem).into_bytes()),
        ("key.txt", STANDARD.encode(format!("\u{FEFF}{pem}")).into_bytes()),
        ("key.txt", pem.replace("-----", "----").into_bytes()),
        ("key.txt", pem.replace("KEY-----", "KEY----").into_bytes()),
        ("key.txt", pem.replace("-----", "\u{2014}").into_bytes()),
        ("key.txt", utf16),
        ("key.json", service_account(&pem)),
    ] {
        let hint = refusal(&bytes).to_string();
        assert_eq!(inspected(&follow(&hint, read, &bytes)).unwrap(), key, "{hint}");
    }
    for name in ["rsa-2048.pkcs8.pem", "rsa-2048.pkcs1.pem"] {
        let bare = bare(name);
        let hint = refusal(&bare).to_string();
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        assert!(hint.contains(begin) && hint.contains(end), "{hint}");
        let followed = [begin.as_bytes(), b"\n", &bare, b"\n", end.as_bytes(), b"\n"].concat();
        assert_eq!(inspected(&followed).unwrap(), key, "{name}");
    }
}

#[test]
fn what_was_damaged_on_the_way_is_refused_by_name_with_the_next_step() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let pem = text("rsa-2048.pkcs8.pem");
    let public = text("rsa-2048.public.pem");
    let certificate = text("certificate.pem");
    let inside: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let utf16 = |unit: fn(u16) -> [u8; 2]| pem.encode_utf16().flat_map(unit).collect::<Vec<_>>();
    let table = [
        (Vec::new(), UnsupportedKey::Empty, "give the PEM file"),
        (b" \r\n\t ".to_vec(), UnsupportedKey::Empty, "give the PEM file"),
        (vec![b'x'; 64 * 1024 + 1], UnsupportedKey::TooLarge, "the key alone"),
        (b"my key".to_vec(), UnsupportedKey::Unknown, "give the PEM file"),
        (b"0".to_vec(), UnsupportedKey::Unknown, "give the PEM file"),
        ((pem.clone() + &public).into_bytes(), UnsupportedKey::Several, "keep only the private key"),
        ((certificate.clone() + &pem).into_bytes(), UnsupportedKey::Several, "keep only the private key"),
        ((pem.clone() + &pem).into_bytes(), UnsupportedKey::Several, "keep only the private key"),
        ((certificate.clone() + &certificate).into_bytes(), UnsupportedKey::Certificate, "private key"),
        (pem.as_bytes()[..800].to_vec(), UnsupportedKey::Truncated, "copy it again"),
        (pem.replace("MII", "M\u{2026}").into_bytes(), UnsupportedKey::BadBase64, "copy it again"),
        (pem.replace('\n', "\\n").into_bytes(), UnsupportedKey::EscapedNewlines, "printf"),
        (STANDARD.encode(&pem).into_bytes(), UnsupportedKey::Base64OfPem, "base64 -d"),
        (STANDARD.encode(format!("\u{FEFF}{pem}")).into_bytes(), UnsupportedKey::Base64OfPem, "base64 -d"),
        (STANDARD.encode(format!("Bag\n{pem}")).into_bytes(), UnsupportedKey::Base64OfPem, "base64 -d"),
        (pem.replace("-----", "----").into_bytes(), UnsupportedKey::WrongDashes, "sed -E"),
        (pem.replace("KEY-----", "KEY----").into_bytes(), UnsupportedKey::WrongDashes, "sed -E"),
        (pem.replace("-----END", "----END").into_bytes(), UnsupportedKey::WrongDashes, "sed -E"),
        (pem.replace("-----", "\u{2014}").into_bytes(), UnsupportedKey::WrongDashes, "sed -E"),
        (service_account(&pem), UnsupportedKey::JsonWithPem, "jq -r"),
        (bare("ec-p256.pkcs8.pem"), UnsupportedKey::EcKey, "keys generate"),
        (bare("rsa-2048.public.pem"), UnsupportedKey::PublicKey, "BEGIN PRIVATE KEY"),
        (bare("certificate.pem"), UnsupportedKey::Certificate, "BEGIN PRIVATE KEY"),
        (b"MIIEogIBAAKCAQ".to_vec(), UnsupportedKey::BadBase64, "copy it again"),
        (inside.into_bytes(), UnsupportedKey::BareBase64, "put -----BEGIN PRIVATE KEY-----"),
        (utf16(u16::to_le_bytes), UnsupportedKey::Utf16, "iconv"),
        ([&[0xFF, 0xFE][..], &utf16(u16::to_le_bytes)].concat(), UnsupportedKey::Utf16, "iconv"),
        ([&[0xFE, 0xFF][..], &utf16(u16::to_be_bytes)].concat(), UnsupportedKey::Utf16, "iconv"),
        (b"PuTTY-User-Key-File-3: ssh-rsa".to_vec(), UnsupportedKey::Putty, "puttygen"),
        (b"\xFE\xED\xFE\xED\0\0\0\x02".to_vec(), UnsupportedKey::JavaKeystore, "keytool"),
        (pem.replace("PRIVATE", "PGP PRIVATE").into_bytes(), UnsupportedKey::Pgp, "keys generate"),
        (pem.replace("PRIVATE", "SECRET").into_bytes(), UnsupportedKey::OtherPem, "BEGIN PRIVATE KEY"),
    ];
    for (bytes, foreign, next) in table {
        let refusal = refusal(&bytes);
        assert_eq!(refusal, ImportError::Unsupported(foreign));
        assert!(refusal.to_string().contains(next), "{refusal}");
    }
}

#[test]
fn an_unfit_rsa_key_is_refused_for_its_reason() {
    let table = [
        ("rsa-1024.pkcs8.pem", ImportError::TooShort { bits: 1024 }),
        ("rsa-2050.pkcs8.pem", ImportError::OddSize { bits: 2050 }),
        ("rsa-4104.pkcs8.pem", ImportError::TooLong { bits: 4104 }),
        ("rsa-2048.e3.pem", ImportError::Exponent),
        ("rsa-2048.three-primes.pem", ImportError::MultiPrime),
        ("rsa-2048.close-primes.pem", ImportError::ClosePrimes),
        ("rsa-2048.equal-primes.pem", ImportError::ClosePrimes),
        ("rsa-2048.foreign-modulus.pem", ImportError::Mismatch),
        ("rsa-2048.even-modulus.pem", ImportError::Mismatch),
        ("rsa-2048.wrong-d.pem", ImportError::Mismatch),
        ("rsa-2048.wrong-crt.pem", ImportError::Mismatch),
        ("rsa-2048.wrong-qinv.pem", ImportError::Mismatch),
        ("rsa-2048.prime-is-one.pem", ImportError::Mismatch),
    ];
    for (name, unfit) in table {
        assert_eq!(refusal(&fixture(name)), unfit, "{name}");
        assert!(unfit.to_string().contains("countersign keys generate"), "{unfit}");
    }
}

#[test]
fn numbers_that_fit_but_are_no_primes_fail_the_test_signature() {
    let refusal = Custody::plain().import(&fixture("rsa-2048.composite-factor.pem"), None).unwrap_err();
    assert!(matches!(refusal, ImportError::SelfTest(_) | ImportError::Refused), "{refusal:?}");
}

#[test]
fn outdated_encryption_is_refused_before_a_passphrase_is_asked_for() {
    for name in ["rsa-2048.encrypted-pbes1.pem", "rsa-2048.encrypted-3des.pem", "rsa-2048.encrypted-sha1.pem"] {
        let refusal = refusal(&fixture(name));
        assert_eq!(refusal, ImportError::OldEncryption, "{name}");
        assert!(refusal.to_string().contains("openssl pkey -aes256"), "{refusal}");
    }
}

#[test]
fn an_encrypted_key_needs_its_passphrase() {
    let custody = Custody::plain();
    for name in ["rsa-2048.encrypted.pem", "rsa-2048.encrypted-scrypt.pem"] {
        assert_eq!(custody.import(&fixture(name), None), Err(ImportError::PassphraseMissing), "{name}");
        let wrong = custody.import(&fixture(name), Some("correct-horse\n"));
        assert_eq!(wrong, Err(ImportError::PassphraseWrong), "{name}");
    }
    let empty = custody.import(&fixture("rsa-2048.encrypted.pem"), Some(""));
    assert_eq!(empty, Err(ImportError::PassphraseWrong));
    assert!(custody.files().is_empty());
    for name in ["rsa-2048.encrypted.pem", "rsa-2048.encrypted-scrypt.pem"] {
        assert!(custody.import(&fixture(name), Some(PASSPHRASE)).is_ok(), "{name}");
    }
}

#[test]
fn every_form_of_one_key_is_one_key() {
    let pem = text("rsa-2048.pkcs8.pem");
    let one_line = pem.replace('\n', "").replace("KEY-----M", "KEY-----\nM").replace("-----END", "\n-----END");
    let forms = [
        fixture("rsa-2048.pkcs1.pem"),
        pem.replace('\n', "\r\n").into_bytes(),
        format!("Bag Attributes\n    friendlyName: key\n{pem}\n\n").into_bytes(),
        format!("\u{feff}{pem}").into_bytes(),
        one_line.into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
    ];
    let key = inspected(pem.as_bytes()).unwrap();
    assert_eq!(key.pem, text("rsa-2048.public.pem"), "the public half that openssl writes");
    for form in forms {
        assert_eq!(inspected(&form).unwrap(), key, "{}", String::from_utf8_lossy(&form));
    }
    let held = Custody::plain().import(&fixture("rsa-2048.encrypted.pem"), Some(PASSPHRASE)).unwrap();
    assert_eq!((held.kid, held.public_key), (key.kid, key.pem));
}

#[test]
fn the_kid_is_what_another_library_computes() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
    use rsa::{PublicKey, pkcs8::DecodePublicKey, traits::PublicKeyParts};
    for (name, bits) in [
        ("rsa-2048.pkcs8.pem", 2048),
        ("rsa-2056.pkcs8.pem", 2056),
        ("rsa-3072.pkcs8.pem", 3072),
        ("rsa-4096.pkcs8.pem", 4096),
    ] {
        let key = inspected(&fixture(name)).unwrap();
        let public = PublicKey::from_public_key_pem(&key.pem).unwrap();
        let n = URL_SAFE_NO_PAD.encode(public.n_bytes());
        let jwk: Jwk = serde_json::from_value(serde_json::json!({ "kty": "RSA", "n": n, "e": "AQAB" })).unwrap();
        assert_eq!(key.kid.as_str(), jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), "{name}");
        assert_eq!((key.bits, public.n().bit_width_vartime()), (bits, bits), "{name}");
    }
}

#[test]
fn a_refusal_shows_nothing_of_the_file() {
    let canary = "Q0FOQVJZQ0FOQVJZ";
    for pem in [
        format!("-----BEGIN PRIVATE KEY-----\n{canary}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN {canary}-----\nMII=\n-----END {canary}-----\n"),
        format!("{{\"k\":\"{canary}\"}}"),
        canary.to_owned(),
    ] {
        let refusal = refusal(pem.as_bytes());
        assert!(!format!("{refusal} {refusal:?} {}", describe(pem.as_bytes())).contains(canary));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_flipped_bit_never_makes_another_key(at in 0_usize..1704, bit in 0_u8..8) {
        let mut pem = fixture("rsa-2048.pkcs8.pem");
        let key = inspected(&pem).unwrap();
        let at = at % pem.len();
        pem[at] ^= 1 << bit;
        if let Ok(other) = inspected(&pem) {
            prop_assert_eq!(other, key);
        }
    }

    #[test]
    fn a_truncated_file_never_makes_another_key(len in 0_usize..1704) {
        let pem = fixture("rsa-2048.pkcs8.pem");
        if let Ok(other) = inspected(&pem[..len.min(pem.len())]) {
            prop_assert_eq!(other, inspected(&pem).unwrap());
        }
    }

    #[test]
    fn a_changed_byte_of_the_der_never_makes_another_key(at in 0_usize..1218, byte: u8) {
        let mut der = fixture("rsa-2048.pkcs8.der");
        let key = inspected(&armoured("PRIVATE KEY", &der)).unwrap();
        let at = at % der.len();
        der[at] = byte;
        if let Ok(other) = inspected(&armoured("PRIVATE KEY", &der)) {
            prop_assert_eq!(other, key);
        }
    }

    #[test]
    fn nothing_makes_it_panic(bytes: Vec<u8>, label in "(RSA |ENCRYPTED |EC |)(PRIVATE|PUBLIC) KEY") {
        prop_assert!(inspected(&bytes).is_err());
        prop_assert!(inspected(&armoured(&label, &bytes)).is_err());
    }

    #[test]
    fn a_changed_byte_of_an_encrypted_key_never_makes_it_panic(at in 0_usize..120, byte: u8) {
        // The first bytes are the algorithm and its cost, which bound the rest of the work.
        let mut der = fixture("rsa-2048.encrypted.der");
        der[at] = byte;
        let _refused = inspected(&armoured("ENCRYPTED PRIVATE KEY", &der));
    }
}

fn armoured(label: &str, der: &[u8]) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
}

//! Public keys as `SubjectPublicKeyInfo` in DER (RFC 5280 §4.1.2.7), so that two texts of one key are equal.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use pkcs8::{
    SubjectPublicKeyInfoRef,
    der::{Decode, Encode, asn1::BitStringRef},
};
use rsa::pkcs1::{ALGORITHM_ID, RsaPublicKeyRef};

/// `SubjectPublicKeyInfo` of an RSA public key, in DER.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spki(Box<[u8]>);

/// Fingerprint of a public key: SHA-256 of its DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Parses a fingerprint as people and programs write it: plain digits, with colons, after `SHA256:`; a line of
    /// sha256sum, which has the file's name behind it; a line of openssl, which has the algorithm and `=` before it.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let behind = text.rsplit_once('=').map_or("", |(_, behind)| behind);
        let first = text.split_whitespace().next().unwrap_or_default();
        match [behind, first, text].into_iter().find_map(digits) {
            Some(digest) if digest == digest_of(&[]) => Err(NotAFingerprint::OfNothing),
            Some(digest) => Ok(Self(digest)),
            None => Err(NotAFingerprint::Malformed),
        }
    }
}

/// Parses 64 hexadecimal digits, with anything between them that people put there.
fn digits(text: &str) -> Option<[u8; 32]> {
    // sha256sum puts a backslash before the line where the file's name is escaped.
    let text = text.trim().trim_start_matches('\\').to_ascii_lowercase();
    let text = text.strip_prefix("sha256:").unwrap_or(&text);
    let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).ok().map(|()| digest)
}

fn digest_of(data: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, data).as_ref());
    bytes
}

/// Error for a text that is not the fingerprint of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAFingerprint {
    #[error("not a fingerprint: give the 64 hexadecimal digits of the SHA-256, as sha256sum or openssl print them")]
    Malformed,
    /// SHA-256 of no data, as sha256sum prints it behind a command that failed.
    #[error("this is the SHA-256 of no data at all: the command before sha256sum printed no key")]
    OfNothing,
}

/// Error for a text that is not an RSA public key in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
pub struct NotAPublicKey;

impl Spki {
    /// Parses PEM with any line breaks: a dashboard or a clipboard may have changed them. PKCS#1
    /// (`BEGIN RSA PUBLIC KEY`) is the same key in another encoding.
    pub fn from_pem(pem: &str) -> Result<Self, NotAPublicKey> {
        let pem = pem.replace("\\n", "\n");
        let after = pem.split_once("-----BEGIN ").ok_or(NotAPublicKey)?.1;
        let (label, after) = after.split_once("-----").ok_or(NotAPublicKey)?;
        let (body, _) = after.split_once("-----END ").ok_or(NotAPublicKey)?;
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| NotAPublicKey)?;
        let key = match label {
            "PUBLIC KEY" => key_of(&der)?,
            "RSA PUBLIC KEY" => &der,
            _ => return Err(NotAPublicKey),
        };
        encoded(key).map(|der| Self(der.into())).map_err(|_| NotAPublicKey)
    }

    /// Fingerprint of the key, the same as `openssl pkey -pubin -in FILE -outform DER | sha256sum` prints.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(digest_of(&self.0))
    }
}

/// Returns the key within a `SubjectPublicKeyInfo`, as PKCS#1 has it.
fn key_of(der: &[u8]) -> Result<&[u8], NotAPublicKey> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| NotAPublicKey)?;
    if info.algorithm.oid != ALGORITHM_ID.oid {
        return Err(NotAPublicKey);
    }
    info.subject_public_key.as_bytes().ok_or(NotAPublicKey)
}

/// Encodes a key of PKCS#1 anew. Its numbers are not prepared for a verification, which takes longer than all else here.
fn encoded(key: &[u8]) -> pkcs8::der::Result<Vec<u8>> {
    let key = RsaPublicKeyRef::from_der(key)?.to_der()?;
    SubjectPublicKeyInfoRef { algorithm: ALGORITHM_ID, subject_public_key: BitStringRef::from_bytes(&key)? }.to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPKI: &str = include_str!("../../tests/fixtures/keys/rsa-2048.public.pem");
    const PKCS1: &str = include_str!("../../tests/fixtures/keys/rsa-2048.public-pkcs1.pem");

    #[test]
    fn one_key_is_one_value_however_it_is_written() {
        let key = Spki::from_pem(SPKI).unwrap();
        for text in [
            SPKI.replace('\n', "\r\n"),
            SPKI.trim().replace('\n', "\\n"),
            format!("  {}", SPKI.replace('\n', "\n ")),
            SPKI.replacen("KEY-----\n", "KEY-----", 1),
            PKCS1.to_owned(),
        ] {
            assert_eq!(Spki::from_pem(&text).as_ref(), Ok(&key), "{text}");
        }
        for text in
            ["", "MIIB", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
        {
            assert_eq!(Spki::from_pem(text), Err(NotAPublicKey), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_accepted_as_people_and_programs_write_it() {
        let fingerprint = Spki::from_pem(SPKI).unwrap().fingerprint();
        let plain = fingerprint.to_string();
        assert_eq!(plain.len(), 64);
        let colons: Vec<String> =
            plain.as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).to_uppercase()).collect();
        let colons = colons.join(":");
        for given in [
            plain.clone(),
            plain.to_uppercase(),
            format!("SHA256:{plain}"),
            colons.clone(),
            colons.to_lowercase(),
            format!(" {plain}\n"),
            format!("{plain}  -\n"),
            format!("{plain} *copy of the key.pem"),
            format!("{plain}  a=b.pem"),
            format!("\\{plain}  line\\nbreak.pem"),
            format!("SHA2-256(stdin)= {plain}\n"),
            format!("SHA256(copy.der)= {colons}"),
            format!("(stdin)= {plain}"),
            format!("SHA256 (-) = {plain}"),
            format!("sha256 Fingerprint={colons}"),
            colons.replace(':', " "),
        ] {
            assert_eq!(given.parse::<Fingerprint>(), Ok(fingerprint), "{given}");
        }
        assert_ne!("0".repeat(64).parse::<Fingerprint>(), Ok(fingerprint));
        for given in ["", "SHA256:", "  -", "SHA2-256(stdin)= ", &plain[..63], &format!("{plain}0")] {
            assert_eq!(given.parse::<Fingerprint>(), Err(NotAFingerprint::Malformed), "{given}");
        }
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -";
        assert_eq!(of_nothing.parse::<Fingerprint>(), Err(NotAFingerprint::OfNothing));
    }
}

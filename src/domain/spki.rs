//! Public keys as `SubjectPublicKeyInfo` in DER (RFC 5280 §4.1.2.7), so that two texts of one key are equal.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use rsa::{
    PublicKey,
    pkcs1::DecodeRsaPublicKey,
    pkcs8::{DecodePublicKey, EncodePublicKey},
};

/// `SubjectPublicKeyInfo` of an RSA public key, in DER.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spki(Box<[u8]>);

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
            "PUBLIC KEY" => PublicKey::from_public_key_der(&der).map_err(|_| NotAPublicKey)?,
            "RSA PUBLIC KEY" => PublicKey::from_pkcs1_der(&der).map_err(|_| NotAPublicKey)?,
            _ => return Err(NotAPublicKey),
        };
        let der = key.to_public_key_der().map_err(|_| NotAPublicKey)?;
        Ok(Self(der.as_bytes().into()))
    }

    /// Fingerprint of the key: SHA-256 of the DER as 64 hexadecimal digits, the same as
    /// `openssl pkey -pubin -in FILE -outform DER | sha256sum` prints.
    pub fn fingerprint(&self) -> String {
        hex::encode(digest(&SHA256, &self.0))
    }

    /// Compares the fingerprint with one that people wrote, maybe with colons, in capitals or with `SHA256:` before it.
    pub fn has_fingerprint(&self, given: &str) -> bool {
        let given = given.trim().to_ascii_lowercase();
        let given = given.strip_prefix("sha256:").unwrap_or(&given);
        let digits: String = given.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        digits == self.fingerprint()
    }
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
    fn a_fingerprint_is_accepted_as_people_write_it() {
        let key = Spki::from_pem(SPKI).unwrap();
        let plain = key.fingerprint();
        assert_eq!(plain.len(), 64);
        let colons: Vec<String> =
            plain.as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).to_uppercase()).collect();
        for given in [plain.clone(), format!("SHA256:{plain}"), colons.join(":"), format!(" {plain}\n")] {
            assert!(key.has_fingerprint(&given), "{given}");
        }
        for given in ["", "SHA256:", &plain[..63], &format!("{plain}0"), &"0".repeat(64)] {
            assert!(!key.has_fingerprint(given), "{given}");
        }
    }
}

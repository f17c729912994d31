//! Signed notes (C2SP signed-note) with Ed25519: a text, an empty line, and one line for each signature.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::domain::checkpoint_key::CheckpointKey;

/// Type of an Ed25519 key.
const ED25519_TYPE: u8 = 1;

/// Most signatures that are looked at: a checkpoint has one, two after a change of the key, and those of witnesses.
const MAX_SIGNATURES: usize = 64;

/// Longest note that is read, in bytes.
const MAX_NOTE: usize = 64 << 10;

/// Key that verifies notes: its name and its public half, written as `<name>+<id>+<base64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

/// Error for a text that is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier key, which `countersign audit key` prints as `<name>+<8 hexadecimal digits>+<base64>`")]
pub struct BadVerifierKey;

impl VerifierKey {
    /// Key of this name.
    pub fn new(name: impl Into<String>, public: [u8; 32]) -> Self {
        Self { name: name.into(), public }
    }

    /// Public key.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Returns true where a note of this text has this key's signature.
    fn has_signed(&self, note: &SignedNote) -> bool {
        let id = key_id(&self.name, &self.public);
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        let ours = note.signatures.iter().filter(|signature| signature.name == self.name && signature.key_id == id);
        ours.into_iter().any(|signature| key.verify(note.text.as_bytes(), &signature.bytes).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ED25519_TYPE], &self.public[..]].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(key_id(&self.name, &self.public)), STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = BadVerifierKey;

    fn from_str(text: &str) -> Result<Self, BadVerifierKey> {
        // Base64 has the plus sign, too.
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, key) = match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(id), Some(key)) if is_name(name) => (name, id, key),
            _ => return Err(BadVerifierKey),
        };
        let typed = STANDARD.decode(key).map_err(|_| BadVerifierKey)?;
        let public: [u8; 32] =
            typed.strip_prefix(&[ED25519_TYPE]).ok_or(BadVerifierKey)?.try_into().map_err(|_| BadVerifierKey)?;
        if hex::encode(key_id(name, &public)) != id.to_ascii_lowercase() {
            return Err(BadVerifierKey);
        }
        Ok(Self::new(name, public))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '+')
}

/// First bytes of the hash of name, type and public key.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hash = digest(&SHA256, &[name.as_bytes(), b"\n", &[ED25519_TYPE], public].concat());
    let mut id = [0; 4];
    id.copy_from_slice(&hash.as_ref()[..4]);
    id
}

/// Signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// Note with its signatures, which nobody has verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<Signature>,
}

/// Error for a text that is no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a signed note: a text, an empty line, and lines `— <name> <base64>`, as `countersign audit checkpoint` prints it"
)]
pub struct BadNote;

impl SignedNote {
    /// Signs a text, which ends with a newline, with each of these keys, under one name.
    pub fn sign<'a>(text: String, name: &str, keys: impl IntoIterator<Item = &'a CheckpointKey>) -> Self {
        let signature = |key: &CheckpointKey| Signature {
            name: name.to_owned(),
            key_id: key_id(name, &key.public()),
            bytes: key.sign(text.as_bytes()),
        };
        let signatures = keys.into_iter().map(signature).collect();
        Self { text, signatures }
    }

    /// Text that is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns true where the public key of `key` has signed the note under that name.
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        key.has_signed(self)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, key_id, bytes } in &self.signatures {
            writeln!(f, "\u{2014} {name} {}", STANDARD.encode([&key_id[..], bytes].concat()))?;
        }
        Ok(())
    }
}

impl FromStr for SignedNote {
    type Err = BadNote;

    fn from_str(note: &str) -> Result<Self, BadNote> {
        if note.len() > MAX_NOTE || note.contains(|letter: char| letter.is_ascii_control() && letter != '\n') {
            return Err(BadNote);
        }
        let split = note.rfind("\n\n").ok_or(BadNote)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(BadNote)?;
        let signatures = lines.split('\n').map(|line| signature(line).ok_or(BadNote)).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(BadNote);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (key_id, bytes) = bytes.split_first_chunk::<4>()?;
    let complete = is_name(name) && !bytes.is_empty();
    complete.then(|| Signature { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn key(byte: u8) -> CheckpointKey {
        CheckpointKey::new(Secret::new([byte; 32]))
    }

    /// The key of the documentation of Go's package `note`.
    #[test]
    fn a_verifier_key_of_go_is_read_and_written() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        for bad in ["", "PeterNeumann", &text.replace("c7", "c8"), &text.replace("Peter", "Peter "), &text[..60]] {
            assert_eq!(bad.parse::<VerifierKey>(), Err(BadVerifierKey), "{bad}");
        }
    }

    /// The note of the documentation of Go's package `note`.
    #[test]
    fn a_note_of_go_is_verified() {
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let signed: SignedNote = note.parse().unwrap();
        assert!(signed.is_signed_by(&key));
        assert_eq!(signed.to_string(), note);
        let forged: SignedNote = note.replace("don't", "do").parse().unwrap();
        assert!(!forged.is_signed_by(&key));
    }

    #[test]
    fn each_key_of_a_note_is_verified_by_its_name_and_its_public_half() {
        let (old, new) = (key(1), key(2));
        let note = SignedNote::sign("a\nb\n".to_owned(), "log/1", [&new, &old]);
        let note: SignedNote = note.to_string().parse().unwrap();
        for key in [&old, &new] {
            assert!(note.is_signed_by(&VerifierKey::new("log/1", key.public())));
            assert!(!note.is_signed_by(&VerifierKey::new("log/2", key.public())));
        }
        assert!(!note.is_signed_by(&VerifierKey::new("log/1", key(3).public())));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let note = SignedNote::sign("a\n".to_owned(), "log", [&key(1)]).to_string();
        let cut = note.trim_end();
        for bad in [
            "",
            "a\n",
            "a\n\n",
            cut,
            &note.replace("\u{2014} ", "- "),
            &note.replace("log", "l+g"),
            "a\r\n\n\u{2014} l x\n",
        ] {
            assert_eq!(bad.parse::<SignedNote>(), Err(BadNote), "{bad:?}");
        }
    }
}

//! Names and identifiers. Each is checked when it is parsed, so that every value of these types is valid.

use std::{fmt, num::NonZeroUsize};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::as_text::as_text;

/// Braze's limit for a user id, in bytes (Web SDK, `changeUser`).
pub const BRAZE_MAX_USER_ID_BYTES: usize = 997;

/// Longest user id by default, in bytes of UTF-8.
pub const DEFAULT_MAX_USER_ID_BYTES: NonZeroUsize = const { NonZeroUsize::new(512).unwrap() };

/// Rules for the user ids of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserIdRules {
    /// Maximal length in bytes of UTF-8; at most [`BRAZE_MAX_USER_ID_BYTES`].
    pub max_bytes: usize,
    /// Accepts zero-width and bidirectional control characters.
    pub allow_invisible: bool,
}

impl UserIdRules {
    /// Rules that the policy of every app contains.
    pub const WIDEST: Self = Self { max_bytes: BRAZE_MAX_USER_ID_BYTES, allow_invisible: true };
}

impl Default for UserIdRules {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_USER_ID_BYTES.get(), allow_invisible: false }
    }
}

/// User id, exactly the string that the app gives to `changeUser`. It becomes `sub` byte for byte, never normalised.
///
/// `Debug` hides it: a user id is personal data and belongs in no log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// Parses an id that came from outside.
    ///
    /// # Errors
    /// [`BadUserId`] names the rule that the id breaks.
    pub fn parse(id: &str, rules: UserIdRules) -> Result<Self, BadUserId> {
        if id.is_empty() {
            return Err(BadUserId::Empty);
        }
        if id.len() > rules.max_bytes {
            return Err(BadUserId::TooLong { bytes: id.len(), max: rules.max_bytes });
        }
        if id.trim() != id {
            return Err(BadUserId::EdgeWhitespace);
        }
        for c in id.chars() {
            if c.is_control() {
                return Err(BadUserId::Control(c));
            }
            if !rules.allow_invisible && is_invisible(c) {
                return Err(BadUserId::Invisible(c));
            }
        }
        Ok(Self(id.into()))
    }

    /// Id that this service sealed itself after [`UserId::parse`] had accepted it.
    pub(super) fn already_checked(id: &str) -> Self {
        Self(id.into())
    }

    /// Id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({} bytes)", self.0.len())
    }
}

/// True for a character that is invisible or changes the order of visible ones: two ids that look alike would be two
/// users.
///
/// These are Unicode's `Default_Ignorable_Code_Point` and `Bidi_Control`, the line separators and the interlinear
/// marks.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Reason why a user id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUserId {
    /// Empty, which Braze's SDK does not accept.
    #[error("is empty: give the id that the app passes to changeUser")]
    Empty,
    /// Longer than the app's limit.
    #[error("has {bytes} bytes, the limit of this app is {max}")]
    TooLong { bytes: usize, max: usize },
    /// White space at an end: a program that trims the id makes it the id of another user.
    #[error("starts or ends with white space: remove that, here and in changeUser alike")]
    EdgeWhitespace,
    /// Control character (C0, C1 or DEL).
    #[error("has the control character U+{:04X}", *.0 as u32)]
    Control(char),
    /// Zero-width or bidirectional control character.
    #[error("has the invisible character U+{:04X}; if it is meant, set allow_invisible_characters = true on the app", *.0 as u32)]
    Invisible(char),
}

/// Error for a malformed name.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is not a name: use 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit")]
pub struct BadName {
    pub(super) name: String,
}

/// Declares a name that operators choose: every kind has the same rules and a type of its own.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = BadName;

            fn from_str(name: &str) -> Result<Self, BadName> {
                if is_name(name) { Ok(Self(name.into())) } else { Err(BadName { name: name.to_owned() }) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;

            fn try_from(name: String) -> Result<Self, BadName> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use name;

name! {
    /// Name of a Braze app in the configuration, `[apps.<name>]`.
    AppName
}
name! {
    /// Name of the key ring that signs for one or more apps, `[rings.<name>]`.
    RingName
}
name! {
    /// Name of a backend that holds API keys; two keys of one client may be valid at once, so that they can be
    /// replaced.
    ClientName
}

impl Default for RingName {
    /// The ring `main`.
    fn default() -> Self {
        Self("main".into())
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    starts_well
        && name.len() <= 63
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Id of a key: its RFC 7638 thumbprint (SHA-256, base64url, 43 characters).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String)]
pub struct Kid(std::sync::Arc<str>);

impl Kid {
    /// Id of a thumbprint's 32 bytes.
    pub fn from_thumbprint(digest: &[u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest).into())
    }

    /// Id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// First bytes of the thumbprint, which tell an installation's keys apart.
    pub fn thumbprint_start(&self) -> [u8; 5] {
        // Eight characters are six bytes.
        let start = self.0.get(..8).and_then(|start| URL_SAFE_NO_PAD.decode(start).ok()).unwrap_or_default();
        start.first_chunk().copied().unwrap_or_default()
    }
}

impl std::str::FromStr for Kid {
    type Err = BadKid;

    fn from_str(text: &str) -> Result<Self, BadKid> {
        match URL_SAFE_NO_PAD.decode(text) {
            Ok(digest) if digest.len() == 32 => Ok(Self(text.into())),
            _ => Err(BadKid),
        }
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Error for a text that is not a key id.
#[derive(Debug, thiserror::Error)]
#[error("not a key id: a key id is the 43 characters that `countersign keys list` shows")]
pub struct BadKid;

/// Id of a session: 48 bits of creation time, then 80 random bits, so that new rows lie together in the store. It
/// is not secret: it gives access to nothing without the sealed refresh token that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// Makes the id of a session that begins at `now`.
    pub fn new(now: crate::clock::UnixMillis, random: [u8; 10]) -> Self {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
        id[6..].copy_from_slice(&random);
        Self(id)
    }

    /// Time at which the session began.
    pub fn created(self) -> crate::clock::UnixMillis {
        let mut time = [0; 8];
        time[2..].copy_from_slice(&self.0[..6]);
        crate::clock::UnixMillis(i64::from_be_bytes(time))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits::<32>(&self.0, f)
    }
}

impl std::str::FromStr for SessionId {
    type Err = BadSessionId;

    fn from_str(text: &str) -> Result<Self, BadSessionId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| BadSessionId)?;
        Ok(Self(id))
    }
}

/// Error for a text that is not a session id.
#[derive(Debug, thiserror::Error)]
#[error("not a session id: a session id is the 32 hexadecimal digits that `countersign users sessions` shows")]
pub struct BadSessionId;

/// Id of an installation, which its store and its key folder both carry: a store of another installation is noticed. It
/// is not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
pub struct InstallationId([u8; 16]);

impl InstallationId {
    /// Makes the id of a new installation.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits::<32>(&self.0, f)
    }
}

impl std::str::FromStr for InstallationId {
    type Err = BadInstallationId;

    fn from_str(text: &str) -> Result<Self, BadInstallationId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| BadInstallationId)?;
        Ok(Self(id))
    }
}

/// Error for a text that is not an installation id.
#[derive(Debug, thiserror::Error)]
#[error("not an installation id, which is 32 hexadecimal digits")]
pub struct BadInstallationId;

/// Hash of a user id in the store: keyed (HMAC-SHA-256), the same on every app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct UserHash(pub [u8; 32]);

impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits::<64>(&self.0, f)
    }
}

impl std::str::FromStr for UserHash {
    type Err = BadUserHash;

    fn from_str(text: &str) -> Result<Self, BadUserHash> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| BadUserHash)?;
        Ok(Self(hash))
    }
}

/// Error for a text that is not the hash of a user id.
#[derive(Debug, thiserror::Error)]
#[error("not the hash of a user id, which is 64 hexadecimal digits")]
pub struct BadUserHash;

/// Writes bytes as hexadecimal digits, without an allocation: each request writes its session, and a verification of the
/// audit log each user.
fn write_digits<const DIGITS: usize>(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0; DIGITS];
    hex::encode_to_slice(bytes, &mut digits).map_err(|_| fmt::Error)?;
    f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
}

as_text!(Kid, SessionId, InstallationId, UserHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_kept_byte_for_byte() {
        for id in ["u-1", "007", "ÅSA", "A\u{30A}SA", "a b", "用户", "o'neil+x@example.com", "🦀"] {
            assert_eq!(UserId::parse(id, UserIdRules::default()).unwrap().as_str(), id);
        }
    }

    #[test]
    fn a_bad_user_id_is_refused_by_name() {
        let refused = |id: &str| UserId::parse(id, UserIdRules::default()).unwrap_err();
        assert_eq!(refused(""), BadUserId::Empty);
        assert_eq!(refused(" u"), BadUserId::EdgeWhitespace);
        assert_eq!(refused("u\u{a0}"), BadUserId::EdgeWhitespace);
        assert_eq!(refused("u\0v"), BadUserId::Control('\0'));
        assert_eq!(refused("u\u{85}v"), BadUserId::Control('\u{85}'));
        assert_eq!(refused("u\u{202e}v"), BadUserId::Invisible('\u{202e}'));
        assert_eq!(refused("u\u{200b}v"), BadUserId::Invisible('\u{200b}'));
        assert_eq!(refused(&"x".repeat(513)), BadUserId::TooLong { bytes: 513, max: 512 });
        assert!(UserId::parse("u\u{200d}v", UserIdRules { allow_invisible: true, max_bytes: 9 }).is_ok());
    }

    #[test]
    fn names_and_ids_round_trip() {
        assert!("web".parse::<AppName>().is_ok());
        for bad in ["", "Web", "-web", "we b", "a/b", &"x".repeat(64)] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?}");
        }
        let id = SessionId::new(crate::clock::UnixMillis(1_795_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        let installation = InstallationId::new([3; 16]);
        assert_eq!(installation.to_string().parse::<InstallationId>().unwrap(), installation);
        let kid = Kid::from_thumbprint(&[9; 32]);
        assert_eq!(kid.as_str().parse::<Kid>().unwrap(), kid);
    }
}

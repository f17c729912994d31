//! Refresh token: opaque to its holder, authenticated and encrypted, recognisable by its prefix.
//!
//! `csr1_` + base64url of `sealing version (4) ‖ nonce (12) ‖ AES-256-GCM-SIV(contents) ‖ tag (16)`. The tag
//! authenticates it: a mistyped or forged token is refused without a query to the store.
//!
//! The nonce says which JWT was issued with it ([`IssuedWith`]). It is authenticated, too, and is not encrypted: the
//! holder has that JWT. So the contents are those of the version before, and nodes of both versions open the tokens of
//! each other; a version before makes random nonces, which name no key. Nonces repeat where one key signs twice for
//! the same second. AES-GCM-SIV tells then only which tokens have equal contents (RFC 8452 §9), and only those of one
//! session and counter have: an answer that is repeated in the same second has the same refresh token.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    ids::{AppName, Kid, SessionId, UserId},
    login_record::{LoginHash, LoginRecord},
    sealing::{NONCE_BYTES, SealingKeys, TAG_BYTES},
};
use crate::clock::UnixMillis;

/// Prefix of every refresh token, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "csr1_";

/// Maximal length of a token's text in bytes: more than the longest user id and app name need.
pub const MAX_BYTES: usize = 2048;

/// Bit of the length of the app's name that says that a login follows it.
const HAS_LOGIN: u8 = 0x80;

/// Bit of that length that says that the session's row is not written. A name has at most 63 bytes
/// ([`AppName`]), so that its length leaves both bits free.
const UNWRITTEN: u8 = 0x40;

/// Sealed contents of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub session: SessionId,
    /// App that the token was issued for; no other app accepts it.
    pub app: AppName,
    pub user: UserId,
    /// Position in the session's chain of refresh tokens, from 0.
    pub counter: u64,
    pub issued: UnixMillis,
    /// End of the session if it is not refreshed.
    pub idle_expires: UnixMillis,
    /// End of the session in any case.
    pub expires: UnixMillis,
    /// Lifetime of the session's tokens, where the login asked for a shorter one than the app's.
    pub shortened: Option<Duration>,
    /// Login at a provider with which the session began, if it began with one.
    pub login: Option<LoginRecord>,
    /// The session began while the store was out of reach: its row may not be written yet.
    pub unwritten: bool,
}

/// Sealed refresh token. `Debug` hides it.
pub struct RefreshToken(String);

impl RefreshToken {
    /// Seals `contents` with the newest sealing key.
    pub fn seal(contents: &Contents, keys: &SealingKeys, nonce: [u8; NONCE_BYTES]) -> Self {
        let version = keys.newest().to_be_bytes();
        let mut sealed = contents.encode();
        keys.seal_refresh_token(nonce, &additional_data(version), &mut sealed);
        let bytes = [&version[..], &nonce, &sealed].concat();
        let mut token = String::with_capacity(PREFIX.len() + bytes.len() * 4 / 3 + 3);
        token.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut token);
        Self(token)
    }

    /// Token as text, for the answer that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[refresh token]")
    }
}

/// Key and times of the JWT that was issued with a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedWith {
    /// Beginning of the key's thumbprint: enough to tell an installation's keys apart.
    key: [u8; 5],
    /// Lifetime of the JWT in seconds: at most a day ([`LIFETIMES`](super::policy::LIFETIMES)).
    lifetime: [u8; 3],
    /// `exp` of the JWT, in Unix seconds.
    expires: [u8; 4],
}

impl IssuedWith {
    /// Describes a JWT that this key signed; `times` are its issue and its end.
    pub fn new(kid: &Kid, (issued, expires): (UnixMillis, UnixMillis)) -> Self {
        let [_, lifetime @ ..] = u32::try_from(expires.seconds() - issued.seconds()).unwrap_or_default().to_be_bytes();
        let expires = u32::try_from(expires.seconds()).unwrap_or_default().to_be_bytes();
        Self { key: kid.thumbprint_start(), lifetime, expires }
    }

    /// Nonce of the refresh token.
    pub fn nonce(self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..5].copy_from_slice(&self.key);
        nonce[5..8].copy_from_slice(&self.lifetime);
        nonce[8..].copy_from_slice(&self.expires);
        nonce
    }

    fn of_nonce(nonce: [u8; NONCE_BYTES]) -> Self {
        let (mut key, mut lifetime, mut expires) = ([0; 5], [0; 3], [0; 4]);
        key.copy_from_slice(&nonce[..5]);
        lifetime.copy_from_slice(&nonce[5..8]);
        expires.copy_from_slice(&nonce[8..]);
        Self { key, lifetime, expires }
    }

    /// Returns true for the key that signed the JWT. It is none where a version before made the refresh token.
    pub fn is_of(self, kid: &Kid) -> bool {
        kid.thumbprint_start() == self.key
    }

    /// Time of the issue of the JWT.
    pub fn issued(self) -> UnixMillis {
        let [a, b, c] = self.lifetime;
        self.expires().minus(Duration::from_secs(u32::from_be_bytes([0, a, b, c]).into()))
    }

    /// End of the JWT.
    pub fn expires(self) -> UnixMillis {
        UnixMillis(i64::from(u32::from_be_bytes(self.expires)) * 1000)
    }
}

/// Contents of a presented refresh token that was authenticated; only [`unseal`] makes one.
#[derive(Clone, Debug)]
pub struct Presented {
    contents: Contents,
    issued_with: IssuedWith,
}

impl Presented {
    /// JWT that was issued with it, where one of the installation's keys signed it.
    pub fn issued_with(&self) -> IssuedWith {
        self.issued_with
    }
}

impl std::ops::Deref for Presented {
    type Target = Contents;

    fn deref(&self) -> &Contents {
        &self.contents
    }
}

/// Opens a presented refresh token.
///
/// # Errors
/// [`Forged`] where none of these keys sealed it; the reason is not given, because it would help a forger.
pub fn unseal(token: &str, keys: &SealingKeys) -> Result<Presented, Forged> {
    if token.len() > MAX_BYTES {
        return Err(Forged);
    }
    let encoded = token.strip_prefix(PREFIX).ok_or(Forged)?;
    let mut bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Forged)?;
    let (version, rest) = bytes.split_first_chunk_mut::<4>().ok_or(Forged)?;
    let (nonce, sealed) = rest.split_first_chunk_mut::<NONCE_BYTES>().ok_or(Forged)?;
    let opened = keys.open_refresh_token(u32::from_be_bytes(*version), *nonce, &additional_data(*version), sealed);
    let contents = Contents::decode(opened.ok_or(Forged)?).ok_or(Forged)?;
    Ok(Presented { contents, issued_with: IssuedWith::of_nonce(*nonce) })
}

/// Error for a text that is not a refresh token of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of this service")]
pub struct Forged;

/// Additional authenticated data: the prefix and the version, which are not encrypted.
fn additional_data(version: [u8; 4]) -> [u8; 9] {
    let mut data = [0; 9];
    data[..5].copy_from_slice(PREFIX.as_bytes());
    data[5..].copy_from_slice(&version);
    data
}

impl Contents {
    /// Encodes `session (16) ‖ counter (8) ‖ issued, idle, absolute (8 each) ‖ shortened lifetime in s, 0 for none
    /// (4) ‖ length of the app's name (1) ‖ login ‖ app ‖ user`, numbers big endian. `login` is `subject (16) ‖ session
    /// (16) ‖ issued (8)` where the session began with one, and [`HAS_LOGIN`] is added to the length then; else it is
    /// empty. [`UNWRITTEN`] is added where the session's row is not written. A version that does not know one of these
    /// bits refuses only the tokens that have it: as a name's length it is too long.
    fn encode(&self) -> Vec<u8> {
        // At least 1: with 0 for a lifetime below a second, the next token would have the app's full lifetime.
        let shortened = self.shortened.map_or(0, |ttl| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).max(1));
        let app = self.app.as_str().as_bytes();
        let user = self.user.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(93 + app.len() + user.len() + TAG_BYTES);
        bytes.extend_from_slice(&self.session.0);
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        for time in [self.issued, self.idle_expires, self.expires] {
            bytes.extend_from_slice(&time.0.to_be_bytes());
        }
        bytes.extend_from_slice(&shortened.to_be_bytes());
        let length = u8::try_from(app.len()).unwrap_or(u8::MAX) | if self.unwritten { UNWRITTEN } else { 0 };
        match &self.login {
            Some(login) => {
                bytes.push(length | HAS_LOGIN);
                bytes.extend_from_slice(&login.subject.0);
                bytes.extend_from_slice(&login.session.0);
                bytes.extend_from_slice(&login.issued.0.to_be_bytes());
            }
            None => bytes.push(length),
        }
        bytes.extend_from_slice(app);
        bytes.extend_from_slice(user);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, bytes) = bytes.split_first_chunk::<16>()?;
        let (counter, bytes) = bytes.split_first_chunk::<8>()?;
        let (issued, bytes) = time(bytes)?;
        let (idle_expires, bytes) = time(bytes)?;
        let (expires, bytes) = time(bytes)?;
        let (shortened, bytes) = bytes.split_first_chunk::<4>()?;
        let (&length, bytes) = bytes.split_first()?;
        let (login, bytes) = if length & HAS_LOGIN == 0 { (None, bytes) } else { login(bytes)? };
        let (app, user) = bytes.split_at_checked((length & !(HAS_LOGIN | UNWRITTEN)).into())?;
        let shortened = u32::from_be_bytes(*shortened);
        Some(Self {
            session: SessionId(*session),
            app: std::str::from_utf8(app).ok()?.parse().ok()?,
            user: UserId::already_checked(std::str::from_utf8(user).ok()?),
            counter: u64::from_be_bytes(*counter),
            issued,
            idle_expires,
            expires,
            shortened: (shortened > 0).then(|| Duration::from_secs(shortened.into())),
            login,
            unwritten: length & UNWRITTEN != 0,
        })
    }
}

fn login(bytes: &[u8]) -> Option<(Option<LoginRecord>, &[u8])> {
    let (subject, bytes) = bytes.split_first_chunk::<16>()?;
    let (session, bytes) = bytes.split_first_chunk::<16>()?;
    let (issued, rest) = time(bytes)?;
    Some((Some(LoginRecord { subject: LoginHash(*subject), session: LoginHash(*session), issued }), rest))
}

fn time(bytes: &[u8]) -> Option<(UnixMillis, &[u8])> {
    let (time, rest) = bytes.split_first_chunk::<8>()?;
    Some((UnixMillis(i64::from_be_bytes(*time)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 0.1 read the length of the app's name without its highest bit only, and checked the name.
    fn app_as_before(bytes: &[u8]) -> Option<AppName> {
        const LENGTH: usize = 16 + 8 + 3 * 8 + 4;
        let (&length, rest) = bytes[LENGTH..].split_first()?;
        let rest = if length & HAS_LOGIN == 0 { rest } else { &rest[40..] };
        let (app, _) = rest.split_at_checked((length & !HAS_LOGIN).into())?;
        std::str::from_utf8(app).ok()?.parse().ok()
    }

    /// Else a version before would take the session for one that was purged, and log its user out; this way it does not
    /// know the token, and neither does it misread one.
    #[test]
    fn a_version_before_refuses_the_token_of_an_unwritten_session() {
        let hash = LoginHash([7; 16]);
        let login = LoginRecord { subject: hash, session: hash, issued: UnixMillis(9) };
        for (app, user, login) in [("web", "u".repeat(200), None), (&"a".repeat(63), "u".repeat(900), Some(login))] {
            let written = Contents {
                session: SessionId([1; 16]),
                app: app.parse().unwrap(),
                user: UserId::already_checked(&user),
                counter: 0,
                issued: UnixMillis(1),
                idle_expires: UnixMillis(2),
                expires: UnixMillis(3),
                shortened: None,
                login,
                unwritten: false,
            };
            assert_eq!(app_as_before(&written.encode()), Some(written.app.clone()));
            let unwritten = Contents { unwritten: true, ..written };
            assert_eq!(app_as_before(&unwritten.encode()), None);
            assert_eq!(Contents::decode(&unwritten.encode()), Some(unwritten));
        }
    }
}

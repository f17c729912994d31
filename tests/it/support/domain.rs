//! Fixtures for tests of the domain: an app, a user, a session, sealing keys and RSA keys.

use std::{num::NonZeroUsize, sync::LazyLock, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign::{
    clock::UnixMillis,
    domain::{
        audit::Actor,
        ids::{SessionId, UserHash, UserId, UserIdRules},
        jws::Signature,
        policy::{AppPolicy, ClaimsPolicy, RefreshPolicy},
        refresh_token::Contents,
        sealing::{SealingKeys, SealingSecrets},
        session::Session,
    },
};

/// Current time of these tests; not a whole second, so that rounding shows.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_000_000_678);

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// Longest duration in milliseconds below `span`.
pub(crate) fn just_before(span: Duration) -> Duration {
    span.saturating_sub(MILLI)
}

/// Default policy of the design: 24 h for a lost answer.
pub(crate) const REFRESH: RefreshPolicy = RefreshPolicy {
    enabled: true,
    idle: Duration::from_hours(30 * 24),
    absolute: Duration::from_hours(180 * 24),
    retry_window: Duration::from_hours(24),
};

/// Rules that accept every user id that an app can accept.
pub(crate) const WIDEST: UserIdRules = UserIdRules::WIDEST;

pub(crate) fn user(id: &str) -> UserId {
    UserId::parse(id, WIDEST).unwrap()
}

pub(crate) fn policy(claims: ClaimsPolicy) -> AppPolicy {
    AppPolicy {
        sdk_api_key: Some("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".to_owned()),
        lifetime: HOUR,
        refresh: REFRESH,
        claims,
        max_user_id_bytes: NonZeroUsize::new(WIDEST.max_bytes).unwrap(),
        allow_invisible_characters: WIDEST.allow_invisible,
        ..AppPolicy::default()
    }
}

/// Session that begins at [`NOW`].
pub(crate) fn session(refresh: RefreshPolicy) -> Session {
    Session {
        id: SessionId::new(NOW, [7; 10]),
        app: "web".parse().unwrap(),
        user: UserHash([9; 32]),
        counter: 0,
        created: NOW,
        rotated: NOW,
        idle_expires: NOW.plus(refresh.idle),
        expires: NOW.plus(refresh.absolute),
        ended: None,
    }
}

/// Newest refresh token of `session`.
pub(crate) fn newest_of(session: &Session) -> Contents {
    Contents {
        session: session.id,
        app: session.app.clone(),
        user: user("u-1"),
        counter: session.counter,
        issued: session.rotated,
        idle_expires: session.idle_expires,
        expires: session.expires,
        shortened: None,
        login: None,
        unwritten: false,
    }
}

/// Sealing keys of these versions; the same version always has the same secret.
pub(crate) fn sealing_keys(versions: &[u32]) -> SealingKeys {
    let lines: Vec<String> = versions
        .iter()
        .map(|version| format!("{version}:{}", format!("{version:08x}a5").repeat(7)[..64].to_owned()))
        .collect();
    SealingKeys::derive(&SealingSecrets::parse(&lines.join("\n")).unwrap())
}

/// RSA key of 2048 bits, generated at its first use.
pub(crate) struct RsaKey(KeyPair);

/// Key that Braze holds in these tests.
pub(crate) static OURS: LazyLock<RsaKey> = LazyLock::new(RsaKey::generate);

/// Key that Braze does not hold.
pub(crate) static THEIRS: LazyLock<RsaKey> = LazyLock::new(RsaKey::generate);

impl RsaKey {
    pub(crate) fn generate() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        Signature(signature)
    }

    /// Public half, SPKI in PEM.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        pem("PUBLIC KEY", der.as_ref())
    }

    /// Private half, PKCS#8 in PEM, which people paste by accident.
    pub(crate) fn private_pem(&self) -> String {
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        pem("PRIVATE KEY", der.as_ref())
    }
}

pub(crate) fn pem(tag: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

/// Actor of acts in tests.
pub fn actor() -> Actor {
    Actor::named("test")
}

//! A signing key's life: `pending → published → active → retiring → retired`, or `compromised` at any time.
//!
//! Transitions consume the record, so that nobody goes on with the old one by mistake.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::ids::{Kid, RingName};
use crate::clock::UnixMillis;

/// State of a key in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownKeyState, parse_err_fn = UnknownKeyState::new)]
pub enum KeyState {
    /// Made or imported; Braze may not know it yet. Signs nothing.
    Pending,
    /// Braze was shown to hold its public half. Signs nothing yet.
    Published,
    /// Signs for its ring.
    Active,
    /// Signed until its successor took over; Braze must keep it while its tokens live.
    Retiring,
    /// No living token of it is left; Braze need not hold it any more.
    Retired,
    /// Somebody else may have it. Signs nothing, ever.
    Compromised,
}

impl KeyState {
    /// Name of the state in the store, in metrics and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether verifiers should still know the public half: its tokens may be alive, or soon will be.
    pub fn is_verifiable(self) -> bool {
        matches!(self, Self::Published | Self::Active | Self::Retiring)
    }

    /// Whether the private half is loaded, so that it could sign at once.
    pub fn is_held(self) -> bool {
        !matches!(self, Self::Retired | Self::Compromised)
    }
}

/// Error for a name that no key state has.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a key state")]
pub struct UnknownKeyState(String);

impl UnknownKeyState {
    fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// What is on record about a key. Nothing here is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyRecord {
    /// Its id: the RFC 7638 thumbprint of its public half.
    pub kid: Kid,
    /// The ring it signs for.
    pub ring: RingName,
    /// Where it is in its life.
    pub state: KeyState,
    /// The bits of its modulus.
    pub bits: u32,
    /// Its public half, SPKI in PEM (`BEGIN PUBLIC KEY`): what is pasted into Braze.
    pub public_key: String,
    /// Which custody holds the private half; `file` so far.
    pub custody: String,
    /// Where that custody finds it, e.g. the file's name.
    pub locator: String,
    /// When it was made or imported.
    pub created: UnixMillis,
    /// When it last changed state.
    pub changed: UnixMillis,
}

impl KeyRecord {
    /// Braze was shown to hold the key, for every app of the ring.
    ///
    /// # Errors
    /// [`WrongState`] unless it is pending (or published already, which changes nothing).
    pub fn published(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Published => Ok(self),
            KeyState::Pending => Ok(self.enter(KeyState::Published, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Published }),
        }
    }

    /// The key signs from now on. A retiring key may come back: that is a rollback.
    ///
    /// # Errors
    /// [`WrongState`] unless Braze holds it, that is, it is published or retiring.
    pub fn activated(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Published | KeyState::Retiring => Ok(self.enter(KeyState::Active, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Active }),
        }
    }

    /// A successor signs from now on; this one's tokens live on.
    ///
    /// # Errors
    /// [`WrongState`] unless it is active.
    pub fn superseded(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Active => Ok(self.enter(KeyState::Retiring, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Retiring }),
        }
    }

    /// No living token of the key is left: it may go from Braze, and its private half may be destroyed. A key that never
    /// signed (pending, published) retires when its rotation is given up.
    ///
    /// # Errors
    /// [`WrongState`] where it signs, or is compromised.
    pub fn retired(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Retired => Ok(self),
            KeyState::Pending | KeyState::Published | KeyState::Retiring => Ok(self.enter(KeyState::Retired, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Retired }),
        }
    }

    /// Somebody else may have the key: it signs nothing any more, whatever it did before.
    #[must_use]
    pub fn compromised(self, now: UnixMillis) -> Self {
        if self.state == KeyState::Compromised { self } else { self.enter(KeyState::Compromised, now) }
    }

    fn enter(self, state: KeyState, now: UnixMillis) -> Self {
        Self { state, changed: now, ..self }
    }
}

/// A step that this key's state does not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {kid} is {}, it cannot become {}", .state.as_str(), .wanted.as_str())]
pub struct WrongState {
    kid: Kid,
    state: KeyState,
    wanted: KeyState,
}

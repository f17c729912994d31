//! States of a signing key: `pending → published → active → retiring → retired`, or `compromised` at any time.
//!
//! A transition consumes the record, so that the old one cannot be used by accident.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::ids::{Kid, RingName};
use crate::clock::UnixMillis;

/// Lifecycle state of a key.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownKeyState, parse_err_fn = UnknownKeyState::new)]
pub enum KeyState {
    /// Made or imported; not proven to be at Braze. Signs nothing.
    Pending,
    /// Proven to be at Braze. Signs nothing yet.
    Published,
    /// Signs for its ring.
    Active,
    /// Replaced by its successor; Braze must keep it while its tokens are valid.
    Retiring,
    /// Without valid tokens; Braze need not keep it.
    Retired,
    /// Possibly known to somebody else. Never signs again.
    Compromised,
}

impl KeyState {
    /// Name of the state in the store, in metrics and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// True where verifiers need the public half: the key has valid tokens, or soon will.
    pub fn is_verifiable(self) -> bool {
        matches!(self, Self::Published | Self::Active | Self::Retiring)
    }

    /// True where custody still holds the private half.
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

/// Record of a key in the store. It holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRecord {
    pub kid: Kid,
    pub ring: RingName,
    pub state: KeyState,
    /// Length of the modulus in bits.
    pub bits: u32,
    /// Public half, SPKI in PEM (`BEGIN PUBLIC KEY`), as operators paste it into Braze.
    pub public_key: String,
    /// Name of the custody that holds the private half: `file` or `store`.
    pub custody: String,
    /// Location of the private half in that custody, e.g. the name of a file.
    pub locator: String,
    pub created: UnixMillis,
    /// Time of the last change of `state`.
    pub changed: UnixMillis,
}

/// Place of private keys.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CustodyKind {
    /// Files in a folder, for one node or a shared folder.
    #[default]
    File,
    /// Sealed in the store, for any number of nodes.
    Store,
}

impl CustodyKind {
    /// Name in key records.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Location in this place.
    pub fn location(self, locator: String) -> KeyLocation {
        KeyLocation { custody: self.as_str().to_owned(), locator }
    }

    /// The other place.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::File => Self::Store,
            Self::Store => Self::File,
        }
    }
}

/// Location of a private half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyLocation {
    /// Name of the custody.
    pub custody: String,
    /// Location in that custody.
    pub locator: String,
}

impl KeyRecord {
    /// Location of the private half.
    pub fn location(&self) -> KeyLocation {
        KeyLocation { custody: self.custody.clone(), locator: self.locator.clone() }
    }

    /// Enters `published`: the key is proven to be at Braze for every app of the ring.
    ///
    /// # Errors
    /// [`WrongState`] unless the key is pending (or published already, which changes nothing).
    pub fn published(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Published => Ok(self),
            KeyState::Pending => Ok(self.enter(KeyState::Published, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Published }),
        }
    }

    /// Enters `active`: the key signs from now on. A retiring key becomes active again in a rollback.
    ///
    /// # Errors
    /// [`WrongState`] unless Braze holds the key, that is, it is published or retiring.
    pub fn activated(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Published | KeyState::Retiring => Ok(self.enter(KeyState::Active, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Active }),
        }
    }

    /// Enters `retiring`: a successor signs from now on, and this key's tokens stay valid.
    ///
    /// # Errors
    /// [`WrongState`] unless the key is active.
    pub fn superseded(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Active => Ok(self.enter(KeyState::Retiring, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Retiring }),
        }
    }

    /// Enters `retired`: the key has no valid token, so that it may be deleted at Braze and its private half destroyed.
    /// A key that never signed (pending, published) retires when its rotation is aborted.
    ///
    /// # Errors
    /// [`WrongState`] where the key is active or compromised.
    pub fn retired(self, now: UnixMillis) -> Result<Self, WrongState> {
        match self.state {
            KeyState::Retired => Ok(self),
            KeyState::Pending | KeyState::Published | KeyState::Retiring => Ok(self.enter(KeyState::Retired, now)),
            _ => Err(WrongState { kid: self.kid, state: self.state, wanted: KeyState::Retired }),
        }
    }

    /// Enters `compromised` from any state: the key never signs again.
    #[must_use]
    pub fn compromised(self, now: UnixMillis) -> Self {
        if self.state == KeyState::Compromised { self } else { self.enter(KeyState::Compromised, now) }
    }

    fn enter(self, state: KeyState, now: UnixMillis) -> Self {
        Self { state, changed: now, ..self }
    }
}

/// Error for a transition that the key's state does not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {kid} is {}, it cannot become {}", .state.as_str(), .wanted.as_str())]
pub struct WrongState {
    kid: Kid,
    state: KeyState,
    wanted: KeyState,
}

//! Secrets and the randomness that they are made of. A secret is never shown, is zeroed on drop and is compared in
//! constant time.

use std::fmt;

use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Value that must not be seen by accident: no `Clone`, no contents in `Debug`, zeroed on drop.
///
/// It has no `PartialEq` either: [`Secret::matches`] compares in constant time.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps the value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value. Call it only where the value is used.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Returns the value for writing.
    pub fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares the bytes, in a time that depends on the lengths only.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_ref().ct_eq(other).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// Source of random bytes; a test may give a repeatable one.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    ///
    /// # Errors
    /// [`NoEntropy`] where the generator fails; nothing secret may be made then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// Failure of the system's random generator.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct NoEntropy;

/// Random generator of the operating system (`getrandom(2)` on Linux).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        SysRng.try_fill_bytes(bytes).map_err(|_| NoEntropy)
    }
}

/// Returns `N` new random bytes.
///
/// # Errors
/// [`NoEntropy`], as [`Entropy::fill`].
pub fn random<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_its_contents() {
        let secret = Secret::new(b"canary".to_vec());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert!(secret.matches(b"canary"));
        assert!(!secret.matches(b"canarz"));
        assert!(!secret.matches(b"canar"));
    }
}

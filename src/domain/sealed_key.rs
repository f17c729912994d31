//! Private key that is sealed for the store: `version (4, big endian) ‖ nonce (12) ‖ AES-256-GCM-SIV(PKCS#1) ‖ tag (16)`.
//!
//! Its id, its ring and the version are authenticated with it: a sealed key that is put in the place of another one, or of
//! another ring, does not open.

use zeroize::Zeroizing;

use super::{
    ids::{Kid, RingName},
    sealing::{NONCE_BYTES, Resealing, SealingKeys, TAG_BYTES},
};

/// Seals a private key with the newest version of the sealing secret.
pub fn seal(keys: &SealingKeys, kid: &Kid, ring: &RingName, nonce: [u8; NONCE_BYTES], pkcs1: &[u8]) -> Vec<u8> {
    let version = keys.newest();
    // Capacity for the tag: a Vec that grows leaves a copy of the key in memory.
    let mut contents = Vec::with_capacity(pkcs1.len() + TAG_BYTES);
    contents.extend_from_slice(pkcs1);
    keys.seal_private_key(nonce, &additional_data(version, kid, ring), &mut contents);
    [&version.to_be_bytes()[..], &nonce, &contents].concat()
}

/// Opens a sealed private key; [`Resealing::Due`] where an older version sealed it.
///
/// # Errors
/// [`SealedKeyError`].
pub fn open(
    keys: &SealingKeys,
    kid: &Kid,
    ring: &RingName,
    sealed: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Resealing), SealedKeyError> {
    let version = version(sealed).ok_or(SealedKeyError::Short)?;
    let (nonce, contents) = sealed[4..].split_first_chunk::<NONCE_BYTES>().ok_or(SealedKeyError::Short)?;
    if !keys.has(version) {
        return Err(SealedKeyError::Version(version));
    }
    let mut contents = Zeroizing::new(contents.to_vec());
    let opened = keys.open_private_key(version, *nonce, &additional_data(version, kid, ring), &mut contents);
    let opened = opened.ok_or(SealedKeyError::Other)?.len();
    contents.truncate(opened);
    Ok((contents, if version == keys.newest() { Resealing::Current } else { Resealing::Due }))
}

/// Version of the sealing secret that sealed a key; `None` for bytes that are no sealed key.
pub fn version(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk::<4>().map(|version| u32::from_be_bytes(*version))
}

/// Authenticated data: `version (4) ‖ length of the id (4) ‖ id ‖ ring`.
fn additional_data(version: u32, kid: &Kid, ring: &RingName) -> Vec<u8> {
    let (kid, ring) = (kid.as_str().as_bytes(), ring.as_str().as_bytes());
    let length = u32::try_from(kid.len()).unwrap_or(u32::MAX);
    [&version.to_be_bytes()[..], &length.to_be_bytes(), kid, ring].concat()
}

/// Reason why a sealed private key does not open. It shows no byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedKeyError {
    /// The bytes are fewer than those of any sealed key.
    #[error("is damaged: restore the store from a backup, or replace the key with a rotation")]
    Short,
    /// The version that sealed it is not among the secrets.
    #[error(
        "was sealed with version {0} of the sealing secret, which is not configured: put that version back into the \
         file until every key is sealed with the newest (`countersign doctor`)"
    )]
    Version(u32),
    /// The secret of this version is another one, or the bytes are of another key or ring, or were altered.
    #[error(
        "does not open: the sealing secret of this version is another installation's, or the sealed key was altered or \
         put in the place of another key: restore the secret or the store from a backup"
    )]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sealing::SealingSecrets;

    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn keys(secrets: &[(u32, &str)]) -> SealingKeys {
        let text: Vec<String> =
            secrets.iter().map(|(version, digits)| format!("{version}:{}", digits.repeat(4))).collect();
        SealingKeys::derive(&SealingSecrets::parse(&text.join("\n")).unwrap())
    }

    const ONE: (u32, &str) = (1, "0123456789abcdef");
    const TWO: (u32, &str) = (2, "fedcba9876543210");

    fn kid(n: u8) -> Kid {
        Kid::from_thumbprint(&[n; 32])
    }

    fn ring(name: &str) -> RingName {
        name.parse().unwrap()
    }

    #[test]
    fn a_key_opens_only_as_itself() {
        let keys_1 = keys(&[ONE]);
        let sealed = seal(&keys_1, &kid(1), &ring("main"), NONCE, b"private");
        let (opened, resealing) = open(&keys_1, &kid(1), &ring("main"), &sealed).unwrap();
        assert_eq!((opened.as_slice(), resealing), (&b"private"[..], Resealing::Current));
        assert_eq!(open(&keys_1, &kid(2), &ring("main"), &sealed), Err(SealedKeyError::Other));
        assert_eq!(open(&keys_1, &kid(1), &ring("mai"), &sealed), Err(SealedKeyError::Other));
        assert_eq!(open(&keys(&[(1, TWO.1)]), &kid(1), &ring("main"), &sealed), Err(SealedKeyError::Other));
        assert_eq!(open(&keys(&[TWO]), &kid(1), &ring("main"), &sealed), Err(SealedKeyError::Version(1)));
        for length in 0..16 {
            assert_eq!(open(&keys_1, &kid(1), &ring("main"), &sealed[..length]), Err(SealedKeyError::Short));
        }
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&keys(&[ONE, TWO]), &kid(1), &ring("main"), &altered).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_older_version_opens_and_says_so() {
        let sealed = seal(&keys(&[ONE]), &kid(1), &ring("main"), NONCE, b"private");
        let both = keys(&[ONE, TWO]);
        let (opened, resealing) = open(&both, &kid(1), &ring("main"), &sealed).unwrap();
        assert_eq!(resealing, Resealing::Due);
        let again = seal(&both, &kid(1), &ring("main"), NONCE, &opened);
        assert_eq!((version(&sealed), version(&again), version(b"1")), (Some(1), Some(2), None));
        assert_eq!(open(&keys(&[TWO]), &kid(1), &ring("main"), &again).unwrap().1, Resealing::Current);
    }

    /// Made with another implementation of HKDF and AES-GCM-SIV (cryptography in Python).
    const KEPT: &str = "00000001070707070707070707070707b900c3c447819b73707592aba784a37606892b79ea873b";

    /// The format must not change: keys that are sealed already would be lost.
    #[test]
    fn a_key_that_was_sealed_before_still_opens() {
        let sealed = hex::decode(KEPT).unwrap();
        let (opened, _) = open(&keys(&[ONE]), &kid(1), &ring("main"), &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"private");
    }
}

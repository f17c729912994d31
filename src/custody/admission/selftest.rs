//! Test signature of a key before it is admitted: it signs random bytes, and two libraries verify the signature.

use aws_lc_rs::{
    digest,
    rsa::KeyPair,
    signature::{self, KeyPair as _, UnparsedPublicKey},
};
use rsa::{BoxedUint, Pkcs1v15Sign, pkcs1};

use crate::{
    custody::{emsa::SHA256_PREFIX, error::ImportError, signer::sign},
    secret::{Entropy, random},
};

/// Signs random bytes; verifies with the library that signed, and with another library that shares no code with it.
pub(super) fn prove(
    key: &KeyPair,
    public: &pkcs1::RsaPublicKeyRef<'_>,
    entropy: &dyn Entropy,
) -> Result<(), ImportError> {
    let message = random::<32>(entropy).map_err(|_| ImportError::SelfTest("there is no randomness"))?;
    let signature = sign(key, &message).map_err(|_| ImportError::SelfTest("it does not sign"))?;
    UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key.public_key())
        .verify(&message, &signature)
        .map_err(|_| ImportError::SelfTest("its signature does not verify"))?;
    verify_independently(public, &message, &signature)
        .map_err(|_| ImportError::SelfTest("its signature does not verify independently"))
}

fn verify_independently(public: &pkcs1::RsaPublicKeyRef<'_>, message: &[u8], signature: &[u8]) -> rsa::Result<()> {
    let n = BoxedUint::from_be_slice_vartime(public.modulus.as_bytes());
    let e = BoxedUint::from_be_slice_vartime(public.public_exponent.as_bytes());
    let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: Box::new(SHA256_PREFIX) };
    rsa::PublicKey::new(n, e)?.verify(scheme, digest::digest(&digest::SHA256, message).as_ref(), signature)
}

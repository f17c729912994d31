//! Signing libraries, for the comparison of one RSASSA-PKCS1-v1_5 signature with SHA-256.

use std::sync::OnceLock;

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};
use rand::rngs::SysRng;
use rsa::{Pkcs1v15Sign, pkcs8::DecodePrivateKey};

use super::settings;

/// Permitted key sizes, in bits.
pub const SIZES: [u32; 3] = [2048, 3072, 4096];

/// `DigestInfo` before a SHA-256 digest (RFC 8017 §9.2, note 1).
const SHA256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Signs a message once in each lane; returns the first lane's signature.
type Sign = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// A library with a key.
pub struct Engine {
    pub name: &'static str,
    /// Number of signatures of one call.
    pub lanes: u32,
    pub sign: Sign,
}

impl Engine {
    fn single(name: &'static str, sign: impl FnMut(&[u8]) -> Vec<u8> + 'static) -> Self {
        Self { name, lanes: 1, sign: Box::new(sign) }
    }
}

/// Returns every engine of this build and processor, with the same key (PKCS#8); `aws-lc-rs` is the first.
pub fn engines(key: &[u8]) -> Vec<Engine> {
    [aws_lc_rs(key), ring(key), rsa(key)].into_iter().chain(crypto_mb(key)).collect()
}

/// Returns the reference engine; its key is kept for the whole run.
pub fn reference() -> Engine {
    aws_lc_rs(yardstick_key())
}

fn yardstick_key() -> &'static [u8] {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    KEY.get_or_init(|| new_key(2048))
}

/// Generates a key, as PKCS#8.
pub fn new_key(bits: u32) -> Vec<u8> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        _ => KeySize::Rsa4096,
    };
    let der: Pkcs8V1Der<'_> = KeyPair::generate(size).unwrap().as_der().unwrap();
    der.as_ref().to_vec()
}

fn aws_lc_rs(key: &[u8]) -> Engine {
    let pair = KeyPair::from_pkcs8(key).unwrap();
    Engine::single("aws-lc-rs", move |message| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    })
}

fn ring(key: &[u8]) -> Engine {
    let pair = ring::signature::RsaKeyPair::from_pkcs8(key).unwrap();
    let random = ring::rand::SystemRandom::new();
    Engine::single("ring", move |message| {
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&ring::signature::RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
        signature
    })
}

/// Signs with blinding, as a server must (RUSTSEC-2023-0071).
#[allow(clippy::disallowed_types, reason = "measured, not used: nothing is signed with it")]
fn rsa(key: &[u8]) -> Engine {
    let key = rsa::PrivateKey::from_pkcs8_der(key).unwrap();
    Engine::single("rsa, blinded", move |message| {
        let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() };
        key.sign_with_rng(&mut SysRng, scheme, digest::digest(&digest::SHA256, message).as_ref()).unwrap()
    })
}

/// Returns the reference of the engine with eight lanes, with the same key.
pub fn batch_reference() -> Engine {
    crypto_mb(yardstick_key()).expect("the service signs in batches on this processor")
}

/// Returns true if the service signs in batches: the build, the processor, the library and the settings allow it.
pub fn has_batch() -> bool {
    !settings::batches_are_off() && crypto_mb(yardstick_key()).is_ok()
}

/// Returns the engine with eight lanes, or the reason for its absence.
pub fn crypto_mb(key: &[u8]) -> Result<Engine, &'static str> {
    if !has_ifma() {
        return Err("not measured: the processor has neither AVX-512 IFMA nor AVX-IFMA");
    }
    batch(key)
}

#[cfg(not(feature = "crypto-mb"))]
fn batch(_key: &[u8]) -> Result<Engine, &'static str> {
    Err("not measured: built without the feature `crypto-mb`")
}

#[cfg(feature = "crypto-mb")]
fn batch(key: &[u8]) -> Result<Engine, &'static str> {
    let sign = countersign::custody::batch_signer(key).map_err(|_| "not measured: the batch library refused")?;
    let each = move |message: &[u8]| {
        let signatures = sign(&[message; 8]);
        signatures.into_iter().next().flatten().unwrap().0
    };
    Ok(Engine { name: "crypto_mb, verified", lanes: 8, sign: Box::new(each) })
}

#[cfg(target_arch = "x86_64")]
fn has_ifma() -> bool {
    std::arch::is_x86_feature_detected!("avx512ifma") || std::arch::is_x86_feature_detected!("avxifma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_ifma() -> bool {
    false
}

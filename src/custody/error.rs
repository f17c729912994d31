//! Errors of custody: a key that is not admitted, and a key that cannot be kept or loaded.

use super::format::unsupported::UnsupportedKey;
use crate::{
    domain::{ids::Kid, sealed_key::SealedKeyError},
    files::Breaches,
};

/// Reason why a key is not admitted. It names what was given and the remedy, and shows none of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The input is not an RSA private key in PEM.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedKey),
    /// The key is encrypted, and no passphrase was given.
    #[error(
        "the key is encrypted and there is no passphrase: give the one it was encrypted with (`keys import --passphrase-file FILE`, \
             or `custody.passphrase_file` for a key of the key folder)"
    )]
    PassphraseMissing,
    /// The key is encrypted with another passphrase.
    #[error(
        "the passphrase does not open the key (or the file is damaged): \
         try it with `openssl pkey -in key.pem -noout`, mind a line end in the passphrase file"
    )]
    PassphraseWrong,
    /// The key is encrypted with PBES1, triple DES or HMAC-SHA-1.
    #[error(
        "the key is encrypted in an outdated way: encrypt it again: openssl pkey -aes256 -in key.pem -out new-key.pem"
    )]
    OldEncryption,
    /// Decryption would take too much memory or time.
    #[error(
        "the key's encryption asks for more than 256 MiB or 10,000,000 rounds: \
         encrypt it again: openssl pkey -aes256 -in key.pem -out new-key.pem"
    )]
    CostlyEncryption,
    /// The PEM lines are there, but the body is not a key.
    #[error("the inside of the PEM file is damaged: copy it again, and try it with `openssl pkey -in key.pem -noout`")]
    Malformed,
    /// The key has more than two primes (RFC 8017 §3.2).
    #[error("the key has more than two primes, which Braze's verifiers need not know: {MAKE_ONE}")]
    MultiPrime,
    /// The key is too weak for RS256 (RFC 7518 §3.3).
    #[error("the key has {bits} bits, RS256 needs 2048 or more (RFC 7518): {MAKE_ONE}")]
    TooShort { bits: usize },
    /// The key is slow, and its signatures are long for a request header.
    #[error("the key has {bits} bits, more than 4096 are not supported: {MAKE_ONE}")]
    TooLong { bits: usize },
    /// The modulus is not a whole number of bytes.
    #[error("the key has {bits} bits, which is no multiple of 8: {MAKE_ONE}")]
    OddSize { bits: usize },
    /// The public exponent is not 65537.
    #[error("the key's public exponent is not 65537: {MAKE_ONE}")]
    Exponent,
    /// The primes are so close that anybody can factor the modulus (Fermat's method).
    #[error("the key is weak: its two primes are so close that the public key gives them away; {MAKE_ONE}")]
    ClosePrimes,
    /// The numbers are not of one key.
    #[error("the key's numbers do not belong together: it is damaged or was put together wrongly; {MAKE_ONE}")]
    Mismatch,
    /// The cryptographic library refuses the key.
    #[error("the cryptographic library refuses the key: {MAKE_ONE}")]
    Refused,
    /// The key does not sign, or its signature does not verify.
    #[error("the key failed its test ({0}): {MAKE_ONE}")]
    SelfTest(&'static str),
    /// The key is admitted, but cannot be kept.
    #[error("{path}: {why}")]
    Keep {
        path: String,
        /// Error and remedy.
        why: String,
    },
    /// The key is admitted, but cannot be kept in the store.
    #[error("{0}")]
    NotKept(String),
    /// The key is admitted, but the owner or mode of its file or folder breaks the rule.
    #[error("{0}")]
    Access(Breaches),
}

const MAKE_ONE: &str = "make a suitable one with `countersign keys generate`";

/// Reason why a key cannot be generated, kept or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// A file or folder cannot be used.
    #[error("{path}: {why}")]
    File {
        path: String,
        /// Error and remedy.
        why: String,
    },
    /// Owner or mode of a file or folder breaks the rule.
    #[error("{0}")]
    Access(Breaches),
    /// The key in that place is not admitted.
    #[error("{path}: {source}")]
    Unfit { path: String, source: ImportError },
    /// The key in that place is not the one on record.
    #[error("{path} holds key {found}, but {wanted} is on record there: put the right one back")]
    Mismatch {
        path: String,
        /// Key on record.
        wanted: Kid,
        /// Key that is there.
        found: Kid,
    },
    /// A sealed key is missing in the store.
    #[error(
        "the store has no sealed key {0}: restore the store from a backup, or replace the key: `countersign rotate run`"
    )]
    NotSealed(Kid),
    /// A sealed key in the store does not open.
    #[error("the sealed key {kid} in the store {source}")]
    Sealed { kid: Kid, source: SealedKeyError },
    /// The store does not answer.
    #[error("{0}")]
    Store(#[source] StoreFault),
    /// The record names a custody that this version does not know.
    #[error("key {kid} is in custody {custody:?}, which this version does not know: run a newer countersign")]
    UnknownCustody { kid: Kid, custody: String },
    /// Keys of this number of bits are not generated.
    #[error("{0} bits: choose 2048 (Braze's recommendation), 3072 or 4096")]
    Bits(u32),
    /// The system has no randomness, or the cryptographic library refused.
    #[error("the key could not be made: {0}")]
    Generation(String),
    /// The process ends, or work on the key failed in a way that no code expects.
    #[error("work on the key was broken off: {0}")]
    Stopped(String),
    /// The signing threads could not be started.
    #[error("the signing threads could not be started: {0}; or set a lower custody.threads")]
    Threads(String),
}

/// Fault of the store that keeps sealed keys.
pub type StoreFault = Box<dyn std::error::Error + Send + Sync>;

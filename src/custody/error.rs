//! Errors of this room: a key that is not admitted, and a key that cannot be kept or loaded.

use super::format::unsupported::UnsupportedKey;
use crate::domain::ids::Kid;

/// A key is not taken. Says what was given and what to do; never shows any of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Something else than the PEM of an RSA private key.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedKey),
    /// The key is encrypted.
    #[error("the key is encrypted and there is no passphrase: give the one it was encrypted with")]
    PassphraseMissing,
    /// The key is encrypted with another passphrase.
    #[error(
        "the passphrase does not open the key (or the file is damaged): \
         try it with `openssl pkey -in key.pem -noout`, mind a line end in the passphrase file"
    )]
    PassphraseWrong,
    /// PBES1, triple DES or HMAC-SHA-1.
    #[error(
        "the key is encrypted in an outdated way: encrypt it again: openssl pkey -aes256 -in key.pem -out new-key.pem"
    )]
    OldEncryption,
    /// Opening it would take too much memory or time.
    #[error(
        "the key's encryption asks for more than 256 MiB or 10,000,000 rounds: \
         encrypt it again: openssl pkey -aes256 -in key.pem -out new-key.pem"
    )]
    CostlyEncryption,
    /// The lines are there, the key inside is not.
    #[error("the inside of the PEM file is damaged: copy it again, and try it with `openssl pkey -in key.pem -noout`")]
    Malformed,
    /// More than two primes (RFC 8017 §3.2).
    #[error("the key has more than two primes, which Braze's verifiers need not know: {MAKE_ONE}")]
    MultiPrime,
    /// Too weak for RS256 (RFC 7518 §3.3).
    #[error("the key has {bits} bits, RS256 needs 2048 or more (RFC 7518): {MAKE_ONE}")]
    TooShort {
        /// The bits of its modulus.
        bits: usize,
    },
    /// Slow, and long for a request header.
    #[error("the key has {bits} bits, more than 4096 are not supported: {MAKE_ONE}")]
    TooLong {
        /// The bits of its modulus.
        bits: usize,
    },
    /// Not a whole number of bytes.
    #[error("the key has {bits} bits, which is no multiple of 8: {MAKE_ONE}")]
    OddSize {
        /// The bits of its modulus.
        bits: usize,
    },
    /// A public exponent other than 65537.
    #[error("the key's public exponent is not 65537: {MAKE_ONE}")]
    Exponent,
    /// Anybody can compute the private key from the public one.
    #[error("the key is weak: its two primes are so close that the public key gives them away; {MAKE_ONE}")]
    ClosePrimes,
    /// The parts are not of one key.
    #[error("the key's numbers do not belong together: it is damaged or was put together wrongly; {MAKE_ONE}")]
    Mismatch,
    /// The cryptographic library does not load it.
    #[error("the cryptographic library refuses the key: {MAKE_ONE}")]
    Refused,
    /// It does not sign, or nobody can verify it.
    #[error("the key failed its test ({0}): {MAKE_ONE}")]
    SelfTest(&'static str),
    /// The key is fit, but could not be kept.
    #[error("{path}: {why}")]
    Keep {
        /// The file that was to hold it.
        path: String,
        /// What went wrong, and what to do.
        why: String,
    },
}

const MAKE_ONE: &str = "`countersign keys generate` makes a fit one";

/// A key cannot be kept or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// A file or folder could not be used.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What went wrong, and what to do.
        why: String,
    },
    /// The file is not the key on record, or not a fit key.
    #[error("{path}: {source}")]
    Unfit {
        /// Which file.
        path: String,
        /// What is wrong with it.
        source: ImportError,
    },
    /// The key made or loaded is not the one on record.
    #[error("{path} holds key {found}, but {wanted} is on record there: put the right file back")]
    Mismatch {
        /// Which file.
        path: String,
        /// The key on record.
        wanted: Kid,
        /// The key that was found.
        found: Kid,
    },
    /// A key of that size cannot be made.
    #[error("{0} bits: choose 2048 (Braze's recommendation), 3072 or 4096")]
    Bits(u32),
    /// The system has no randomness, or the cryptographic library refused.
    #[error("the key could not be made: {0}")]
    Generation(String),
    /// The threads that sign could not be started.
    #[error("the signing threads could not be started ({0}): allow more threads or memory, or set fewer threads")]
    Threads(String),
}

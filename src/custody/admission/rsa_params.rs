//! Arithmetic checks of an RSA key: its numbers belong together, and are strong enough.

use rsa::{BigUint, pkcs1};
use zeroize::Zeroizing;

use crate::custody::error::ImportError;

/// Key type of `rsa`, which is used for its checks only, never to sign.
#[expect(clippy::disallowed_types, reason = "validate() only; the private operation is aws-lc-rs's")]
type Validated = rsa::RsaPrivateKey;

/// Only admitted public exponent (2^16 + 1), the default of every tool.
const EXPONENT: u32 = 65_537;

/// Rounds of Fermat's factorisation that a key must withstand.
const FERMAT_ROUNDS: u32 = 100;

/// Checks all numbers of a key; the most helpful error comes first.
pub(super) fn check(key: &pkcs1::RsaPrivateKey<'_>) -> Result<(), ImportError> {
    if key.other_prime_infos.is_some() {
        return Err(ImportError::MultiPrime);
    }
    let modulus = number(key.modulus);
    size(&modulus)?;
    if *number(key.public_exponent) != BigUint::from(EXPONENT) {
        return Err(ImportError::Exponent);
    }
    let pair = Pair {
        d: number(key.private_exponent),
        p: number(key.prime1),
        q: number(key.prime2),
        dp: number(key.exponent1),
        dq: number(key.exponent2),
        q_inverse: number(key.coefficient),
    };
    pair.belongs_to(&modulus)?;
    pair.withstands_fermat(&modulus)?;
    pair.has_right_crt_values()
}

/// Admits 2048 to 4096 bits in whole bytes: an unusual size in between also signs and verifies everywhere.
fn size(modulus: &BigUint) -> Result<(), ImportError> {
    match modulus.bits() {
        bits @ ..2048 => Err(ImportError::TooShort { bits }),
        bits @ 4097.. => Err(ImportError::TooLong { bits }),
        bits if bits % 8 != 0 => Err(ImportError::OddSize { bits }),
        _ => Ok(()),
    }
}

fn number(integer: pkcs1::UintRef<'_>) -> Zeroizing<BigUint> {
    Zeroizing::new(BigUint::from_bytes_be(integer.as_bytes()))
}

struct Pair {
    d: Zeroizing<BigUint>,
    p: Zeroizing<BigUint>,
    q: Zeroizing<BigUint>,
    dp: Zeroizing<BigUint>,
    dq: Zeroizing<BigUint>,
    q_inverse: Zeroizing<BigUint>,
}

impl Pair {
    /// Checks that n = p·q, and that d is the inverse of e.
    fn belongs_to(&self, modulus: &BigUint) -> Result<(), ImportError> {
        let primes = vec![BigUint::clone(&self.p), BigUint::clone(&self.q)];
        let validated =
            Validated::from_components(modulus.clone(), BigUint::from(EXPONENT), BigUint::clone(&self.d), primes);
        validated.map(drop).map_err(|_| ImportError::Mismatch)
    }

    /// Checks that Fermat's factorisation would not succeed within the rounds. It tries a = ⌈√n⌉, ⌈√n⌉ + 1, … and
    /// ends at a = (p + q) / 2; with the factors known, one comparison is enough. The difference cannot underflow:
    /// p·q has 2048 bits.
    fn withstands_fermat(&self, modulus: &BigUint) -> Result<(), ImportError> {
        let end = Zeroizing::new((&*self.p + &*self.q) >> 1);
        let start = Zeroizing::new(&*end - FERMAT_ROUNDS);
        if *modulus > &*start * &*start { Err(ImportError::ClosePrimes) } else { Ok(()) }
    }

    /// Checks the values for the Chinese remainder theorem (RFC 8017 §3.2): a wrong one makes signatures that reveal p.
    fn has_right_crt_values(&self) -> Result<(), ImportError> {
        let sound = *self.dp == &*self.d % (&*self.p - 1_u32)
            && *self.dq == &*self.d % (&*self.q - 1_u32)
            && *self.q_inverse < *self.p
            && &*self.q_inverse * &*self.q % &*self.p == BigUint::from(1_u32);
        if sound { Ok(()) } else { Err(ImportError::Mismatch) }
    }
}

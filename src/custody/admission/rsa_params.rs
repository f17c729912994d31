//! The arithmetic of an RSA key: whether its numbers belong together, and whether they are strong enough.

use rsa::{BigUint, pkcs1};
use zeroize::Zeroizing;

use crate::custody::error::ImportError;

/// `rsa`'s key is only checked here, never signed with.
#[expect(clippy::disallowed_types, reason = "validate() only; the private operation is aws-lc-rs's")]
type Validated = rsa::RsaPrivateKey;

/// The only public exponent taken (2^16 + 1): what every tool makes by default.
const EXPONENT: u32 = 65_537;

/// How many rounds of Fermat's factorisation a key must withstand.
const FERMAT_ROUNDS: u32 = 100;

/// Checks all of a key's numbers; the most telling complaint comes first.
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
    pair.agrees_with_its_shortcuts()
}

/// 2048 to 4096 bits, in whole bytes: a size in between is unusual, but signs and verifies everywhere.
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
    /// n = p·q, and d undoes e.
    fn belongs_to(&self, modulus: &BigUint) -> Result<(), ImportError> {
        let primes = vec![BigUint::clone(&self.p), BigUint::clone(&self.q)];
        let validated =
            Validated::from_components(modulus.clone(), BigUint::from(EXPONENT), BigUint::clone(&self.d), primes);
        validated.map(drop).map_err(|_| ImportError::Mismatch)
    }

    /// Fermat's method tries a = ⌈√n⌉, ⌈√n⌉ + 1, … and ends at a = (p + q) / 2: with the factors known, one
    /// comparison tells whether it would end within the rounds. The sums cannot underflow: p·q has 2048 bits.
    fn withstands_fermat(&self, modulus: &BigUint) -> Result<(), ImportError> {
        let end = Zeroizing::new((&*self.p + &*self.q) >> 1);
        let start = Zeroizing::new(&*end - FERMAT_ROUNDS);
        if *modulus > &*start * &*start { Err(ImportError::ClosePrimes) } else { Ok(()) }
    }

    /// The values for the Chinese remainder theorem (RFC 8017 §3.2): a wrong one makes signatures that give p away.
    fn agrees_with_its_shortcuts(&self) -> Result<(), ImportError> {
        let sound = *self.dp == &*self.d % (&*self.p - 1_u32)
            && *self.dq == &*self.d % (&*self.q - 1_u32)
            && *self.q_inverse < *self.p
            && &*self.q_inverse * &*self.q % &*self.p == BigUint::from(1_u32);
        if sound { Ok(()) } else { Err(ImportError::Mismatch) }
    }
}

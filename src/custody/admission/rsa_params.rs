//! Arithmetic checks of an RSA key: its numbers belong together, and are strong enough.

use crypto_bigint::{BoxedUint, ConcatenatingMul, ConcatenatingSquare, NonZero};
use rsa::pkcs1;
use zeroize::Zeroizing;

use crate::custody::error::ImportError;

/// Key type of `rsa`, which is used for its checks only, never to sign.
#[expect(clippy::disallowed_types, reason = "validate() only; the private operation is aws-lc-rs's")]
type Validated = rsa::PrivateKey;

/// Only admitted public exponent (2^16 + 1), the default of every tool.
const EXPONENT: u32 = 65_537;

/// Rounds of Fermat's factorisation that a key must withstand.
const FERMAT_ROUNDS: u32 = 100;

/// Checks all numbers of a key; the most helpful error comes first.
pub(super) fn check(key: &pkcs1::RsaPrivateKeyRef<'_>) -> Result<(), ImportError> {
    if key.other_prime_infos.is_some() {
        return Err(ImportError::MultiPrime);
    }
    let modulus = number(key.modulus);
    size(&modulus)?;
    if *number(key.public_exponent) != BoxedUint::from(EXPONENT) {
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
    pair.has_two_primes()?;
    pair.belongs_to(&modulus)?;
    pair.withstands_fermat(&modulus)?;
    pair.has_right_crt_values()
}

/// Admits 2048 to 4096 bits in whole bytes: an unusual size in between also signs and verifies everywhere.
fn size(modulus: &BoxedUint) -> Result<(), ImportError> {
    let bits = modulus.bit_width_vartime() as usize;
    match bits {
        ..2048 => Err(ImportError::TooShort { bits }),
        4097.. => Err(ImportError::TooLong { bits }),
        _ if !bits.is_multiple_of(8) => Err(ImportError::OddSize { bits }),
        _ => Ok(()),
    }
}

/// The number, as wide as the file writes it: its width is no secret, since the file has that length.
fn number(integer: pkcs1::UintRef<'_>) -> Zeroizing<BoxedUint> {
    Zeroizing::new(BoxedUint::from_be_slice_vartime(integer.as_bytes()))
}

/// Number to divide by, which is not zero.
type Divisor = Zeroizing<NonZero<BoxedUint>>;

fn divisor(number: BoxedUint) -> Result<Divisor, ImportError> {
    NonZero::new(number).into_option().map(Zeroizing::new).ok_or(ImportError::Mismatch)
}

fn less_one(number: &BoxedUint) -> Result<Divisor, ImportError> {
    divisor(number.wrapping_sub(BoxedUint::one()))
}

/// Returns the remainder; the quotient, which tells of the number too, is zeroed as well.
fn remainder(number: &BoxedUint, by: &Divisor) -> Zeroizing<BoxedUint> {
    let (quotient, remainder) = number.div_rem(&**by);
    drop(Zeroizing::new(quotient));
    Zeroizing::new(remainder)
}

/// Numbers of a private key. It has no `Debug`: that of a number prints it.
struct Pair {
    d: Zeroizing<BoxedUint>,
    p: Zeroizing<BoxedUint>,
    q: Zeroizing<BoxedUint>,
    dp: Zeroizing<BoxedUint>,
    dq: Zeroizing<BoxedUint>,
    q_inverse: Zeroizing<BoxedUint>,
}

impl Pair {
    /// Checks that the primes differ, since equal ones would only count as a mismatch below.
    fn has_two_primes(&self) -> Result<(), ImportError> {
        if self.p == self.q { Err(ImportError::ClosePrimes) } else { Ok(()) }
    }

    /// Checks that n = p·q, and that d is the inverse of e. The primes may differ in size, and d may exceed n: keys
    /// were admitted with both, which must load. `rsa` refuses such a d, so it is reduced first.
    fn belongs_to(&self, modulus: &BoxedUint) -> Result<(), ImportError> {
        let order = less_one(&self.p)?.concatenating_mul(&**less_one(&self.q)?);
        let d = remainder(&self.d, &divisor(order)?);
        let validated = Validated::from_components_with_wide_primes(
            modulus.clone(),
            BoxedUint::from(EXPONENT),
            BoxedUint::clone(&d),
            vec![BoxedUint::clone(&self.p), BoxedUint::clone(&self.q)],
        );
        validated.map(drop).map_err(|_| ImportError::Mismatch)
    }

    /// Checks that Fermat's factorisation would not succeed within the rounds. It tries a = ⌈√n⌉, ⌈√n⌉ + 1, … and
    /// ends at a = (p + q) / 2; with the factors known, one comparison is enough. The difference cannot underflow:
    /// p·q has 2048 bits.
    fn withstands_fermat(&self, modulus: &BoxedUint) -> Result<(), ImportError> {
        let mut start = Zeroizing::new(self.p.concatenating_add(&*self.q));
        start.shr_assign(1);
        start.wrapping_sub_assign(BoxedUint::from(FERMAT_ROUNDS));
        let square = Zeroizing::new(start.concatenating_square());
        if *modulus > *square { Err(ImportError::ClosePrimes) } else { Ok(()) }
    }

    /// Checks the values for the Chinese remainder theorem (RFC 8017 §3.2): a wrong one makes signatures that reveal p.
    fn has_right_crt_values(&self) -> Result<(), ImportError> {
        let product = Zeroizing::new(self.q_inverse.concatenating_mul(&*self.q));
        let sound = self.dp == remainder(&self.d, &less_one(&self.p)?)
            && self.dq == remainder(&self.d, &less_one(&self.q)?)
            && *self.q_inverse < *self.p
            && *remainder(&product, &divisor(BoxedUint::clone(&self.p))?) == BoxedUint::one();
        if sound { Ok(()) } else { Err(ImportError::Mismatch) }
    }
}

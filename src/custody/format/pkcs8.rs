//! PKCS#8, plain or encrypted: decodes the key of others, and encodes the key that custody keeps.

use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument,
    der::{Decode, asn1::OctetStringRef},
    pkcs5::{self, pbes2, scrypt},
};
use rsa::pkcs1;
use zeroize::Zeroizing;

use super::{
    body::{self, Form},
    pem::Block,
};
use crate::{
    custody::error::ImportError,
    secret::{Entropy, NoEntropy, random},
};

/// Decodes and decrypts the key of a block, to PKCS#1 in DER.
pub(in crate::custody) fn unwrap(block: Block, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    match block.form {
        Form::Pkcs1 => Ok(block.der),
        Form::Pkcs8 => from_pkcs8(&block.der),
        Form::EncryptedPkcs8 => {
            readable(&block.der)?;
            let passphrase = passphrase.ok_or(ImportError::PassphraseMissing)?;
            let mut buffer = Zeroizing::new(Vec::with_capacity(block.der.len()));
            from_pkcs8(decrypt(&block.der, passphrase, &mut buffer)?)
        }
    }
}

/// Extracts the PKCS#1 from PKCS#8.
pub(in crate::custody) fn from_pkcs8(der: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    body::check_algorithm(der)?;
    let info = PrivateKeyInfoRef::from_der(der).map_err(|_| ImportError::Malformed)?;
    Ok(Zeroizing::new(info.private_key.as_bytes().to_vec()))
}

/// Parses the parameters and checks that they are supported, before anybody is asked for a passphrase.
fn readable(der: &[u8]) -> Result<EncryptedPrivateKeyInfoRef<'_>, ImportError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| unreadable(der))?;
    let params = info.encryption_algorithm.pbes2().ok_or(ImportError::OldEncryption)?;
    match &params.kdf {
        pbes2::Kdf::Pbkdf2(kdf) if kdf.prf == pbes2::Pbkdf2Prf::HmacWithSha1 => Err(ImportError::OldEncryption),
        kdf if !affordable(kdf) => Err(ImportError::CostlyEncryption),
        _ => Ok(info),
    }
}

/// Error for bytes that the parser refused: an unknown algorithm, or no encrypted PKCS#8.
fn unreadable(der: &[u8]) -> ImportError {
    if body::is_encrypted(der) { ImportError::OldEncryption } else { ImportError::Malformed }
}

/// True for a key derivation that takes at most 256 MiB and some ten seconds: the parameters come from the file, and
/// the file may be hostile.
fn affordable(kdf: &pbes2::Kdf) -> bool {
    match kdf {
        pbes2::Kdf::Pbkdf2(params) => params.iteration_count <= 10_000_000,
        pbes2::Kdf::Scrypt(params) => {
            let (n, r, p) = (params.cost_parameter, u64::from(params.block_size), params.parallelization);
            // RFC 7914 §2; the parser relies on a cost that is a power of two.
            let sound = n > 1 && n.is_power_of_two() && r > 0;
            sound && n.saturating_mul(128 * r) <= 256 << 20 && (1..=16).contains(&p)
        }
        _ => false,
    }
}

fn decrypt<'b>(der: &[u8], passphrase: &str, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], ImportError> {
    let info = readable(der)?;
    buffer.extend_from_slice(info.encrypted_data.as_bytes());
    let plain = info.encryption_algorithm.decrypt_in_place(passphrase, buffer).map_err(|why| match why {
        pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::NoPbes1CryptSupport => ImportError::OldEncryption,
        _ => ImportError::PassphraseWrong,
    })?;
    // About one wrong passphrase in 256 yields a valid padding.
    PrivateKeyInfoRef::from_der(plain).map_err(|_| ImportError::PassphraseWrong)?;
    Ok(plain)
}

/// Encodes the PEM that custody keeps: PKCS#8, encrypted where there is a passphrase.
pub(in crate::custody) fn seal(
    pkcs1: &[u8],
    passphrase: Option<&str>,
    entropy: &dyn Entropy,
) -> Result<Zeroizing<String>, SealError> {
    let info = PrivateKeyInfoRef::new(pkcs1::ALGORITHM_ID, OctetStringRef::new(pkcs1)?);
    let pem = match passphrase {
        None => SecretDocument::encode_msg(&info)?.to_pem("PRIVATE KEY", LineEnding::LF)?,
        Some(passphrase) => encrypt(&info, passphrase, entropy)?.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?,
    };
    Ok(pem)
}

fn encrypt(info: &PrivateKeyInfoRef<'_>, passphrase: &str, entropy: &dyn Entropy) -> Result<SecretDocument, SealError> {
    let (salt, iv) = (random::<16>(entropy)?, random::<16>(entropy)?);
    // N = 2^14 takes 16 MiB, and OpenSSL reads no more than 32 MiB; the default of the library has changed before.
    let cost = scrypt::Params::new(14, 8, 1).map_err(|_| SealError::Encoding)?;
    let params = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| SealError::Encoding)?;
    Ok(info.encrypt_with_params(params, passphrase)?)
}

/// Error of encoding a key.
#[derive(Debug, thiserror::Error)]
pub(in crate::custody) enum SealError {
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    #[error("the key could not be encoded")]
    Encoding,
}

impl From<pkcs8::Error> for SealError {
    fn from(_: pkcs8::Error) -> Self {
        Self::Encoding
    }
}

impl From<pkcs8::der::Error> for SealError {
    fn from(_: pkcs8::der::Error) -> Self {
        Self::Encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cannot_ask_for_any_amount_of_work() {
        let salt = || pbes2::Salt::new([0; 16]).unwrap();
        let scrypt = |cost_parameter, block_size, parallelization| {
            pbes2::Kdf::Scrypt(pbes2::ScryptParams {
                salt: salt(),
                cost_parameter,
                block_size,
                parallelization,
                key_length: None,
            })
        };
        assert!(affordable(&scrypt(1 << 14, 8, 1)));
        assert!(affordable(&scrypt(1 << 17, 8, 1)));
        assert!(!affordable(&scrypt(1 << 19, 8, 1)));
        assert!(!affordable(&scrypt(u64::MAX, u16::MAX, 1)));
        assert!(!affordable(&scrypt(1 << 14, 8, 17)));
        assert!(!affordable(&scrypt(0, 8, 1)));
        assert!(!affordable(&scrypt(1 << 14, 0, 1)));
        let pbkdf2 = |iteration_count| {
            pbes2::Kdf::Pbkdf2(pbes2::Pbkdf2Params {
                salt: salt(),
                iteration_count,
                key_length: None,
                prf: pbes2::Pbkdf2Prf::HmacWithSha256,
            })
        };
        assert!(affordable(&pbkdf2(600_000)));
        assert!(!affordable(&pbkdf2(10_000_001)));
    }
}

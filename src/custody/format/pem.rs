//! Parser of PEM files (RFC 7468, read leniently as its §3 advises): finds the private key, or names what else is
//! there.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    body::{self, Form},
    unsupported::UnsupportedKey,
};
use crate::files::MAX_SECRET_BYTES;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// Private key of a PEM file, decoded from base64.
pub(in crate::custody) struct Block {
    pub(in crate::custody) form: Form,
    pub(in crate::custody) der: Zeroizing<Vec<u8>>,
}

/// Names what these bytes are, e.g. `a public key` or `a private key (PKCS#8)`; shows nothing of them.
pub fn describe(bytes: &[u8]) -> &'static str {
    match private_key(bytes) {
        Ok(block) => block.form.name(),
        Err(unsupported) => unsupported.name(),
    }
}

/// Returns the private key of a PEM file that holds nothing else.
pub(in crate::custody) fn private_key(bytes: &[u8]) -> Result<Block, UnsupportedKey> {
    if bytes.len() > MAX_SECRET_BYTES {
        return Err(UnsupportedKey::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
    if find(bytes, BEGIN).is_none() || bytes.starts_with(b"{") {
        return Err(without_pem(bytes));
    }
    let (labelled, body) = only_key(&blocks(bytes)?)?;
    // Some tools write a label that does not fit: the body decides.
    let (form, der) = match labelled {
        Ok(form) => {
            let der = decode(body)?;
            (body::identify(&der).unwrap_or(Ok(form))?, der)
        }
        Err(key @ (UnsupportedKey::PublicKey | UnsupportedKey::EcKey | UnsupportedKey::DsaKey)) => {
            let der = decode(body).map_err(|_| key)?;
            (body::identify(&der).unwrap_or(Err(key)).map_err(|_| key)?, der)
        }
        Err(other) => return Err(other),
    };
    Ok(Block { form, der })
}

/// PEM block in base64.
struct EncodedBlock<'a> {
    label: &'a [u8],
    body: &'a [u8],
}

fn blocks(mut rest: &[u8]) -> Result<Vec<EncodedBlock<'_>>, UnsupportedKey> {
    let mut found = Vec::new();
    while let Some(start) = find(rest, BEGIN) {
        let (label, after) = split_once(&rest[start + BEGIN.len()..], DASHES)?;
        // A label with a line end has no closing dashes of its own; those found belong to the next line.
        if label.len() > 64 || label.contains(&b'\n') {
            let has_dash =
                label.split(|byte| *byte == b'\n').next().is_some_and(|line| line.trim_ascii_end().ends_with(b"-"));
            return Err(if has_dash { UnsupportedKey::WrongDashes } else { UnsupportedKey::Truncated });
        }
        let end = [b"END ", label].concat();
        let (body, after) = split_once(after, &[DASHES, &end, DASHES].concat())
            .map_err(|truncated| if find(after, &end).is_some() { UnsupportedKey::WrongDashes } else { truncated })?;
        found.push(EncodedBlock { label, body });
        rest = after;
    }
    Ok(found)
}

fn split_once<'a>(bytes: &'a [u8], at: &[u8]) -> Result<(&'a [u8], &'a [u8]), UnsupportedKey> {
    let middle = find(bytes, at).ok_or(UnsupportedKey::Truncated)?;
    Ok((&bytes[..middle], &bytes[middle + at.len()..]))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Kind of a block by its label, and its body.
type Labelled<'a> = (Result<Form, UnsupportedKey>, &'a [u8]);

/// Returns the block that is the only one.
fn only_key<'a>(blocks: &[EncodedBlock<'a>]) -> Result<Labelled<'a>, UnsupportedKey> {
    // `openssl ecparam -genkey` writes the curve as a block of its own before the key.
    let mut kinds = blocks.iter().filter(|block| !block.label.ends_with(b"PARAMETERS")).map(kind_of);
    let Some(first) = kinds.next() else { return Err(UnsupportedKey::OtherPem) };
    for (other, _) in kinds {
        // A chain of certificates counts as one certificate.
        if first.0.is_ok() || first.0 != other {
            return Err(UnsupportedKey::Several);
        }
    }
    Ok(first)
}

fn kind_of<'a>(block: &EncodedBlock<'a>) -> Labelled<'a> {
    let form = match block.label {
        b"RSA PRIVATE KEY" if find(block.body, b"Proc-Type:").is_some() => Err(UnsupportedKey::LegacyEncrypted),
        b"RSA PRIVATE KEY" => Ok(Form::Pkcs1),
        b"PRIVATE KEY" => Ok(Form::Pkcs8),
        b"ENCRYPTED PRIVATE KEY" => Ok(Form::EncryptedPkcs8),
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Err(UnsupportedKey::PublicKey),
        b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => Err(UnsupportedKey::Certificate),
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Err(UnsupportedKey::CertificateRequest),
        b"EC PRIVATE KEY" => Err(UnsupportedKey::EcKey),
        b"DSA PRIVATE KEY" => Err(UnsupportedKey::DsaKey),
        b"OPENSSH PRIVATE KEY" => Err(UnsupportedKey::OpenSsh),
        label if label.starts_with(b"PGP ") => Err(UnsupportedKey::Pgp),
        _ => Err(UnsupportedKey::OtherPem),
    };
    (form, block.body)
}

/// Decodes base64. Both buffers are allocated at full size, so that growing leaves no copy in memory.
fn decode(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsupportedKey> {
    let mut dense = Zeroizing::new(Vec::with_capacity(body.len()));
    dense.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; dense.len() / 4 * 3 + 3]);
    let len = STANDARD.decode_slice(&*dense, &mut der).map_err(|_| {
        // The key was copied from an environment variable or a JSON file.
        if find(body, b"\\n").is_some() { UnsupportedKey::EscapedNewlines } else { UnsupportedKey::BadBase64 }
    })?;
    der.truncate(len);
    Ok(der)
}

/// Identifies bytes without a BEGIN line.
fn without_pem(bytes: &[u8]) -> UnsupportedKey {
    let starts = |with: &[u8]| bytes.starts_with(with);
    let has = |what: &[u8]| find(bytes, what).is_some();
    match bytes {
        [] => UnsupportedKey::Empty,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [_, 0, ..] => UnsupportedKey::Utf16,
        [0xFE, 0xED, 0xFE, 0xED, ..] => UnsupportedKey::JavaKeystore,
        [b'{', ..] if has(BEGIN) => UnsupportedKey::JsonWithPem,
        [b'{', ..] => UnsupportedKey::Json,
        [0x30, ..] => match body::identify(bytes) {
            Some(Ok(_)) => UnsupportedKey::Der,
            Some(Err(unsupported)) => unsupported,
            None if body::is_sequence(bytes) => UnsupportedKey::Der,
            None => UnsupportedKey::Unknown,
        },
        _ if starts(b"ssh-") || starts(b"ecdsa-") => UnsupportedKey::PublicKey,
        _ if starts(b"PuTTY-User-Key-File") => UnsupportedKey::Putty,
        _ if has(b"BEGIN ") && has(b" KEY") => UnsupportedKey::WrongDashes,
        _ => in_base64(bytes),
    }
}

/// Identifies bytes that may be base64.
fn in_base64(bytes: &[u8]) -> UnsupportedKey {
    let Ok(decoded) = decode(bytes) else {
        // The beginning of any DER SEQUENCE of 256 bytes and more, in base64.
        return if bytes.starts_with(b"MII") { UnsupportedKey::BadBase64 } else { UnsupportedKey::Unknown };
    };
    match body::identify(&decoded) {
        _ if find(&decoded, BEGIN).is_some() => UnsupportedKey::Base64OfPem,
        Some(Ok(_)) => UnsupportedKey::BareBase64,
        Some(Err(unsupported)) => unsupported,
        None => UnsupportedKey::Unknown,
    }
}

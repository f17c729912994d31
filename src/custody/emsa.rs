//! Encoded message of RSASSA-PKCS1-v1_5 (EMSA-PKCS1-v1_5, RFC 8017 §9.2): padding and a digest. The libraries raise
//! it to the private exponent; nothing here computes with a secret.

use aws_lc_rs::digest;

/// Prefix of a SHA-256 digest in the DER of `DigestInfo` (RFC 8017 §9.2, note 1).
pub(super) const SHA256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Writes the encoded message of `message` with SHA-256 over all of `to`, which is as long as the modulus: 256 bytes or
/// more for every admitted key.
pub(super) fn encode(message: &[u8], to: &mut [u8]) {
    let digest = digest::digest(&digest::SHA256, message);
    let padding = to.len() - SHA256_PREFIX.len() - digest.as_ref().len();
    let (padding, info) = to.split_at_mut(padding);
    padding.fill(0xff);
    padding[0] = 0;
    padding[1] = 1;
    padding[padding.len() - 1] = 0;
    info[..SHA256_PREFIX.len()].copy_from_slice(&SHA256_PREFIX);
    info[SHA256_PREFIX.len()..].copy_from_slice(digest.as_ref());
}

//! Private keys as bytes: PEM read leniently, PKCS#8 taken off and put on, and a name for everything that is no RSA key.

pub(super) mod pem;
pub(super) mod pkcs8;
pub(super) mod unsupported;

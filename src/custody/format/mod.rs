//! Formats of private keys: [`pem`] and [`pkcs8`] are read and written, [`unsupported`] names all others.

pub(super) mod pem;
pub(super) mod pkcs8;
pub(super) mod unsupported;

//! Formats of private keys: [`pem`] and [`pkcs8`] are read and written, [`body`] tells
//! what is inside, [`unsupported`] names all others.

pub(super) mod body;
pub(super) mod pem;
pub(super) mod pkcs8;
pub(super) mod unsupported;

//! The pure heart: no input or output, no async, no clock of its own. What it needs to know, it is told.
//!
//! [`ids`] name things, [`claims`] and [`jws`] make the token, [`sealing`], [`refresh_token`] and [`session`] are the
//! refresh token's life, [`key`] is a signing key's and [`rotation`] what is on
//! record about replacing it, [`api_key`] a backend's credential, [`verdict`] is what Braze
//! would answer to a token.

pub mod api_key;
pub mod claims;
pub mod ids;
pub mod jwk;
pub mod jws;
pub mod key;
pub mod policy;
pub mod refresh_token;
pub mod rotation;
pub mod sealing;
pub mod session;
pub mod spki;
pub mod verdict;

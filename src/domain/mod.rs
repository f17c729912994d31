//! Pure rules and types of the service: no input or output, no async, no clock; every fact is an argument.
//!
//! - [`ids`]: names and identifiers; [`policy`]: settings of one app
//! - [`claims`], [`jws`]: the token
//! - [`sealing`], [`refresh_token`], [`session`]: the refresh token and the decision about it
//! - [`key`], [`rotation`]: states of a signing key, and records of its replacement
//! - [`spki`], [`jwk`]: public keys as bytes and as a JWK Set
//! - [`audit`]: acts that the audit log records; [`checkpoint_key`]: the keys that sign its checkpoints
//! - [`api_key`]: a backend's credential; [`operator`]: an operator's, and sessions of the console
//! - [`sign_in`]: rules for the credential of a session that the app already has; [`client_authentication`]:
//!   the secrets with which this service asks a provider about one; [`login_record`]: the login it proves, as keyed
//!   hashes
//! - [`shell`]: operands of commands that are printed
//! - [`verdict`]: Braze's answer to a token; [`failure`]: failures that apps report, and their causes;
//!   [`session_sketch`]: the number of sessions that reported them

pub mod api_key;
mod as_text;
pub mod audit;
pub mod checkpoint_key;
pub mod claims;
pub mod client_authentication;
mod credential;
pub mod failure;
pub mod ids;
pub mod jwk;
pub mod jws;
pub mod key;
pub mod login_record;
pub mod missing_key;
pub mod operator;
pub mod policy;
pub mod refresh_token;
pub mod requester;
pub mod rotation;
pub mod sealed_key;
pub mod sealing;
pub mod session;
pub mod session_sketch;
pub mod shell;
pub mod sign_in;
pub mod spki;
pub mod verdict;

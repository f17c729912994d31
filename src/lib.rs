//! Countersign: the signing server for Braze SDK authentication.
//!
//! In the order in which data passes: [`listener`] takes connections, [`http`] turns a request into one call,
//! [`identity`] says who asks and for which user, [`issue`] mints, refreshes and revokes, [`keyring`] names the key,
//! [`custody`] signs with it, [`store`] remembers the session. [`rotate`] is a key's life, [`ops`] the second listener,
//! [`domain`] the pure rules that all of them share. [`app`] opens and wires the rooms, [`config`] reads what the
//! operator wrote, [`cli`] is the command line.
//!
//! Imports go one way; `tests/it/architecture.rs` holds the table of who may import whom.

pub mod address;
pub mod app;
pub mod braze;
pub mod cli;
pub mod clock;
pub mod config;
pub mod custody;
pub mod domain;
pub mod http;
pub mod identity;
pub mod issue;
pub mod keyring;
pub mod listener;
pub mod ops;
pub mod rotate;
pub mod sandbox;
pub mod secret;
pub mod store;
pub mod telemetry;

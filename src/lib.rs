//! Countersign: the signing server for Braze SDK authentication.
//!
//! In the order in which a request passes: [`listener`] accepts the connection, [`http`] turns the request into one call,
//! [`identity`] tells the caller and the user, [`issue`] mints, refreshes and revokes, [`keyring`] has the active signer of
//! the app's key ring, [`custody`] signs, [`store`] keeps the session. [`rotate`] replaces keys, and speaks to Braze through
//! [`braze`]. [`node`] is the background work of one process, [`operate`] what operators do, [`ops`] the second listener.
//! [`domain`] has the pure rules that all of them share. [`app`] opens and wires the rooms, [`config`] reads the
//! configuration, [`cli`] is the command line. [`telemetry`], [`clock`], [`secret`] and [`address`] serve every room.
//!
//! With the feature `sandbox` (on by default) there are a local Braze and a demo. A container image is built without it: a
//! binary that signs for users has no stand-in for Braze.
//!
//! Imports go one way; `tests/it/architecture/` holds the table of who may import whom.

pub mod address;
pub mod app;
pub mod braze;
pub mod cli;
pub mod clock;
pub mod config;
pub mod custody;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod domain;
pub mod http;
pub mod identity;
pub mod issue;
pub mod keyring;
pub mod listener;
pub mod node;
pub mod operate;
pub mod ops;
pub mod rotate;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod store;
pub mod telemetry;

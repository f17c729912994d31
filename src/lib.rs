//! Countersign: the signing server for Braze SDK authentication.
//!
//! In the order in which a request passes: [`listener`] accepts the connection, [`http`] turns the request into one
//! call, [`identity`] identifies the caller and the user, [`issue`] mints, refreshes and revokes, [`keyring`] has the
//! active signer of the app's key ring, [`custody`] signs, [`store`] keeps the session, and [`outage`] has what is
//! needed to answer while the store is out of reach. [`rotate`] replaces keys, and calls Braze through [`braze`].
//! [`node`] is the background work of one process, [`operate`] the operations of operators, [`ops`] the second
//! listener. [`audit`] keeps the audit log as a tree, and [`failures`] diagnoses and counts what apps report.
//! [`domain`] has the pure rules that all of them share. [`app`] opens the modules and connects them, [`config`] reads
//! the configuration, [`cli`] is the command line. Every module may use [`telemetry`], [`clock`], [`secret`] and
//! [`address`]. [`files`] has the rule for owners and modes of files.
//!
//! The feature `sandbox` (on by default) adds a local Braze and a demo. The container image is built without it: a
//! binary that signs for real users contains no simulation of Braze.
//!
//! Imports go one way; `tests/it/architecture/` holds the table of the modules that each module may import.

pub mod address;
pub mod app;
pub mod audit;
pub mod braze;
pub mod cli;
pub mod clock;
pub mod config;
pub mod custody;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod domain;
pub mod failures;
pub mod files;
pub mod http;
pub mod identity;
pub mod issue;
pub mod keyring;
pub mod listener;
pub mod node;
pub mod operate;
pub mod ops;
pub mod outage;
pub mod rotate;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod store;
pub mod telemetry;

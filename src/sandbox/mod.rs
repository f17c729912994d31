//! The sandbox: a local Braze, as far as SDK authentication goes.
//!
//! In the order in which data passes: [`serve()`] takes connections, `sdk` answers the SDKs (`/api/v3/…`), `rest` the
//! key management API (`/app_group/sdk_authentication/…`), `control` tests and people (`/sandbox/v1/…` and a page).
//! All of them work on one [`World`]: apps with their `keys` and enforcement, the `journal` of what was received, the
//! `switches` for what is not known of the real Braze, and the `faults` that a test asks for. Whether a token is good is
//! [`crate::domain::verdict`]'s to say.
//!
//! It imports nothing of the service that it is there to test. What is known of Braze is Braze's documentation and the
//! behaviour of its Web SDK; where neither says, the comment says "not documented", and most often there is a switch.

mod control;
mod faults;
mod journal;
mod keys;
mod rest;
mod sdk;
mod serve;
mod switches;
mod world;

pub use serve::{Sandbox, SandboxError, serve};
pub use switches::{Outage, Switches};
pub use world::{AppSpec, BadApp, Enforcement, REST_API_KEY, World};

use axum::Router;
use std::sync::Arc;

/// Every route, as an HTTP client sees the sandbox.
pub fn router(world: Arc<World>) -> Router {
    sdk::routes().merge(rest::routes()).merge(control::routes()).with_state(world)
}

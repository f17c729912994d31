//! The sandbox: a local Braze, as far as SDK authentication goes.
//!
//! In the order in which data passes: [`serve()`] accepts connections; `sdk` answers the SDKs (`/api/v3/…`), `rest`
//! the key management API (`/app_group/sdk_authentication/…`), `control` tests and people (`/sandbox/v1/…` and a
//! page). All of them share one [`LocalBraze`]: apps with their `keys` and enforcement, the `journal` of received
//! requests and `push_tokens`, the `switches` for undocumented behaviour of Braze, and the `faults` that a test has queued. Tokens are
//! judged by [`crate::domain::verdict`]. `provider` is a local OpenID provider, beside Braze.
//!
//! The sandbox imports nothing of the service that it helps to test. Its behaviour follows Braze's documentation and
//! the Web SDK's source. A comment says "not documented" where both are silent; most such cases have a switch.

mod app;
mod control;
mod disconnect;
mod faults;
mod journal;
mod keys;
mod local_braze;
mod provider;
mod push_tokens;
mod rest;
mod sdk;
mod serve;
mod switches;

pub use app::{AppSpec, BadApp, Enforcement};
pub use local_braze::{LocalBraze, REST_API_KEY};
pub use provider::ISSUER_PATH;
pub use serve::{Sandbox, SandboxError, serve};
pub use switches::{Outage, Switches};

use axum::Router;
use std::sync::Arc;

/// Returns the routes of Braze's APIs, of the control API and of the provider.
pub fn router(braze: Arc<LocalBraze>) -> Router {
    sdk::routes().merge(rest::routes()).merge(control::routes()).merge(provider::routes()).with_state(braze)
}

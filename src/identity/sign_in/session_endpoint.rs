//! Session endpoint: a URL of the app that says whose session it is.

use crate::domain::sign_in::SessionEndpointRules;

/// Verifier of sessions that an endpoint of the app is asked about.
pub(super) struct Verifier {
    rules: SessionEndpointRules,
}

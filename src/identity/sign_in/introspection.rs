//! Token introspection (RFC 7662).

use crate::domain::sign_in::IntrospectionRules;

/// Verifier of opaque credentials that an introspection endpoint is asked about.
pub(super) struct Verifier {
    rules: IntrospectionRules,
}

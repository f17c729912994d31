//! Table of every route of the operators' API.

mod audit;
mod bodies;
mod clients;
mod installation;
mod keys;
mod rotations;
mod users;

use super::route::{AdminRoute, QueryMember};

/// Every route, by area.
pub const ROUTES: &[&[AdminRoute]] = &[
    installation::ROUTES,
    keys::ROUTES,
    rotations::ROUTES,
    clients::ROUTES,
    users::ROUTES,
    audit::ROUTES,
    installation::OPERATOR_ROUTES,
];

/// App to which a list is restricted.
const APP: QueryMember =
    QueryMember { name: "app", description: "App; absent: all.", range: None, required: false };

/// Ring to which a list is restricted.
const RING: QueryMember =
    QueryMember { name: "ring", description: "Ring; absent: all that apps use.", range: None, required: false };

/// Span of time up to now.
const SPAN: QueryMember = QueryMember {
    name: "span",
    description: "Time up to now, in milliseconds.",
    range: Some((1, 315_576_000_000)),
    required: true,
};

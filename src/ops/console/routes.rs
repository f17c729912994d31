//! Every route of the console, with the rights that it needs. The router and the tests are made from this table.

use axum::routing::{MethodRouter, get, post};

use super::{
    audit, callers, doctor, failures,
    guard::{LOGOUT, RouteRights},
    keys, nodes, overview, rotation, users,
    visit::{Visit, answer},
};

const USERS: &str = "/console/users";
const CALLERS: &str = "/console/callers";

/// Route of the console.
pub struct ConsoleRoute {
    /// True for a POST, false for a GET.
    pub is_form: bool,
    pub path: &'static str,
    /// Section of the navigation that it belongs to.
    pub section: &'static str,
    pub rights: RouteRights,
    pub(super) serve: fn() -> MethodRouter,
}

const fn page(path: &'static str, serve: fn() -> MethodRouter) -> ConsoleRoute {
    ConsoleRoute { is_form: false, path, section: path, rights: RouteRights::Reading, serve }
}

const fn form(
    path: &'static str,
    section: &'static str,
    rights: RouteRights,
    serve: fn() -> MethodRouter,
) -> ConsoleRoute {
    ConsoleRoute { is_form: true, path, section, rights, serve }
}

/// Routes of the console.
pub const ROUTES: &[ConsoleRoute] = &[
    ConsoleRoute {
        is_form: false,
        path: "/console/login",
        section: "/console/login",
        rights: RouteRights::Nobody,
        serve: || get(guarded),
    },
    form("/console/login", "/console/login", RouteRights::Nobody, || post(guarded)),
    form(LOGOUT, "/console", RouteRights::Reading, || post(guarded)),
    page("/console", || get(|visit: Visit| answer(visit, overview::show))),
    page("/console/keys", || get(|visit: Visit| answer(visit, keys::show))),
    form("/console/keys/generate", "/console/keys", RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, keys::generate))
    }),
    page("/console/rotation", || get(|visit: Visit| answer(visit, rotation::show))),
    form("/console/rotation/run", "/console/rotation", RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, rotation::run))
    }),
    form("/console/rotation/abort", "/console/rotation", RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, rotation::abort))
    }),
    form("/console/rotation/roll-back", "/console/rotation", RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, rotation::roll_back))
    }),
    form("/console/rotation/compromise", "/console/rotation", RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, rotation::compromise))
    }),
    page("/console/failures", || get(|visit: Visit| answer(visit, failures::show))),
    page(USERS, || get(|visit: Visit| answer(visit, users::show))),
    form(USERS, USERS, RouteRights::Reading, || post(|visit: Visit| answer(visit, users::find))),
    form("/console/users/opt-out", USERS, RouteRights::Changing, || post(|visit: Visit| answer(visit, users::opt_out))),
    form("/console/users/opt-in", USERS, RouteRights::Changing, || post(|visit: Visit| answer(visit, users::opt_in))),
    form("/console/users/end-sessions", USERS, RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, users::end_sessions))
    }),
    page(CALLERS, || get(|visit: Visit| answer(visit, callers::show))),
    form("/console/callers/create", CALLERS, RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, callers::create))
    }),
    form("/console/callers/revoke", CALLERS, RouteRights::Changing, || {
        post(|visit: Visit| answer(visit, callers::revoke))
    }),
    page("/console/nodes", || get(|visit: Visit| answer(visit, nodes::show))),
    page("/console/audit", || get(|visit: Visit| answer(visit, audit::show))),
    page("/console/doctor", || get(|visit: Visit| answer(visit, doctor::show))),
];

/// Handler of the routes that the guard itself answers.
async fn guarded() {}

//! Console: pages for operators, rendered here. [`ROUTES`] lists them; the guard checks every request; a page asks
//! [`Operations`](crate::operate::Operations) and renders a template.

mod assets;
mod failure_charts;
mod failures;
mod form;
mod guard;
mod html;
mod kept;
mod key_history;
mod keys;
mod login;
mod overview;
mod page;
mod rotation;
mod rotation_steps;
mod routes;
mod shown;
mod svg;
mod transport;
mod visit;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Router,
    http::request::Parts,
    middleware::{from_fn, map_response},
};

use super::admin::refused::RefusedCredentials;
use crate::{
    address::TrustedProxies,
    clock::UnixMillis,
    domain::{audit::Actor, operator::Role},
    http::{LimitConfig, Limits},
    operate::{Operations, Operator},
};

pub use guard::RouteRights;
pub use routes::{ConsoleRoute, ROUTES};

/// State of the console.
pub struct ConsoleState {
    /// Operations by the settings in force, from which each request has a copy in its operator's name.
    operator: Arc<ArcSwap<Operator>>,
    /// Proxies that may say that a request came over TLS.
    proxies: TrustedProxies,
    /// TLS ends in front of the listener (`server.allow_plaintext`).
    allow_plaintext: bool,
    /// Limit of refused logins of one address.
    limits: Limits,
    refused: Arc<RefusedCredentials>,
    kept: kept::KeptPages,
}

impl ConsoleState {
    /// Makes the state.
    pub fn new(operator: Arc<ArcSwap<Operator>>, proxies: TrustedProxies, allow_plaintext: bool) -> Self {
        let (limits, refused) = (Limits::new(&LimitConfig::default()), Arc::default());
        Self { operator, proxies, allow_plaintext, limits, refused, kept: kept::KeptPages::default() }
    }

    fn operator(&self) -> Arc<Operator> {
        self.operator.load_full()
    }

    fn now(&self) -> UnixMillis {
        self.operator.load().clock.untrusted_now()
    }

    fn protection(&self, parts: &Parts) -> transport::Protection {
        transport::Protection::of(&parts.extensions, &parts.headers, &self.proxies, self.allow_plaintext)
    }

    fn operations_of(&self, actor: Actor, role: Role) -> Arc<dyn Operations> {
        Arc::new(self.operator.load().acting(actor, role))
    }
}

/// Makes the router of the console.
pub fn router(state: ConsoleState) -> Router {
    let state = Arc::new(state);
    let mut router = assets::routes();
    for route in ROUTES {
        let guard = guard::Guard { state: Arc::clone(&state), rights: route.rights, section: route.section };
        let layer = from_fn(move |request, next| guard.clone().run(request, next));
        router = router.route(route.path, (route.serve)().layer(layer));
    }
    let open = from_fn(move |request, next| guard::open_for_operators(Arc::clone(&state), request, next));
    router.layer(open).layer(map_response(guard::headers))
}

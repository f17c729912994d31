//! Console: pages for operators, rendered here. [`ROUTES`] lists them; the guard checks every request; a page asks
//! [`Operations`](crate::operate::Operations) and renders a template.

mod assets;
mod form;
mod guard;
mod html;
mod kept;
mod login;
mod overview;
mod page;
mod routes;
mod transport;
mod visit;

use std::sync::Arc;

use axum::{
    Router,
    http::request::Parts,
    middleware::{from_fn, map_response},
};

use crate::{
    address::TrustedProxies,
    domain::audit::Actor,
    operate::{Operations, Operator},
};

pub use guard::RouteRights;
pub use routes::{ConsoleRoute, ROUTES};

/// State of the console.
pub struct ConsoleState {
    /// Operations, from which each request has a copy in its operator's name.
    pub operator: Operator,
    /// Proxies that may say that a request came over TLS.
    pub proxies: TrustedProxies,
    /// TLS ends in front of the listener (`server.allow_plaintext`).
    pub allow_plaintext: bool,
    kept: kept::KeptPages,
}

impl ConsoleState {
    /// Makes the state.
    pub fn new(operator: Operator, proxies: TrustedProxies, allow_plaintext: bool) -> Self {
        Self { operator, proxies, allow_plaintext, kept: kept::KeptPages::default() }
    }

    fn protection(&self, parts: &Parts) -> transport::Protection {
        transport::Protection::of(&parts.extensions, &parts.headers, &self.proxies, self.allow_plaintext)
    }

    fn operations_of(&self, actor: Actor) -> Arc<dyn Operations> {
        Arc::new(Operator { actor: actor.name, ..self.operator.clone() })
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

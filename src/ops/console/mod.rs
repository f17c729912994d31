//! Console: pages for operators, rendered here. [`ROUTES`] lists them; the guard checks every request; a page asks
//! [`Operations`] and renders a template.

mod activity_chart;
mod assets;
mod audit;
mod callers;
mod doctor;
mod failure_charts;
mod failures;
mod form;
mod guard;
mod html;
mod kept;
mod key_history;
mod keys;
mod login;
mod nodes;
mod overview;
mod page;
mod rotation;
mod rotation_steps;
mod routes;
mod shown;
mod svg;
mod transport;
mod users;
mod visit;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Router,
    http::request::Parts,
    middleware::{from_fn, map_response},
};

use super::admin::RefusedCredentials;
use crate::{
    address::TrustedProxies,
    clock::UnixMillis,
    domain::{audit::Actor, operator::Role},
    http::{LimitConfig, Limits},
    operate::{Operations, Operator},
    telemetry::Metrics,
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
    /// Metrics of this process, for its alarms and what it saw last at Braze.
    metrics: Arc<Metrics>,
    kept: kept::KeptPages,
}

impl ConsoleState {
    /// Makes the state.
    pub fn new(
        operator: Arc<ArcSwap<Operator>>,
        proxies: TrustedProxies,
        allow_plaintext: bool,
        refused: Arc<RefusedCredentials>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let limits = Limits::new(&LimitConfig::default());
        Self { operator, proxies, allow_plaintext, limits, refused, metrics, kept: kept::KeptPages::default() }
    }

    fn operator(&self) -> Arc<Operator> {
        self.operator.load_full()
    }

    fn now(&self) -> UnixMillis {
        self.operator.load().clock.untrusted_now()
    }

    /// Series of the metrics that begin with this, and are not zero: their labels and values.
    fn counted(&self, series: &str) -> Vec<(String, u64)> {
        let text = self.metrics.encode();
        let lines = text.lines().filter_map(|line| line.strip_prefix(series)?.split_once("} "));
        let values = lines.filter_map(|(labels, value)| Some((labels.to_owned(), value.parse().ok()?)));
        values.filter(|(_, value)| *value > 0).collect()
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

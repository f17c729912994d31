//! Console: pages for operators, rendered here. [`ROUTES`] lists them; the guard checks every request; a page asks
//! [`Operations`] and renders a template.

mod activity_chart;
mod assets;
mod audit;
mod banner;
mod braze_answers;
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

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::ConnectInfo,
    http::request::Parts,
    middleware::{from_fn, map_response},
};

use super::admin::RefusedCredentials;
use crate::{
    address::TrustedProxies,
    clock::UnixMillis,
    domain::{audit::Actor, operator::Role},
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
    refused: Arc<RefusedCredentials>,
    /// Metrics of this process, for its alarms and what it saw last at Braze.
    metrics: Arc<Metrics>,
    /// Text above every page.
    banner: Option<&'static str>,
    kept: kept::KeptPages,
    braze: braze_answers::BrazeAnswers,
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
        let (kept, braze) = (kept::KeptPages::default(), braze_answers::BrazeAnswers::default());
        Self { operator, proxies, allow_plaintext, refused, metrics, banner: None, kept, braze }
    }

    /// Sets the text above every page, where the data are not those of a service in use.
    #[must_use]
    pub fn with_banner(self, banner: Option<&'static str>) -> Self {
        Self { banner, ..self }
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

    /// Address of the client, as a trusted proxy says it.
    fn address(&self, parts: &Parts) -> IpAddr {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
        self.proxies.client_address(peer, &parts.headers)
    }

    fn operations_of(&self, actor: Actor, role: Role) -> Arc<dyn Operations> {
        Arc::new(self.operator.load().acting(actor, role))
    }
}

/// Makes the router of the console.
pub fn router(state: ConsoleState) -> Router {
    let state = Arc::new(state);
    let banner = state.banner;
    let mut router = assets::routes();
    for route in ROUTES {
        let guard = guard::Guard { state: Arc::clone(&state), rights: route.rights, section: route.section };
        let layer = from_fn(move |request, next| guard.clone().run(request, next));
        router = router.route(route.path, (route.serve)().layer(layer));
    }
    let open = from_fn(move |request, next| guard::open_for_operators(Arc::clone(&state), request, next));
    let router = router.layer(open).layer(map_response(guard::headers));
    match banner {
        Some(banner) => router.layer(map_response(move |response| banner::put(banner, response))),
        None => router,
    }
}

//! `/healthz` and `/readyz`: alive; ready, and why not.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;

/// Whether the service should get requests, and why not.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    conditions: Mutex<Vec<Condition>>,
    advice: Mutex<Vec<Condition>>,
}

/// One thing the service needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Condition {
    /// What it is: `store`, `clock`, `ring <name>`, `serving`.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is the matter, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Condition {
    /// A condition that holds where `reason` is `None`.
    pub fn new(name: impl Into<String>, reason: Option<String>) -> Self {
        Self { name: name.into(), ok: reason.is_none(), reason }
    }
}

impl Readiness {
    /// Takes what was found out now.
    pub fn set(&self, conditions: Vec<Condition>) {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner) = conditions;
    }

    /// Takes what an operator should look at, and what keeps the service from nothing.
    pub fn advise(&self, advice: Vec<Condition>) {
        *self.advice.lock().unwrap_or_else(PoisonError::into_inner) = advice;
    }

    /// The service is going: no new requests, please.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn report(&self, verbose: bool) -> Report {
        let draining = self.draining.load(Ordering::Relaxed);
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if conditions.is_empty() {
            conditions.push(Condition::new("serving", Some("starting".to_owned())));
        }
        if draining {
            conditions.push(Condition::new("serving", Some("shutting down".to_owned())));
        }
        let ready = conditions.iter().all(|condition| condition.ok);
        let advice = verbose.then(|| self.advice.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Report { ready, conditions, advice }
    }
}

/// What `/readyz` answers, ready or not.
#[derive(Serialize, ToSchema)]
pub(super) struct Report {
    /// Whether the service should get requests.
    ready: bool,
    /// What that depends on.
    conditions: Vec<Condition>,
    /// What an operator should look at, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Vec<Condition>>,
}

/// What `/healthz` answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    /// Always `alive`.
    #[schema(value_type = String, example = "alive")]
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "Alive", body = Alive)))]
pub(super) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// Ready for requests, or why not.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Also tell what an operator should look at")),
    responses((status = 200, description = "Ready", body = Report), (status = 503, description = "Not ready", body = Report)),
)]
pub(super) async fn readyz(State(state): State<Arc<AppState>>, uri: Uri) -> Response {
    report(&state.readiness, &uri)
}

fn report(readiness: &Readiness, uri: &Uri) -> Response {
    let asks = |query: &str| query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    let report = readiness.report(uri.query().is_some_and(asks));
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Verbatim, Json(report)).into_response()
}

/// Marks an answer whose status is no error to be spelled out: it is the answer.
#[derive(Clone, Copy)]
pub(super) struct Verbatim;

impl axum::response::IntoResponseParts for Verbatim {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// The same two, for another listener.
pub fn routes(readiness: Arc<Readiness>) -> Router {
    let ready = move |uri: Uri| async move { report(&readiness, &uri) };
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(ready))
}

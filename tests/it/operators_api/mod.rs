//! The operators' API, `/admin/v1/`, through the ops listener's routes.

mod access;
mod conformance;
mod creations;
mod document;
mod refusals;
mod remote;

use axum::{Router, body::Body};
use countersign::{
    domain::operator::Role,
    http::{RequestObserver, middleware},
    listener::{LocalAddress, SocketPeer},
    ops::admin::{AdminRoute, ROUTES},
    telemetry::RequestLog,
};
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{Answer, test_service::TestService};

/// A service in the test, and the routes of its ops listener.
struct Api {
    service: TestService,
    routes: Router,
}

impl Api {
    async fn new() -> Self {
        Self::of(TestService::new().await)
    }

    fn of(service: TestService) -> Self {
        let observer = RequestObserver { metrics: None, log: RequestLog::None };
        let routes = middleware::wrap(service.wiring.ops_routes(), observer);
        Self { service, routes }
    }

    /// Puts an operator on record; returns the token.
    async fn operator(&self, name: &str, role: Role) -> String {
        let (token, _) = self.service.operator.operators().create(name.parse().unwrap(), role, None).await.unwrap();
        token.reveal().to_string()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(request("GET", path, Some(token), None)).await
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(request("POST", path, Some(token), Some(body))).await
    }

    /// Number of records of the audit log.
    async fn audit_size(&self) -> u64 {
        self.service.services.store().audit_head().await.unwrap().size
    }

    /// Last records of the audit log, as an operator reads them.
    async fn last_records(&self, token: &str, limit: u32) -> Vec<Value> {
        let page = self.get(&format!("/audit/records?limit={limit}"), token).await.ok().json();
        page["items"].as_array().unwrap().clone()
    }
}

/// A request for a path of the API.
fn request(method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Request<Body> {
    let loopback = LocalAddress(([127, 0, 0, 1], 9090).into());
    let uri = format!("/admin/v1{path}");
    let mut request = Request::builder().method(method).uri(uri).header(header::HOST, "localhost").extension(loopback);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into()).unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

/// The same request from the other end of the socket.
fn over_socket(mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(SocketPeer { uid: 1000 });
    request
}

/// Every route of the table.
fn routes() -> impl Iterator<Item = &'static AdminRoute> {
    ROUTES.iter().copied().flatten()
}

/// A well-formed request for a route: with the example of its body, and with what its query string needs.
fn well_formed(route: &AdminRoute, token: Option<&str>) -> Request<Body> {
    let path = ["id", "ring", "name"].iter().fold(route.path.to_owned(), |path, name| {
        path.replace(&format!("{{{name}}}"), if *name == "ring" { "main" } else { "0123456789abcdef" })
    });
    let query: Vec<String> =
        route.query.iter().filter(|member| member.required).map(|m| format!("{}=60000", m.name)).collect();
    let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    let body = route.body.map(|schema| serde_json::to_value(schema()).unwrap()["example"].clone());
    assert!(body.as_ref().is_none_or(Value::is_object), "{} has no example", route.operation);
    request(route.method, &path, token, body.as_ref())
}

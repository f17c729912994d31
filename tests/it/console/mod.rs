//! Console: sessions, the guard of every route, and its pages.

mod asks;
mod guard;
mod pages;
mod palette;
mod sizes;
mod ways;

use std::net::SocketAddr;

use axum::{Router, body::Body, extract::ConnectInfo};
use countersign::{
    domain::operator::Role,
    http::{RequestObserver, middleware},
    telemetry::RequestLog,
};
use http::{Request, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::support::{Answer, test_service::TestService};

const HOST: &str = "127.0.0.1:9090";
const ORIGIN: &str = "http://127.0.0.1:9090";

/// A service with its ops listener's routes.
struct Console {
    service: TestService,
    routes: Router,
}

/// An operator who is logged in.
struct LoggedIn {
    cookie: String,
    csrf: String,
}

impl Console {
    async fn new() -> Self {
        Self::of(TestService::new().await)
    }

    fn of(service: TestService) -> Self {
        let observer = RequestObserver { metrics: None, log: RequestLog::None };
        Self { routes: middleware::wrap(service.wiring.ops_routes(), observer), service }
    }

    async fn operator(&self, name: &str, role: Role) -> String {
        let (token, _) = self.service.operator.operators().create(name.parse().unwrap(), role, None).await.unwrap();
        token.reveal().to_string()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from(SocketAddr::from(([127, 0, 0, 1], 40_000)), request).await
    }

    async fn send_from(&self, peer: SocketAddr, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, HOST).header(header::COOKIE, cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Looks for news, as an open page does by itself.
    async fn live(&self, path: &str, cookie: &str) -> Answer {
        let request =
            Request::get(path).header(header::HOST, HOST).header(header::COOKIE, cookie).header("x-live", "1");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends a form from our own origin.
    async fn form(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(form_request(path, Some(ORIGIN), cookie, fields)).await
    }

    async fn try_login(&self, token: &str) -> Answer {
        self.form("/console/login", "", &[("token", token)]).await
    }

    async fn login(&self, token: &str) -> LoggedIn {
        let answer = self.try_login(token).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/console"));
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = text(&self.get("/console/users", &cookie).await.ok());
        LoggedIn { csrf: field(&page, "csrf"), cookie }
    }
}

fn form_request(path: &str, origin: Option<&str>, cookie: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = Request::post(path)
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, cookie);
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    request.body(Body::from(body)).unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// Value of a hidden field, the last one of its name.
fn field(page: &str, name: &str) -> String {
    let (_, rest) = page.rsplit_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

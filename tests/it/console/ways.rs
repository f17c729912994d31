//! Ways to the console: TLS in front, a trusted proxy, plain HTTP; forms that come slowly; what an open page gets after
//! the end of its session, and while the store is out of reach.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use countersign::{
    domain::operator::Role,
    ops::console::{ROUTES, RouteRights},
};
use http::{Request, header};
use hyper::body::Frame;

use super::{Answer, Console, HOST, ORIGIN, field, text};
use crate::support::{
    switched_store::Reach,
    test_service::{CONFIG, TestService},
};

const NAME: &str = "ops.example.com";
const SECURE: &str = "https://ops.example.com";
const PROXY: [u8; 4] = [192, 0, 2, 1];

async fn console_with(server: &str) -> Console {
    let config = format!("[server]\nops_hosts = [\"{NAME}\"]\n{server}\n{CONFIG}");
    Console::of(TestService::with(&config).await)
}

/// Request from another machine, or from a proxy that forwards one of `client` over `proto`.
struct Way {
    peer: IpAddr,
    forwarded: Option<&'static str>,
    client: &'static str,
}

impl Way {
    fn of(peer: [u8; 4], forwarded: Option<&'static str>) -> Self {
        Self { peer: peer.into(), forwarded, client: "203.0.113.7" }
    }

    async fn send(&self, console: &Console, mut request: Request<Body>) -> Answer {
        let headers = request.headers_mut();
        headers.insert(header::HOST, NAME.parse().unwrap());
        if let Some(proto) = self.forwarded {
            headers.insert("x-forwarded-proto", proto.parse().unwrap());
            headers.insert("x-forwarded-for", self.client.parse().unwrap());
        }
        console.send_from(SocketAddr::from((self.peer, 40_000)), request).await
    }

    async fn get(&self, console: &Console, path: &str, cookie: &str) -> Answer {
        let request = Request::get(path).header(header::COOKIE, cookie);
        self.send(console, request.body(Body::empty()).unwrap()).await
    }

    async fn form(&self, console: &Console, path: &str, origin: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(console, super::form_request(path, Some(origin), cookie, fields)).await
    }

    async fn try_login(&self, console: &Console, origin: &str, token: &str) -> Answer {
        self.form(console, "/console/login", origin, "", &[("token", token)]).await
    }
}

/// Logs in over TLS, reads pages, logs out.
async fn serves_over_tls(console: &Console, way: &Way) {
    let token = console.operator("ada", Role::Operator).await;
    for foreign in ["http://ops.example.com", "https://evil.example", ORIGIN] {
        assert_eq!(way.try_login(console, foreign, &token).await.status, 403, "{foreign}");
    }
    let answer = way.try_login(console, SECURE, &token).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/console"));
    let set = answer.header("set-cookie").to_owned();
    assert!(set.starts_with("__Host-countersign-console="), "{set}");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure") && !set.contains("Domain"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let page = text(&way.get(console, "/console/users", cookie).await.ok());
    let plain = cookie.replace("__Host-", "");
    assert_eq!(way.get(console, "/console", &plain).await.status, 303, "a cookie that plain HTTP could have set");
    assert_eq!(console.get("/console", cookie).await.status, 303, "the cookie of TLS does not count without TLS");
    let csrf = field(&page, "csrf");
    let look_up = [("csrf", csrf.as_str()), ("user", "u-1")];
    way.form(console, "/console/users", SECURE, cookie, &look_up).await.ok();
    assert_eq!(way.form(console, "/console/users", "http://ops.example.com", cookie, &look_up).await.status, 403);
    let out = way.form(console, "/console/logout", SECURE, cookie, &[("csrf", &csrf)]).await;
    let end = "__Host-countersign-console=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0";
    assert_eq!((out.status, out.header("set-cookie")), (303, end));
    assert_eq!(way.get(console, "/console", cookie).await.status, 303);
}

#[tokio::test]
async fn a_trusted_proxy_in_front_makes_it_tls() {
    let console = console_with("trusted_proxies = [\"192.0.2.1\"]").await;
    let way = Way::of(PROXY, Some("https"));
    serves_over_tls(&console, &way).await;
    assert_eq!(way.try_login(&console, SECURE, "wrong").await.status, 401);
    let records = console.service.operator.audit().list(None, 100).await.unwrap();
    let refused = records.iter().find(|(_, event)| event.action.as_str() == "operator_refused").unwrap();
    assert!(refused.1.why.contains("203.0.113.7"), "the client, and not its proxy: {}", refused.1.why);
}

#[tokio::test]
async fn without_tls_nobody_elsewhere_gets_a_page() {
    let console = console_with("trusted_proxies = [\"192.0.2.1\"]").await;
    let token = console.operator("ada", Role::Operator).await;
    for way in [
        Way::of(PROXY, Some("http")),
        Way::of(PROXY, None),
        Way::of([192, 0, 2, 9], None),
        Way::of([192, 0, 2, 9], Some("https")),
        Way::of([127, 0, 0, 1], Some("https")),
    ] {
        for route in ROUTES {
            let answer = if route.is_form {
                way.form(&console, route.path, SECURE, "", &[("token", &token)]).await
            } else {
                way.get(&console, route.path, "").await
            };
            let sentence = text(&answer);
            assert_eq!(answer.status, 403, "{} from {} {:?}", route.path, way.peer, way.forwarded);
            assert!(sentence.contains("server.trusted_proxies") && answer.header("set-cookie").is_empty());
        }
    }
}

#[tokio::test]
async fn allow_plaintext_says_that_tls_is_in_front() {
    let console = console_with("allow_plaintext = true").await;
    serves_over_tls(&console, &Way::of([192, 0, 2, 9], None)).await;
}

/// Body that begins, and then is cut off or never ends.
struct Begun {
    first: Option<Bytes>,
    is_cut_off: bool,
}

impl hyper::body::Body for Begun {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None if self.is_cut_off => Poll::Ready(Some(Err(io::Error::other("cut off")))),
            None => Poll::Pending,
        }
    }
}

fn begun(text: &str, is_cut_off: bool) -> Body {
    Body::new(Begun { first: Some(Bytes::from(text.to_owned())), is_cut_off })
}

#[tokio::test]
async fn a_form_that_comes_too_slowly_is_answered_with_408() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let ada = console.login(&token).await;
    let forms: Vec<_> = ROUTES.iter().filter(|route| route.is_form).collect();
    assert!(forms.iter().any(|route| route.rights == RouteRights::Nobody));
    // From here on, time passes as soon as nothing else is to be done.
    tokio::time::pause();
    for route in forms {
        let request = Request::post(route.path)
            .header(header::HOST, HOST)
            .header(header::ORIGIN, ORIGIN)
            .header(header::COOKIE, &ada.cookie);
        let answer = console.send(request.body(begun("csrf=", false)).unwrap()).await;
        let page = text(&answer);
        assert_eq!(answer.status, 408, "{}: {page}", route.path);
        assert!(page.contains("Nothing was done") && answer.header("set-cookie").is_empty(), "{page}");
    }
}

#[tokio::test]
async fn a_form_that_is_too_large_or_cut_off_does_nothing() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let large = "x".repeat(70_000);
    let answer = console.form("/console/login", "", &[("token", &token), ("more", &large)]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (413, ""));
    let cut_off = begun(&format!("token={token}"), true);
    let request = Request::post("/console/login").header(header::HOST, HOST).header(header::ORIGIN, ORIGIN);
    let answer = console.send(request.body(cut_off).unwrap()).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (400, ""));
}

#[tokio::test]
async fn an_open_page_learns_that_its_operator_is_revoked() {
    let console = Console::new().await;
    console.operator("other", Role::Viewer).await;
    let token = console.operator("ada", Role::Operator).await;
    let ada = console.login(&token).await;
    for page in ["/console", "/console/rotation"] {
        console.live(page, &ada.cookie).await.ok();
    }
    console.service.operator.operators().revoke(&"ada".parse().unwrap()).await.unwrap();
    let live = console.live("/console/rotation", &ada.cookie).await;
    assert_eq!((live.status, live.header("location")), (303, "/console/login"));
    let fields = [("csrf", ada.csrf.as_str()), ("client", "late"), ("app", "web")];
    let form = console.form("/console/callers/create", &ada.cookie, &fields).await;
    assert_eq!(form.status, 401);
    assert!(text(&form).contains("Nothing was done"));
    assert!(!console.service.operator.clients().list().await.unwrap().iter().any(|key| key.client.as_str() == "late"));
    // The pages that were kept for an outage are gone with the session.
    console.service.switch.set(Reach::OutOfReach);
    for page in ["/console", "/console/rotation"] {
        let answer = console.get(page, &ada.cookie).await;
        assert_eq!(answer.status, 503);
        assert!(text(&answer).contains("Out of reach"), "{page}");
    }
}

#[tokio::test]
async fn an_outage_of_the_store_leaves_pages_as_they_were_and_ends() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let other = console.login(&console.operator("grace", Role::Viewer).await).await;
    let pages: Vec<_> = ROUTES.iter().filter(|route| !route.is_form && route.rights == RouteRights::Reading).collect();
    for route in &pages {
        console.get(route.path, &ada.cookie).await.ok();
    }
    for reach in [Reach::OutOfReach, Reach::NotWritable] {
        console.service.switch.set(reach);
        for route in &pages {
            let answer = console.get(route.path, &ada.cookie).await;
            let page = text(&answer);
            assert!(answer.status == 503 || reach == Reach::NotWritable, "{}: {}", route.path, answer.status);
            assert!(answer.status != 503 || page.contains("As of "), "{} {reach:?}: {page}", route.path);
        }
        let fields = [("csrf", ada.csrf.as_str()), ("client", "in-between"), ("app", "web")];
        let form = console.form("/console/callers/create", &ada.cookie, &fields).await;
        assert_eq!(form.status, 503, "{reach:?}: {}", text(&form));
    }
    console.service.switch.set(Reach::OutOfReach);
    let stranger = console.get("/console/callers", &other.cookie).await;
    assert!(text(&stranger).contains("Out of reach"), "pages are kept for their session only");
    assert_eq!(console.try_login("anything").await.status, 503, "no token can be judged");
    console.service.clock.forward(Duration::from_mins(16));
    assert!(text(&console.get("/console", &ada.cookie).await).contains("Out of reach"), "too old to be shown");

    console.service.switch.set(Reach::Reachable);
    for route in &pages {
        let page = text(&console.get(route.path, &ada.cookie).await.ok());
        assert!(!page.contains("store out of reach"), "{}", route.path);
    }
    assert!(
        !text(&console.get("/console/callers", &ada.cookie).await.ok()).contains("in-between"),
        "nothing half done"
    );
    let fields = [("csrf", ada.csrf.as_str()), ("client", "afterwards"), ("app", "web")];
    console.form("/console/callers/create", &ada.cookie, &fields).await.ok();
}

//! Pages of the console that draw: keys, rotation, failures; and the forms on them.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, body::Body, extract::ConnectInfo};
use countersign::{
    address::TrustedProxies,
    domain::{
        audit::AuditAction,
        key::{KeyRecord, KeyState},
        operator::Role,
    },
    operate::Operator,
    ops::console::{ConsoleState, router},
    store::KeyTransaction,
    telemetry::Metrics,
};
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::support::{rotation::RotationSetup, test_service::TestService};

const HOST: &str = "127.0.0.1:9090";

/// Person with a session.
struct Visitor {
    routes: Router,
    cookie: String,
}

/// Answer to a visitor.
struct Shown {
    status: u16,
    location: String,
    html: String,
}

impl Visitor {
    /// Logs in with a new token of this role.
    async fn new(operator: Operator, role: Role) -> Self {
        Self::named(role.as_str(), operator, role).await
    }

    async fn named(name: &str, operator: Operator, role: Role) -> Self {
        let name = name.parse().unwrap();
        let (token, _) = operator.operators().create(name, role, None).await.unwrap();
        let operator = Arc::new(ArcSwap::from_pointee(operator));
        let console = ConsoleState::new(operator, TrustedProxies::default(), false, Arc::default(), Metrics::new());
        let mut visitor = Self { routes: router(console), cookie: String::new() };
        let request = visitor.request("POST", "/console/login", form(&[("token", &token.reveal())]));
        let response = visitor.routes.clone().oneshot(request).await.unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().clone_into(&mut visitor.cookie);
        visitor
    }

    fn request(&self, method: &str, path: &str, body: String) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
        if method == "POST" {
            request = request
                .header(header::ORIGIN, format!("http://{HOST}"))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let mut request = request.header(header::COOKIE, &self.cookie).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([127, 0, 0, 1], 1))));
        request
    }

    async fn send(&self, request: Request<Body>) -> Shown {
        let (parts, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let location = parts.headers.get(header::LOCATION).map_or("", |path| path.to_str().unwrap()).to_owned();
        Shown { status: parts.status.as_u16(), location, html: String::from_utf8(body).unwrap() }
    }

    async fn get(&self, path: &str) -> Shown {
        self.send(self.request("GET", path, String::new())).await
    }

    /// Page that is shown without a fault.
    async fn page(&self, path: &str) -> String {
        let shown = self.get(path).await;
        assert_eq!(shown.status, 200, "{}", shown.html);
        assert!(shown.html.len() <= 100 * 1024, "{path} has {} bytes", shown.html.len());
        for fault in ["NaN", "style=", "onclick", "<script>"] {
            assert!(!shown.html.contains(fault), "{path}: {fault}");
        }
        shown.html
    }

    /// Sends the form of a page whose action this is, with its hidden fields and these.
    async fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Shown {
        let mut all = hidden_fields(page, action);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send(self.request("POST", action, form(&all))).await
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Hidden fields of the first form with this action.
fn hidden_fields(page: &str, action: &str) -> Vec<(String, String)> {
    let (_, rest) = page.split_once(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no {action} in {page}"));
    let (form, _) = rest.split_once("</form>").unwrap();
    let inputs = form.split("<input type=\"hidden\"").skip(1);
    let value = |input: &str, name: &str| {
        let (_, rest) = input.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    inputs.map(|input| (value(input, "name"), value(input, "value"))).collect()
}

/// A ring of two apps at a sandbox, and an operator who looks at it.
async fn rotating() -> (RotationSetup, Visitor) {
    let setup = RotationSetup::new().await;
    setup.report_node("a").await;
    let operator = setup.services.operator(&setup.settings).unwrap();
    (setup, Visitor::new(operator, Role::Operator).await)
}

fn first_eight(key: &KeyRecord) -> &str {
    &key.kid.as_str()[..8]
}

#[tokio::test]
async fn the_page_of_keys_draws_their_life_and_makes_a_key() {
    let (setup, visitor) = rotating().await;
    let first = setup.active().await;
    let page = visitor.page("/console/keys").await;
    assert!(page.contains(&format!("{} signs for ring main", first_eight(&first))), "{page}");
    assert!(page.contains("class=\"key-active\"") && page.contains("ios 1, web 1"), "{page}");
    assert!(page.contains("-----BEGIN PUBLIC KEY-----") && page.contains("slot at Braze"), "{page}");

    let shown = visitor.submit(&page, "/console/keys/generate", &[("ring", "main"), ("bits", "2048")]).await;
    assert_eq!((shown.status, shown.location.as_str()), (303, "/console/keys"), "{}", shown.html);
    assert_eq!(setup.keys().await.len(), 2);
    assert!(visitor.page("/console/keys").await.contains("class=\"key-pending\" fill=\"url(#hatch)\""));

    // The form of before shows one key; there are two now.
    let shown = visitor.submit(&page, "/console/keys/generate", &[("ring", "main"), ("bits", "2048")]).await;
    assert_eq!(shown.status, 409);
    assert!(shown.html.contains("Now it is: key ") && shown.html.contains("is pending"), "{}", shown.html);
    assert_eq!(setup.keys().await.len(), 2, "nothing was done");
    let page = visitor.page("/console/keys").await;
    for (ring, bits) in [("main", "1024"), ("main", "<b>"), ("no-such-ring", "2048"), ("<b>", "2048")] {
        let shown = visitor.submit(&page, "/console/keys/generate", &[("ring", ring), ("bits", bits)]).await;
        assert!((400..500).contains(&shown.status) && !shown.html.contains("<b>&"), "{ring} {bits}: {}", shown.status);
        assert!(!shown.html.contains("\"<b>\""), "{}", shown.html);
    }
}

#[tokio::test]
async fn a_rotation_is_followed_from_the_page_to_its_end() {
    let (setup, visitor) = rotating().await;
    let old = setup.active().await;
    let page = visitor.page("/console/rotation").await;
    assert!(page.contains("Begin a rotation") && page.contains("make a new key"), "{page}");
    assert!(!page.contains(">Abort<"), "there is nothing to abort");

    let shown = visitor.submit(&page, "/console/rotation/run", &[]).await;
    assert_eq!((shown.status, shown.location.as_str()), (303, "/console/rotation?ring=main"), "{}", shown.html);
    let waiting = visitor.page("/console/rotation?ring=main").await;
    assert!(waiting.contains("a rotation is in progress") && waiting.contains(">5m left<"), "{waiting}");
    assert!(waiting.contains("<li class=\"done\">") && waiting.contains("<li class=\"now\">"), "{waiting}");
    assert!(visitor.page("/console/keys").await.contains("class=\"key-published\"") || waiting.contains("Soak"));

    // The page of before shows another state.
    let shown = visitor.submit(&page, "/console/rotation/run", &[]).await;
    assert_eq!(shown.status, 409);
    assert!(shown.html.contains("It showed: ring main: idle"), "{}", shown.html);

    setup.settle().await;
    assert_eq!(visitor.get("/console/keys").await.location, "/console/login", "the session has ended meanwhile");
    let operator = setup.services.operator(&setup.settings).unwrap();
    let visitor = Visitor::named("another", operator, Role::Operator).await;
    let keys = visitor.page("/console/keys").await;
    assert!(keys.contains("class=\"key-retired\"") && keys.contains("class=\"key-retiring\""), "{keys}");
    let done = visitor.page("/console/rotation").await;
    assert!(done.contains("Last rotation") && done.contains(&format!("key {} retired", first_eight(&old))), "{done}");
    let events = setup.audit_log().await;
    let begun = events.iter().find(|event| event.action == AuditAction::Begun).unwrap();
    assert_eq!(begun.actor.name, "operator operator");
}

#[tokio::test]
async fn a_retiring_key_has_a_flag_and_can_be_rolled_back_to() {
    let (setup, visitor) = rotating().await;
    let old = setup.active().await;
    let page = visitor.page("/console/rotation").await;
    visitor.submit(&page, "/console/rotation/run", &[]).await;
    setup.clock.forward(Duration::from_mins(5));
    setup.report_node("a").await;
    let page = visitor.page("/console/rotation").await;
    visitor.submit(&page, "/console/rotation/run", &[]).await;
    assert_ne!(setup.active().await.kid, old.kid);
    setup.report_node("a").await;
    let keys = visitor.page("/console/keys").await;
    let flag = format!("{}… safe to delete ", &old.kid.as_str()[..4]);
    assert!(keys.contains(&flag) && keys.contains("class=\"flag-cloth\""), "{keys}");
    let page = visitor.page("/console/rotation").await;
    let shown = visitor.submit(&page, "/console/rotation/roll-back", &[]).await;
    assert_eq!(shown.status, 303, "{}", shown.html);
    assert_eq!(setup.active().await.kid, old.kid);
}

#[tokio::test]
async fn a_compromise_needs_the_first_eight_characters() {
    // No node is live, so that nobody is waited for.
    let setup = RotationSetup::new().await;
    let visitor = Visitor::new(setup.services.operator(&setup.settings).unwrap(), Role::Operator).await;
    let key = setup.active().await;
    let action = "/console/rotation/compromise";
    let page = visitor.page("/console/rotation").await;
    assert!(page.contains("It signs now, and no key is ready"), "{page}");
    for typed in ["", "YES", key.kid.as_str(), "<script>"] {
        let shown = visitor.submit(&page, action, &[("confirmation", typed), ("why", "\"><script>")]).await;
        assert_eq!(shown.status, 422, "{typed}");
        assert!(shown.html.contains("nothing was done") && shown.html.contains("aria-invalid"), "{}", shown.html);
        assert!(!shown.html.contains("\"><script>"), "{}", shown.html);
    }
    assert_eq!(setup.active().await.kid, key.kid);
    let typed = [("confirmation", first_eight(&key)), ("why", "a laptop was lost")];
    let shown = visitor.submit(&page, action, &typed).await;
    assert_eq!(shown.status, 303, "{}", shown.html);
    let stopped = setup.keys().await.into_iter().find(|one| one.kid == key.kid).unwrap();
    assert_eq!(stopped.state, KeyState::Compromised);
    let events = setup.audit_log().await;
    let event = events.iter().find(|event| event.action == AuditAction::Compromised).unwrap();
    assert_eq!((event.actor.name.as_str(), event.why.as_str()), ("operator operator", "a laptop was lost"));
    assert!(visitor.page("/console/keys").await.contains(">✕</text>"));
    assert_eq!(visitor.submit(&page, action, &typed).await.status, 409, "it has changed");
}

#[tokio::test]
async fn a_viewer_reads_every_page_and_changes_nothing() {
    let setup = RotationSetup::new().await;
    let operator = setup.services.operator(&setup.settings).unwrap();
    let visitor = Visitor::new(operator, Role::Viewer).await;
    for path in ["/console/keys", "/console/rotation", "/console/failures"] {
        let page = visitor.page(path).await;
        let (_, main) = page.split_once("<main").unwrap();
        assert!(!main.contains("method=\"post\""), "{path}");
    }
    assert!(visitor.page("/console/rotation").await.contains("you have the role viewer"));
}

#[tokio::test]
async fn unknown_names_in_an_address_are_answered_with_a_page() {
    let (_setup, visitor) = rotating().await;
    let long = "a".repeat(512);
    for path in [
        "/console/rotation?ring=no-such-ring".to_owned(),
        "/console/rotation?ring=%3Cb%3E".to_owned(),
        format!("/console/rotation?ring={long}"),
        "/console/failures?span=1y".to_owned(),
        format!("/console/failures?app={long}"),
        "/console/failures?app=%3Cb%3E".to_owned(),
    ] {
        let shown = visitor.get(&path).await;
        assert!([404, 422].contains(&shown.status), "{path}: {}", shown.status);
        assert!(!shown.html.contains("<b>%") && shown.html.contains("<main"), "{path}");
    }
    visitor.page("/console/keys?from=999999").await;
    visitor.page("/console/keys?from=-1").await;
}

#[tokio::test]
async fn a_thousand_keys_fit_on_pages_of_twenty_five() {
    let (setup, visitor) = rotating().await;
    let key = setup.active().await;
    for n in 0..100_u8 {
        let kid = countersign::domain::ids::Kid::from_thumbprint(&[n; 32]);
        let record = KeyRecord { kid, state: KeyState::Pending, ..key.clone() };
        let insert = KeyTransaction { insert: Some(record), ..KeyTransaction::default() };
        assert!(setup.services.store().transact(insert).await.unwrap());
    }
    let page = visitor.page("/console/keys").await;
    assert!(page.contains("1 to 25 of 101") && page.contains("/console/keys?from=25"), "{page}");
    assert!(visitor.page("/console/keys?from=100").await.contains("101 to 101 of 101"));
}

#[tokio::test]
async fn failures_have_a_sentence_a_remedy_and_charts() {
    let service = TestService::new().await;
    let visitor = Visitor::new(service.operator.clone(), Role::Operator).await;
    let empty = visitor.page("/console/failures").await;
    assert!(empty.contains("no app reported a failure in the last 24h"), "{empty}");
    assert!(!empty.contains("<figure"), "{empty}");
    for n in 0..30 {
        let token = service.session(&format!("user-{n}")).await;
        let failure = json!({ "errorCode": 22, "reason": "EXPIRED", "platform": "web" });
        service.post("/v1/failures", &json!({ "refresh_token": token, "failure": failure })).await;
    }
    service.run(70).await;
    for span in ["1h", "24h", "7d", "90d"] {
        let page = visitor.page(&format!("/console/failures?span={span}")).await;
        assert!(page.contains("id=\"by-cause-title\"") && page.contains("id=\"by-code-desc\""), "{page}");
        assert!(page.contains("class=\"sentence\"") && page.contains("22 EXPIRED"), "{page}");
        assert!(page.contains("<details><summary>Data table</summary>"), "{page}");
    }
    let page = visitor.page("/console/failures?app=web&span=1h").await;
    assert!(page.contains("class=\"onset\"") && page.contains("activation of"), "{page}");
    assert!(visitor.page("/console/failures?app=ios").await.contains("No app reported"), "another app has none");
}

#[tokio::test]
async fn keys_are_made_one_after_the_other_from_the_page() {
    let (setup, visitor) = rotating().await;
    let before = setup.services.store().keys().await.unwrap().len();
    for made in 1..=2 {
        let page = visitor.page("/console/keys").await;
        let answer = visitor.submit(&page, "/console/keys/generate", &[("ring", "main"), ("bits", "2048")]).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, "/console/keys"), "{}", answer.html);
        assert_eq!(setup.services.store().keys().await.unwrap().len(), before + made);
    }
}

//! Sessions and the guard: each check goes through every route of the table.

use std::time::Duration;

use countersign::{
    domain::operator::Role,
    ops::console::{ConsoleRoute, ROUTES, RouteRights},
};

use axum::body::Body;
use http::{Request, header};

use super::{Console, HOST, ORIGIN, form_request, text};

fn forms() -> impl Iterator<Item = &'static ConsoleRoute> {
    ROUTES.iter().filter(|route| route.is_form && route.rights != RouteRights::Nobody)
}

fn pages() -> impl Iterator<Item = &'static ConsoleRoute> {
    ROUTES.iter().filter(|route| !route.is_form && route.rights != RouteRights::Nobody)
}

#[tokio::test]
async fn without_an_operator_there_is_no_console() {
    let console = Console::new().await;
    for path in ROUTES.iter().map(|route| route.path).chain(["/console/assets/console.css"]) {
        let answer = console.form(path, "", &[]).await;
        assert!([404, 405].contains(&answer.status), "{path}: {}", answer.status);
        if ROUTES.iter().any(|route| route.path == path && !route.is_form) {
            assert_eq!(console.get(path, "").await.status, 404, "{path}");
        }
    }
    console.operator("ada", Role::Viewer).await;
    assert_eq!(console.get("/console/login", "").await.status, 200);
}

#[tokio::test]
async fn a_session_has_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let answer = console.try_login(&token).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("countersign-console="), "{cookie}");
    assert!(cookie.ends_with("; Path=/console; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&token) && cookie.len() > 80, "{cookie}");
    let other = console.try_login(&token).await;
    assert_ne!(other.header("set-cookie"), cookie, "each login has a session of its own");
}

#[tokio::test]
async fn refused_tokens_begin_no_session_and_are_recorded() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let mistyped = format!("{}AA", &token[..token.len() - 2]);
    for bad in ["", "secret", mistyped.as_str()] {
        let answer = console.try_login(bad).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, ""), "{bad}");
        assert!(text(&answer).contains("not accepted"));
        assert!(bad.is_empty() || !text(&answer).contains(&mistyped));
    }
    let records = console.service.operator.audit().list(None, 100).await.unwrap();
    assert!(records.iter().any(|(_, event)| event.action.as_str() == "operator_refused"));
}

#[tokio::test]
async fn pages_need_a_session_and_forms_too() {
    let console = Console::new().await;
    console.operator("ada", Role::Operator).await;
    for cookie in ["", "countersign-console=x", "countersign-console=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        for route in pages() {
            let answer = console.get(route.path, cookie).await;
            assert_eq!((answer.status, answer.header("location")), (303, "/console/login"), "{}", route.path);
        }
        for route in forms() {
            assert_eq!(console.form(route.path, cookie, &[]).await.status, 401, "{}", route.path);
        }
    }
}

#[tokio::test]
async fn forms_need_our_origin_and_the_token_of_the_session() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let (ada, other) = (console.login(&token).await, console.login(&token).await);
    let foreign = [
        None,
        Some("null"),
        Some("http://127.0.0.1:9091"),
        Some("https://127.0.0.1:9090"),
        Some("http://evil.example"),
    ];
    for route in forms() {
        for origin in foreign {
            let answer = console.send(form_request(route.path, origin, &ada.cookie, &[("csrf", &ada.csrf)])).await;
            assert_eq!(answer.status, 403, "{} from {origin:?}", route.path);
        }
        for csrf in ["", "x", other.csrf.as_str()] {
            let request = form_request(route.path, Some(ORIGIN), &ada.cookie, &[("csrf", csrf)]);
            assert_eq!(console.send(request).await.status, 403, "{} with {csrf:?}", route.path);
        }
    }
    for origin in foreign {
        let answer = console.send(form_request("/console/login", origin, "", &[("token", &token)])).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "login from {origin:?}");
    }
    console.get("/console", &ada.cookie).await.ok();
}

#[tokio::test]
async fn viewers_change_nothing() {
    let console = Console::new().await;
    let token = console.operator("vera", Role::Viewer).await;
    let vera = console.login(&token).await;
    let changing: Vec<_> = ROUTES.iter().filter(|route| route.rights == RouteRights::Changing).collect();
    assert!(changing.len() >= 5);
    for route in changing {
        let answer = console.form(route.path, &vera.cookie, &[("csrf", &vera.csrf)]).await;
        let page = text(&answer);
        assert_eq!(answer.status, 403, "{}", route.path);
        assert!(page.contains("vera has the role viewer") && page.contains("role operator"), "{page}");
    }
    for route in pages() {
        let page = text(&console.get(route.path, &vera.cookie).await.ok());
        let shown = ROUTES.iter().filter(|route| route.rights == RouteRights::Changing);
        let buttons: Vec<_> = shown.filter(|form| page.contains(&format!("action=\"{}\"", form.path))).collect();
        assert!(buttons.is_empty(), "{} has buttons for a viewer", route.path);
    }
}

#[tokio::test]
async fn a_session_ends_with_its_operator_and_with_the_logout() {
    let console = Console::new().await;
    console.operator("other", Role::Viewer).await;
    let token = console.operator("ada", Role::Operator).await;
    let (first, second) = (console.login(&token).await, console.login(&token).await);
    let out = console.form("/console/logout", &first.cookie, &[("csrf", &first.csrf)]).await;
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(console.get("/console", &first.cookie).await.status, 303, "logged out");
    console.get("/console", &second.cookie).await.ok();
    console.service.operator.operators().revoke(&"ada".parse().unwrap()).await.unwrap();
    for route in pages() {
        assert_eq!(console.get(route.path, &second.cookie).await.status, 303, "{}", route.path);
    }
    for route in forms() {
        let answer = console.form(route.path, &second.cookie, &[("csrf", &second.csrf)]).await;
        assert_eq!(answer.status, 401, "{}", route.path);
    }
    assert_eq!(console.try_login(&token).await.status, 401);
}

#[tokio::test]
async fn a_session_ends_after_half_an_hour_without_use_and_after_eight_hours() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let (idle, used) = (console.login(&token).await, console.login(&token).await);
    for minutes in (0..480).step_by(20) {
        assert_eq!(console.get("/console/nodes", &used.cookie).await.status, 200, "after {minutes} minutes");
        console.service.clock.forward(Duration::from_mins(20));
        console.live("/console/nodes", &idle.cookie).await;
        if minutes == 20 {
            assert_eq!(console.get("/console/nodes", &idle.cookie).await.status, 303, "idle for 40 minutes");
        }
    }
    assert_eq!(console.get("/console/nodes", &used.cookie).await.status, 303, "after 8 hours");
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let ada = console.login(&token).await;
    let asset = console.get("/console/assets/console.css", "").await.ok();
    let tag = asset.header("etag").to_owned();
    assert!(tag.len() > 30 && asset.header("content-type").starts_with("text/css"));
    let mut answers = vec![asset, console.try_login("x").await, console.form("/console/callers/create", "", &[]).await];
    for route in pages() {
        let answer = console.get(route.path, &ada.cookie).await.ok();
        assert_eq!(answer.header("cache-control"), "no-store", "{}", route.path);
        answers.push(answer);
    }
    for answer in answers {
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'; base-uri 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "forms must be sent with their origin");
    }
}

#[tokio::test]
async fn another_method_on_a_form_does_nothing() {
    let console = Console::new().await;
    let token = console.operator("ada", Role::Operator).await;
    let ada = console.login(&token).await;
    for route in forms().filter(|route| pages().all(|page| page.path != route.path)) {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let request = Request::builder().method(method).uri(route.path).header(header::HOST, HOST);
            let request = request.header(header::ORIGIN, "http://127.0.0.1:8000").header(header::COOKIE, &ada.cookie);
            let answer = console.send(request.body(Body::empty()).unwrap()).await;
            assert!([403, 405].contains(&answer.status), "{method} {}: {}", route.path, answer.status);
            console.get("/console", &ada.cookie).await.ok();
        }
    }
}

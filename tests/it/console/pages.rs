//! Pages: what they show, what their forms do, and their size.

use countersign::{
    domain::operator::Role,
    ops::console::{ROUTES, RouteRights},
};

use super::{Console, field, text};

#[tokio::test]
async fn pages_are_small_and_have_no_inline_script_or_style() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    for user in 0..30 {
        console.service.login(&format!("user-{user}")).await;
    }
    for route in ROUTES.iter().filter(|route| !route.is_form && route.rights != RouteRights::Nobody) {
        let page = text(&console.get(route.path, &ada.cookie).await.ok());
        assert!(page.len() <= 100_000, "{}: {} bytes", route.path, page.len());
        let requests = 1 + page.matches(" src=\"").count() + page.matches("<link ").count();
        assert!(requests <= 6, "{}: {requests} requests", route.path);
        for inline in [" style=", " onclick=", " onload=", "<style", "<script>"] {
            assert!(!page.contains(inline), "{}: {inline}", route.path);
        }
        assert_eq!(page.matches("<h1>").count(), 1, "{}", route.path);
        assert!(page.matches("class=\"filled\"").count() <= 1, "{}", route.path);
        assert!(page.contains("class=\"state\""), "{}", route.path);
    }
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_revoked_by_its_typed_name() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let csrf = ("csrf", ada.csrf.as_str());
    let members = [csrf, ("client", "Bad Name"), ("lifetime", "soon")];
    let wrong = console.form("/console/callers/create", &ada.cookie, &members).await;
    let page = text(&wrong);
    assert_eq!(wrong.status, 422);
    assert!(page.contains("client-error") && page.contains("lifetime-error") && page.contains("apps-error"), "{page}");
    assert!(page.contains("value=\"Bad Name\""), "what was typed stays");

    let made = console.form("/console/callers/create", &ada.cookie, &[csrf, ("client", "shop"), ("app", "web")]).await;
    let page = text(&made.ok());
    let (_, rest) = page.split_once("data-copy=\"csk1_").unwrap();
    let id = rest.split('_').next().unwrap().to_owned();
    let list = text(&console.get("/console/callers", &ada.cookie).await.ok());
    assert!(list.contains(&id) && !list.contains("csk1_"));

    let shown = text(&console.get(&format!("/console/callers?key={id}"), &ada.cookie).await.ok());
    let version = field(&shown, "version");
    let revoke = |confirm: &'static str, version: String| {
        let (id, console, ada) = (id.clone(), &console, &ada);
        async move {
            let fields = [("csrf", ada.csrf.as_str()), ("key", &id), ("version", &version), ("confirm", confirm)];
            console.form("/console/callers/revoke", &ada.cookie, &fields).await
        }
    };
    assert_eq!(revoke("sho", version.clone()).await.status, 422);
    assert_eq!(revoke("shop", version.clone()).await.status, 303);
    let again = revoke("shop", version).await;
    assert_eq!(again.status, 409);
    assert!(text(&again).contains("is not live any more"));
    let records = console.service.operator.audit().list(None, 100).await.unwrap();
    let revoked = records.iter().find(|(_, event)| event.action.as_str() == "api_key_revoked").unwrap();
    assert_eq!(revoked.1.actor.name, "operator ada");
    assert!(revoked.1.actor.request_id.is_some());
}

#[tokio::test]
async fn a_user_is_looked_up_opted_out_and_logged_out_by_forms() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let user = "<script>alert(1)</script>\"'&";
    console.service.login(user).await;
    let with = |more: Vec<(&'static str, String)>| {
        let mut fields = vec![("csrf", ada.csrf.clone()), ("user", user.to_owned())];
        fields.extend(more);
        fields
    };
    let send = async |path: &str, fields: Vec<(&'static str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        console.form(path, &ada.cookie, &fields).await
    };
    let page = text(&send("/console/users", with(vec![])).await.ok());
    assert!(page.contains("1 live session") && !page.contains("<script>alert"), "{page}");
    assert!(!page.contains("href=\"/console/users?"), "no user id in a URL");
    let version = field(&page, "version");

    let unconfirmed = send("/console/users/end-sessions", with(vec![("version", version.clone())])).await;
    assert_eq!(unconfirmed.status, 422);
    let ended = with(vec![("version", version.clone()), ("confirm", "end sessions".to_owned())]);
    assert!(text(&send("/console/users/end-sessions", ended.clone()).await.ok()).contains("1 session ended"));
    let outdated = send("/console/users/end-sessions", ended).await;
    assert_eq!(outdated.status, 409);
    assert!(text(&outdated).contains("0 live sessions"));

    let page = text(&send("/console/users", with(vec![])).await.ok());
    let version = field(&page, "version");
    let out = text(&send("/console/users/opt-out", with(vec![("version", version)])).await.ok());
    assert!(out.contains("The user is opted out, for every app"), "{out}");
    let refused = console.service.generate(&serde_json::json!({ "app": "web", "user_id": user })).await;
    assert_ne!(refused.status, 200);
    let version = field(&out, "version");
    let back = text(&send("/console/users/opt-in", with(vec![("version", version)])).await.ok());
    assert!(back.contains("opted in again"));
    console.service.login(user).await.ok();
}

#[tokio::test]
async fn a_user_id_that_cannot_be_is_an_error_beside_its_field() {
    let console = Console::new().await;
    let vera = console.login(&console.operator("vera", Role::Viewer).await).await;
    let send =
        async |user: &str| console.form("/console/users", &vera.cookie, &[("csrf", &vera.csrf), ("user", user)]).await;
    let empty = send("").await;
    assert_eq!(empty.status, 422);
    assert!(text(&empty).contains("user-error"));
    let longest = "x".repeat(512);
    let page = text(&send(&longest).await.ok());
    assert!(page.contains(&longest) && page.contains("No session of this user is on record"));
}

#[tokio::test]
async fn the_audit_log_is_filtered_and_hostile_text_is_escaped() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let page = text(&console.get("/console/audit", &ada.cookie).await.ok());
    assert!(page.contains("operator_logged_in") && page.contains("operator ada"));
    let page = text(&console.get("/console/audit?action=operator_created&actor=nobody", &ada.cookie).await.ok());
    assert!(page.contains("No record"));
    let hostile = "/console/audit?actor=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&before=x";
    let page = text(&console.get(hostile, &ada.cookie).await.ok());
    assert!(!page.contains("<script>alert"), "{page}");
}

#[tokio::test]
async fn without_the_store_the_last_page_is_shown_as_stale() {
    use crate::support::switched_store::Reach;
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    console.get("/console", &ada.cookie).await.ok();
    console.service.switch.set(Reach::OutOfReach);
    let stale = console.get("/console", &ada.cookie).await;
    let page = text(&stale);
    assert_eq!(stale.status, 503);
    assert!(page.contains("As of ") && page.contains("store out of reach") && page.contains("Active keys"), "{page}");
    let unseen = console.get("/console/nodes", &ada.cookie).await;
    assert_eq!(unseen.status, 503);
    assert!(text(&unseen).contains("Out of reach"));
    let form = console.form("/console/users", &ada.cookie, &[("csrf", &ada.csrf), ("user", "u")]).await;
    assert_eq!(form.status, 503);
}

#[tokio::test]
async fn numbers_beyond_reason_in_a_query_are_no_fault_of_ours() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    for query in ["callers?page", "audit?before", "keys?from", "failures?from", "audit?from"] {
        for number in ["18446744073709551615", "9223372036854775807", "99999999999999999999", "-1"] {
            let answer = console.get(&format!("/console/{query}={number}"), &ada.cookie).await;
            assert!(answer.status < 500, "{query}={number}: {}", answer.status);
        }
    }
}

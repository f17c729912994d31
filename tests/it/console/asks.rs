//! Questions to the store: each page asks as often where there is much to show as where there is little.

use countersign::{
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        operator::Role,
    },
    ops::console::{ROUTES, RouteRights},
};
use serde_json::json;

use super::Console;

/// Most questions of a page, with those of its session.
const MOST: u64 = 40;

/// Questions of each page.
async fn asked(console: &Console, cookie: &str) -> Vec<(&'static str, u64)> {
    let mut asked = Vec::new();
    for route in ROUTES.iter().filter(|route| !route.is_form && route.rights == RouteRights::Reading) {
        // The first view may fill what is kept between views.
        console.get(route.path, cookie).await.ok();
        let before = console.service.switch.calls();
        console.get(route.path, cookie).await.ok();
        asked.push((route.path, console.service.switch.calls() - before));
    }
    asked
}

#[tokio::test]
async fn a_page_asks_no_more_where_there_is_more_to_show() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let report = async |user: &str| {
        let token = console.service.session(user).await;
        let failure = json!({ "refresh_token": token, "failure": { "error_code": 22, "platform": "web" } });
        console.service.post("/v1/failures", &failure).await;
    };
    report("u-0").await;
    console.service.tick().await;
    let little = asked(&console, &ada.cookie).await;
    for (path, questions) in &little {
        assert!((1..=MOST).contains(questions), "{path} asks {questions} times");
    }

    let store = console.service.switch.store();
    for user in 1..40 {
        report(&format!("u-{user}")).await;
        console
            .service
            .operator
            .clients()
            .create(format!("client-{user}").parse().unwrap(), vec!["web".parse().unwrap()], None)
            .await
            .unwrap();
        let event = AuditEvent {
            at: countersign::clock::UnixMillis(1_795_000_000_500),
            actor: Actor::service(),
            action: AuditAction::SessionEnded,
            target: AuditTarget::default(),
            outcome: AuditOutcome::Done,
            why: "revoked".to_owned(),
        };
        store.append_events(vec![event; 25]).await.unwrap();
    }
    for _ in 0..5 {
        console.service.operator.keys().generate("main".parse().unwrap(), 2048).await.unwrap();
    }
    console.service.tick().await;
    assert_eq!(asked(&console, &ada.cookie).await, little);
}

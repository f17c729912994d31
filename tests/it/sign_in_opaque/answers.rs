//! Questions and kept answers: how often an endpoint is asked, and how long its answer is used.

use std::{sync::Arc, time::Duration};

use countersign::domain::sign_in::SignIn;
use serde_json::json;

use super::{NOW, exchange, exchange_from, exchange_request, introspected, introspection_rules, minted, set_sign_ins};

#[tokio::test]
async fn two_hundred_requests_at_once_ask_once() {
    let (endpoint, service) = introspected("u-1").await;
    let service = Arc::new(service);
    endpoint.close();
    let requests: Vec<_> = (0..200)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { exchange(&service, "canary-session").await.ok() })
        })
        .collect();
    endpoint.asked_times(1).await;
    endpoint.open();
    for request in requests {
        assert_eq!(minted(request.await.unwrap())["sub"], "u-1");
    }
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn whoever_asked_first_may_go_away() {
    let (endpoint, service) = introspected("u-1").await;
    let service = Arc::new(service);
    endpoint.close();
    let request = || {
        let service = Arc::clone(&service);
        tokio::spawn(async move { exchange(&service, "canary-session").await })
    };
    let first = request();
    endpoint.asked_times(1).await;
    let second = request();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    endpoint.open();
    assert_eq!(minted(second.await.unwrap())["sub"], "u-1");
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn an_acceptance_is_kept_for_ten_seconds_and_a_refusal_for_two() {
    let (endpoint, service) = introspected("u-1").await;
    exchange(&service, "good").await.ok();
    endpoint.answers_json(&json!({ "active": false }));
    exchange(&service, "bad").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 2);

    service.clock.forward(Duration::from_millis(1_999));
    exchange(&service, "bad").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 2);
    service.clock.forward(Duration::from_millis(1));
    exchange(&service, "bad").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 3);

    service.clock.forward(Duration::from_millis(7_999));
    exchange(&service, "good").await.ok();
    assert_eq!(endpoint.asked().len(), 3);
    service.clock.forward(Duration::from_millis(1));
    exchange(&service, "good").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 4);
}

#[tokio::test]
async fn the_end_of_a_credential_comes_before_ten_seconds() {
    let (endpoint, service) = introspected("u-1").await;
    // The test clock stands at half a second.
    endpoint.answers_json(&json!({ "active": true, "sub": "u-1", "exp": NOW + 5 }));
    exchange(&service, "good").await.ok();
    service.clock.forward(Duration::from_millis(4_499));
    exchange(&service, "good").await.ok();
    assert_eq!(endpoint.asked().len(), 1);
    service.clock.forward(Duration::from_millis(1));
    exchange(&service, "good").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 2, "a provider that lets it live longer does not decide alone");
}

#[tokio::test]
async fn answers_belong_to_one_app_one_reload_and_one_credential() {
    let (endpoint, service) = introspected("u-1").await;
    let sign_in = SignIn::Introspection(introspection_rules(&endpoint));
    set_sign_ins(&service, &[("web", sign_in.clone()), ("ios", sign_in.clone())]);
    let bearer = (http::header::AUTHORIZATION, "Bearer canary-session");
    for (app, asked) in [("web", 1), ("web", 1), ("ios", 2), ("ios", 2), ("web", 2)] {
        service.send(exchange_request(app, std::slice::from_ref(&bearer))).await.ok();
        assert_eq!(endpoint.asked().len(), asked, "{app}");
    }
    exchange(&service, "canary-sessioN").await.ok();
    assert_eq!(endpoint.asked().len(), 3);
    set_sign_ins(&service, &[("web", sign_in)]);
    exchange(&service, "canary-session").await.ok();
    assert_eq!(endpoint.asked().len(), 4);
}

#[tokio::test]
async fn a_clock_that_went_back_revives_no_answer() {
    let (endpoint, service) = introspected("u-1").await;
    endpoint.answers_json(&json!({ "active": true, "sub": "u-1", "exp": NOW + 5 }));
    exchange(&service, "good").await.ok();
    service.clock.forward(Duration::from_secs(6));
    exchange(&service, "good").await.problem(401, "unauthorized");
    service.clock.set_by(-3_600);
    exchange(&service, "good").await.problem(503, "unavailable");
    assert_eq!(endpoint.asked().len(), 2);
}

#[tokio::test]
async fn a_slow_endpoint_holds_few_requests() {
    let (endpoint, service) = introspected("u-1").await;
    let service = Arc::new(service);
    endpoint.close();
    let requests: Vec<_> = (0..64)
        .map(|n| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { exchange_from(&service, n / 8, &format!("session-{n}")).await })
        })
        .collect();
    endpoint.asked_times(64).await;
    let refused = exchange_from(&service, 8, "one-too-many").await.problem(503, "unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(endpoint.asked().len(), 64);
    endpoint.open();
    for request in requests {
        request.await.unwrap();
    }
    exchange_from(&service, 8, "one-too-many").await.ok();
}

#[tokio::test]
async fn one_client_network_leaves_calls_for_the_others() {
    let (endpoint, service) = introspected("u-1").await;
    let service = Arc::new(service);
    endpoint.close();
    let requests: Vec<_> = (0..8)
        .map(|n| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { exchange_from(&service, 1, &format!("session-{n}")).await })
        })
        .collect();
    endpoint.asked_times(8).await;
    exchange_from(&service, 1, "one-too-many").await.problem(503, "unavailable");
    let other = {
        let service = Arc::clone(&service);
        tokio::spawn(async move { exchange_from(&service, 2, "of-another").await })
    };
    endpoint.asked_times(9).await;
    endpoint.open();
    other.await.unwrap().ok();
    for request in requests {
        request.await.unwrap();
    }
    exchange_from(&service, 1, "one-too-many").await.ok();
}

//! Rate limits: exact waits for those who ask too often, and nothing that an honest burst would meet.

use std::time::Instant;

use serde_json::json;

use super::support::{in_less_than_a_second, test_service::TestService};

/// Limits at their defaults; a long wait for the signatures of a slow machine.
const APP: &str = "[custody]\nmax_wait = \"60s\"\n[apps.web]\n";

#[tokio::test]
async fn a_session_that_asks_too_often_is_told_when_to_come_back() {
    let service = TestService::with(&format!("{APP}[limits]\nper_session = {{ per_second = 1, burst = 3 }}\n")).await;
    let [answers @ .., one_more] = in_less_than_a_second(async || {
        let token = service.session("u-1").await;
        let begun = Instant::now();
        let refresh = async || service.refresh(&token).await;
        (begun, [refresh().await, refresh().await, refresh().await, refresh().await])
    })
    .await;
    for answer in answers {
        answer.ok();
    }
    let problem = one_more.problem(429, "rate_limited");
    let wait = problem.json()["retry"].as_u64().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    assert_eq!(problem.header("retry-after"), "1");
    assert_eq!(problem.header("ratelimit"), r#""session";r=0;t=1"#);
    assert_eq!(problem.header("ratelimit-policy"), r#""session";q=3;w=3"#);
    service.refresh(&service.session("u-1").await).await.ok();
}

#[tokio::test]
async fn clients_and_addresses_have_their_own_limits() {
    let [first, second, third] = in_less_than_a_second(async || {
        let limits = format!("{APP}[limits]\nper_client = {{ per_second = 1, burst = 2 }}\n");
        let service = TestService::with(&limits).await;
        let begun = Instant::now();
        let login = async |user: &str| service.generate(&json!({ "app": "web", "user_id": user })).await;
        (begun, [login("u-1").await, login("u-2").await, login("u-3").await])
    })
    .await;
    first.ok();
    second.ok();
    third.problem(429, "rate_limited");

    let [first, second, third] = in_less_than_a_second(async || {
        let limits = format!("{APP}[limits]\nper_address = {{ per_second = 1, burst = 2 }}\n");
        let service = TestService::with(&limits).await;
        let begun = Instant::now();
        (begun, [service.refresh("junk").await, service.refresh("junk").await, service.refresh("junk").await])
    })
    .await;
    first.problem(401, "invalid_token");
    second.problem(401, "invalid_token");
    third.problem(429, "rate_limited");
}

#[tokio::test]
async fn guessing_is_slowed_and_good_credentials_from_there_still_pass() {
    let (service, token, statuses) = in_less_than_a_second(async || {
        let limits = format!("{APP}[limits]\nfailures_per_address = {{ per_second = 1, burst = 5 }}\n");
        let service = TestService::with(&limits).await;
        let token = service.session("u-1").await;
        let (begun, mut statuses) = (Instant::now(), Vec::new());
        for _ in 0..10 {
            statuses.push(service.refresh("junk").await.status);
        }
        (begun, (service, token, statuses))
    })
    .await;
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429, 429, 429]);
    service.refresh(&token).await.ok();
    service.login("u-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_burst_meets_no_limit_by_default() {
    let service = std::sync::Arc::new(TestService::with(APP).await);
    let token = service.session("u-1").await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (service, token) = (service.clone(), token.clone());
        asking.spawn(async move { service.refresh(&token).await.status });
    }
    // A whole office behind one address.
    for user in 0..200 {
        let service = service.clone();
        asking.spawn(async move { service.refresh(&service.session(&format!("u-{user}")).await).await.status });
    }
    let statuses = asking.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

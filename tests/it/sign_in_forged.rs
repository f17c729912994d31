//! Forged and odd tokens at the exchange: none of them gets a token, all of them get one answer, and none makes this
//! service ask a server that the token names.

use std::{collections::HashSet, time::Duration};

use http::{HeaderValue, header};
use serde_json::json;

use crate::support::{
    Answer,
    jwt::{OTHER_RSA, RSA, TestProvider, forged::Target, published},
    test_service::{CONFIG, TestService, post},
};

/// Time of the service's test clock, in seconds.
const NOW: i64 = 1_795_000_000;
/// Time after which a provider's keys may be fetched again.
const NEXT_FETCH: Duration = Duration::from_secs(31);

async fn exchange(service: &TestService, credential: &HeaderValue) -> Answer {
    let mut request = post("/v1/token/exchange", &json!({ "app": "web" }));
    request.headers_mut().insert(header::AUTHORIZATION, credential.clone());
    let answer = service.send(request).await;
    if answer.status != 503 {
        return answer;
    }
    // A kid that was never seen is refused by a set that was fetched after it came.
    service.clock.forward(NEXT_FETCH);
    let mut again = post("/v1/token/exchange", &json!({ "app": "web" }));
    again.headers_mut().insert(header::AUTHORIZATION, credential.clone());
    service.send(again).await
}

#[tokio::test]
async fn none_is_accepted_and_all_get_one_answer() {
    let (provider, attacker) = (TestProvider::start(&published()).await, TestProvider::start(&[&OTHER_RSA]).await);
    let canary = TestProvider::start(&[&OTHER_RSA]).await;
    let target = Target { provider: &provider, attacker: &attacker, canary: &canary.issuer, now_seconds: NOW };
    let config = format!("{CONFIG}{}{}", provider.config("web"), attacker.config("web"));
    let service = TestService::with(&config).await;
    let bearer = |token: &str| HeaderValue::from_bytes(format!("Bearer {token}").as_bytes());

    let honest = bearer(&RSA.token(&target.claims())).unwrap();
    exchange(&service, &honest).await.ok();
    let (mut answers, mut sent, mut faults) = (HashSet::new(), HashSet::new(), Vec::new());
    // Space around a header's value is no part of it (RFC 9110 §5.5).
    let honest_token = RSA.token(&target.claims());
    for forged in target.forgeries().into_iter().filter(|forged| forged.token.trim_matches(' ') != honest_token) {
        // No header can carry a line end.
        let Ok(credential) = bearer(&forged.token) else { continue };
        let answer = exchange(&service, &credential).await;
        if answer.status != 401 {
            faults.push(format!("{}: {}", forged.name, String::from_utf8_lossy(&answer.body)));
            continue;
        }
        let mut problem = answer.problem(401, "unauthorized").json();
        problem["request_id"] = "".into();
        answers.insert(problem.to_string());
        sent.insert(forged.token);
    }
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(sent.len() >= 250, "{}", sent.len());
    exchange(&service, &honest).await.ok();
    assert_eq!(canary.requests(), 0);
    assert_eq!(service.metric(r#"countersign_mints_total{app="web"}"#), 2.0);
}

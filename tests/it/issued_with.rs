//! JWT that a refresh token names: that of its own answer, by key and end, so that a report needs no JWT.

use std::time::Duration;

use countersign::domain::{
    ids::Kid,
    refresh_token::{IssuedWith, unseal},
    sealing::SealingKeys,
};

use super::support::{Answer, switched_store::Reach, test_service::TestService, verified_claims};

fn issued_with(service: &TestService, refresh_token: &str) -> IssuedWith {
    unseal(refresh_token, &SealingKeys::derive(service.settings.sealing())).unwrap().issued_with()
}

/// Checks that the refresh token of an answer names the JWT of the same answer, which this key signed.
#[track_caller]
fn assert_names_its_token(service: &TestService, kid: &Kid, answer: &Answer) {
    let named = issued_with(service, &answer.text("refresh_token"));
    let claims = verified_claims(&answer.text("token"), &service.public_key);
    assert_eq!(named.expires().seconds(), claims["exp"].as_i64().unwrap());
    assert_eq!(named.issued().seconds(), answer.json()["server_time"].as_i64().unwrap() / 1000);
    assert!(named.is_of(kid));
    assert!(!named.is_of(&Kid::from_thumbprint(&[7; 32])));
}

async fn active_key(service: &TestService) -> Kid {
    service.operator.keys().list().await.unwrap()[0].kid.clone()
}

#[tokio::test]
async fn every_refresh_token_names_the_token_of_its_answer() {
    let service = TestService::new().await;
    let kid = active_key(&service).await;
    let mint = service.login("u-1").await;
    assert_names_its_token(&service, &kid, &mint);
    service.clock.forward(Duration::from_mins(5));
    let refresh = service.refresh(&mint.text("refresh_token")).await.ok();
    assert_names_its_token(&service, &kid, &refresh);
    service.clock.forward(Duration::from_mins(5));
    let repeat = service.refresh(&mint.text("refresh_token")).await.ok();
    assert_names_its_token(&service, &kid, &repeat);
    let ends = [&mint, &refresh, &repeat].map(|answer| issued_with(&service, &answer.text("refresh_token")).expires());
    assert!(ends[0] < ends[1] && ends[1] < ends[2], "{ends:?}");
}

#[tokio::test]
async fn refresh_tokens_of_an_outage_name_the_tokens_of_the_outage() {
    let service = TestService::new().await;
    service.tick().await;
    let kid = active_key(&service).await;
    let before = service.login("u-1").await;
    service.switch.set(Reach::OutOfReach);
    service.clock.forward(Duration::from_mins(1));
    let mint = service.login("u-2").await;
    let refresh = service.refresh(&before.text("refresh_token")).await.ok();
    for answer in [&mint, &refresh] {
        assert_eq!(answer.json()["degraded"], true);
        assert_names_its_token(&service, &kid, answer);
    }
}

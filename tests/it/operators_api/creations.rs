//! Creations: `Idempotency-Key`.

use countersign::domain::operator::Role;
use serde_json::{Value, json};

use super::{Api, request};
use crate::support::Answer;

async fn create(api: &Api, path: &str, token: &str, key: &str, body: &Value) -> Answer {
    let mut request = request("POST", path, Some(token), Some(body));
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    api.send(request).await
}

#[tokio::test]
async fn a_repeated_creation_has_the_id_and_no_secret() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let body = json!({ "client": "shop", "apps": ["web"] });
    let made = create(&api, "/clients", &token, "k-1", &body).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let (id, secret) = (made.text("id"), made.text("api_key"));
    let repeated = create(&api, "/clients", &token, "k-1", &body).await.problem(409, "already_done");
    assert_eq!(repeated.text("id"), id);
    assert!(!String::from_utf8_lossy(&repeated.body).contains(&secret));
    let other = json!({ "client": "shop-2", "apps": ["web"] });
    create(&api, "/clients", &token, "k-1", &other).await.problem(409, "idempotency_key_reused");
    create(&api, "/keys", &token, "k-1", &json!({ "ring": "main" })).await.problem(409, "idempotency_key_reused");
    let names = |list: Value| list.as_array().unwrap().iter().filter(|c| c["client"] == "shop").count();
    assert_eq!(names(api.get("/clients", &token).await.ok().json()), 1);
    // Another operator's key is another key.
    let grace = api.operator("grace", Role::Operator).await;
    assert_eq!(create(&api, "/clients", &grace, "k-1", &body).await.status, 201);
}

#[tokio::test]
async fn a_creation_that_was_refused_may_be_asked_for_again() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let body = json!({ "client": "shop", "apps": ["unheard-of"] });
    for _ in 0..2 {
        create(&api, "/clients", &token, "k-1", &body).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_creation_is_forgotten_after_a_day() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let body = json!({ "client": "shop", "apps": ["web"] });
    create(&api, "/clients", &token, "k-1", &body).await;
    api.service.clock.forward(std::time::Duration::from_hours(23));
    create(&api, "/clients", &token, "k-1", &body).await.problem(409, "already_done");
    api.service.clock.forward(std::time::Duration::from_hours(2));
    assert_eq!(create(&api, "/clients", &token, "k-1", &body).await.status, 201);
}

#[tokio::test]
async fn a_key_is_1_to_64_visible_characters() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let body = json!({ "client": "shop", "apps": ["web"] });
    for key in ["", "a b", "k\t", &"k".repeat(65)] {
        create(&api, "/clients", &token, key, &body).await.problem(400, "client_error");
    }
    assert_eq!(create(&api, "/clients", &token, &"~".repeat(64), &body).await.status, 201);
}

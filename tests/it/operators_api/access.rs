//! Who may use which route: tokens, roles, the socket.

use std::time::Duration;

use axum::body::Body;
use countersign::domain::operator::Role;
use http::Request;
use serde_json::json;

use super::{Api, over_socket, request, routes, well_formed};
use crate::support::test_service::TestService;

#[tokio::test]
async fn the_api_is_off_until_an_operator_exists() {
    let api = Api::new().await;
    for route in routes() {
        let answer = api.send(well_formed(route, Some(&api.service.api_key))).await;
        assert_eq!(answer.status, 404, "{}: {}", route.operation, answer.text("detail"));
    }
    api.get("/openapi.json", "anything").await.problem(404, "not_found");
    let token = api.operator("ada", Role::Viewer).await;
    api.get("/about", &token).await.ok();
    api.service.operator.operators().revoke(&"ada".parse().unwrap()).await.unwrap();
    api.get("/about", &token).await.problem(404, "not_found");
}

#[tokio::test]
async fn each_role_on_each_route() {
    let api = Api::new().await;
    let viewer = api.operator("ada", Role::Viewer).await;
    let operator = api.operator("grace", Role::Operator).await;
    let size = api.audit_size().await;
    for route in routes() {
        let name = route.operation;
        api.send(well_formed(route, None)).await.problem(401, "unauthorized");
        let answer = api.send(well_formed(route, Some(&viewer))).await;
        if route.role == Role::Operator || route.on_socket_only {
            let answer = answer.problem(403, "forbidden");
            let needs = "needs the role operator";
            assert!(route.on_socket_only || answer.text("detail").contains(needs), "{name}");
        } else {
            assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        }
        assert!(!route.changes || route.role == Role::Operator, "{name}: a viewer must not change anything");
    }
    assert_eq!(api.audit_size().await, size, "a viewer changed something");
    for route in routes() {
        let answer = api.send(well_formed(route, Some(&operator))).await;
        let refused = matches!(answer.status, 401 | 403 | 405 | 422 | 500..);
        assert_eq!(refused, route.on_socket_only, "{}: {}", route.operation, String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn the_socket_needs_no_token_and_has_the_routes_of_operators() {
    let api = Api::new().await;
    let about = api.send(over_socket(request("GET", "/about", None, None))).await.ok().json();
    assert_eq!((&about["actor"], &about["role"]), (&json!("uid 1000 through the socket"), &json!("operator")));
    let body = json!({ "name": "ada", "role": "viewer" });
    let made = api.send(over_socket(request("POST", "/operators", None, Some(&body)))).await;
    assert_eq!(made.status, 201);
    let token = made.text("operator_token");
    api.get("/keys", &token).await.ok();
    let listed = api.send(over_socket(request("GET", "/operators", None, None))).await.ok().json();
    assert_eq!(listed[0]["name"], "ada");
    assert!(!listed.to_string().contains("hash"), "{listed}");
    api.send(over_socket(request("POST", "/operators/ada/revoke", None, None))).await.ok();
    api.get("/keys", &token).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_revoked_or_expired_token_is_refused_at_once() {
    let api = Api::new().await;
    let kept = api.operator("grace", Role::Operator).await;
    let revoked = api.operator("ada", Role::Operator).await;
    let lifetime = Some(Duration::from_mins(1));
    let made = api.service.operator.operators().create("kim".parse().unwrap(), Role::Viewer, lifetime).await;
    let expiring = made.unwrap().0.reveal().to_string();
    for token in [&kept, &revoked, &expiring] {
        api.get("/about", token).await.ok();
    }
    api.service.operator.operators().revoke(&"ada".parse().unwrap()).await.unwrap();
    api.get("/about", &revoked).await.problem(401, "unauthorized");
    api.service.clock.forward(Duration::from_secs(59));
    api.get("/about", &expiring).await.ok();
    api.service.clock.forward(Duration::from_secs(1));
    api.get("/about", &expiring).await.problem(401, "unauthorized");
    api.get("/about", &kept).await.ok();
}

#[tokio::test]
async fn acts_are_recorded_with_the_operator_and_the_request() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let body = json!({ "user_id": "user-1", "app": "web" });
    let mut opt_out = request("POST", "/users/opt-out", Some(&token), Some(&body));
    opt_out.headers_mut().insert("x-request-id", "the-request".parse().unwrap());
    let answer = api.send(opt_out).await.ok();
    assert_eq!(answer.json()["changed"], true);
    let event = &api.last_records(&token, 1).await[0]["event"];
    assert_eq!(event["actor"], "operator ada", "{event}");
    assert_eq!((&event["request_id"], &event["action"]), (&json!("the-request"), &json!("opted_out")));
}

#[tokio::test]
async fn tokens_are_not_taken_in_plain_text_beyond_loopback() {
    let api = Api::of(TestService::new().await, false);
    let token = api.operator("ada", Role::Operator).await;
    let refused = api.get("/about", &token).await.problem(403, "forbidden");
    assert!(refused.text("detail").contains("server.allow_plaintext"));
    api.send(over_socket(request("GET", "/about", None, None))).await.ok();
}

#[tokio::test]
async fn the_public_listener_has_nothing_of_it() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    for route in routes() {
        let answer = api.service.send(well_formed(route, Some(&token))).await;
        assert_eq!(answer.status, 404, "{}", route.operation);
    }
    let document = Request::get("/admin/v1/openapi.json").body(Body::empty()).unwrap();
    assert_eq!(api.service.send(document).await.status, 404);
}

//! The OpenAPI document, and what answers must not hold.

use std::collections::BTreeSet;

use countersign::domain::operator::Role;

use super::{Api, over_socket, routes, well_formed};
use crate::support::secret_of;

#[tokio::test]
async fn the_document_has_every_route_and_only_viewers_read_it() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Viewer).await;
    api.get("/openapi.json", "nonsense").await.problem(401, "unauthorized");
    let document = api.get("/openapi.json", &token).await.ok().json();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let served: BTreeSet<String> = routes().map(|route| format!("{} /admin/v1{}", route.method, route.path)).collect();
    assert_eq!(documented, served);
    let operations: BTreeSet<&str> = routes().map(|route| route.operation).collect();
    assert_eq!(operations.len(), served.len(), "each route is one operation");
}

/// Each method of the trait has its route.
#[test]
fn every_operation_has_a_route() {
    let text = include_str!("../../../src/operate/operations.rs");
    let methods: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("    async fn ")?.split('(').next()).collect();
    let operations: BTreeSet<&str> = routes().map(|route| route.operation).collect();
    assert_eq!(methods, operations);
}

#[tokio::test]
async fn no_answer_holds_a_secret_that_was_there_before() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    api.service.login("user-1").await;
    for route in routes() {
        let request = well_formed(route, Some(&token));
        let answer = api.send(if route.on_socket_only { over_socket(request) } else { request }).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in [secret_of(&token), secret_of(&api.service.api_key), "PRIVATE KEY", "\"hash\""] {
            assert!(!text.contains(secret), "{} shows {secret}: {text}", route.operation);
        }
    }
}

#[tokio::test]
async fn lists_that_grow_are_read_in_parts_to_their_end() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Viewer).await;
    for list in ["records", "leaves"] {
        let whole = api.get(&format!("/audit/{list}?from=0&limit=1000"), &token).await.ok().json();
        assert!(whole["next"].is_null() && whole["items"].as_array().unwrap().len() > 4, "{whole}");
        for limit in [1, 2, 3, whole["items"].as_array().unwrap().len()] {
            let (mut items, mut from) = (Vec::new(), Some(0));
            while let Some(next) = from {
                let part = api.get(&format!("/audit/{list}?from={next}&limit={limit}"), &token).await.ok().json();
                items.extend(part["items"].as_array().unwrap().clone());
                from = part["next"].as_u64();
            }
            assert_eq!(items, *whole["items"].as_array().unwrap(), "{list} by {limit}");
        }
        let beyond = api.get(&format!("/audit/{list}?from={}", i64::MAX), &token).await.ok().json();
        assert_eq!(beyond, serde_json::json!({ "items": [], "next": null }));
    }
    let last = api.get("/audit/records?limit=2", &token).await.ok().json();
    assert!(last["next"].is_null(), "nothing comes after the newest: {last}");
}

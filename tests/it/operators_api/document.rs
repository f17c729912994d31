//! The OpenAPI document, and what answers must not hold.

use std::collections::BTreeSet;

use countersign::domain::operator::Role;

use super::{Api, over_socket, routes, well_formed};

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
    let id = |key: &str| key.rsplit('_').next().unwrap().to_owned();
    for route in routes() {
        let request = well_formed(route, Some(&token));
        let answer = api.send(if route.on_socket_only { over_socket(request) } else { request }).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in [&*id(&token), &*id(&api.service.api_key), "PRIVATE KEY", "\"hash\""] {
            assert!(!text.contains(secret), "{} shows {secret}: {text}", route.operation);
        }
    }
}

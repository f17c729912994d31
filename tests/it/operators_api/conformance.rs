//! The schemas of answers in the document. `tests/run.sh openapi` has real answers judged by them.

use countersign::domain::operator::Role;
use serde_json::Value;

use super::{Api, routes};

/// Schema of the successful answer of an operation.
fn answer<'a>(document: &'a Value, method: &str, path: &str) -> &'a Value {
    let responses = &document["paths"][format!("/admin/v1{path}")][method.to_lowercase()]["responses"];
    let success = if responses["201"].is_object() { &responses["201"] } else { &responses["200"] };
    &success["content"]["application/json"]["schema"]
}

/// Readers of the document see sentences, not links of this program's own documentation, and nothing that nobody refers to.
#[tokio::test]
async fn the_schemas_can_be_read() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Viewer).await;
    let document = api.get("/openapi.json", &token).await.ok().json();
    let text = document.to_string();
    assert!(!text.contains("[`") && !text.contains("Self::"), "a link of rustdoc");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(text.contains(&format!("#/components/schemas/{name}\"")), "nothing refers to {name}");
        let said = schema["description"].as_str().unwrap_or_default();
        assert!(!said.is_empty() || name == "Problem", "{name} has no description");
    }
    for route in routes() {
        let schema = answer(&document, route.method, route.path);
        assert!(schema.is_object(), "{} has no schema", route.operation);
    }
}

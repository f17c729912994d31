//! OpenAPI document of the operators' API, made from the table of routes.

use serde_json::{Map, Value, json};
use strum::VariantArray;

use super::{
    codes::AdminCode,
    route::{AdminRoute, QueryMember},
    routes::ROUTES,
};
use crate::operate::{AnswerSchemas, wire};

/// Refusals of every route: status, name, description.
const REFUSALS: [(&str, &str, &str); 11] = [
    ("400", "Malformed", "Malformed request; `errors` names every member at fault"),
    ("401", "Unauthorized", "The operator token was refused"),
    ("403", "Forbidden", "The operator may not do it, or not over this connection"),
    ("404", "NotFound", "There is no such thing; or the API is off, as no operator exists"),
    ("408", "TooSlow", "The body took too long to arrive"),
    ("409", "Conflict", "The state does not allow it, or an earlier request with this `Idempotency-Key` did it"),
    ("413", "TooLarge", "Body too large"),
    ("415", "WrongMediaType", "Not `application/json`"),
    ("429", "TooManyRequests", "Too many refused credentials"),
    ("500", "Failed", "It failed"),
    ("503", "Later", "The store, Braze or custody is out of reach, or the clock is not trusted"),
];

/// Makes the document.
pub(super) fn document() -> Value {
    let (mut paths, mut answers) = (Map::new(), AnswerSchemas::default());
    for route in ROUTES.iter().copied().flatten() {
        let path = paths.entry(format!("{}{}", wire::BASE, route.path)).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route, &mut answers);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Countersign, operators' API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators do, over the ops listener or its socket. It is off until an operator \
                exists. Answers are the JSON that the command line prints with `--json`. Errors are RFC 9457 problem documents \
                with a stable `code`. No private key is in any request or answer.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The listener that this document came from" }],
        "security": [{ "operator_token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(answers),
            "responses": refusals(),
            "securitySchemes": { "operator_token": {
                "type": "http", "scheme": "bearer",
                "description": "Token of an operator; over the socket none is needed",
            } },
        },
    })
}

fn operation(route: &AdminRoute, answers: &mut AnswerSchemas) -> Value {
    let status = if route.creates { "201" } else { "200" };
    let mut responses = Map::new();
    responses.insert(status.to_owned(), answer(route, answers));
    for (status, name, _) in REFUSALS {
        responses.insert(status.to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    let tag = route.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let needs = format!("Needs the role `{}`.", route.role.as_str());
    let place = if route.on_socket_only { " Answers on the socket of the service only." } else { "" };
    let mut operation = json!({
        "operationId": route.operation,
        "tags": [tag],
        "summary": route.summary,
        "description": format!("{needs}{place}"),
        "parameters": parameters(route),
        "responses": responses,
    });
    if let Some(schema) = route.body {
        let content = json!({ "application/json": { "schema": schema() } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn parameters(route: &AdminRoute) -> Vec<Value> {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(
        |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }),
    );
    let in_query = route.query.iter().map(|QueryMember { name, description, range, required }| {
        let schema = match range {
            Some((least, most)) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            None => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$" }),
        };
        json!({ "name": name, "in": "query", "required": required, "description": description, "schema": schema })
    });
    let key = route.creates.then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Makes the request repeatable for 24 hours: a repetition is answered 409 with the code \
                `already_done` and the id of what was made.",
            "schema": { "type": "string", "pattern": "^[!-~]{1,64}$" },
        })
    });
    in_path.chain(in_query).chain(key).collect()
}

fn answer(route: &AdminRoute, answers: &mut AnswerSchemas) -> Value {
    let schema = answers.answer(route.operation);
    json!({ "description": route.summary, "content": { "application/json": { "schema": schema } } })
}

fn refusals() -> Map<String, Value> {
    let content = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let response = |(_, name, description): (&str, &str, &str)| {
        (name.to_owned(), json!({ "description": description, "content": content }))
    };
    REFUSALS.into_iter().map(response).collect()
}

/// Schemas that answers and refusals refer to.
fn schemas(answers: AnswerSchemas) -> Map<String, Value> {
    let answered = answers.into_components().into_iter().map(|(name, schema)| (name, json!(schema)));
    answered.chain([("Problem".to_owned(), problem())]).collect()
}

fn problem() -> Value {
    let codes: Vec<&str> = AdminCode::VARIANTS.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "retry", "request_id"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "The cause, and what to do about it" },
            "code": { "type": "string", "enum": codes },
            "retry": { "type": ["string", "integer"], "description": "`never`, or milliseconds" },
            "request_id": { "type": "string" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
            } },
            "id": { "type": "string", "description": "Id of what an earlier request made" },
        },
    })
}

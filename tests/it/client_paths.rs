//! Paths that clients use, in code and in guides: each is in `/openapi.json`, with the method that they use.

use std::{collections::BTreeSet, fs, path::Path};

use axum::body::Body;
use http::Request;
use serde_json::Value;

use super::support::test_service::TestService;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(ROOT).join(&path)).unwrap()
}

/// Routes of the service with their methods, as `POST /v1/failures`.
async fn documented() -> BTreeSet<String> {
    let service = TestService::new().await;
    let document = service.send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.ok().json();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    routes.collect()
}

/// Texts that follow `before` in a text, up to the first character that `part` does not take.
fn after(text: &str, before: &str, part: impl Fn(char) -> bool) -> Vec<String> {
    let ends = |rest: &str| rest.find(|c| !part(c)).unwrap_or(rest.len());
    text.split(before).skip(1).map(|rest| rest[..ends(rest)].to_owned()).collect()
}

/// Paths that stand in a text.
fn whole_paths(text: &str) -> BTreeSet<String> {
    let is_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '/' | '_' | '-');
    let paths = after(text, "/v1/", is_path).into_iter().filter(|path| !path.is_empty() && !path.ends_with('/'));
    paths.map(|path| format!("/v1/{path}")).collect()
}

/// Paths of the calls of a client's function `post`, which adds its argument to `/v1/`, or to `/v1/token/`.
fn posted_paths(text: &str) -> BTreeSet<String> {
    let is_interpolated = ["v1/token/$", "v1/token/\\("].iter().any(|template| text.contains(template));
    let prefix = if is_interpolated { "/v1/token/" } else { "/v1/" };
    let calls = ["post(\"", "post('"].map(|call| after(text, call, |c| c.is_ascii_lowercase() || c == '/'));
    let arguments = calls.concat().into_iter().filter(|argument| !argument.starts_with('/'));
    arguments.map(|argument| format!("{prefix}{argument}")).collect()
}

#[tokio::test]
async fn every_path_of_a_client_is_in_the_openapi_document() {
    let documented = documented().await;
    let guides = fs::read_dir(Path::new(ROOT).join("docs/clients")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = guides.map(|guide| guide.display().to_string()).collect();
    files.extend(
        ["clients/core/src/machine.ts", "clients/README.md", "docs/clients.md", "docs/backend.md"].map(str::to_owned),
    );
    for file in files {
        let text = read(&file);
        let paths = &whole_paths(&text) | &posted_paths(&text);
        assert!(!paths.is_empty(), "{file} uses no path");
        for path in paths {
            assert!(documented.contains(&format!("POST {path}")), "{file} uses {path}: {documented:?}");
        }
    }
}

#[tokio::test]
async fn every_call_of_the_conformance_scenarios_is_in_the_openapi_document() {
    let documented = documented().await;
    let calls: Value = serde_json::from_str(&read("clients/calls.json")).unwrap();
    let paths: BTreeSet<String> =
        calls.as_object().unwrap().values().map(|path| path.as_str().unwrap().to_owned()).collect();
    for path in &paths {
        assert!(documented.contains(&format!("POST {path}")), "{path}: {documented:?}");
    }
    assert_eq!(posted_paths(&read("clients/core/src/machine.ts")), paths, "the calls of the client's core");
}

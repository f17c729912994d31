//! The client: the same answers and the same errors as the operations here.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Extension, Json, Router, routing::post};
use countersign::{
    domain::{
        ids::{UserId, UserIdRules},
        key::CustodyKind,
        operator::Role,
    },
    listener::{LocalAddress, SocketPeer},
    operate::{KeySelection, OperationError, OperationErrorKind, Operations, RemoteOperations, SessionsOf},
    secret::Secret,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::Api;

/// Serves these routes on a free port until the test ends.
async fn serve(routes: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = routes.layer(Extension(LocalAddress(address)));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

async fn remote(api: &Api, token: &str) -> RemoteOperations {
    let address = serve(api.routes.clone()).await;
    client(&format!("http://{address}"), Some(token))
}

fn client(endpoint: &str, token: Option<&str>) -> RemoteOperations {
    RemoteOperations::connect(endpoint.parse().unwrap(), token.map(|token| Secret::new(token.to_owned()))).unwrap()
}

fn json<T: Serialize>(answer: Result<T, OperationError>) -> Result<Value, OperationError> {
    answer.map(|answer| serde_json::to_value(answer).unwrap())
}

#[tokio::test]
async fn every_reading_operation_answers_the_same() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let there = remote(&api, &token).await;
    let here = &api.service.operator as &dyn Operations;
    for user in ["user-1", "user-2", "user-1"] {
        api.service.login(user).await;
    }
    let (ring, app) = ("main".parse().unwrap(), "web".parse().unwrap());
    let user = UserId::parse("user-1", UserIdRules::default()).unwrap();
    let span = Duration::from_hours(1);
    let kid = here.keys().await.unwrap()[0].kid.to_string();
    macro_rules! same {
        ($($name:ident($($argument:expr),*)),* $(,)?) => {
            $(assert_eq!(json(there.$name($($argument),*).await), json(here.$name($($argument),*).await), stringify!($name));)*
        };
    }
    same!(
        keys(),
        key(&kid[..6]),
        key(""),
        key("."),
        key("unheard-of"),
        forecast_compromise(&kid),
        rings(None),
        rings(Some(&ring)),
        rings(Some(&"other".parse().unwrap())),
        apps_by_hand(&ring),
        rotation_plan(&ring),
        rotation_status(&ring),
        braze_keys(None),
        braze_diff(Some(&ring)),
        clients(),
        live_sessions(None),
        live_sessions(Some(&app)),
        live_sessions(Some(&"other".parse().unwrap())),
        user_sessions(&user),
        failures(span, None),
        failure_counts(span, Some(&app)),
        activity(span),
        audit_records(None, 3),
        audit_records(Some(0), 2000),
        audit_records(None, 2000),
        audit_leaves(0, 5000),
        verify_audit(&[], &[]),
        verify_audit(&[], &["nonsense".to_owned()]),
        audit_key(),
        nodes(),
        schema(),
        configuration(),
    );
    let about = there.about().await.unwrap();
    assert_eq!((about.actor.as_str(), about.installation), ("operator ada", here.about().await.unwrap().installation));
}

#[tokio::test]
async fn acts_are_done_there() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let there = remote(&api, &token).await;
    let created = there.create_client("shop".parse().unwrap(), vec!["web".parse().unwrap()], None).await.unwrap();
    assert!(created.api_key.starts_with("csk1_"), "a whole key");
    assert_eq!(there.revoke_client(&created.client.id).await.unwrap(), Some("shop".parse().unwrap()));
    let again = there.revoke_client(&created.client.id).await.unwrap_err();
    assert_eq!(again, Operations::revoke_client(&api.service.operator, &created.client.id).await.unwrap_err());
    let key = there.generate_key("main".parse().unwrap(), 2048).await.unwrap();
    assert_eq!(there.key(key.kid.as_str()).await.unwrap(), key);
    let short = there.generate_key("main".parse().unwrap(), 1024).await.unwrap_err();
    assert_eq!(short.kind, OperationErrorKind::Invalid, "{short}");
    api.service.login("user-1").await;
    let user = UserId::parse("user-1", UserIdRules::default()).unwrap();
    assert!(there.opt_out(&user, None).await.unwrap().changed);
    assert!(there.opt_in(&user, None).await.unwrap());
    let ended = there.end_sessions(SessionsOf::User { user, app: None }).await.unwrap();
    assert!(ended.ended.is_some());
    let refused = there.create_operator("eve".parse().unwrap(), Role::Operator, None).await.err().unwrap();
    assert_eq!(refused.kind, OperationErrorKind::Forbidden, "operators are made on the machine only: {refused}");
}

/// A service waits for nodes for 30 s a request; whoever waits longer asks again.
#[tokio::test]
async fn a_long_wait_for_nodes_is_asked_for_in_parts() {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&waits);
    let moved = move |Json(body): Json<Value>| async move {
        asked.lock().unwrap().push(body["wait"].as_u64().unwrap());
        let kid = "A".repeat(43);
        Json(json!([{ "kid": kid, "ring": "main", "custody": "store", "waiting_for": ["node"] }]))
    };
    let address = serve(Router::new().route("/admin/v1/keys/move", post(moved))).await;
    let there = client(&format!("http://{address}"), None);
    let move_keys = async |wait| {
        let keys =
            there.move_keys(KeySelection::Held(None), CustodyKind::Store, Duration::from_secs(wait)).await.unwrap();
        assert_eq!(keys[0].waiting_for, ["node"]);
        std::mem::take(&mut *waits.lock().unwrap())
    };
    assert_eq!(move_keys(70).await, [30_000, 30_000, 10_000]);
    assert_eq!(move_keys(30).await, [30_000]);
    assert_eq!(move_keys(0).await, [0]);
}

#[tokio::test]
async fn no_redirect_is_followed_and_an_absent_service_is_named() {
    let to = axum::response::Redirect::temporary("http://127.0.0.1:1/");
    let address = serve(Router::new().fallback(move || async move { to.clone() })).await;
    let error = client(&format!("http://{address}"), Some("cso1_x")).keys().await.unwrap_err();
    assert!(error.message.contains("no redirect is followed"), "{error}");
    let address = serve(Router::new().fallback(|| async { "hello" })).await;
    let error = client(&format!("http://{address}"), None).keys().await.unwrap_err();
    assert!(error.message.contains("another version"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("ops.sock").display());
    let error = client(&socket, None).keys().await.unwrap_err();
    assert_eq!(error.kind, OperationErrorKind::Unavailable);
    assert!(error.message.contains(&socket), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_a_url_is() {
    let api = Api::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ops.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let routes = api.routes.clone().layer(Extension(SocketPeer { uid: 7 }));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let there = client(&format!("unix:{}", path.display()), None);
    assert_eq!(there.about().await.unwrap().actor, "uid 7 through the socket");
    let made = there.create_operator("ada".parse().unwrap(), Role::Viewer, None).await.ok().unwrap();
    assert_eq!(there.operators().await.unwrap(), [made.operator]);
    there.revoke_operator(&"ada".parse().unwrap()).await.unwrap();
}

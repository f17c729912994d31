//! An endpoint on a loopback address that is asked about credentials: it answers as the test says, and remembers what it
//! was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::watch;

/// A request that the endpoint got.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    /// A header as text, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A field of a form, empty where it is absent.
    pub fn field(&self, name: &str) -> String {
        let mut fields = form_urlencoded::parse(self.body.as_bytes());
        fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

/// Makes the answer to a request.
type Answering = Box<dyn Fn(&Asked) -> Response + Send>;

struct Shared {
    answering: Mutex<Answering>,
    asked: watch::Sender<Vec<Asked>>,
    is_open: watch::Sender<bool>,
}

/// The endpoint; it ends with the test's runtime.
pub struct TestEndpoint {
    pub url: String,
    shared: Arc<Shared>,
}

/// An answer of this status, content type and body.
pub fn response(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header("content-type", content_type).body(body.into()).unwrap()
}

impl TestEndpoint {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ask", listener.local_addr().unwrap());
        let answering: Answering = Box::new(|_| response(500, "text/plain", ""));
        let (is_open, _) = watch::channel(true);
        let shared =
            Arc::new(Shared { answering: Mutex::new(answering), asked: watch::channel(Vec::new()).0, is_open });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async { axum::serve(listener, routes).await });
        Self { url, shared }
    }

    /// Answers like this from now on.
    pub fn answers(&self, answering: impl Fn(&Asked) -> Response + Send + 'static) {
        *self.shared.answering.lock().unwrap() = Box::new(answering);
    }

    /// Answers with this JSON from now on.
    pub fn answers_json(&self, json: &Value) {
        let json = json.to_string();
        self.answers(move |_| response(200, "application/json", json.clone()));
    }

    /// Holds each answer back until [`TestEndpoint::open`].
    pub fn close(&self) {
        self.shared.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.shared.is_open.send_replace(true);
    }

    /// Requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    /// Waits until it was asked this often.
    pub async fn asked_times(&self, times: usize) {
        self.shared.asked.subscribe().wait_for(|asked| asked.len() >= times).await.unwrap();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked { method, headers, body: String::from_utf8(body.to_vec()).unwrap() };
    shared.asked.send_modify(|all| all.push(asked.clone()));
    shared.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
    (shared.answering.lock().unwrap())(&asked)
}

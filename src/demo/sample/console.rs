//! Console of the sample: until the week is made, a page that says how far it is.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;

use super::DAYS;
use crate::app::Wiring;

/// Text above every page.
const BANNER: &str =
    "Sample data: a simulated week of a service of its own. It has none of your users, and nothing of the demo page.";

/// State of the sample's making.
enum SampleProgress {
    Making { days: u64 },
    Ready { token: String },
    Failed { why: String },
}

/// Console of the sample, with the state of its making.
pub(in crate::demo) struct SampleConsole {
    url: String,
    progress: Mutex<SampleProgress>,
    routes: OnceLock<Router>,
    ended: Notify,
}

impl SampleConsole {
    /// Console at this address whose data are not made yet.
    pub(in crate::demo) fn new(url: String) -> Self {
        let progress = Mutex::new(SampleProgress::Making { days: 0 });
        Self { url, progress, routes: OnceLock::new(), ended: Notify::new() }
    }

    pub(super) fn set_days(&self, days: u64) {
        self.set(SampleProgress::Making { days });
    }

    /// Opens the console: the data are made.
    pub(super) fn open(&self, wiring: &Wiring, token: &str) {
        let _ = self.routes.set(wiring.bannered_ops_routes(BANNER));
        self.set(SampleProgress::Ready { token: token.to_owned() });
        self.ended.notify_one();
    }

    /// Says why there are no data.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(why, "there is no sample data for the console");
        self.set(SampleProgress::Failed { why });
        self.ended.notify_one();
    }

    /// Waits until the console is open, or will not be; returns the state then.
    pub(in crate::demo) async fn made(&self) -> Value {
        self.ended.notified().await;
        self.state()
    }

    /// State as JSON: `making` with the days that are made, `ready` with the token to log in with, or `failed`.
    pub(in crate::demo) fn state(&self) -> Value {
        let mut state = match &*self.progress.lock().unwrap_or_else(PoisonError::into_inner) {
            SampleProgress::Making { days } => json!({ "state": "making", "days": days }),
            SampleProgress::Ready { token } => json!({ "state": "ready", "days": DAYS, "token": token }),
            SampleProgress::Failed { why } => json!({ "state": "failed", "why": why }),
        };
        state["console_url"] = json!(self.url);
        state
    }

    fn set(&self, progress: SampleProgress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// Makes the routes: the console's, once it is open.
    pub(in crate::demo) fn routes(self: &Arc<Self>) -> Router {
        let console = Arc::clone(self);
        Router::new().fallback(move |request: Request| {
            let console = Arc::clone(&console);
            async move {
                match console.routes.get() {
                    Some(routes) => {
                        let Ok(response): Result<Response, Infallible> = routes.clone().oneshot(request).await;
                        response
                    }
                    None => console.waiting_page(),
                }
            }
        })
    }

    /// Page that loads itself again until the console is open.
    fn waiting_page(&self) -> Response {
        let sentence = match &*self.progress.lock().unwrap_or_else(PoisonError::into_inner) {
            SampleProgress::Failed { .. } => {
                "There is no sample data: look at the terminal of countersign demo.".to_owned()
            }
            SampleProgress::Making { days } => format!("Sample data is being made: {days} of {DAYS} days."),
            SampleProgress::Ready { .. } => "Sample data is ready.".to_owned(),
        };
        let page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"1\">\
             <title>Countersign console</title><h1>Console</h1><p role=\"status\">{sentence}</p></html>"
        );
        let headers = [
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
            (header::RETRY_AFTER, "1"),
        ];
        (StatusCode::SERVICE_UNAVAILABLE, headers, Html(page)).into_response()
    }
}

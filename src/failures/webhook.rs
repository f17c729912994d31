//! Sender of events to a receiver of the operator's, signed as Standard Webhooks specifies
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::{error::Error, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, redirect::Policy};
use serde_json::json;
use tokio::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use super::{FailureEvent, WebhookConfig};
use crate::{
    address::outbound::{CheckedResolver, Destination, ForbiddenUrl, Reach},
    telemetry::Metrics,
};

/// Time limit of a delivery, from the lookup of the name to the answer.
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// Largest number of events that wait.
const QUEUE: usize = 100;

/// Queue of events, and the receiver that they are for.
pub struct Webhook {
    receiver: ArcSwap<WebhookConfig>,
    offered: Sender<FailureEvent>,
    waiting: Mutex<Receiver<FailureEvent>>,
    metrics: Arc<Metrics>,
}

/// Reason why an event was not delivered.
#[derive(Debug, thiserror::Error)]
enum NotDelivered {
    #[error("the URL must not be requested: {0}")]
    Url(ForbiddenUrl),
    #[error("its host is this machine, which needs allow_private_addresses = true")]
    Loopback,
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
    #[error("{0}")]
    Request(String),
}

/// Returns the destination of a receiver's URL.
fn destination(url: &str, allow_private_addresses: bool) -> Result<Destination, NotDelivered> {
    let to = Destination::configured(url, allow_private_addresses).map_err(NotDelivered::Url)?;
    let is_allowed = allow_private_addresses || to.reach() != Reach::Loopback;
    if is_allowed { Ok(to) } else { Err(NotDelivered::Loopback) }
}

/// Checks the URL of a receiver of events.
///
/// # Errors
/// Text that says why it must not be requested. It has no part of the URL, which may be a secret.
pub fn check_webhook_url(url: &str, allow_private_addresses: bool) -> Result<(), String> {
    destination(url, allow_private_addresses).map(drop).map_err(|why| match why {
        NotDelivered::Url(why) => why.to_string(),
        why => why.to_string(),
    })
}

impl Webhook {
    /// Makes an empty queue.
    pub fn new(receiver: WebhookConfig, metrics: Arc<Metrics>) -> Self {
        let (offered, waiting) = channel(QUEUE);
        Self { receiver: ArcSwap::from_pointee(receiver), offered, waiting: Mutex::new(waiting), metrics }
    }

    /// Replaces the receiver.
    pub fn replace(&self, receiver: WebhookConfig) {
        self.receiver.store(Arc::new(receiver));
    }

    /// Puts an event in the queue, where there is a receiver. One for which there is no room is dropped, and counted.
    pub fn offer(&self, event: FailureEvent) {
        if self.receiver.load().secrets.is_some() && self.offered.try_send(event).is_err() {
            self.drop_one("the queue is full");
        }
    }

    /// Delivers events, one after the other. It never returns.
    pub async fn run(&self) {
        let mut waiting = self.waiting.lock().await;
        while let Some(event) = waiting.recv().await {
            self.deliver(&event).await;
        }
    }

    /// Delivers one event, once: the next one about a cause that goes on comes soon enough.
    async fn deliver(&self, event: &FailureEvent) {
        let receiver = self.receiver.load_full();
        match send(&receiver, event).await {
            Ok(()) => self.metrics.webhook_event("delivered"),
            Err(why) => self.drop_one(&why.to_string()),
        }
    }

    fn drop_one(&self, why: &str) {
        self.metrics.webhook_event("dropped");
        tracing::warn!(why, "an event about failures was not delivered to failures.webhook");
    }
}

async fn send(receiver: &WebhookConfig, event: &FailureEvent) -> Result<(), NotDelivered> {
    let Some(secrets) = &receiver.secrets else { return Ok(()) };
    let to = destination(secrets.url.expose(), receiver.allow_private_addresses)?;
    let time = event.time.seconds().to_string();
    let body = body(event);
    let client = client(to.reach()).map_err(fault)?;
    let sent = client
        .post(to.url().clone())
        .header("content-type", "application/json")
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", &time)
        .header("webhook-signature", signature(secrets.key.expose(), &event.id, &time, &body))
        .body(body);
    let status = sent.send().await.map_err(fault)?.status();
    if status.is_success() { Ok(()) } else { Err(NotDelivered::Status(status)) }
}

/// Body of an event. `text` is for receivers that show one, like Slack's.
fn body(event: &FailureEvent) -> String {
    json!({ "type": "failures.threshold", "timestamp": event.time.to_string(), "text": event.text(), "data": event })
        .to_string()
}

fn signature(key: &[u8], id: &str, time: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

/// Client of one delivery: events are rare, so that no connection is kept. Proxies of the environment are not used: they
/// would resolve the name, so that the address could not be checked.
fn client(reach: Reach) -> reqwest::Result<Client> {
    Client::builder()
        .timeout(TIME_LIMIT)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .dns_resolver(CheckedResolver::system(reach))
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Says in words why a request failed, without its URL.
fn fault(error: reqwest::Error) -> NotDelivered {
    let error = error.without_url();
    if error.is_timeout() {
        return NotDelivered::Request(format!("no answer within {} s", TIME_LIMIT.as_secs()));
    }
    let mut deepest: &dyn Error = &error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    NotDelivered::Request(deepest.to_string())
}

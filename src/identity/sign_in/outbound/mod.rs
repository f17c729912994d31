//! The only maker of outbound requests of this room: discovery, key sets, introspection and session endpoints.
//!
//! URLs come from the configuration, or from the discovery document of a configured issuer. Redirects are not followed,
//! and proxies of the environment are not used: a proxy would resolve the name, so the address that is dialled could not
//! be checked. No compression is asked for or undone.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};
use serde::de::DeserializeOwned;

use crate::address::outbound::{
    CheckedResolver, Destination, ForbiddenAddress, ForbiddenUrl, Lookup, NameNotFound, Reach, SystemLookup,
};

/// Time limit of a request, from the lookup of the name to the last byte.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(3);
/// Length of the longest body that is read, in bytes.
pub(super) const MAX_LENGTH: usize = 256 * 1024;

/// Clients for outbound requests, one for each reach: a connection is only used again for requests that may make it.
/// They are made when they are first used, and where that fails, each request says so.
pub(super) struct Outbound {
    lookup: Arc<dyn Lookup>,
    public: OnceLock<Result<Client, String>>,
    private: OnceLock<Result<Client, String>>,
    loopback: OnceLock<Result<Client, String>>,
}

/// Answer with status 200 and a body of JSON.
pub(super) struct JsonAnswer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Reason why an outbound request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutboundError {
    #[error("the HTTP client could not be made: {0}")]
    Setup(String),
    #[error("the URL {url} must not be requested: {why}")]
    Url { url: String, why: ForbiddenUrl },
    #[error("its host has only addresses that must not be dialled (private ones need allow_private_addresses = true)")]
    Address,
    #[error("its host was not found ({0}): compare the name, and see whether this machine can resolve it")]
    NoName(String),
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("no answer within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
    #[error("the answer broke off: {0}")]
    BrokeOff(String),
    #[error("it answered {} instead of 200{}", .0, on_redirects(*.0))]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("the answer is compressed, and nobody asked for that")]
    Compressed,
    #[error("the answer is no JSON, but {0}")]
    ContentType(String),
    #[error("the answer is no such JSON: {0}")]
    Json(String),
}

impl JsonAnswer {
    /// Reads the body.
    ///
    /// # Errors
    /// [`OutboundError::Json`].
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, OutboundError> {
        serde_json::from_slice(&self.body).map_err(|why| OutboundError::Json(why.to_string()))
    }

    /// Returns true where the answer says that it is JSON: a key set may come without a type of its own.
    pub(super) fn says_json(&self) -> bool {
        media_type(&self.headers).is_some_and(|name| name == "application/json" || name.ends_with("+json"))
    }
}

impl Outbound {
    /// Resolves names by the operating system.
    pub(super) fn new() -> Self {
        Self::resolving_by(Arc::new(SystemLookup::new()))
    }

    fn resolving_by(lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, public: OnceLock::new(), private: OnceLock::new(), loopback: OnceLock::new() }
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub(super) async fn get(&self, to: &Destination, headers: HeaderMap) -> Result<JsonAnswer, OutboundError> {
        send(self.request(Method::GET, to)?.headers(headers)).await
    }

    /// Sends a POST; its content type is among the headers.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub(super) async fn post(
        &self,
        to: &Destination,
        headers: HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> Result<JsonAnswer, OutboundError> {
        send(self.request(Method::POST, to)?.headers(headers).body(body)).await
    }

    fn request(&self, method: Method, to: &Destination) -> Result<RequestBuilder, OutboundError> {
        let reach = to.reach();
        let client = match reach {
            Reach::Public => &self.public,
            Reach::Private => &self.private,
            Reach::Loopback => &self.loopback,
        };
        let made = || client_of(CheckedResolver { lookup: self.lookup.clone(), reach }).map_err(|why| why.to_string());
        let client = client.get_or_init(made);
        let client = client.as_ref().map_err(|why| OutboundError::Setup(why.clone()))?;
        Ok(client.request(method, to.url().clone()))
    }
}

fn client_of(resolver: CheckedResolver) -> reqwest::Result<Client> {
    let json = HeaderValue::from_static("application/json");
    Client::builder()
        .timeout(TIME_LIMIT)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .dns_resolver(resolver)
        .default_headers(HeaderMap::from_iter([(ACCEPT, json)]))
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build()
}

async fn send(request: RequestBuilder) -> Result<JsonAnswer, OutboundError> {
    let response = request.send().await.map_err(fault)?;
    if response.status() != StatusCode::OK {
        return Err(OutboundError::Status(response.status()));
    }
    refuse_other_than_json(response.headers())?;
    let headers = response.headers().clone();
    Ok(JsonAnswer { headers, body: body(response).await? })
}

/// Refuses a compressed body, and one of another type. Key sets are also served as files without a type of their own.
fn refuse_other_than_json(headers: &HeaderMap) -> Result<(), OutboundError> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(OutboundError::Compressed);
    }
    let Some(name) = media_type(headers) else { return Ok(()) };
    let json = name.ends_with("/json") || name.ends_with("+json");
    let untyped = matches!(name.as_str(), "text/plain" | "application/octet-stream" | "binary/octet-stream");
    if json || untyped { Ok(()) } else { Err(OutboundError::ContentType(name.chars().take(80).collect())) }
}

/// Returns the media type without its parameters, in lower case (RFC 9110 §8.3.1).
fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().unwrap_or("an unreadable content type");
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

async fn body(mut response: Response) -> Result<Vec<u8>, OutboundError> {
    let too_long = |length: u64| usize::try_from(length).map_or(true, |length| length > MAX_LENGTH);
    if response.content_length().is_some_and(too_long) {
        return Err(OutboundError::TooLong);
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(fault)? {
        if body.len() + part.len() > MAX_LENGTH {
            return Err(OutboundError::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn on_redirects(status: StatusCode) -> &'static str {
    if status.is_redirection() { "; redirects are not followed" } else { "" }
}

/// Says in words why a request failed, without its URL.
fn fault(error: reqwest::Error) -> OutboundError {
    let error = error.without_url();
    let mut deepest: &dyn Error = &error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    if deepest.is::<ForbiddenAddress>() {
        OutboundError::Address
    } else if let Some(NameNotFound(why)) = deepest.downcast_ref() {
        OutboundError::NoName(why.clone())
    } else if error.is_timeout() {
        OutboundError::TimedOut
    } else if error.is_connect() {
        OutboundError::NoConnection(deepest.to_string())
    } else {
        OutboundError::BrokeOff(deepest.to_string())
    }
}

//! Client of the operators' API: requests, and answers or errors.

use std::{error::Error, time::Duration};

use http::{Method, StatusCode, header};
use reqwest::{Client, RequestBuilder, Url, redirect::Policy};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::Endpoint;
use crate::{
    operate::{OperationError, OperationErrorKind, wire},
    secret::Secret,
};

/// Longest time for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest time for an answer: the service says before then that it takes longer.
const TIME_LIMIT: Duration = wire::DEADLINE.saturating_add(Duration::from_secs(20));

/// Operations of an operator on another process's service.
#[derive(Debug)]
pub struct RemoteOperations {
    client: Client,
    endpoint: Endpoint,
    base: Url,
    token: Option<Secret<String>>,
}

/// Part of a problem document that tells the error.
#[derive(Deserialize)]
struct ProblemAnswer {
    code: String,
    detail: String,
}

impl RemoteOperations {
    /// Makes a client of the service at this address; nothing is sent yet. No redirect is followed, so that the
    /// token goes to this address only.
    ///
    /// # Errors
    /// [`OperationErrorKind::Failed`] where TLS cannot be set up.
    pub fn connect(endpoint: Endpoint, token: Option<Secret<String>>) -> Result<Self, OperationError> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(TIME_LIMIT)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
        let (builder, base) = match &endpoint {
            Endpoint::Unix(path) => (builder.unix_socket(path.as_path()), "http://localhost".to_owned()),
            Endpoint::Http(url) => (builder, url.to_string()),
        };
        let client = builder.build().map_err(|error| failed(format!("no client can be made: {}", causes(&error))))?;
        let base = base.parse().map_err(|error| failed(format!("{endpoint}: {error}")))?;
        Ok(Self { client, endpoint, base, token })
    }

    /// Address of the service.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Reads something. Members of the query string without a value are left out.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<T, OperationError> {
        let mut url = self.url(path)?;
        let members: Vec<_> = query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
        if !members.is_empty() {
            url.query_pairs_mut().extend_pairs(members);
        }
        self.send(self.client.request(Method::GET, url)).await
    }

    /// Asks for an act that needs nothing but its path.
    pub(super) async fn act<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, OperationError> {
        self.send(self.client.request(Method::POST, self.url(path)?)).await
    }

    /// Sends a body.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &(impl Serialize + Sync),
    ) -> Result<T, OperationError> {
        self.send(self.client.request(Method::POST, self.url(path)?).json(body)).await
    }

    fn url(&self, path: &[&str]) -> Result<Url, OperationError> {
        let mut url = self.base.clone();
        url.set_path(wire::BASE);
        url.path_segments_mut().map_err(|()| failed(format!("{}: not an address", self.endpoint)))?.extend(path);
        Ok(url)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, OperationError> {
        let request = match &self.token {
            Some(token) => {
                let bearer = Zeroizing::new(format!("Bearer {}", token.expose().trim()));
                let mut value: http::HeaderValue = bearer
                    .parse()
                    .map_err(|_| failed("the operator token has characters that no token has".to_owned()))?;
                value.set_sensitive(true);
                request.header(header::AUTHORIZATION, value)
            }
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = Zeroizing::new(response.bytes().await.map_err(|error| self.unreachable(&error))?.to_vec());
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                failed(format!("the answer of {} is not understood ({error}): is it another version?", self.endpoint))
            });
        }
        Err(self.refused(status, &bytes))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> OperationError {
        match serde_json::from_slice::<ProblemAnswer>(body) {
            Ok(problem) => OperationError::new(kind(&problem.code, status), problem.detail),
            Err(_) if status.is_redirection() => failed(format!(
                "{} redirects elsewhere, and no redirect is followed: give the address itself",
                self.endpoint
            )),
            Err(_) => failed(format!("{} answers {status}, and not as the operators' API does", self.endpoint)),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> OperationError {
        let message = format!("{} cannot be asked: {}", self.endpoint, causes(error));
        OperationError::new(OperationErrorKind::Unavailable, message)
    }
}

/// Kind of an error with this code. The code of a newer version is taken by its status.
fn kind(code: &str, status: StatusCode) -> OperationErrorKind {
    use OperationErrorKind::{Conflict, Failed, Forbidden, Invalid, NotFound, Unavailable};
    match code {
        "client_error" if status == StatusCode::BAD_REQUEST => Invalid,
        "not_found" => NotFound,
        "conflict" | "already_done" | "in_progress" | "idempotency_key_reused" => Conflict,
        "unauthorized" | "forbidden" => Forbidden,
        "unavailable" | "rate_limited" => Unavailable,
        _ => match status.as_u16() {
            404 => NotFound,
            409 => Conflict,
            401 | 403 => Forbidden,
            429 | 503 => Unavailable,
            400..=499 => Invalid,
            _ => Failed,
        },
    }
}

fn failed(message: String) -> OperationError {
    OperationError::new(OperationErrorKind::Failed, message)
}

/// Text of an error with its causes, without the URL, which the endpoint says.
fn causes(error: &dyn Error) -> String {
    let mut texts = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

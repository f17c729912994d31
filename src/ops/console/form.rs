//! Forms: their fields, the token that proves that our own page sent them, and the version of what they show.

use aws_lc_rs::digest::{Context, SHA256};
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use crate::{domain::operator::ConsoleSecret, http::BODY_DEADLINE};

/// Largest form.
const MAX_FORM: usize = 64 * 1024;

/// Status, title and sentence of the answer to a form that did not arrive.
pub(super) type UnreadForm = (StatusCode, &'static str, &'static str);

const TOO_LARGE: UnreadForm = (StatusCode::PAYLOAD_TOO_LARGE, "Too large", "Nothing was done: the form is too large.");
const TOO_SLOW: UnreadForm =
    (StatusCode::REQUEST_TIMEOUT, "Too slow", "Nothing was done: the form took longer than 10 s to arrive.");
const INCOMPLETE: UnreadForm =
    (StatusCode::BAD_REQUEST, "Incomplete", "Nothing was done: the form ended before it was complete.");

/// Reads the body of a request.
pub(super) async fn read(body: Body) -> Result<Bytes, UnreadForm> {
    let collected = timeout(BODY_DEADLINE, Limited::new(body, MAX_FORM).collect()).await.map_err(|_| TOO_SLOW)?;
    let of = |error: Box<dyn std::error::Error + Send + Sync>| {
        if error.is::<LengthLimitError>() { TOO_LARGE } else { INCOMPLETE }
    };
    Ok(collected.map_err(of)?.to_bytes())
}

/// Fields of a form, or of a query, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses `application/x-www-form-urlencoded`.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// Value of a field; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// Value of a field without the space around it.
    pub(super) fn trimmed(&self, name: &str) -> &str {
        self.text(name).trim()
    }

    /// Every value of a field that may be given several times.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Token of a session's forms: a hash of the session's secret, so that whoever can send it can read our pages.
pub(super) fn csrf_token(secret: &ConsoleSecret) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"countersign console csrf v1\0");
    context.update(secret.reveal().as_bytes());
    hex::encode(context.finish())
}

/// Compares a token that a form sent, in constant time.
pub(super) fn is_token(sent: &str, expected: &str) -> bool {
    sent.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Version of what a form shows: a hash of the rows that it is about.
pub(super) fn version_of<'a>(rows: impl IntoIterator<Item = &'a str>) -> String {
    let mut context = Context::new(&SHA256);
    for row in rows {
        context.update(&u64::try_from(row.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(row.as_bytes());
    }
    hex::encode(&context.finish().as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_session() {
        let (one, other) = (csrf_token(&ConsoleSecret::new([1; 32])), csrf_token(&ConsoleSecret::new([2; 32])));
        assert!(is_token(&one, &csrf_token(&ConsoleSecret::new([1; 32]))));
        assert!(!is_token(&one, &other) && !is_token("", &one) && !is_token(&one[1..], &one));
    }

    #[test]
    fn rows_make_a_version() {
        assert_eq!(version_of(["a", "b"]), version_of(["a", "b"]));
        assert_ne!(version_of(["a", "b"]), version_of(["ab"]));
        assert_ne!(version_of(["a", ""]), version_of(["a"]));
    }
}

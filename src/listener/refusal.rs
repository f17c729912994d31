//! Answers that do not come from the router: to a malformed or oversized head, and to one connection too many.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER},
    },
};

/// Function that makes headers and body of such an answer for its status. The listener adds `Connection` and
/// `Content-Length`, and `Retry-After` to a 503.
pub type RawRefusal = Arc<dyn Fn(StatusCode) -> (HeaderMap, Bytes) + Send + Sync>;

/// Returns the whole answer as it goes over the wire (RFC 9112 §4). The connection closes after it.
pub(super) fn encode(raw_refusal: &RawRefusal, status: StatusCode) -> Vec<u8> {
    let (mut headers, body) = raw_refusal(status);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.entry(RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    let mut answer =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(status: StatusCode) -> String {
        let raw_refusal: RawRefusal = Arc::new(|status| {
            let headers = [("x-request-id", "r1"), ("content-length", "9999"), ("connection", "keep-alive")];
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            (HeaderMap::from_iter(headers), Bytes::from(format!("[{}]", status.as_u16())))
        });
        String::from_utf8(encode(&raw_refusal, status)).unwrap()
    }

    #[test]
    fn is_one_complete_answer_and_closes_the_connection() {
        let answer = encoded(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n[431]"), "{answer}");
        for line in ["x-request-id: r1\r\n", "connection: close\r\n", "content-length: 5\r\n"] {
            assert_eq!(answer.matches(line).count(), 1, "{line} in {answer}");
        }
        assert!(!answer.contains("9999") && !answer.contains("keep-alive") && !answer.contains("retry-after"));
    }

    #[test]
    fn a_503_says_when_to_try_again() {
        assert!(encoded(StatusCode::SERVICE_UNAVAILABLE).contains("retry-after: 1\r\n"));
    }
}

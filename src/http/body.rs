//! Request bodies: strict JSON (RFC 8259), small, and in time.

use std::time::Duration;

use axum::{
    body::HttpBody,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::de::IgnoredAny;

use super::{
    body_faults::{RequestBody, example, faults},
    problem::Problem,
};

/// Largest body, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 32;
/// Longest time for a body to arrive.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// JSON body of exactly this form: no duplicate, unknown or mistyped members, and nothing after it.
pub struct Strict<T>(pub T);

impl<T: RequestBody, S: Sync> FromRequest<S> for Strict<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        // The type is required, so that a browser always sends a preflight first (OWASP ASVS 3.5.2).
        decode(&of_type(request, "application/json").await?).map(Self)
    }
}

/// Text of a JSON body that has arrived, for a handler that needs its bytes as well as what they say.
pub struct RequestText(pub Bytes);

impl RequestText {
    /// Reads exactly this form, as [`Strict`] does.
    ///
    /// # Errors
    /// [`Problem`] that names every member at fault.
    pub fn decode<T: RequestBody>(&self) -> Result<T, Problem> {
        decode(&self.0)
    }
}

impl<S: Sync> FromRequest<S> for RequestText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        of_type(request, "application/json").await.map(Self)
    }
}

/// Reads the body of a request that says that it is of this media type.
pub(super) async fn of_type(request: Request, media_type: &str) -> Result<Bytes, Problem> {
    must_be_of_type(request.headers(), media_type)?;
    // A body that will be too large is not waited for.
    if request.body().size_hint().lower() > MAX_BYTES as u64 {
        return Err(too_large());
    }
    tokio::time::timeout(BODY_DEADLINE, read(request)).await.map_err(|_| too_slow())?
}

fn must_be_of_type(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    let is_essence = |text: &str| text.eq_ignore_ascii_case(media_type);
    let is_it = |value: &str| is_essence(value) || value.split(';').next().is_some_and(|text| is_essence(text.trim()));
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(only), None) if only.to_str().is_ok_and(is_it) => Ok(()),
        _ => Err(Problem::client(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("send the body as `Content-Type: {media_type}`"),
        )),
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    match Limited::new(request.into_body(), MAX_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::client(StatusCode::BAD_REQUEST, "the body ended before it was complete")),
    }
}

fn too_large() -> Problem {
    let detail = format!("the body is larger than {} KB", MAX_BYTES / 1024);
    Problem::client(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn too_slow() -> Problem {
    let detail = format!("the body took longer than {} s to arrive", BODY_DEADLINE.as_secs());
    Problem::client(StatusCode::REQUEST_TIMEOUT, detail)
}

fn too_deep() -> Problem {
    Problem::client(StatusCode::BAD_REQUEST, format!("the body is nested deeper than {MAX_DEPTH} levels"))
}

/// Reads strict JSON.
pub(super) fn decode<T: RequestBody>(bytes: &[u8]) -> Result<T, Problem> {
    if opening(bytes) > MAX_DEPTH && nesting(bytes) > MAX_DEPTH {
        return Err(too_deep());
    }
    // serde validates bytes again, once for each text.
    let Ok(text) = std::str::from_utf8(bytes) else { return Err(malformed()) };
    // serde would read an array as the members of an object, in their order.
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    match serde_json::from_str(text) {
        Ok(value) if is_object => Ok(value),
        Ok(_) => Err(not_an_object::<T>()),
        Err(error) if error.is_data() => Err(at_fault::<T>(bytes, is_object)),
        Err(_) => Err(malformed()),
    }
}

/// Makes the problem that names every member at fault. serde stops at the first, and its own message may hold what the
/// client sent.
fn at_fault<T: RequestBody>(bytes: &[u8], is_object: bool) -> Problem {
    match faults::<T>(bytes) {
        _ if serde_json::from_slice::<IgnoredAny>(bytes).is_err() => malformed(),
        _ if !is_object => not_an_object::<T>(),
        faults if faults.is_empty() => {
            Problem::client(StatusCode::BAD_REQUEST, "the body is not what this request needs: see /openapi.json")
        }
        faults => Problem::fields(faults),
    }
}

fn malformed() -> Problem {
    Problem::client(StatusCode::BAD_REQUEST, "the body is not one JSON value in UTF-8 (RFC 8259)")
}

fn not_an_object<T: RequestBody>() -> Problem {
    let such = example::<T>().map(|example| format!(", such as {example}")).unwrap_or_default();
    Problem::client(StatusCode::BAD_REQUEST, format!("the body must be a JSON object{such}"))
}

/// Returns the number of bytes that may open an array or an object: the depth is no greater. A chunk's number fits a byte
/// and is checked for no overflow, so that the compiler counts several bytes at a time.
fn opening(bytes: &[u8]) -> usize {
    let is_opening = |byte: &u8| u8::from(matches!(byte, b'[' | b'{'));
    let of_chunk = |chunk: &[u8]| usize::from(chunk.iter().map(is_opening).fold(0, u8::wrapping_add));
    bytes.chunks(u8::MAX.into()).map(of_chunk).sum()
}

/// Returns the depth of nesting of a JSON text: exact for valid JSON, some number for anything else.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, utoipa::ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only its type matters")]
        app: String,
        #[expect(dead_code, reason = "only its type matters")]
        ttl: Option<u64>,
    }

    impl RequestBody for Body {}

    fn accepts(text: &[u8]) -> bool {
        decode::<Body>(text).is_ok()
    }

    #[test]
    fn accepts_exactly_its_members() {
        assert!(accepts(br#" {"app":"web"} "#));
        assert!(accepts(br#"{"ttl":null,"app":"web"}"#));
        let refused: [&[u8]; 13] = [
            b"",
            b"null",
            b"[]",
            br#"["web",60]"#,
            br#""app""#,
            br#"{"app":1}"#,
            br#"{"app":"web","ttl":"60"}"#,
            br#"{"app":"web","app":"web"}"#,
            br#"{"app":"web","x":1}"#,
            br#"{"app":"web"}{}"#,
            br#"{"app":"\ud800"}"#,
            b"{\"app\":\"\xff\"}",
            br#"{"app":"web","ttl":-1}"#,
        ];
        for text in refused {
            assert!(!accepts(text), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn counts_what_may_open_in_texts_of_any_length() {
        for length in [0, 1, 254, 255, 256, 510, 511, 16_384] {
            assert_eq!(opening(&b"[".repeat(length)), length);
            assert_eq!(opening(&b"{x".repeat(length)), length);
        }
    }

    #[test]
    fn counts_nesting_outside_strings() {
        assert_eq!(nesting(br#"{"a":[[1]],"b":"[[[[","c":"\"[["}"#), 3);
        assert_eq!(nesting(b"]]]["), 1);
    }
}

//! `traceparent` header (W3C Trace Context §3.2): the caller's trace, so that its lines and ours are found together.

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns the trace id of a request, if it has one valid `traceparent`; whatever else stands there is ignored.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    parse(only.to_str().ok()?)
}

fn parse(value: &str) -> Option<&str> {
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, length: usize| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    // Later versions may append parts to those of version 00.
    let version_is_valid = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    (version_is_valid && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn valid_values_give_their_trace() {
        for value in
            ["00-T-00f067aa0ba902b7-01", "00-T-00f067aa0ba902b7-00", "cc-T-00f067aa0ba902b7-01-what-the-future"]
        {
            assert_eq!(parse(&value.replace('T', TRACE)), Some(TRACE), "{value}");
        }
    }

    #[test]
    fn other_values_give_none() {
        for value in [
            "",
            "00-T-00f067aa0ba902b7",
            "00-T-00f067aa0ba902b7-01-more",
            "00-T-00f067aa0ba902b7-1",
            "00-T-0000000000000000-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-canary-00f067aa0ba902b7-01",
            "ff-T-00f067aa0ba902b7-01",
            "0-T-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(&value.replace('T', TRACE)), None, "{value}");
        }
    }

    #[test]
    fn two_values_give_none() {
        let value = || format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append("traceparent", value());
        assert_eq!(trace_id(&headers), Some(TRACE));
        headers.append("traceparent", value());
        assert_eq!(trace_id(&headers), None);
    }
}

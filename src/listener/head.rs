//! Rules of HTTP/1.1 for a request's head that hyper leaves to the program (RFC 9112).

use std::net::Ipv6Addr;

use axum::http::{
    HeaderMap, HeaderValue, Request, StatusCode, Version,
    header::{HOST, TRANSFER_ENCODING},
    uri::Authority,
};

use super::MAX_HEADERS;

/// Number of digits of the largest `u64`. hyper refuses such a `Content-Length` as no number, or as a head too large.
const U64_DIGITS: usize = 20;

/// Returns the status of the refusal, where the request must not be served.
pub(super) fn fault<B>(request: &Request<B>) -> Option<StatusCode> {
    let headers = request.headers();
    if headers.len() > MAX_HEADERS {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    if !names_one_host(headers, request.version()) {
        return Some(StatusCode::BAD_REQUEST);
    }
    unknown_coding(headers)
}

/// RFC 9112 §3.2: a request of HTTP/1.1 has exactly one valid `Host`. Older clients need not send it.
fn names_one_host(headers: &HeaderMap, version: Version) -> bool {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(only), None) => is_host(only),
        (Some(_), Some(_)) => false,
    }
}

/// Returns true for a host with or without a port, and nothing else (RFC 9110 §7.2).
fn is_host(value: &HeaderValue) -> bool {
    is_plain_name(value.as_bytes()) || is_authority(value)
}

/// Returns true for a name of letters, digits, `-` and `.`, as nearly every client sends it: reading it as an authority
/// takes an allocation, and longer.
fn is_plain_name(host: &[u8]) -> bool {
    let (name, port) = match host.iter().position(|byte| *byte == b':') {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, &[][..]),
    };
    let is_name =
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_name && is_port(port)
}

fn is_authority(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
    let (text, host) = (authority.as_str(), authority.host());
    // The user of `user@host` is in the authority, and not in the host.
    let Some(port) = text.strip_prefix(host) else { return false };
    let port_is_valid = port.strip_prefix(':').map_or(port.is_empty(), |port| is_port(port.as_bytes()));
    let bracketed = host.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
    let is_name = match bracketed {
        Some(address) => address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && !host.contains(['[', ']', ':']),
    };
    port_is_valid && is_name
}

/// RFC 3986 §3.2.3: digits, or nothing.
fn is_port(port: &[u8]) -> bool {
    let number = || std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok());
    port.is_empty() || (port.iter().all(u8::is_ascii_digit) && number())
}

/// RFC 9112 §6.1 and §7.1: `chunked` is the only coding that this server reads, and may be applied once.
fn unknown_coding(headers: &HeaderMap) -> Option<StatusCode> {
    let mut chunked = 0;
    for line in headers.get_all(TRANSFER_ENCODING) {
        for coding in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|c| !c.is_empty()) {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Some(StatusCode::NOT_IMPLEMENTED);
            }
            chunked += 1;
        }
    }
    (chunked > 1).then_some(StatusCode::BAD_REQUEST)
}

/// Returns true where a line of this head gives a `Content-Length` that is a number as large as a `u64` can be. The body
/// after an empty line is not searched; before the head there may be empty lines (RFC 9112 §2.2).
pub(super) fn has_boundless_length(head: &[u8]) -> bool {
    has_long_number(head) && has_boundless_line(head)
}

/// Returns true where there are this many digits in a row. Such a row has a digit at one of the places that are looked at.
fn has_long_number(bytes: &[u8]) -> bool {
    let digits = |of: &[u8]| of.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits_before = |of: &[u8]| of.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    (U64_DIGITS - 1..bytes.len()).step_by(U64_DIGITS).any(|at| {
        let (before, rest) = bytes.split_at(at);
        rest[0].is_ascii_digit() && digits_before(before) + digits(rest) >= U64_DIGITS
    })
}

fn has_boundless_line(head: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    let is_empty = |line: &&[u8]| matches!(line, [] | [b'\r']);
    let mut lines = head.split(|byte| *byte == b'\n').skip_while(is_empty).take_while(|line| !is_empty(line));
    lines.any(|line| {
        let length = line.split_at_checked(NAME.len()).filter(|(name, _)| name.eq_ignore_ascii_case(NAME));
        length.is_some_and(|(_, value)| {
            let digits = value.trim_ascii();
            digits.len() >= U64_DIGITS && digits.iter().all(u8::is_ascii_digit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: Version, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        fault(&request.body(()).unwrap()).map(|status| status.as_u16())
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        for host in ["a", "a:80", "a:", "192.0.2.1:8080", "[2001:db8::1]", "[::1]:443", "a_b.example", "xn--a.example"]
        {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), None, "{host}");
        }
        for host in
            ["", "a b", "u@a", "a/b", "a:x", "a:65536", "a:+1", "a:1:2", "::1", "[::1", "[a]", "a?b", "a#b", ":80"]
        {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), Some(400), "{host}");
        }
        assert_eq!(status(Version::HTTP_11, &[]), Some(400));
        assert_eq!(status(Version::HTTP_11, &[("host", "a"), ("host", "a")]), Some(400));
        assert_eq!(status(Version::HTTP_10, &[]), None);
        assert_eq!(status(Version::HTTP_10, &[("host", "a"), ("host", "b")]), Some(400));
    }

    proptest::proptest! {
        /// The quick rule takes no host that the exact one refuses.
        #[test]
        fn a_plain_name_is_a_valid_host(host in "[a-z0-9.:@%_-]{0,8}(:[0-9]{0,6})?") {
            let value = HeaderValue::from_str(&host).unwrap();
            proptest::prop_assert!(is_authority(&value) || !is_plain_name(value.as_bytes()), "{}", host);
        }

        /// The quick test passes every head that the exact one finds.
        #[test]
        fn a_boundless_length_is_a_long_number(before in "[0-9a-z\\r\\n]{0,60}", digits in "[0-9]{18,24}", after in "[a-z0-9]{0,30}") {
            let head = format!("{before}\r\nContent-Length: {digits}\r\n{after}");
            proptest::prop_assert!(has_long_number(head.as_bytes()) || !has_boundless_line(head.as_bytes()), "{:?}", head);
        }
    }

    #[test]
    fn chunked_is_the_only_coding() {
        let coded = |codings: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
            status(Version::HTTP_11, &headers)
        };
        assert_eq!(coded(&["chunked"]), None);
        assert_eq!(coded(&["Chunked, "]), None);
        for codings in [&["gzip, chunked"][..], &["gzip", "chunked"], &["identity"], &["xchunked"]] {
            assert_eq!(coded(codings), Some(501), "{codings:?}");
        }
        assert_eq!(coded(&["chunked, chunked"]), Some(400));
    }

    #[test]
    fn a_length_of_64_bits_is_told_from_one_that_is_no_number() {
        for head in [
            "content-length: 18446744073709551615\r\n",
            "GET / HTTP/1.1\r\nContent-Length:99999999999999999999999999\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
        ] {
            assert!(has_boundless_length(head.as_bytes()), "{head}");
        }
        for head in [
            "content-length: 999999999999\r\n",
            "content-length: 1000\r\n",
            "content-length: 99999999999999999999999999x\r\n",
            "x: content-length: 99999999999999999999999999\r\n",
            "content-length: -1\r\n",
            "host: a\r\n\r\ncontent-length: 18446744073709551615\r\n",
        ] {
            assert!(!has_boundless_length(head.as_bytes()), "{head}");
        }
    }
}

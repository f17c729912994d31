//! URLs of providers: HTTPS, except for this machine's own.

/// Returns the reason why a text is not a URL that may be asked. Plain HTTP would let anybody in between answer.
pub(super) fn bad_url(url: &str) -> Option<&'static str> {
    let parsed: Option<http::Uri> = url.parse().ok();
    let host = parsed.as_ref().and_then(http::Uri::host).filter(|host| !host.is_empty());
    let has_user =
        parsed.as_ref().and_then(http::Uri::authority).is_some_and(|authority| authority.as_str().contains('@'));
    match (parsed.as_ref().and_then(http::Uri::scheme_str), host) {
        _ if url.contains('#') => Some("has a fragment (#…): leave it out"),
        _ if has_user => Some("has a user name or password: leave it out"),
        (Some("https"), Some(_)) => None,
        (Some("http"), Some(host)) if is_loopback(host) => None,
        (Some("http"), Some(_)) => Some("must be https://…: plain HTTP goes to loopback only"),
        _ => Some("is no URL: write it with https://"),
    }
}

/// Returns true for a host of this machine.
pub(in crate::config) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the reason why a text is not the name of a host.
pub(super) fn bad_host(host: &str) -> Option<String> {
    if let Some((_, rest)) = host.split_once("://") {
        return Some(format!("is a URL: write the host only, like \"{}\"", rest.trim_end_matches('/')));
    }
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    (!host.contains('.') || !host.chars().all(is_name) || host.starts_with('.') || host.ends_with('.'))
        .then(|| "is no host: write it in lower case, without a path or a port".to_owned())
}

//! Address of a service that is asked: its ops listener, or its socket.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use http::{Uri, uri::Scheme};

/// Address of the operators' API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// URL of the ops listener, without a path: of `https`, or of plain HTTP on loopback.
    Http(Uri),
    /// Path of the socket.
    Unix(PathBuf),
}

/// Error for a text that is no address of the operators' API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    #[error("not a URL: give https://HOST, http://127.0.0.1:PORT on this machine, or unix:/PATH of the socket")]
    Malformed,
    /// A token would travel in the clear.
    #[error(
        "plain HTTP leaves this machine, and whoever listens gets the token: use https, or a tunnel to http://127.0.0.1"
    )]
    PlainHttp,
    #[error("the URL names a user: the operator's token is given with --token-file")]
    User,
    #[error("the URL has a path: give scheme, host and port only")]
    Path,
    #[error("the path of the socket does not begin with /: give unix:/PATH")]
    RelativeSocket,
}

impl Endpoint {
    /// True for a socket, which is on this machine.
    pub fn is_socket(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(BadEndpoint::RelativeSocket) };
        }
        let url: Uri = text.parse().map_err(|_| BadEndpoint::Malformed)?;
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(BadEndpoint::Malformed);
        };
        if authority.as_str().contains('@') {
            return Err(BadEndpoint::User);
        }
        if authority.host().is_empty() {
            return Err(BadEndpoint::Malformed);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || text.contains('#') {
            return Err(BadEndpoint::Path);
        }
        if *scheme == Scheme::HTTPS || (*scheme == Scheme::HTTP && is_loopback(authority.host())) {
            return Ok(Self::Http(url));
        }
        Err(if *scheme == Scheme::HTTP { BadEndpoint::PlainHttp } else { BadEndpoint::Malformed })
    }
}

/// Returns true for this machine. Other names may lead elsewhere.
fn is_loopback(host: &str) -> bool {
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.to_string().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_loopback_or_a_socket() {
        let good = [
            ("https://ops.example.com", "https://ops.example.com"),
            ("https://ops.example.com:9443/", "https://ops.example.com:9443"),
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://127.9.9.9:1", "http://127.9.9.9:1"),
            ("http://[::1]:9090", "http://[::1]:9090"),
            ("http://localhost:9090/", "http://localhost:9090"),
            ("unix:/run/countersign/ops.sock", "unix:/run/countersign/ops.sock"),
            ("unix:///run/ops.sock", "unix:/run/ops.sock"),
        ];
        for (given, shown) in good {
            let endpoint: Endpoint = given.parse().unwrap();
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(shown.parse(), Ok(endpoint));
        }
        let bad = [
            ("", BadEndpoint::Malformed),
            ("ops.example.com", BadEndpoint::Malformed),
            ("ftp://ops.example.com", BadEndpoint::Malformed),
            ("http://ops.example.com", BadEndpoint::PlainHttp),
            ("http://10.0.0.1:9090", BadEndpoint::PlainHttp),
            ("http://localhost.example.com", BadEndpoint::PlainHttp),
            ("http://0.0.0.0:9090", BadEndpoint::PlainHttp),
            ("http://127.0.0.1@example.com", BadEndpoint::User),
            ("https://me:secret@example.com", BadEndpoint::User),
            ("https://example.com/admin/v1", BadEndpoint::Path),
            ("https://example.com/?a=b", BadEndpoint::Path),
            ("unix:ops.sock", BadEndpoint::RelativeSocket),
            ("unix:", BadEndpoint::RelativeSocket),
        ];
        for (given, error) in bad {
            assert_eq!(given.parse::<Endpoint>(), Err(error), "{given}");
        }
    }
}

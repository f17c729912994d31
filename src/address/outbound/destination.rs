//! URLs that may be requested: those of the configuration, and the `jwks_uri` of a configured issuer.

use reqwest::Url;

use super::reach::{Reach, is_loopback, literal};

/// URL that may be requested, with the addresses that it may lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    url: Url,
    reach: Reach,
}

/// Reason why a URL must not be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenUrl {
    /// It cannot be parsed, or has no host.
    #[error("it is no URL")]
    Malformed,
    /// It has another scheme.
    #[error("it must begin with https:// (http:// is for loopback hosts only)")]
    NotHttps,
    /// It has credentials in it.
    #[error("it has a user name or a password")]
    Userinfo,
    /// Its host is an address that must not be dialled.
    #[error("its host is an address that must not be dialled (a private one needs allow_private_addresses = true)")]
    Address,
}

impl Destination {
    /// Takes a URL of the configuration.
    ///
    /// # Errors
    /// [`ForbiddenUrl`].
    pub fn configured(url: &str, allow_private_addresses: bool) -> Result<Self, ForbiddenUrl> {
        let url = Url::parse(url).map_err(|_| ForbiddenUrl::Malformed)?;
        let reach = if url.host_str().is_some_and(is_loopback) {
            Reach::Loopback
        } else if allow_private_addresses {
            Reach::Private
        } else {
            Reach::Public
        };
        Self::checked(url, reach)
    }

    /// Takes a URL that the document at this destination names. It may lead to a loopback address only where the
    /// document came from one.
    ///
    /// # Errors
    /// [`ForbiddenUrl`].
    pub fn discovered(&self, url: &str) -> Result<Self, ForbiddenUrl> {
        let url = Url::parse(url).map_err(|_| ForbiddenUrl::Malformed)?;
        let to_loopback = url.host_str().is_some_and(is_loopback);
        let reach = if self.reach == Reach::Loopback && !to_loopback { Reach::Public } else { self.reach };
        Self::checked(url, reach)
    }

    fn checked(url: Url, reach: Reach) -> Result<Self, ForbiddenUrl> {
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(ForbiddenUrl::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if reach == Reach::Loopback => {}
            _ => return Err(ForbiddenUrl::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ForbiddenUrl::Userinfo);
        }
        // Addresses of names are checked when they are resolved; a literal never is.
        if literal(host).is_some_and(|address| !reach.allows(address)) {
            return Err(ForbiddenUrl::Address);
        }
        Ok(Self { url, reach })
    }

    /// Returns the URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the addresses that it may lead to.
    pub fn reach(&self) -> Reach {
        self.reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_urls_are_https_or_loopback() {
        for url in ["https://idp.example", "https://idp.example:8443/x?y=1", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert!(Destination::configured(url, false).is_ok(), "{url}");
        }
        let refused = [
            ("http://idp.example", ForbiddenUrl::NotHttps),
            ("ftp://127.0.0.1", ForbiddenUrl::NotHttps),
            ("file:///etc/passwd", ForbiddenUrl::Malformed),
            ("idp.example", ForbiddenUrl::Malformed),
            ("https://", ForbiddenUrl::Malformed),
            ("https://a:b@idp.example", ForbiddenUrl::Userinfo),
            ("https://a@idp.example", ForbiddenUrl::Userinfo),
            ("https://10.0.0.1", ForbiddenUrl::Address),
            ("https://169.254.169.254", ForbiddenUrl::Address),
            ("https://[fe80::1]", ForbiddenUrl::Address),
            ("https://0xa9fea9fe", ForbiddenUrl::Address),
            ("https://2852039166", ForbiddenUrl::Address),
            ("http://0", ForbiddenUrl::NotHttps),
        ];
        for (url, why) in refused {
            assert_eq!(Destination::configured(url, false), Err(why), "{url}");
        }
        assert!(Destination::configured("https://10.0.0.1", true).is_ok());
        assert_eq!(Destination::configured("https://169.254.169.254", true), Err(ForbiddenUrl::Address));
    }

    #[test]
    fn a_discovered_url_reaches_no_further_than_its_document() {
        let public = Destination::configured("https://idp.example", false).unwrap();
        assert!(public.discovered("https://keys.example/jwks").is_ok());
        for url in ["https://127.0.0.1/jwks", "https://[::1]/jwks", "https://10.0.0.1/", "https://0x7f.1/"] {
            assert_eq!(public.discovered(url), Err(ForbiddenUrl::Address), "{url}");
        }
        for url in ["http://127.0.0.1/jwks", "http://keys.example/", "http://localhost/"] {
            assert_eq!(public.discovered(url), Err(ForbiddenUrl::NotHttps), "{url}");
        }
        // The name is resolved, and its loopback address refused.
        assert_eq!(public.discovered("https://localhost/").unwrap().reach(), Reach::Public);
        let loopback = Destination::configured("http://127.0.0.1:1", false).unwrap();
        assert!(loopback.discovered("http://127.0.0.1:2/jwks").is_ok());
        assert_eq!(loopback.discovered("https://10.0.0.1/"), Err(ForbiddenUrl::Address));
    }
}

//! Proxies that variables of the environment name, by the rules of the HTTP client that asks Braze. Nothing else here uses them:
//! requests to identity providers and webhooks connect to an address that was checked.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// Returns the proxies of this process.
pub(super) fn of_process() -> Matcher {
    Matcher::from_env()
}

/// Returns the proxies of a process with these variables, each `NAME=value`.
pub(super) fn of_variables(variables: &[String]) -> Matcher {
    // The order of names is that of the client: the first one that is set counts, even if it is empty.
    let value = |names: [&str; 2]| {
        let of = |name| variables.iter().rev().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        names.into_iter().find_map(of).unwrap_or_default().to_owned()
    };
    Matcher::builder()
        .all(value(["ALL_PROXY", "all_proxy"]))
        .http(value(["HTTP_PROXY", "http_proxy"]))
        .https(value(["HTTPS_PROXY", "https_proxy"]))
        .no(value(["NO_PROXY", "no_proxy"]))
        .build()
}

/// Returns the URL of the proxy through which a URL is asked, if there is one.
pub(super) fn url_for(url: &Url, proxies: &Matcher) -> Option<String> {
    let proxy = proxies.intercept(&url.as_str().parse().ok()?)?;
    Some(proxy.uri().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[&str]) -> Option<String> {
        let variables: Vec<String> = variables.iter().map(|it| (*it).to_owned()).collect();
        url_for(&"https://rest.example.com/".parse().unwrap(), &of_variables(&variables))
    }

    #[test]
    fn the_variables_of_the_environment_name_the_proxy() {
        assert_eq!(proxy(&["HTTPS_PROXY=http://proxy.example:3128"]).unwrap(), "http://proxy.example:3128/");
        assert_eq!(proxy(&["https_proxy=192.0.2.8:3128"]).unwrap(), "http://192.0.2.8:3128/");
        assert_eq!(proxy(&["ALL_PROXY=http://[2001:db8::8]:3128"]).unwrap(), "http://[2001:db8::8]:3128/");
        assert_eq!(proxy(&["HTTPS_PROXY=http://first", "HTTPS_PROXY=http://last"]).unwrap(), "http://last/");
        for direct in [
            &["HTTP_PROXY=http://proxy.example"][..],
            &["HTTPS_PROXY=http://proxy.example", "NO_PROXY=example.com"],
            &["HTTPS_PROXY=", "https_proxy=http://proxy.example"],
            &[],
        ] {
            assert_eq!(proxy(direct), None, "{direct:?}");
        }
    }
}

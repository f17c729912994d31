//! Machines that the configuration names, and that may be elsewhere.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use strum::IntoStaticStr;

use crate::{
    config::Settings,
    domain::sign_in::{KeySource, OidcRules, SignIn},
    identity::key_set_url,
    store,
};

use super::proxies;

/// Machine that the configuration names.
#[derive(Clone)]
pub(in crate::app) struct Remote {
    /// Setting that names it.
    pub(super) setting: String,
    /// Its name or its address.
    pub(super) host: String,
    pub(super) drop_in: DropIn,
    pub(super) way: Way,
}

/// Way to what a setting names, beyond its host.
#[derive(Clone)]
pub(super) enum Way {
    Direct,
    /// This URL is asked through a proxy, where the environment names one.
    Proxied(Url),
    /// The provider's discovery document names the place of the keys.
    Discovery(Box<OidcRules>),
}

/// Drop-in of the unit that opens the network for a machine, in deploy/systemd/drop-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum DropIn {
    Braze,
    Webhook,
    IdentityProvider,
    Postgresql,
    Proxy,
}

impl DropIn {
    /// Returns what to do where it is missing.
    pub(super) fn advice(self) -> String {
        let name: &str = self.into();
        format!(
            "copy deploy/systemd/drop-ins/{name}.conf to /etc/systemd/system/countersign.service.d/, as its comment says, then \
             run `systemctl daemon-reload` and `systemctl restart countersign`"
        )
    }
}

impl Remote {
    /// Returns the machines that these settings name. Some of them may be this machine.
    pub(in crate::app) fn of(settings: &Settings) -> Vec<Self> {
        let mut remotes = Vec::new();
        let mut add = |setting: String, host: Option<String>, drop_in: DropIn, way: Way| {
            remotes.extend(host.map(|host| Self { setting, host, drop_in, way }));
        };
        for (name, workspace) in settings.braze() {
            let way = Url::parse(&workspace.rest_url).map_or(Way::Direct, Way::Proxied);
            add(format!("braze.{name}.rest_url"), host_of(&workspace.rest_url), DropIn::Braze, way);
        }
        if let Some(secrets) = &settings.failures().webhook.secrets {
            add("failures.webhook".to_owned(), host_of(secrets.url.expose()), DropIn::Webhook, Way::Direct);
        }
        let mut sign_ins: Vec<_> = settings.sign_ins().into_iter().collect();
        sign_ins.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (app, ways) in sign_ins {
            for sign_in in &ways {
                let (url, way) = way_of(sign_in);
                add(format!("apps.{app}.sign_in"), host_of(url), DropIn::IdentityProvider, way);
            }
        }
        for host in store::hosts(&settings.store()) {
            add("store.url".to_owned(), Some(host), DropIn::Postgresql, Way::Direct);
        }
        for network in &settings.server().trusted_proxies {
            let address = network.addr();
            let host = (!address.is_unspecified()).then(|| address.to_string());
            add("server.trusted_proxies".to_owned(), host, DropIn::Proxy, Way::Direct);
        }
        remotes
    }

    /// Returns the machine that is connected to where the environment names these proxies.
    pub(super) fn behind(self, proxies: &Matcher) -> Self {
        let Way::Proxied(url) = &self.way else { return self };
        match proxies::url_for(url, proxies).as_deref().and_then(host_of) {
            Some(host) => Self { host, setting: format!("{} through a proxy", self.setting), ..self },
            None => self,
        }
    }

    /// Asks the provider's discovery document, within seconds, and returns the machine that has the keys: `None` where it is the
    /// same machine, or the provider does not say.
    pub(super) async fn discovered(self) -> Option<Self> {
        let Way::Discovery(rules) = &self.way else { return None };
        let host = host_of(&key_set_url(rules).await.ok()?).filter(|host| *host != self.host)?;
        let setting = format!("{}, jwks_uri of {}", self.setting, rules.issuer);
        Some(Self { setting, host, drop_in: self.drop_in, way: Way::Direct })
    }
}

/// Returns the URL that is asked first, and the way from there.
fn way_of(sign_in: &SignIn) -> (&str, Way) {
    match sign_in {
        SignIn::Oidc(rules) => match &rules.keys {
            KeySource::Discovery => (&rules.issuer, Way::Discovery(Box::new(rules.clone()))),
            KeySource::Url(url) => (url, Way::Direct),
        },
        SignIn::Introspection(rules) => (&rules.endpoint, Way::Direct),
        SignIn::SessionEndpoint(rules) => (&rules.url, Way::Direct),
    }
}

fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

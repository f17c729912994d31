//! Machines that the configuration names, and that may be elsewhere.

use reqwest::Url;
use strum::IntoStaticStr;

use crate::{
    config::Settings,
    domain::sign_in::{KeySource, SignIn},
    store,
};

/// Machine that the configuration names.
pub(in crate::app) struct Remote {
    /// Setting that names it.
    pub(super) setting: String,
    /// Its name or its address.
    pub(super) host: String,
    pub(super) drop_in: DropIn,
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
        let mut add = |setting: String, host: Option<String>, drop_in: DropIn| {
            remotes.extend(host.map(|host| Self { setting, host, drop_in }));
        };
        for (name, workspace) in settings.braze() {
            add(format!("braze.{name}.rest_url"), host_of(&workspace.rest_url), DropIn::Braze);
        }
        if let Some(secrets) = &settings.failures().webhook.secrets {
            add("failures.webhook".to_owned(), host_of(secrets.url.expose()), DropIn::Webhook);
        }
        let mut sign_ins: Vec<_> = settings.sign_ins().into_iter().collect();
        sign_ins.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (app, ways) in sign_ins {
            for url in ways.iter().map(url_of) {
                add(format!("apps.{app}.sign_in"), host_of(url), DropIn::IdentityProvider);
            }
        }
        for host in store::hosts(&settings.store()) {
            add("store.url".to_owned(), Some(host), DropIn::Postgresql);
        }
        for network in &settings.server().trusted_proxies {
            let address = network.addr();
            let host = (!address.is_unspecified()).then(|| address.to_string());
            add("server.trusted_proxies".to_owned(), host, DropIn::Proxy);
        }
        remotes
    }
}

/// Returns the URL that is asked first.
fn url_of(sign_in: &SignIn) -> &str {
    match sign_in {
        SignIn::Oidc(rules) => match &rules.keys {
            KeySource::Discovery => &rules.issuer,
            KeySource::Url(url) => url,
        },
        SignIn::Introspection(rules) => &rules.endpoint,
        SignIn::SessionEndpoint(rules) => &rules.url,
    }
}

fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

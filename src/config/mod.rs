//! The configuration: defaults, one TOML file over them, the environment over that, flags over all. Every mistake is
//! reported at once, with its place.

mod braze;
mod check;
mod document;
mod duration;
mod environment;
mod errors;
mod sections;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    custody,
    domain::{
        ids::{AppName, RingName},
        policy::AppPolicy,
        sealing::SealingSecrets,
    },
    http::{LimitConfig, Quota},
    listener, rotate,
    secret::Secret,
    store,
    telemetry::LogConfig,
};

pub use environment::Environment;
pub use errors::{ConfigError, ConfigErrors};
pub use sections::Server;

use document::Document;
use sections::Sections;

/// The commented sample: every setting at its default.
pub const SAMPLE: &str = include_str!("../../deploy/countersign.toml");

/// A configuration without errors, secrets read.
pub struct Settings {
    sections: Sections,
    document: Document,
    folder: PathBuf,
    sealing: SealingSecrets,
    passphrase: Option<Secret<String>>,
    apps: Vec<Arc<AppPolicy>>,
    rest_keys: BTreeMap<String, Secret<String>>,
}

/// Every mistake of a configuration of this text, secret files left aside; for fuzzing.
pub fn check_text(text: &str) -> ConfigErrors {
    let mut document = match Document::parse("countersign.toml".to_owned(), text) {
        Ok(document) => document,
        Err(errors) => return errors,
    };
    let (sections, mut errors) = document.sections();
    check::rules(&sections, &document, &mut errors);
    errors
}

impl Settings {
    /// Reads the configuration and the secret files that it names. `flags` are settings with their values as text, e.g.
    /// `("server.listen", "127.0.0.1:0")`.
    ///
    /// # Errors
    /// [`ConfigErrors`], all of them.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigErrors> {
        let mut document = Document::read(file)?;
        document.overlay(environment, flags);
        let (sections, mut errors) = document.sections();
        let folder = file.and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        let checked = check::check(&sections, &document, &folder, &mut errors);
        match checked {
            Some(check::Checked { sealing, passphrase, apps, rest_keys }) if errors.is_empty() => {
                Ok(Self { sections, document, folder, sealing, passphrase, apps, rest_keys })
            }
            _ => Err(errors),
        }
    }

    /// `[server]`.
    pub fn server(&self) -> &Server {
        &self.sections.server
    }

    /// `[log]`.
    pub fn log(&self) -> &LogConfig {
        &self.sections.log
    }

    /// The sealing secrets.
    pub fn sealing(&self) -> &SealingSecrets {
        &self.sealing
    }

    /// How long verifiers may keep the key set.
    pub fn jwks_max_age(&self) -> Duration {
        self.sections.jwks.max_age.0
    }

    /// The quotas, unless limits are off.
    pub fn limits(&self) -> Option<LimitConfig> {
        let limits = &self.sections.limits;
        let quota = |raw: sections::RawQuota| Quota { per_second: raw.per_second, burst: raw.burst };
        limits.enabled.then(|| LimitConfig {
            per_client: quota(limits.per_client),
            per_session: quota(limits.per_session),
            per_address: quota(limits.per_address),
            failures_per_address: quota(limits.failures_per_address),
        })
    }

    /// The store's part.
    pub fn store_config(&self) -> store::Config {
        let store = &self.sections.store;
        store::Config { path: self.folder.join(&store.path), max_sessions_per_user: store.max_sessions_per_user.get() }
    }

    /// Custody's part.
    pub fn custody_config(&self) -> custody::Config {
        let custody = &self.sections.custody;
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        custody::Config {
            dir: self.folder.join(&custody.dir),
            passphrase: self.passphrase.as_ref().map(|passphrase| Secret::new(passphrase.expose().clone())),
            threads: custody.threads.map_or_else(processors, std::num::NonZeroUsize::get),
            batch: custody.batch,
            max_wait: custody.max_wait.0,
        }
    }

    /// The part of the listener on this address.
    pub fn listener_config(&self, listen: SocketAddr) -> listener::Config {
        let server = &self.sections.server;
        listener::Config {
            max_connections: server.max_connections.get(),
            max_connections_per_address: server.max_connections_per_address.get(),
            drain: server.drain.0,
            ..listener::Config::on(listen)
        }
    }

    /// The apps' policies, by name.
    pub fn policies(&self) -> std::collections::HashMap<AppName, Arc<AppPolicy>> {
        self.apps.iter().map(|policy| (policy.app.clone(), Arc::clone(policy))).collect()
    }

    /// The rings that apps use.
    pub fn rings(&self) -> impl Iterator<Item = &RingName> {
        let rings: BTreeSet<&RingName> = self.apps.iter().map(|policy| &policy.ring).collect();
        rings.into_iter()
    }

    /// The longest life of a token that a ring's keys sign.
    pub fn longest_life(&self, ring: &RingName) -> Duration {
        let lives = self.apps.iter().filter(|policy| policy.ring == *ring).map(|policy| policy.lifetime);
        lives.max().unwrap_or(Duration::ZERO)
    }

    /// The workspaces of Braze that can be driven.
    pub fn braze_configs(&self) -> Vec<crate::braze::Config> {
        let config = |(name, key): (&String, &Secret<String>)| {
            let rest_url = self.sections.braze.get(name)?.rest_url.clone();
            Some(crate::braze::Config { workspace: name.clone(), rest_url, api_key: Secret::new(key.expose().clone()) })
        };
        self.rest_keys.iter().filter_map(config).collect()
    }

    /// How each ring that apps use is rotated.
    pub fn rotations(&self) -> Vec<rotate::Config> {
        self.rings().map(|ring| self.rotation(ring)).collect()
    }

    fn rotation(&self, ring: &RingName) -> rotate::Config {
        let rotation = self.sections.rings.get(ring.as_str()).map(|ring| ring.rotation.clone()).unwrap_or_default();
        let apps = self.apps.iter().filter(|policy| policy.ring == *ring).map(|policy| {
            let raw = self.sections.apps.get(policy.app.as_str());
            let place = raw.and_then(|app| Some((app.workspace.clone()?, app.braze_app_id.clone()?)));
            rotate::AppConfig { app: policy.app.clone(), place }
        });
        rotate::Config {
            ring: ring.clone(),
            policy: rotate::plan::Policy {
                every: rotation.every.map(|every| every.0),
                soak: rotation.soak.0,
                margin: rotation.margin.0,
                longest_life: self.longest_life(ring),
                standby: rotation.standby,
            },
            apps: apps.collect(),
            check_every: rotation.check_every.0,
        }
    }

    /// What is allowed, and probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = braze::warnings(&self.sections);
        for ring in self.rings() {
            let apps: Vec<&str> = self
                .apps
                .iter()
                .filter(|policy| policy.ring == *ring && !policy.claims.iss)
                .map(|policy| policy.app.as_str())
                .collect();
            if apps.len() > 1 {
                warnings.push(format!(
                    "apps {} share ring {ring}, so that a token of one is good on the others: set `isolate_apps = true` in [rings.{ring}], or give each app a ring of its own",
                    apps.join(", ")
                ));
            }
        }
        let unused = self.sections.rings.keys().filter(|name| !self.rings().any(|ring| ring.as_str() == *name));
        warnings.extend(unused.map(|name| format!("[rings.{name}] is no app's ring: what it says has no effect")));
        warnings.extend(self.apps.iter().filter(|policy| !policy.claims.jti).map(|policy| {
            format!(
                "app {} mints without jti: two tokens of the same second are equal, and the SDK ignores the second",
                policy.app
            )
        }));
        warnings
    }

    /// The settings that differ in `new` and take effect at the next start only.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.sections, &new.sections);
        let differs = [
            ("server.listen", old.server.listen != new.server.listen),
            ("server.ops_listen", old.server.ops_listen != new.server.ops_listen),
            ("server.max_connections", old.server.max_connections != new.server.max_connections),
            (
                "server.max_connections_per_address",
                old.server.max_connections_per_address != new.server.max_connections_per_address,
            ),
            ("server.drain", old.server.drain != new.server.drain),
            ("store", old.store != new.store),
            ("custody", old.custody != new.custody),
            ("log", old.log != new.log),
        ];
        differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// The configuration in force as TOML that can be read again, secrets left out; with the origin of each value beside
    /// it where that is asked for.
    pub fn dump(&self, show_origin: bool) -> String {
        self.document.dump(&self.sections, show_origin)
    }

    /// The same for programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.sections).unwrap_or_default()
    }
}

//! The configuration: defaults, one TOML file over them, the environment over that, flags over all. Every error is
//! reported at once, with its origin.

mod access;
mod app_section;
mod apps;
mod braze;
mod check;
mod document;
mod environment;
mod errors;
mod expected;
mod hints;
mod notes;
mod origins;
mod samples;
mod secret_files;
mod sections;
mod sign_in;
mod sign_in_section;
mod store;
mod syntax;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    clock, custody,
    domain::{
        ids::{AppName, RingName},
        missing_key,
        policy::AppPolicy,
        sealing::SealingSecrets,
        sign_in::SignIn,
    },
    failures,
    files::User,
    http::LimitConfig,
    listener, node, rotate,
    telemetry::LogConfig,
};

pub use environment::Environment;
pub use errors::{ConfigError, ConfigErrors};
pub use store::check_url as check_store_url;

use document::Document;
use notes::Notes;
use origins::Origins;
use secret_files::SecretFiles;
use sections::Sections;
use sign_in::SignInsOfApps;

/// The commented sample: every setting at its default.
pub const SAMPLE: &str = include_str!("../../deploy/countersign.toml");

/// Valid configuration, with its secrets read.
pub struct Settings {
    sections: Sections,
    origins: Origins,
    folder: PathBuf,
    user: User,
    sealing: SealingSecrets,
    apps: BTreeMap<AppName, Arc<AppPolicy>>,
    sign_ins: SignInsOfApps,
    /// Variables that are no settings.
    ignored: Option<String>,
}

/// Returns every error of a configuration text, without reading secret files; for fuzzing.
pub fn check_text(text: &str) -> ConfigErrors {
    let mut document = match Document::parse("countersign.toml", text) {
        Ok(document) => document,
        Err(errors) => return errors,
    };
    let (mut sections, mut errors) = document.sections();
    let mut notes = Notes::new(document.origins(), &mut errors);
    check::check(&sections, &mut notes);
    sign_in::check(&mut sections, &mut notes, None);
    errors
}

impl Settings {
    /// Reads the configuration and the secret files that it names. `flags` are settings with their values as text, e.g.
    /// `("server.listen", "127.0.0.1:0")`.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every error.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigErrors> {
        let mut document = Document::read(file)?;
        document.overlay(environment, flags);
        let (mut sections, mut errors) = document.sections();
        let origins = document.into_origins();
        let folder = file.and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        let mut notes = Notes::new(&origins, &mut errors);
        let apps = check::check(&sections, &mut notes);
        let mut secrets = SecretFiles::new(&folder, access::rule(&sections, &folder));
        let sealing = secrets.sealing(&mut sections, &mut notes);
        secrets.passphrase(&mut sections, &mut notes);
        secrets.database_password(&mut sections, &mut notes);
        store::check_authorities(&sections, &folder, secrets.rule(), &mut notes);
        sections.store.pass_file = environment.pass_file().filter(|_| sections.store.url.is_some());
        secrets.rest_keys(&mut sections.braze, &mut notes);
        secrets.webhook(&mut sections.failures.webhook, &mut notes);
        let sign_ins = sign_in::check(&mut sections, &mut notes, Some(&mut secrets));
        let user = secrets.rule().user().clone();
        access::check(&sections, file, &folder, &secrets, &mut errors);
        match sealing {
            Some(sealing) if errors.is_empty() => {
                let apps = apps.into_iter().map(|(app, policy)| (app, Arc::new(policy))).collect();
                let ignored = hints::ignored_variables(environment.others());
                Ok(Self { sections, origins, folder, user, sealing, apps, sign_ins, ignored })
            }
            _ => Err(errors),
        }
    }

    /// `[server]`.
    pub fn server(&self) -> &listener::Config {
        &self.sections.server
    }

    /// `[log]`.
    pub fn log(&self) -> &LogConfig {
        &self.sections.log
    }

    /// `[limits]`.
    pub fn limits(&self) -> &LimitConfig {
        &self.sections.limits
    }

    /// `[failures]`, with the receiver of events, its secrets read.
    pub fn failures(&self) -> &failures::Config {
        &self.sections.failures
    }

    /// Secrets of `[sealing]`.
    pub fn sealing(&self) -> &SealingSecrets {
        &self.sealing
    }

    /// Time for which verifiers may keep the key set.
    pub fn jwks_max_age(&self) -> Duration {
        self.sections.jwks.max_age
    }

    /// `[clock]`.
    pub fn clock(&self) -> clock::Config {
        self.sections.clock
    }

    /// `[store]`, its paths resolved against the folder of the configuration file.
    pub fn store(&self) -> crate::store::Config {
        access::store(&self.sections, &self.folder)
    }

    /// `[custody]`, its folder resolved against the folder of the configuration file.
    pub fn custody(&self) -> custody::Config {
        access::custody(&self.sections, &self.folder)
    }

    /// Folder of the configuration file, against which paths are resolved; empty for the working directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// User that works on the store and the keys: their owner, where this process is root's.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// `[braze.<workspace>]`, by name.
    pub fn braze(&self) -> &BTreeMap<String, crate::braze::Config> {
        &self.sections.braze
    }

    /// Policies of the apps.
    pub fn policies(&self) -> HashMap<AppName, Arc<AppPolicy>> {
        self.apps.iter().map(|(app, policy)| (app.clone(), Arc::clone(policy))).collect()
    }

    /// Ways to sign in with a credential of the app's own, for each app that has any.
    pub fn sign_ins(&self) -> HashMap<AppName, Vec<SignIn>> {
        self.sign_ins.clone()
    }

    /// Settings of the node's background work.
    pub fn node(&self) -> node::Config {
        let recorded_apps = self.sections.audit.tokens.then(|| self.apps.keys().cloned().collect());
        let rings = self.rings().map(|ring| (ring.clone(), self.longest_life(ring))).collect();
        node::Config { rings, apps: self.apps.keys().cloned().collect(), recorded_apps }
    }

    /// Rings that apps use, each with its apps and the policy of its rotation.
    pub fn rings_to_rotate(&self) -> Vec<rotate::Ring> {
        self.rings().map(|ring| self.ring_to_rotate(ring)).collect()
    }

    fn ring_to_rotate(&self, ring: &RingName) -> rotate::Ring {
        let section = self.sections.rings.get(ring.as_str()).map(|ring| ring.rotation.clone()).unwrap_or_default();
        let config = rotate::Config { longest_life: self.longest_life(ring), ..section };
        let apps = self.apps_of(ring).map(|(app, policy)| {
            let at_braze = policy.workspace.clone().zip(policy.braze_app_id.clone());
            rotate::RingApp { app: app.clone(), at_braze }
        });
        rotate::Ring { name: ring.clone(), config, apps: apps.collect() }
    }

    fn rings(&self) -> impl Iterator<Item = &RingName> {
        self.apps.values().map(|policy| &policy.ring).collect::<BTreeSet<_>>().into_iter()
    }

    fn apps_of<'a>(&'a self, ring: &'a RingName) -> impl Iterator<Item = (&'a AppName, &'a Arc<AppPolicy>)> {
        self.apps.iter().filter(move |(_, policy)| policy.ring == *ring)
    }

    fn longest_life(&self, ring: &RingName) -> Duration {
        self.apps_of(ring).map(|(_, policy)| policy.lifetime).max().unwrap_or(Duration::ZERO)
    }

    /// Returns warnings: settings that are allowed, but probably not intended.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = check::server_warnings(&self.sections);
        warnings.extend(store::warnings(&self.sections));
        warnings.extend(braze::warnings(&self.sections));
        warnings.extend(apps::warnings(&self.sections));
        warnings.extend(sign_in::warnings(&self.sections));
        warnings.extend(self.ignored.clone());
        for ring in self.rings() {
            let apps: Vec<&str> =
                self.apps_of(ring).filter(|(_, policy)| !policy.claims.iss).map(|(app, _)| app.as_str()).collect();
            if apps.len() > 1 {
                warnings.push(format!(
                    "apps {} share ring {ring}, so a token of one is good on the others: set `isolate_apps = true` in [rings.{ring}], or give each app a ring of its own",
                    apps.join(", ")
                ));
            }
        }
        warnings.extend(self.rings().filter_map(|ring| self.mistyped(ring)));
        let unused = self.sections.rings.keys().filter(|name| !self.rings().any(|ring| ring.as_str() == *name));
        warnings.extend(unused.map(|name| format!("no app uses [rings.{name}]; its settings are ignored")));
        warnings.extend(self.apps.iter().filter(|(_, policy)| !policy.claims.jti).map(|(app, _)| {
            format!(
                "app {app} mints without jti: two tokens of the same second are equal, and the SDK ignores the second"
            )
        }));
        warnings
    }

    /// Returns a warning for a ring of one app, without a table, whose name is nearly that of another ring.
    fn mistyped(&self, ring: &RingName) -> Option<String> {
        let mut apps = self.apps_of(ring).map(|(app, _)| app);
        let (Some(app), None) = (apps.next(), apps.next()) else { return None };
        let is_known = |ring: &RingName| self.sections.rings.contains_key(ring.as_str());
        let others = self.rings().filter(|other| is_known(other) || self.apps_of(other).count() > 1);
        let main = RingName::default();
        let meant = missing_key::similar(ring, others.chain([&main])).filter(|_| !is_known(ring))?;
        Some(format!("apps.{app}.ring: only app {app} uses ring {ring}; did you mean {meant}?"))
    }

    /// Returns the settings that differ in `new` and take effect at the next start only.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.sections, &new.sections);
        let differs = [
            ("server.listen", old.server.listen != new.server.listen),
            ("server.ops_listen", old.server.ops_listen != new.server.ops_listen),
            ("server.ops_socket", old.server.ops_socket != new.server.ops_socket),
            ("server.max_connections", old.server.max_connections != new.server.max_connections),
            (
                "server.max_connections_per_address",
                old.server.max_connections_per_address != new.server.max_connections_per_address,
            ),
            ("server.keep_alive", old.server.keep_alive != new.server.keep_alive),
            ("server.drain", old.server.drain != new.server.drain),
            ("clock", old.clock != new.clock),
            ("store", old.store != new.store),
            ("custody", !old.custody.is_same(&new.custody)),
            ("secrets", old.secrets != new.secrets),
            ("log", old.log != new.log),
        ];
        differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// Returns the configuration in force as TOML that can be read again, secrets left out; with the origin of each
    /// value beside it where that is asked for.
    pub fn dump(&self, show_origin: bool) -> String {
        let text = toml::to_string(&self.sections).unwrap_or_default();
        if show_origin { self.origins.annotate(&text) } else { text }
    }

    /// Returns the configuration in force as JSON, secrets left out.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.sections).unwrap_or_default()
    }
}

//! State of the sandbox, behind one lock that is never held across an `await`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use strum::VariantArray as _;

use super::{
    app::{AppSpec, BadApp, SandboxApp},
    faults::{FaultQueue, Verb},
    journal::Journal,
    keys::{KeyError, NewKey},
    provider::Provider,
    switches::Switches,
};
use crate::clock::{Clock, UnixMillis};

/// REST API key with every permission. It is no secret: the sandbox protects nothing and listens on loopback only.
pub const REST_API_KEY: &str = "sandbox-rest-api-key";

/// The mutable state of the sandbox.
#[derive(Debug)]
pub(super) struct State {
    pub(super) apps: Vec<SandboxApp>,
    pub(super) switches: Switches,
    /// Version of the configuration that SDKs receive, in Unix seconds; it grows with every change of the switches.
    pub(super) config_time: i64,
    pub(super) faults: FaultQueue,
    pub(super) journal: Journal,
    /// The permitted verbs of each REST API key.
    rest_keys: BTreeMap<String, BTreeSet<Verb>>,
}

/// A simulated Braze, shared by the sandbox's routes.
pub struct LocalBraze {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    provider: Provider,
    /// Receives every event of the sandbox as a JSON object.
    on_event: Box<dyn Fn(&Value) + Send + Sync>,
}

impl LocalBraze {
    /// Creates a Braze without apps.
    pub fn new(clock: Arc<dyn Clock>, switches: Switches, on_event: impl Fn(&Value) + Send + Sync + 'static) -> Self {
        let all = Verb::VARIANTS.iter().copied().collect();
        let state = State {
            apps: Vec::new(),
            switches,
            config_time: clock.now().seconds(),
            faults: FaultQueue::default(),
            journal: Journal::default(),
            rest_keys: [(REST_API_KEY.to_owned(), all)].into(),
        };
        Self { clock, state: Mutex::new(state), provider: Provider::default(), on_event: Box::new(on_event) }
    }

    /// Adds an app; returns its name, app id and SDK API key as JSON.
    ///
    /// # Errors
    /// [`BadApp::Taken`] if another app has the same name, key or id.
    pub fn add_app(&self, spec: AppSpec) -> Result<Value, BadApp> {
        self.with(|state, _| {
            let app = SandboxApp::new(spec, state.apps.len() + 1);
            if let Some(kind) = app.clash(&state.apps) {
                return Err(BadApp::Taken(kind));
            }
            let described = json!({ "name": app.name, "app_id": app.app_id, "sdk_api_key": app.sdk_api_key });
            state.apps.push(app);
            Ok(described)
        })
    }

    /// Returns an app's id in the REST API.
    pub fn app_id(&self, app: &str) -> Option<String> {
        self.with(|state, _| state.apps.iter().find(|known| known.name == app).map(|app| app.app_id.clone()))
    }

    /// Adds a public key to an app, as a person does in Braze's dashboard.
    ///
    /// # Errors
    /// A sentence for people: there is no such app, or Braze would refuse the key.
    pub fn add_key(&self, app: &str, public_key: &str, description: &str) -> Result<(), String> {
        let key =
            NewKey { rsa_public_key: public_key.to_owned(), description: description.to_owned(), make_primary: false };
        self.with(|state, now| {
            let app = state.apps.iter().position(|known| known.name == app).ok_or("there is no such app")?;
            state.create_key(app, key, now).map(drop).map_err(|error| error.to_string())
        })
    }

    /// Adds a text that may be no public key to an app, as a person does who copies a part of it only.
    ///
    /// # Errors
    /// A sentence for people: there is no such app, or it has three keys.
    pub fn paste_key(&self, app: &str, text: &str, description: &str) -> Result<(), String> {
        let (rsa_public_key, description) = (text.to_owned(), description.to_owned());
        self.with(|state, now| {
            let app = state.apps.iter_mut().find(|known| known.name == app).ok_or("there is no such app")?;
            let key = NewKey { rsa_public_key, description, make_primary: app.keys.list().is_empty() };
            app.keys.insert(&app.app_id, key, now).map(drop).map_err(|error| error.to_string())
        })
    }

    /// Changes some switches, given as a JSON object; returns all of them.
    ///
    /// # Errors
    /// A sentence for people: an unknown switch, or a value out of range.
    pub fn switch(&self, change: &Value) -> Result<Switches, String> {
        let switches = self.with(|state, now| {
            let switches = state.switches.changed(change)?;
            state.switch(switches.clone(), now);
            Ok::<_, String>(switches)
        })?;
        self.emit(&json!({ "type": "switches", "switches": switches }));
        Ok(switches)
    }

    /// Runs `work` on the state under the lock, with the current time.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, UnixMillis) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state, self.clock.now())
    }

    /// Local OpenID provider.
    pub(super) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Returns the current time.
    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Passes an event to the observer.
    pub(super) fn emit(&self, event: &Value) {
        (self.on_event)(event);
    }
}

impl State {
    /// Adds a key to the app at this index; returns the key's id.
    pub(super) fn create_key(&mut self, app: usize, key: NewKey, now: UnixMillis) -> Result<String, KeyError> {
        let first_is_primary = self.switches.first_key_is_primary;
        let app = &mut self.apps[app];
        let make_primary = key.make_primary || (first_is_primary && app.keys.list().is_empty());
        app.keys.create(&app.app_id, NewKey { make_primary, ..key }, now)
    }

    /// Replaces the switches, and makes SDKs fetch their configuration again.
    pub(super) fn switch(&mut self, switches: Switches, now: UnixMillis) {
        self.switches = switches;
        self.config_time = now.seconds().max(self.config_time + 1);
    }

    /// Creates a REST API key with these permissions; returns it.
    pub(super) fn add_rest_key(&mut self, permissions: BTreeSet<Verb>) -> String {
        let key = format!("{REST_API_KEY}-{}", self.rest_keys.len());
        self.rest_keys.insert(key.clone(), permissions);
        key
    }

    /// Returns the verbs that a REST API key may use, or `None` if there is no such key.
    pub(super) fn permissions(&self, key: &str) -> Option<&BTreeSet<Verb>> {
        self.rest_keys.get(key)
    }
}

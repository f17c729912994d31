//! All that the sandbox knows, behind one lock that is never held across a wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    faults::{Faults, Verb},
    journal::Journal,
    keys::{KeyRefusal, Keys, NewKey},
    switches::Switches,
};
use crate::clock::{Clock, UnixMillis};

/// The REST API key that may do everything. It is no secret: the sandbox guards nothing, and listens on loopback only.
pub const REST_API_KEY: &str = "sandbox-rest-api-key";

/// What Braze does with a bad token; set per app in Braze's dashboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Tokens are not looked at.
    Disabled,
    /// Bad tokens are counted and reported; the request is taken.
    Optional,
    /// Requests with a bad token are rejected.
    #[default]
    Required,
}

impl FromStr for Enforcement {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        serde_json::from_value(Value::String(word.to_owned()))
            .map_err(|_| format!("{word:?} is none of disabled, optional, required"))
    }
}

/// An app to be simulated: `NAME` or `NAME=SDK_API_KEY`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// What people call it.
    pub name: String,
    /// Its SDK API key; one is made up where none is given.
    pub sdk_api_key: Option<String>,
    /// Its id in the REST API; made up where none is given.
    pub app_id: Option<String>,
    /// Its enforcement at start.
    pub enforcement: Option<Enforcement>,
}

impl AppSpec {
    /// An app of which everything else is made up.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), sdk_api_key: None, app_id: None, enforcement: None }
    }
}

impl FromStr for AppSpec {
    type Err = BadApp;

    fn from_str(text: &str) -> Result<Self, BadApp> {
        let (name, key) = match text.split_once('=') {
            Some((_, "")) => return Err(BadApp::Empty),
            Some((name, key)) => (name, Some(key.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(BadApp::Empty);
        }
        Ok(Self { sdk_api_key: key, ..Self::named(name) })
    }
}

/// There cannot be such an app.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadApp {
    /// No name, or an empty key.
    #[error("an app is NAME or NAME=SDK_API_KEY, neither of them empty")]
    Empty,
    /// Name, key or id are another app's.
    #[error("another app has this {0} already")]
    Taken(&'static str),
}

/// A simulated app.
#[expect(clippy::struct_field_names, reason = "`app_id` is Braze's word")]
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) app_id: String,
    pub(super) sdk_api_key: String,
    pub(super) enforcement: Enforcement,
    pub(super) keys: Keys,
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) apps: Vec<App>,
    pub(super) switches: Switches,
    /// The version of the configuration that SDKs are sent, in Unix seconds; it moves with the switches.
    pub(super) config_time: i64,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    /// REST API keys, each with the verbs it may use.
    rest_keys: BTreeMap<String, BTreeSet<&'static str>>,
}

/// The sandbox's world.
pub struct World {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told of everything that happens, one JSON object each.
    witness: Box<dyn Fn(&Value) + Send + Sync>,
}

impl World {
    /// A world with no apps yet.
    pub fn new(clock: Arc<dyn Clock>, switches: Switches, witness: impl Fn(&Value) + Send + Sync + 'static) -> Self {
        let all = Verb::ALL.into_iter().map(Verb::permission).collect();
        let state = State {
            apps: Vec::new(),
            switches,
            config_time: clock.now().seconds(),
            faults: Faults::default(),
            journal: Journal::default(),
            rest_keys: [(REST_API_KEY.to_owned(), all)].into(),
        };
        Self { clock, state: Mutex::new(state), witness: Box::new(witness) }
    }

    /// Adds an app; its description, as the ready line has it.
    pub fn add_app(&self, spec: AppSpec) -> Result<Value, BadApp> {
        self.with(|state, _| {
            let number = state.apps.len() + 1;
            let made_up = |kind: &str| format!("00000000-0000-4000-{kind}-{number:012}");
            let app = App {
                app_id: spec.app_id.unwrap_or_else(|| made_up("9000")),
                sdk_api_key: spec.sdk_api_key.unwrap_or_else(|| made_up("8000")),
                enforcement: spec.enforcement.unwrap_or_default(),
                name: spec.name,
                keys: Keys::default(),
            };
            let taken = |same: fn(&App, &App) -> bool| state.apps.iter().any(|other| same(other, &app));
            let clash = [
                ("name", taken(|a, b| a.name == b.name)),
                ("SDK API key", taken(|a, b| a.sdk_api_key == b.sdk_api_key)),
                ("app id", taken(|a, b| a.app_id == b.app_id)),
            ];
            if let Some((what, _)) = clash.into_iter().find(|(_, clashes)| *clashes) {
                return Err(BadApp::Taken(what));
            }
            let described = json!({ "name": app.name, "app_id": app.app_id, "sdk_api_key": app.sdk_api_key });
            state.apps.push(app);
            Ok(described)
        })
    }

    /// An app's id in the REST API.
    pub fn app_id(&self, app: &str) -> Option<String> {
        self.with(|state, _| state.apps.iter().find(|known| known.name == app).map(|app| app.app_id.clone()))
    }

    /// Adds a public key to an app, as somebody at Braze's dashboard would.
    ///
    /// # Errors
    /// In words: there is no such app, or Braze would refuse the key.
    pub fn add_key(&self, app: &str, public_key: &str, description: &str) -> Result<(), String> {
        let key =
            NewKey { rsa_public_key: public_key.to_owned(), description: description.to_owned(), make_primary: false };
        self.with(|state, now| {
            let app = state.apps.iter_mut().position(|known| known.name == app).ok_or("there is no such app")?;
            state.create_key(app, key, now).map(drop).map_err(|refusal| refusal.to_string())
        })
    }

    /// Changes some switches; all of them as they are now.
    ///
    /// # Errors
    /// What is wrong with the change, in words.
    pub fn switch(&self, change: &Value) -> Result<Switches, String> {
        let switches = self.with(|state, now| {
            let switches = state.switches.changed(change)?;
            state.switch(switches.clone(), now);
            Ok::<_, String>(switches)
        })?;
        self.tell(&json!({ "type": "switches", "switches": switches }));
        Ok(switches)
    }

    /// Looks at everything, or changes it, at one point in time.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, UnixMillis) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state, self.clock.now())
    }

    /// Tells the witness.
    pub(super) fn tell(&self, happened: &Value) {
        (self.witness)(happened);
    }
}

impl State {
    /// Adds a key to the app at this place; its id.
    pub(super) fn create_key(&mut self, app: usize, key: NewKey, now: UnixMillis) -> Result<String, KeyRefusal> {
        let first_is_primary = self.switches.first_key_is_primary;
        let app = &mut self.apps[app];
        let make_primary = key.make_primary || (first_is_primary && app.keys.list().is_empty());
        app.keys.create(&app.app_id, NewKey { make_primary, ..key }, now)
    }

    /// Goes over to other switches; SDKs are sent their configuration anew.
    pub(super) fn switch(&mut self, switches: Switches, now: UnixMillis) {
        self.switches = switches;
        self.config_time = now.seconds().max(self.config_time + 1);
    }

    /// Makes a REST API key with these permissions; the key.
    pub(super) fn add_rest_key(&mut self, permissions: BTreeSet<&'static str>) -> String {
        let key = format!("{REST_API_KEY}-{}", self.rest_keys.len());
        self.rest_keys.insert(key.clone(), permissions);
        key
    }

    /// What a REST API key may do; `None`: there is no such key.
    pub(super) fn permissions(&self, key: &str) -> Option<&BTreeSet<&'static str>> {
        self.rest_keys.get(key)
    }
}

//! Installation of the sample: a service and a local Braze of their own, with the operator who keeps them.

use std::{fmt::Display, net::SocketAddr, sync::Arc};

use axum::{Router, http::Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    super::requests::{Failure, call_json},
    clock::SampleClock,
    devices::{AppCredentials, DeviceEndpoints},
    story::OperatorAct,
    traffic::SampleApp,
};
use crate::{
    app::{Ambient, Dev, Wiring},
    clock::Clock,
    config::Environment,
    domain::{
        audit::Actor,
        key::{KeyRecord, KeyState},
        operator::Role,
        spki::Spki,
    },
    operate::Operator,
    sandbox::{self, AppSpec, LocalBraze, REST_API_KEY, Sandbox, Switches},
};

/// Name of the operator, who is the one that logs in to the console.
const OPERATOR: &str = "ada";

/// A service and a local Braze with one clock.
pub(super) struct Installation {
    pub(super) wiring: Arc<Wiring>,
    pub(super) endpoints: DeviceEndpoints,
    /// Token of the operator.
    pub(super) token: String,
    operator: Operator,
    braze: Arc<LocalBraze>,
    /// The local Braze, which the service reaches over HTTP.
    _serving: JoinSet<()>,
    _folder: TempDir,
}

/// App at the local Braze.
struct AtBraze {
    app_id: String,
    sdk_api_key: String,
}

impl Installation {
    /// Makes the parts, and the first key of each app; Braze has that of `web`.
    pub(super) async fn open(clock: Arc<SampleClock>) -> Result<Self, Failure> {
        let braze = Arc::new(LocalBraze::new(Arc::clone(&clock) as Arc<dyn Clock>, Switches::default(), |_| {}));
        let (web, ios) = (add_app(&braze, SampleApp::Web)?, add_app(&braze, SampleApp::Ios)?);
        let sandbox = Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&braze)).await.map_err(text)?;
        let config = configuration(&sandbox.url(), &web, &ios);
        let mut serving = JoinSet::new();
        serving.spawn(async move { match sandbox::serve(sandbox).await {} });
        let flags = [("braze.main.api_key".to_owned(), REST_API_KEY.to_owned())];
        let ambient = Ambient { clock, ..Ambient::system() };
        let dev = Dev::of(&config, &Environment::default(), &flags, ambient).await.map_err(text)?;
        let (settings, services, access, folder) = dev.into_parts();
        braze.add_key("web", &access.public_key, "the first key").map_err(text)?;
        let operator = services
            .operator(&settings)
            .map_err(text)?
            .acting(Actor::named(format!("operator {OPERATOR}")), Role::Operator);
        operator.keys().first_key("ios".parse().map_err(text)?).await.map_err(text)?;
        let mobile = ("mobile-backend".parse().map_err(text)?, vec!["ios".parse().map_err(text)?]);
        let (ios_key, _) = operator.clients().create(mobile.0, mobile.1, None).await.map_err(text)?;
        let name = OPERATOR.parse().map_err(text)?;
        let (token, _) = operator.operators().create(name, Role::Operator, None).await.map_err(text)?;
        let wiring = Arc::new(Wiring::open(Arc::new(settings), Arc::new(services)).await.map_err(text)?);
        let endpoints = DeviceEndpoints {
            service: wiring.routes(),
            braze: sandbox::router(Arc::clone(&braze)),
            web: AppCredentials { sdk_api_key: web.sdk_api_key, api_key: access.api_key },
            ios: AppCredentials { sdk_api_key: ios.sdk_api_key, api_key: ios_key },
        };
        let token = token.reveal().to_string();
        Ok(Self { wiring, endpoints, token, operator, braze, _serving: serving, _folder: folder })
    }

    /// Does an act of the operator.
    pub(super) async fn act(&self, act: OperatorAct) -> Result<(), Failure> {
        match act {
            OperatorAct::PasteWrongly => self.paste_wrongly().await,
            OperatorAct::PasteRightly => self.paste_rightly().await,
            OperatorAct::Rotate => {
                let ring = "main".parse().map_err(text)?;
                self.operator.rotations(|_| {}).run(&ring).await.map(drop).map_err(text)
            }
            OperatorAct::DeletePreviousKey => self.delete_previous_key().await,
        }
    }

    /// Copies the key without its first line, and confirms what he believes to have pasted.
    async fn paste_wrongly(&self) -> Result<(), Failure> {
        let key = self.key("ios", KeyState::Active).await?;
        let (_, without_its_first_line) = key.public_key.split_once('\n').unwrap_or_default();
        self.braze.paste_key("ios", without_its_first_line, "key of ios").map_err(text)?;
        let fingerprint = Spki::from_pem(&key.public_key).map_err(text)?.fingerprint();
        self.operator.rotations(|_| {}).confirm(&key, fingerprint, None).await.map(drop).map_err(text)
    }

    async fn paste_rightly(&self) -> Result<(), Failure> {
        let key = self.key("ios", KeyState::Active).await?;
        let wrong = self.at_braze(SampleApp::Ios, |_| true).await?;
        let body =
            json!({ "public_key": key.public_key, "description": "key of ios, the whole", "make_primary": true });
        self.dashboard(Method::POST, "apps/ios/keys", &body).await?;
        self.dashboard(Method::DELETE, &format!("apps/ios/keys/{wrong}"), &Value::Null).await.map(drop)
    }

    async fn delete_previous_key(&self) -> Result<(), Failure> {
        let key = self.key("main", KeyState::Retiring).await?;
        let id = self.at_braze(SampleApp::Web, |listed| listed["rsa_public_key"] == key.public_key).await?;
        self.dashboard(Method::DELETE, &format!("apps/web/keys/{id}"), &Value::Null).await.map(drop)
    }

    /// Returns the key of a ring in this state.
    async fn key(&self, ring: &str, state: KeyState) -> Result<KeyRecord, Failure> {
        let keys = self.operator.keys().list().await.map_err(text)?;
        let key = keys.into_iter().find(|key| key.ring.as_str() == ring && key.state == state);
        key.ok_or_else(|| format!("ring {ring} has no key that is {}", state.as_str()))
    }

    /// Returns Braze's id of the first key of an app that is as wanted.
    async fn at_braze(&self, app: SampleApp, is_wanted: impl Fn(&Value) -> bool) -> Result<String, Failure> {
        let state = self.dashboard(Method::GET, "state", &Value::Null).await?;
        let apps = state["apps"].as_array().into_iter().flatten();
        let keys = apps.filter(|known| known["name"] == app.name()).filter_map(|app| app["keys"].as_array()).flatten();
        let mut wanted = keys.filter(|key| is_wanted(key)).filter_map(|key| key["id"].as_str());
        wanted.next().map(str::to_owned).ok_or_else(|| format!("Braze does not have the key of {}", app.name()))
    }

    /// Calls the control interface of the local Braze, which stands for its dashboard.
    async fn dashboard(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let routes: &Router = &self.endpoints.braze;
        call_json(routes, method, &format!("/sandbox/v1/{path}"), &[], body).await
    }
}

fn add_app(braze: &LocalBraze, app: SampleApp) -> Result<AtBraze, Failure> {
    let added = braze.add_app(AppSpec::named(app.name())).map_err(text)?;
    let text = |name: &str| added[name].as_str().unwrap_or_default().to_owned();
    Ok(AtBraze { app_id: text("app_id"), sdk_api_key: text("sdk_api_key") })
}

/// Returns the configuration: `web` is in a workspace, and the keys of `ios` are pasted by hand.
fn configuration(rest_url: &str, web: &AtBraze, ios: &AtBraze) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:8080\"\n\n\
         [limits]\nenabled = false\n\n\
         [custody]\nmax_wait = \"60s\"\n\n\
         [braze.main]\nrest_url = \"{rest_url}\"\n\n\
         [rings.main.rotation]\nevery = \"{}d\"\n\n\
         [apps.web]\nworkspace = \"main\"\nbraze_app_id = \"{}\"\nsdk_api_key = \"{}\"\n\n\
         [apps.ios]\nring = \"ios\"\nsdk_api_key = \"{}\"\n",
        super::story::ROTATE_EVERY.as_secs() / 86_400,
        web.app_id,
        web.sdk_api_key,
        ios.sdk_api_key,
    )
}

/// Text of an error.
fn text(error: impl Display) -> Failure {
    error.to_string()
}

//! `countersign sandbox`: a local Braze, to try SDK authentication without an account.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::{
    context::Context,
    given,
    output::{announce, printable},
    runtime,
};
use crate::{
    clock::SystemClock,
    sandbox::{self, AppSpec, Enforcement, ISSUER_PATH, LocalBraze, REST_API_KEY, Switches},
};

/// Run a local Braze: SDK endpoints, key management API, and a page that shows the requests it received
///
/// Point the SDK's baseUrl at it, give it your public key, and see how Braze would answer each request. It keeps
/// everything in memory, protects nothing, and listens on loopback only.
#[derive(Args)]
pub(super) struct SandboxCommand {
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8088")]
    listen: SocketAddr,
    /// App: NAME, or NAME=KEY with its SDK API key; repeat it for more apps [default: web]
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<AppSpec>,
    /// Public key that Braze holds for an app: APP=FILE (PEM); repeat it for more keys
    #[arg(long = "public-key", value_name = "APP=FILE", value_parser = app_and_file)]
    public_keys: Vec<(String, PathBuf)>,
    /// Enforcement of SDK authentication: disabled, optional or required
    #[arg(long, value_name = "STATE", default_value = "required")]
    enforcement: Enforcement,
    /// Time that a new or deleted key takes to take effect, e.g. 10s
    #[arg(long, value_name = "TIME", value_parser = crate::clock::parse_duration)]
    propagation: Option<Duration>,
    /// Tell SDKs to retry within a second instead of half a minute
    #[arg(long)]
    fast_retries: bool,
}

fn app_and_file(text: &str) -> Result<(String, PathBuf), String> {
    let (app, file) = text.split_once('=').ok_or("write APP=FILE, e.g. web=public.pem")?;
    Ok((app.to_owned(), file.into()))
}

impl SandboxCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let json = context.output.json;
        let (braze, apps) = self.local_braze(json)?;
        let runtime = runtime::of_server()?;
        runtime.block_on(async {
            let sandbox = sandbox::Sandbox::bind(self.listen, braze).await?;
            let url = sandbox.url();
            announce(&if json { ready_line(&url, &apps) } else { banner(&url, &apps) });
            tokio::select! {
                never = sandbox::serve(sandbox) => match never {},
                stopped = crate::app::stop_signal() => stopped.context("signals cannot be received"),
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// Creates the local Braze with its apps and their keys; the apps are also returned as JSON, for the ready line.
    fn local_braze(&self, json: bool) -> anyhow::Result<(Arc<LocalBraze>, Vec<Value>)> {
        let switches = Switches {
            propagation_s: self.propagation.unwrap_or_default().as_secs_f64(),
            fast_retries: self.fast_retries,
            ..Switches::default()
        };
        let on_event =
            move |event: &Value| announce(&if json { event.to_string() } else { printable(&describe(event)) });
        let braze = LocalBraze::new(Arc::new(SystemClock), switches, on_event);
        let default = || vec![AppSpec::named("web")];
        let specs = if self.apps.is_empty() { default() } else { self.apps.clone() };
        let mut apps = Vec::new();
        for spec in specs {
            let spec = AppSpec { enforcement: Some(self.enforcement), ..spec };
            let name = spec.name.clone();
            apps.push(braze.add_app(spec).with_context(|| format!("--app {name}"))?);
        }
        for (app, file) in &self.public_keys {
            let pem = given::public_text(file)?;
            braze
                .add_key(app, &pem, "given at start")
                .map_err(|why| anyhow::anyhow!("--public-key {app}={}: {why}", file.display()))?;
        }
        Ok((Arc::new(braze), apps))
    }
}

fn ready_line(url: &str, apps: &[Value]) -> String {
    let issuer = format!("{url}{ISSUER_PATH}");
    json!({ "type": "ready", "url": url, "rest_api_key": REST_API_KEY, "apps": apps, "issuer": issuer }).to_string()
}

fn banner(url: &str, apps: &[Value]) -> String {
    let mut lines = String::new();
    for app in apps {
        let (name, key, id) = (text(app, "name"), text(app, "sdk_api_key"), text(app, "app_id"));
        let _ = writeln!(lines, "  {name:<12} SDK API key {key}   app id {id}");
    }
    format!(
        "The sandbox is ready: a local Braze. What it received and said: {url}\n\n{lines}\n\
         In the web app:   braze.initialize(SDK API key, {{ baseUrl: \"{url}\", enableSdkAuthentication: true }})\n\
         Key management:   {url}/app_group/sdk_authentication/keys, Authorization: Bearer {REST_API_KEY}\n\
         {}Stop: Ctrl-C\n",
        apps.first().map(|app| provider(url, text(app, "name"))).unwrap_or_default()
    )
}

/// Lines that let an app of a service sign in with ID tokens of the local OpenID provider.
fn provider(url: &str, app: &str) -> String {
    let issuer = format!("{url}{ISSUER_PATH}");
    format!(
        "OpenID provider:  {issuer}, which signs for whoever asks. In the configuration of the service:\n\n  \
         [[apps.{app}.sign_in]]\n  kind = \"oidc\"\n  issuer = \"{issuer}\"\n  audience = \"{app}\"\n\n  \
         An ID token:    curl -s '{issuer}/id-token?sub=u-1&aud={app}'\n"
    )
}

/// Describes an event of the sandbox for people.
fn describe(event: &Value) -> String {
    let request = &event["request"];
    match text(event, "type") {
        "request" => {
            let users = request["user_ids"].as_array().map_or(&[][..], Vec::as_slice);
            let users: Vec<&str> = users.iter().filter_map(Value::as_str).collect();
            let verdict = match (request["code"].as_i64(), request["accepted"].as_bool()) {
                (None, _) => "accepted".to_owned(),
                (Some(code), accepted) => format!(
                    "{}{code} {}: {}",
                    if accepted == Some(true) { "accepted in spite of " } else { "" },
                    text(request, "reason"),
                    text(request, "text")
                ),
            };
            let who = if users.is_empty() { "nobody".to_owned() } else { users.join(", ") };
            format!("{} {} for {who}: {verdict}", text(request, "app"), text(request, "path"))
        }
        "rest" => format!("REST {}: {}", text(event, "call"), event["status"]),
        other => format!("{other} changed"),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

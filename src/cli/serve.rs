//! `countersign serve`: run the service.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{context::Context, local_provider::LocalProvider, output::announce, runtime};
use crate::{
    app::{self, Access, Ambient, Dev, Listeners, Running},
    config::Settings,
    domain::ids::AppName,
    telemetry::init_logs,
};

/// Run the service
///
/// With --dev: no configuration file, a temporary key, API key and embedded store, on loopback only.
#[derive(Args)]
pub(super) struct Serve {
    /// Try it: keys and store are temporary and are deleted when the process stops
    #[arg(long)]
    dev: bool,
    /// Address for apps and backends, e.g. 127.0.0.1:8080; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address for metrics and health, e.g. 127.0.0.1:9090; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        // A process of root becomes the owner of the store here, before there are threads.
        let settings = if self.dev { None } else { Some(context.settings(&self.flags())?) };
        let runtime = runtime::of_server()?;
        let served = runtime.block_on(async {
            match settings {
                None => self.dev(context).await,
                Some(settings) => self.real(context, settings).await,
            }
        });
        // Work that is still blocked on a disk must not delay the exit.
        runtime.shutdown_background();
        served?;
        Ok(ExitCode::SUCCESS)
    }

    async fn real(&self, context: &Context, settings: Settings) -> anyhow::Result<()> {
        let flags = self.flags();
        let _log = init_logs(settings.log())?;
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let listeners = Listeners::open(&settings)?;
        let json = context.output.json;
        let ready = |running: Running| {
            tracing::info!(public = %running.public, ops = %running.ops, "ready");
            if json {
                announce(&json!({ "url": url(running.public), "ops_url": url(running.ops) }).to_string());
            }
        };
        let reload = || context.read_settings(&flags);
        Ok(app::serve_when_reachable(settings, Ambient::system(), listeners, reload, ready).await?)
    }

    async fn dev(&self, context: &Context) -> anyhow::Result<()> {
        let provider = LocalProvider::bind().await?;
        let issuer = provider.as_ref().map(LocalProvider::issuer);
        let mut flags = self.flags();
        if let Some(issuer) = &issuer {
            let sign_in = format!("[{{ kind = \"oidc\", issuer = \"{issuer}\", audience = \"web\" }}]");
            flags.push(("apps.web.sign_in".to_owned(), sign_in));
        }
        let (settings, services, access, folder) = Dev::open(&context.environment, &flags).await?.into_parts();
        let _log = init_logs(settings.log())?;
        let listeners = Listeners::open(&settings)?;
        let config = folder.path().join("countersign.toml");
        let reload = || Settings::load(Some(&config), &context.environment, &flags);
        let json = context.output.json;
        let issuer = issuer.as_deref();
        let ready = |running: Running| {
            announce(&if json { as_json(running, &access, issuer) } else { banner(running, &access, issuer) });
        };
        let beside = async move {
            match provider {
                Some(provider) => provider.serve().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            served = app::serve(settings, services, listeners, reload, ready) => served?,
            never = beside => match never {},
        }
        drop(folder);
        Ok(())
    }

    fn flags(&self) -> Vec<(String, String)> {
        let flag = |path: &str, value: &Option<String>| value.clone().map(|value| (path.to_owned(), value));
        [flag("server.listen", &self.listen), flag("server.ops_listen", &self.ops_listen)]
            .into_iter()
            .flatten()
            .collect()
    }
}

fn url(address: std::net::SocketAddr) -> String {
    format!("http://{address}")
}

fn as_json(running: Running, access: &Access, issuer: Option<&str>) -> String {
    let line = json!({
        "url": url(running.public),
        "ops_url": url(running.ops),
        "app": access.app,
        "api_key": *access.api_key.reveal(),
        "public_key": access.public_key,
        "issuer": issuer,
    });
    line.to_string()
}

fn banner(running: Running, access: &Access, issuer: Option<&str>) -> String {
    let (url, ops, app, key) = (url(running.public), url(running.ops), &access.app, access.api_key.reveal());
    format!(
        "Countersign is ready. Development mode: the keys below are deleted when it stops.\n\n\
         API key for app {app}:\n  {}\n\n\
         Public key, to paste into Braze (Settings > App Settings > SDK Authentication):\n{}\n\
         A token for user u-1:\n  \
         curl -s {url}/v1/token/generate -H 'Authorization: Bearer {}' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"app\":\"{app}\",\"user_id\":\"u-1\"}}'\n\n\
         {}Try the API: {url}/docs     Metrics: {ops}/metrics     Stop: Ctrl-C\n",
        *key,
        access.public_key,
        *key,
        issuer.map(|issuer| exchange(&url, app, issuer)).unwrap_or_default()
    )
}

/// Lines that sign in with the credential of a session, here an ID token of the local provider.
fn exchange(url: &str, app: &AppName, issuer: &str) -> String {
    format!(
        "The same without a backend, from the ID token of a session that the app has (here of a local provider):\n  \
         ID_TOKEN=$(curl -s '{issuer}/id-token?sub=u-1')\n  \
         curl -s {url}/v1/token/exchange -H \"Authorization: Bearer $ID_TOKEN\" \\\n    \
         -H 'Content-Type: application/json' -d '{{\"app\":\"{app}\"}}'\n\n"
    )
}

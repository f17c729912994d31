//! `countersign demo`: service, local Braze and a page to try them.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{context::Context, output::announce, runtime};
use crate::demo::{DemoConfig, DemoError, DemoEvent, Shown, demo};

/// Try it all in a browser: service, local Braze, and a page that logs in with the real Web SDK
///
/// The page has buttons to expire the token, rotate the key, switch users and cut the server, and shows what Braze
/// answered. The SDK and the client come from npm, beforehand; the page says how.
#[derive(Args)]
pub(super) struct Demo {
    /// Address of the page; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Folder that npm installed @braze/web-sdk and @countersign/braze-web into
    #[arg(long, value_name = "FOLDER", default_value = "node_modules")]
    modules: PathBuf,
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let json = context.output.json;
        let config = DemoConfig { listen: self.listen, modules: self.modules };
        let ready = |event: DemoEvent<'_>| {
            announce(&match event {
                DemoEvent::Page(shown) if json => as_json(shown),
                DemoEvent::Page(shown) => banner(shown),
                DemoEvent::Console(state) if json => state.to_string(),
                DemoEvent::Console(state) => console(state),
            });
        };
        let runtime = runtime::of_server()?;
        runtime.block_on(demo(config, &context.environment, ready)).map_err(|error| match error {
            // A wrong setting has an exit code of its own.
            DemoError::Dev(error) => anyhow::Error::from(error),
            error => error.into(),
        })?;
        runtime.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(shown: &Shown) -> String {
    json!({
        "url": shown.site, "service_url": shown.service, "sandbox_url": shown.sandbox, "console_url": shown.console,
        "app": shown.access.app, "api_key": *shown.access.api_key.reveal(), "public_key": shown.access.public_key,
        "sdk_api_key": shown.sdk_api_key, "missing": shown.missing,
    })
    .to_string()
}

fn banner(shown: &Shown) -> String {
    let missing = match shown.missing.as_slice() {
        [] => String::new(),
        missing => format!("\nNot installed: {}. The page says how to install it.\n", missing.join(", ")),
    };
    format!(
        "The demo is ready: open {} in a browser.\n{missing}\n\
         Service        {}\nLocal Braze    {}\nConsole        {} (sample data is being made)\nStop: Ctrl-C\n",
        shown.site, shown.service, shown.sandbox, shown.console
    )
}

/// Says where the console is and how to log in, or why it has no data.
fn console(state: &Value) -> String {
    let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
    match state["token"].as_str() {
        Some(token) => format!(
            "The console is ready, with a week of sample data: open {}\nToken to log in with: {token}\n",
            text("console_url")
        ),
        None => format!("The console has no sample data: {}\n", text("why")),
    }
}

//! `countersign healthcheck`: for containers that have no shell and no curl.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use axum::http::Uri;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    context::{Context, EXIT_NOT_READY},
    runtime,
};

/// Ask a running service whether it is ready
///
/// Exit code 0: ready; 4: not ready, or not reachable.
#[derive(Args)]
pub(super) struct Healthcheck {
    /// URL to ask, e.g. `http://127.0.0.1:9090/readyz` [default: the ops listener of the configuration]
    #[arg(value_parser = plain_http)]
    url: Option<Uri>,
}

impl Healthcheck {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let url = match self.url {
            Some(url) => url,
            None => format!("http://{}/readyz", context.read_settings(&[])?.server().ops_listen).parse()?,
        };
        let asked = runtime::block_on_with(1, async {
            let answer = tokio::time::timeout(Duration::from_secs(5), ask(&url)).await;
            answer.context("no answer within 5 s")?
        });
        let (ready, body) = match asked {
            Ok(answer) => answer,
            Err(error) => (false, format!("{url}: {error:#}")),
        };
        context.output.answer(&serde_json::json!({ "ready": ready, "answer": body }), body.trim_end())?;
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_READY) })
    }
}

/// Parses a URL that this command can ask.
fn plain_http(text: &str) -> Result<Uri, String> {
    const EXAMPLE: &str = "give the ops listener's, like http://127.0.0.1:9090/readyz";
    let url: Uri = text.parse().map_err(|_| format!("not a URL: {EXAMPLE}"))?;
    match (url.scheme_str(), url.authority()) {
        (Some("http"), Some(_)) => Ok(url),
        (Some("https"), _) => Err(format!("the service speaks plain HTTP, TLS ends in front of it: {EXAMPLE}")),
        _ => Err(format!("not a URL of plain HTTP: {EXAMPLE}")),
    }
}

/// Sends the request; returns whether the answer is a success, and its text.
async fn ask(url: &Uri) -> anyhow::Result<(bool, String)> {
    let authority = url.authority().context("the URL has no host")?;
    let stream =
        TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = hyper::Request::get(path).header("host", authority.as_str()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let ready = response.status().is_success();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((ready, String::from_utf8_lossy(&body).into_owned()))
}

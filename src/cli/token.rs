//! `countersign token`: mint one by hand, or see what is wrong with one.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{context::Context, users::user_id};
use crate::{
    clock::{Clock, SystemClock},
    domain::{
        ids::AppName,
        verdict::{Against, ErrorCode, Finding, Unverified, examine},
    },
};

#[derive(Subcommand)]
pub(super) enum Token {
    /// Mint a token for a user, without a session: to try out, not for apps
    Mint {
        /// The app
        #[arg(long)]
        app: AppName,
        /// The user id, as given to changeUser
        #[arg(long)]
        user: String,
        /// A life shorter than the app's, e.g. 5m
        #[arg(long, value_parser = crate::clock::parse_duration)]
        ttl: Option<Duration>,
    },
    Inspect(Inspect),
}

/// Decode a JWT and say in words what is wrong with it by Braze's rules
///
/// Exit code 0: nothing that Braze would reject; 1: Braze would reject it.
#[derive(Args)]
pub(super) struct Inspect {
    /// The JWT; - reads stdin
    token: String,
    /// A public key in PEM that Braze holds; several times for several
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// Take public keys and SDK API key of this app from the configuration
    #[arg(long)]
    app: Option<AppName>,
    /// The user id that the app gives to changeUser
    #[arg(long)]
    user: Option<String>,
}

impl Token {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Mint { app, user, ttl } => mint(context, &app, &user, ttl),
            Self::Inspect(inspect) => inspect.run(context),
        }
    }
}

fn mint(context: &Context, app: &AppName, user: &str, ttl: Option<Duration>) -> anyhow::Result<ExitCode> {
    let user = user_id(user)?;
    let issued = context.with_services(async |services, settings| {
        services.load_keys().await?;
        let issuer = services.issuer(&settings);
        let policy = issuer.policy(app).with_context(|| format!("there is no [apps.{app}] in the configuration"))?;
        Ok(issuer.mint_by_operator(&policy, user, ttl).await?)
    })?;
    let value = json!({ "token": issued.token.expose(), "token_expires": issued.expires });
    context.output.answer(&value, issued.token.expose())?;
    context.output.remark(format_args!("It expires at {}.", issued.expires));
    Ok(ExitCode::SUCCESS)
}

impl Inspect {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let token = if self.token == "-" { std::io::read_to_string(std::io::stdin())? } else { self.token.clone() };
        let token = token.trim();
        let (public_keys, sdk_api_key) = self.held(context)?;
        let against = Against {
            public_keys: public_keys.as_deref(),
            user: self.user.as_deref(),
            sdk_api_key: sdk_api_key.as_deref(),
            now: SystemClock.now(),
        };
        let findings = examine(token, &against);
        let rejected = findings.iter().any(|finding| finding.code.is_some());
        let read = Unverified::read(token).ok();
        let value = json!({
            "header": read.as_ref().map(|token| &token.header),
            "claims": read.as_ref().map(|token| &token.claims),
            "accepted": !rejected,
            "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
        });
        context.output.answer(&value, describe(read.as_ref(), &findings, public_keys.is_some()))?;
        Ok(if rejected { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The public keys to hold the token against, if any are named, and the app's SDK API key.
    fn held(&self, context: &Context) -> anyhow::Result<(Option<Vec<String>>, Option<String>)> {
        let mut keys = Vec::new();
        for file in &self.public_keys {
            keys.push(std::fs::read_to_string(file).with_context(|| file.display().to_string())?);
        }
        let Some(app) = &self.app else {
            return Ok(((!keys.is_empty()).then_some(keys), None));
        };
        let (ours, sdk_api_key) = context.with_services(async |services, settings| {
            let policies = settings.policies();
            let policy = policies.get(app).with_context(|| format!("there is no [apps.{app}] in the configuration"))?;
            let mut ours = services.ceremony().list().await?;
            ours.retain(|key| key.ring == policy.ring && key.state.is_verifiable());
            Ok((ours, policy.sdk_api_key.clone()))
        })?;
        keys.extend(ours.into_iter().map(|key| key.public_key));
        Ok((Some(keys), sdk_api_key))
    }
}

fn finding_json(finding: &Finding) -> serde_json::Value {
    json!({
        "error_code": finding.code.map(ErrorCode::number),
        "reason": finding.code.map(ErrorCode::reason),
        "text": finding.text,
    })
}

fn describe(token: Option<&Unverified>, findings: &[Finding], verified: bool) -> String {
    let mut text = String::new();
    if let Some(token) = token {
        let _ = writeln!(text, "header  {}\nclaims  {}\n", token.header, token.claims);
    }
    for finding in findings {
        let _ = match finding.code {
            Some(code) => writeln!(text, "{} {}: {}", code.number(), code.reason(), finding.text),
            None => writeln!(text, "note: {}", finding.text),
        };
    }
    if !findings.iter().any(|finding| finding.code.is_some()) {
        text.push_str("Nothing that Braze would reject");
        text.push_str(if verified {
            ".\n"
        } else {
            ", as far as can be seen without a public key (--public-key, or --app).\n"
        });
    }
    text
}

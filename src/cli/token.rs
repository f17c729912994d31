//! `countersign token`: mint a token by hand, or inspect one.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{context::Context, given, runtime, token_text::token_of};
use crate::{
    app::{Ambient, Services},
    clock::{Clock, SystemClock},
    domain::{
        ids::{AppName, UserId},
        verdict::{Against, ErrorCode, Finding, Unverified, examine},
    },
    operate::UnknownApp,
};

#[derive(Subcommand)]
pub(super) enum Token {
    /// Mint a token for a user, without a session: for trying things out, not for apps
    Mint {
        /// App to mint for
        #[arg(long)]
        app: AppName,
        /// User id, as given to changeUser
        #[arg(long, allow_hyphen_values = true)]
        user: String,
        /// Lifetime shorter than the app's, e.g. 5m
        #[arg(long, value_parser = crate::clock::parse_duration)]
        ttl: Option<Duration>,
    },
    Inspect(Inspect),
}

/// Decode a JWT and explain what is wrong with it by Braze's rules
///
/// Exit code 0: nothing was found that Braze would reject; 1: Braze would reject it. The signature is checked where a
/// public key is given.
#[derive(Args)]
pub(super) struct Inspect {
    /// JWT to inspect, or the JSON answer that has it; - reads stdin
    token: String,
    /// File with the public keys in PEM that Braze holds; repeat it for more files
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// Use the public keys on record for this app, and its SDK API key in the configuration
    #[arg(long)]
    app: Option<AppName>,
    /// User id that the app gives to changeUser
    #[arg(long, allow_hyphen_values = true)]
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
    let settings = context.settings(&[])?;
    let policies = settings.policies();
    UnknownApp::check(app, policies.keys())?;
    // By the app's own rules: the service would refuse the id too.
    let rules = policies.get(app).map(|policy| policy.user_ids()).unwrap_or_default();
    let user = UserId::parse(user, rules).map_err(|bad| anyhow::anyhow!("the user id {bad}"))?;
    let (token, expires) = runtime::block_on(async {
        let services = Services::open_read_only(&settings, Ambient::system()).await?;
        Ok(services.tokens(&settings).await?.mint(app, user, ttl).await?)
    })?;
    let value = json!({ "token": token.expose(), "token_expires": expires });
    context.output.answer(&value, token.expose())?;
    context.output.remark(format_args!("It expires at {expires}."));
    Ok(ExitCode::SUCCESS)
}

impl Inspect {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let text = if self.token == "-" { std::io::read_to_string(std::io::stdin())? } else { self.token.clone() };
        let token = &token_of(&text)?;
        let (known, sdk_api_key) = self.expected(context)?;
        let public_keys: Option<Vec<String>> =
            known.as_ref().map(|known| known.iter().map(|key| key.pem.clone()).collect());
        let against = Against {
            public_keys: public_keys.as_deref(),
            user: self.user.as_deref(),
            sdk_api_key: sdk_api_key.as_deref(),
            now: SystemClock.now(),
        };
        let findings = examine(token, &against);
        let rejected = findings.iter().any(|finding| finding.code.is_some());
        let read = Unverified::read(token).ok();
        let verified_with = known.iter().flatten().find(|key| key.verifies(token)).map(|key| key.name.as_str());
        let value = json!({
            "header": read.as_ref().map(|token| &token.header),
            "claims": read.as_ref().map(|token| &token.claims),
            "accepted": !rejected,
            "verified_with": verified_with,
            "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
        });
        context.output.answer(&value, describe(read.as_ref(), &findings, public_keys.is_some(), verified_with))?;
        Ok(if rejected { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Returns the public keys to verify the token with, if any are given, and the SDK API key of the app.
    fn expected(&self, context: &Context) -> anyhow::Result<(Option<Vec<KnownKey>>, Option<String>)> {
        let mut keys = Vec::new();
        for file in &self.public_keys {
            keys.extend(KnownKey::of_file(file)?);
        }
        let Some(app) = &self.app else {
            return Ok(((!keys.is_empty()).then_some(keys), None));
        };
        let (ours, sdk_api_key) = context.with_reader(async |operator, settings| {
            let policies = settings.policies();
            let policy = policies.get(app).ok_or_else(|| UnknownApp::new(app, policies.keys()))?;
            let mut ours = operator.keys().list().await?;
            ours.retain(|key| key.ring == policy.ring && key.state.is_verifiable());
            Ok((ours, policy.sdk_api_key.clone()))
        })?;
        keys.extend(ours.into_iter().map(|key| KnownKey { name: format!("key {}", key.kid), pem: key.public_key }));
        Ok((Some(keys), sdk_api_key))
    }
}

/// Public key that a token may be verified with.
struct KnownKey {
    /// Its id, or its place in a file.
    name: String,
    pem: String,
}

impl KnownKey {
    /// Reads every key of a file.
    fn of_file(file: &Path) -> anyhow::Result<Vec<Self>> {
        let text = given::public_text(file)?;
        let blocks = pem_blocks(&text);
        if blocks.is_empty() {
            bail!("{}: no key in PEM (`-----BEGIN PUBLIC KEY-----`)", file.display());
        }
        let name = |number: usize| match blocks.len() {
            1 => format!("the key of {}", file.display()),
            _ => format!("key {number} of {}", file.display()),
        };
        Ok(blocks.iter().zip(1..).map(|(pem, number)| Self { name: name(number), pem: pem.clone() }).collect())
    }

    /// Returns true where the key verifies the token's signature.
    fn verifies(&self, token: &str) -> bool {
        let keys = [self.pem.clone()];
        let against = Against { public_keys: Some(&keys), user: None, sdk_api_key: None, now: SystemClock.now() };
        let wrong = [ErrorCode::NoMatchingPublicKeys, ErrorCode::PublicKeyError, ErrorCode::IncorrectAlgorithm];
        Unverified::read(token).is_ok()
            && !examine(token, &against).iter().any(|finding| finding.code.is_some_and(|code| wrong.contains(&code)))
    }
}

/// Returns each PEM block (RFC 7468) of a text.
fn pem_blocks(text: &str) -> Vec<String> {
    let starts = text.match_indices("-----BEGIN ").map(|(start, _)| start);
    let ends = starts.clone().skip(1).chain([text.len()]);
    starts.zip(ends).map(|(start, end)| text[start..end].to_owned()).collect()
}

fn finding_json(finding: &Finding) -> serde_json::Value {
    json!({
        "error_code": finding.code.map(ErrorCode::number),
        "reason": finding.code.map(ErrorCode::reason),
        "text": finding.text,
    })
}

fn describe(token: Option<&Unverified>, findings: &[Finding], has_keys: bool, verified_with: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(token) = token {
        let _ = writeln!(text, "header  {}\nclaims  {}\n", token.header, token.claims);
    }
    if let Some(key) = verified_with {
        let _ = writeln!(text, "The signature is verified with {key}.");
    }
    for finding in findings {
        let _ = match finding.code {
            Some(code) => writeln!(text, "{} {}: {}", code.number(), code.reason(), finding.text),
            None => writeln!(text, "note: {}", finding.text),
        };
    }
    if !findings.iter().any(|finding| finding.code.is_some()) {
        text.push_str("Nothing that Braze would reject");
        text.push_str(if has_keys {
            ".\n"
        } else {
            ", as far as can be seen without a public key (--public-key, or --app).\n"
        });
    }
    text
}

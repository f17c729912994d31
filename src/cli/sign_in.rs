//! `countersign sign-in`: tries a real credential of an app's user.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    context::{Context, EXIT_NOT_READY, UsageError},
    given, runtime,
};
use crate::{
    app::{Accepted, Ambient, Refused, Trial, TriedCredential, try_sign_in},
    clock::human_duration::HumanDuration,
    config::Settings,
    domain::{ids::AppName, policy::AppPolicy, sign_in::SignIn},
    files::text,
    operate::UnknownApp,
};

#[derive(Subcommand)]
pub(super) enum SignInCommand {
    Test(SignInTest),
}

impl SignInCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Test(test) => test.run(context),
        }
    }
}

/// Try a credential: say which token would be minted, or which rule refuses it
///
/// It needs no running service: it reads the configuration, and asks the provider for its keys, or the endpoint about
/// the credential. The credential is never printed. Exit code 0: accepted; 1: refused; 4: nobody can say now.
#[derive(Args)]
pub(super) struct SignInTest {
    /// App to sign in to
    #[arg(long)]
    app: AppName,
    /// File with the credential; - reads stdin
    #[arg(long, value_name = "FILE", default_value = "-")]
    credential_file: PathBuf,
    /// Take the credential for the value of this cookie, not for a bearer credential
    #[arg(long, value_name = "NAME")]
    cookie: Option<String>,
}

impl SignInTest {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let settings = context.settings(&[])?;
        let policies = settings.policies();
        let policy = policies.get(&self.app).ok_or_else(|| UnknownApp::new(&self.app, policies.keys()))?;
        if !settings.sign_ins().contains_key(&self.app) {
            let text = format!("app {0} has no sign_in: write [[apps.{0}.sign_in]], see docs/sign-in.md", self.app);
            return Err(UsageError::new(text).into());
        }
        if self.credential_file == Path::new("-") && io::stdin().is_terminal() {
            context.output.remark("Paste the credential, then press Enter and Ctrl-D:");
        }
        let read = given::secret(context, &self.credential_file)?;
        let given = text(read.expose()).with_context(|| self.credential_file.display().to_string())?;
        let credential = one_line(given)?;
        let credential = match &self.cookie {
            Some(name) => TriedCredential::Cookie { name, value: credential },
            None => TriedCredential::Bearer(credential),
        };
        let trial =
            runtime::block_on(async { Ok(try_sign_in(&settings, &self.app, credential, Ambient::system()).await) })?;
        let (code, value, text) = match &trial {
            Trial::Accepted(accepted) => {
                let (value, text) = self.accepted(accepted, policy, &settings);
                (ExitCode::SUCCESS, value, text)
            }
            Trial::Refused(refused) => {
                let (value, text) = self.refused(refused);
                (ExitCode::FAILURE, value, text)
            }
            Trial::Unavailable { why } => {
                let (value, text) = self.unavailable(why);
                (ExitCode::from(EXIT_NOT_READY), value, text)
            }
        };
        context.output.answer(&value, text)?;
        Ok(code)
    }

    fn accepted(&self, accepted: &Accepted, policy: &AppPolicy, settings: &Settings) -> (Value, String) {
        let sign_ins = settings.sign_ins();
        let rules = sign_ins.get(&self.app).and_then(|list| list.get(accepted.sign_in));
        let (kind, by) = rules.map(described).unwrap_or_default();
        let setting = format!("apps.{}.sign_in[{}]", self.app, accepted.sign_in);
        let refresh = policy.refresh().map(|refresh| refresh.absolute.as_secs());
        let login = accepted.login.as_ref().map(
            |login| json!({ "issuer": login.issuer, "sub": login.subject, "sid": login.sid, "issued": login.issued }),
        );
        let value = json!({
            "accepted": true,
            "app": self.app,
            "user_id": accepted.user,
            "sign_in": { "setting": setting, "kind": kind, "by": by },
            "lifetime": policy.lifetime.as_secs(),
            "session": refresh,
            "login": login,
        });
        let mut text = format!(
            "Accepted: a token for user {:?} of app {} would be minted, for {}.\n",
            accepted.user,
            self.app,
            HumanDuration(policy.lifetime)
        );
        if let Some(refresh) = policy.refresh() {
            let (idle, absolute) = (HumanDuration(refresh.idle), HumanDuration(refresh.absolute));
            let _ = writeln!(
                text,
                "Its session would end after {idle} without a refresh, and after {absolute} in any case."
            );
        }
        let _ = writeln!(text, "Verified by {setting}, kind {kind:?}: {by}.");
        match &accepted.login {
            Some(login) => {
                let sid = login.sid.as_deref().map(|sid| format!(", sid {sid:?}")).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "A logout at the provider names it by sub {:?}{sid}; the credential is of {}.",
                    login.subject, login.issued
                );
            }
            None => text.push_str("No logout at a provider can name it.\n"),
        }
        text.push_str("Not checked: opt-outs, logouts at the provider, rate limits.\n");
        (value, text)
    }

    fn refused(&self, refused: &Refused) -> (Value, String) {
        let value = json!({
            "accepted": false,
            "app": self.app,
            "reason": refused.reason,
            "text": refused.text,
            "detail": refused.detail,
            "detail_is_verified": refused.is_verified,
            "advice": refused.advice,
        });
        let mut text = format!("Refused ({}): {}.\n", refused.reason, refused.text);
        if let Some(detail) = &refused.detail {
            let note = if refused.is_verified { "" } else { "unverified: " };
            let _ = writeln!(text, "{note}{detail}");
        }
        let _ = writeln!(text, "{}", refused.advice);
        text.push_str("The service answers 401 `unauthorized`, as to every refused credential.\n");
        (value, text)
    }

    fn unavailable(&self, why: &str) -> (Value, String) {
        let value = json!({ "accepted": null, "app": self.app, "reason": "unavailable", "why": why });
        let text = format!("Nobody can say now; the service answers 503 `unavailable` meanwhile.\n{why}\n");
        (value, text)
    }
}

/// Kind of a way to sign in, and who vouches.
fn described(rules: &SignIn) -> (&'static str, String) {
    match rules {
        SignIn::Oidc(rules) => ("oidc", format!("issuer {}", rules.issuer)),
        SignIn::Introspection(rules) => ("introspection", format!("endpoint {}", rules.endpoint)),
        SignIn::SessionEndpoint(rules) => ("session_endpoint", format!("URL {}", rules.url)),
    }
}

/// Returns a credential without the end of its line, and without the name of its scheme.
fn one_line(text: &str) -> anyhow::Result<&str> {
    let text = text.trim();
    let line = match text.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer ") => rest.trim_start(),
        _ => text,
    };
    if line.is_empty() {
        return Err(UsageError::new("there is no credential: give it on stdin or with --credential-file").into());
    }
    Ok(line)
}

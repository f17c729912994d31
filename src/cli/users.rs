//! `countersign users`: opt-outs and sessions.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{context::Context, output::table};
use crate::domain::{
    ids::{AppName, BRAZE_MAX_USER_ID_BYTES, SessionId, UserId, UserIdRules},
    session::{Ended, Session},
};

#[derive(Subcommand)]
pub(super) enum UsersCommand {
    /// Opt a user out: no token is minted or refreshed, on one app or on all, until opted in again
    ///
    /// A token that was issued before is valid at Braze until its exp.
    OptOut(UserArg),
    /// Undo an opt-out
    OptIn(UserArg),
    /// End sessions: of a user, of everyone on an app, or a single one
    ///
    /// Refresh tokens of an ended session are refused at once. A token that was issued before is valid at Braze until
    /// its exp.
    Revoke(Revoke),
    /// List a user's sessions, newest first
    Sessions {
        /// The user id, as given to changeUser
        user: String,
    },
}

#[derive(Args)]
pub(super) struct UserArg {
    /// The user id, as given to changeUser
    user: String,
    /// This app only [default: all apps]
    #[arg(long)]
    app: Option<AppName>,
}

#[derive(Args)]
#[group(skip)]
pub(super) struct Revoke {
    /// The user id, as given to changeUser
    #[arg(required_unless_present_any = ["session", "everyone"], conflicts_with_all = ["session", "everyone"])]
    user: Option<String>,
    /// Id of a single session
    #[arg(long, conflicts_with_all = ["app", "everyone"])]
    session: Option<SessionId>,
    /// Sessions of every user
    #[arg(long)]
    everyone: bool,
    /// This app only [default: all apps]
    #[arg(long)]
    app: Option<AppName>,
}

impl UsersCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::OptOut(arg) => opt_out(context, &arg),
            Self::OptIn(arg) => opt_in(context, &arg),
            Self::Revoke(what) => revoke(context, &what),
            Self::Sessions { user } => sessions(context, &user),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Parses a user id that an operator gives, by the most permissive rules that an app may have.
pub(super) fn user_id(text: &str) -> anyhow::Result<UserId> {
    let rules = UserIdRules { max_bytes: BRAZE_MAX_USER_ID_BYTES, allow_invisible: true };
    UserId::parse(text, rules).map_err(|bad| anyhow::anyhow!("the user id {bad}"))
}

fn opt_out(context: &Context, arg: &UserArg) -> anyhow::Result<()> {
    let user = user_id(&arg.user)?;
    let changed =
        context.with_operator(async |operator, _| Ok(operator.users().opt_out(&user, arg.app.as_ref()).await?))?;
    let text = if changed { "The user is opted out." } else { "The user was opted out already." };
    context.output.answer(&json!({ "changed": changed }), text)
}

fn opt_in(context: &Context, arg: &UserArg) -> anyhow::Result<()> {
    let user = user_id(&arg.user)?;
    let changed =
        context.with_operator(async |operator, _| Ok(operator.users().opt_in(&user, arg.app.as_ref()).await?))?;
    let text = if changed { "The user is opted in." } else { "There was no opt-out of that scope." };
    context.output.answer(&json!({ "changed": changed }), text)
}

fn revoke(context: &Context, what: &Revoke) -> anyhow::Result<()> {
    let app = what.app.as_ref();
    let ended = context.with_operator(async |operator, _| {
        let users = operator.users();
        match (&what.user, what.session) {
            (Some(user), _) => Ok(Some(users.revoke(&user_id(user)?, app).await?)),
            (None, Some(session)) => Ok(Some(u64::from(users.revoke_session(session).await?))),
            (None, None) => users.revoke_everyone(app).await.map(|()| None).map_err(Into::into),
        }
    })?;
    let text = match ended {
        Some(ended) => format!("{ended} live sessions ended."),
        None => "Every session up to now is ended.".to_owned(),
    };
    context.output.answer(&json!({ "ended": ended }), text)
}

fn sessions(context: &Context, user: &str) -> anyhow::Result<()> {
    let user = user_id(user)?;
    let sessions = context.with_reader(async |operator, _| Ok(operator.users().sessions(&user).await?))?;
    let values: Vec<_> = sessions.iter().map(as_json).collect();
    let rows = sessions.iter().map(|session| {
        let state = session.ended.map_or("", Ended::as_str).to_owned();
        let until = session.idle_expires.min(session.expires);
        [
            session.id.to_string(),
            session.app.to_string(),
            session.created.to_string(),
            session.rotated.to_string(),
            session.counter.to_string(),
            until.to_string(),
            state,
        ]
    });
    let columns = ["SESSION", "APP", "BEGAN", "REFRESHED", "REFRESHES", "UNTIL", "ENDED"];
    context.output.answer(&values, table(&columns, rows))
}

fn as_json(session: &Session) -> serde_json::Value {
    json!({
        "session": session.id.to_string(),
        "app": session.app,
        "created": session.created,
        "refreshed": session.rotated,
        "refreshes": session.counter,
        "idle_expires": session.idle_expires,
        "expires": session.expires,
        "ended": session.ended,
    })
}

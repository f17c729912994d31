//! `countersign users`: opt-outs and sessions.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    confirmation::Confirmation,
    context::{Access, Context},
    output::table,
    pending,
    user_argument::{UserArgument, not_an_option, user_id},
};
use crate::{
    domain::{
        ids::{AppName, SessionId, UserId},
        session::Ended,
    },
    operate::SessionsOf,
};

#[derive(Subcommand)]
pub(super) enum UsersCommand {
    /// Opt a user out: no token is minted or refreshed, on one app or on all, until opted in again
    ///
    /// A token that was issued before is valid at Braze until its exp. Exit code 5: done, and nodes are named that may not
    /// know it yet.
    OptOut(UserArg),
    /// Undo an opt-out
    OptIn(UserArg),
    /// End sessions: of a user, of everyone on an app, or a single one
    ///
    /// Refresh tokens of an ended session are refused at once. A token that was issued before is valid at Braze until
    /// its exp. Exit code 5: done, and nodes are named that may not know it yet.
    Revoke(Revoke),
    /// List a user's sessions, newest first
    Sessions {
        #[command(flatten)]
        user: UserArgument,
    },
}

#[derive(Args)]
#[group(skip)]
pub(super) struct UserArg {
    #[command(flatten)]
    user: UserArgument,
    /// This app only [default: all apps]
    #[arg(long)]
    app: Option<AppName>,
}

#[derive(Args)]
#[group(skip)]
pub(super) struct Revoke {
    #[command(flatten)]
    whose: Whose,
    /// This app only [default: all apps]
    #[arg(long, conflicts_with = "session")]
    app: Option<AppName>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Sessions that are ended.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// User id, as given to changeUser
    #[arg(value_name = "USER", allow_hyphen_values = true, value_parser = not_an_option)]
    positional: Option<String>,
    /// The same, for a user id that looks like an option: --user=--id
    #[arg(long, value_name = "USER", allow_hyphen_values = true)]
    user: Option<String>,
    /// Id of a single session
    #[arg(long)]
    session: Option<SessionId>,
    /// Sessions of every user; this cannot be undone, so it asks first
    #[arg(long)]
    everyone: bool,
}

impl UsersCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::OptOut(arg) => opt_out(context, &arg),
            Self::OptIn(arg) => opt_in(context, &arg).map(|()| ExitCode::SUCCESS),
            Self::Revoke(what) => revoke(context, &what),
            Self::Sessions { user } => sessions(context, &user.parse()?).map(|()| ExitCode::SUCCESS),
        }
    }
}

fn opt_out(context: &Context, arg: &UserArg) -> anyhow::Result<ExitCode> {
    let user = arg.user.parse()?;
    let outcome =
        context.with_operations(Access::Destroy, async |ops| Ok(ops.opt_out(&user, arg.app.as_ref()).await?))?;
    let text = if outcome.changed { "The user is opted out." } else { "The user was opted out already." };
    pending::answer(context.output, &outcome, text, &outcome.pending)
}

fn opt_in(context: &Context, arg: &UserArg) -> anyhow::Result<()> {
    let user = arg.user.parse()?;
    let changed =
        context.with_operations(Access::Change, async |ops| Ok(ops.opt_in(&user, arg.app.as_ref()).await?))?;
    let text = if changed { "The user is opted in." } else { "There was no opt-out of that scope." };
    context.output.answer(&json!({ "changed": changed }), text)
}

fn revoke(context: &Context, what: &Revoke) -> anyhow::Result<ExitCode> {
    let (app, whose) = (what.app.as_ref(), &what.whose);
    let user = whose.positional.as_deref().or(whose.user.as_deref()).map(user_id).transpose()?;
    let outcome = context.with_operations(Access::Destroy, async |ops| {
        let whose = match (user, whose.session) {
            (Some(user), _) => SessionsOf::User { user, app: app.cloned() },
            (None, Some(session)) => SessionsOf::Session(session),
            (None, None) => {
                let live = ops.live_sessions(app).await?;
                what.confirmation.require(context.output, everyone_text(live, app))?;
                SessionsOf::Everyone { app: app.cloned() }
            }
        };
        Ok(ops.end_sessions(whose).await?)
    })?;
    let text = match outcome.ended {
        Some(ended) => format!("{ended} live sessions ended."),
        None => "Every session up to now is ended.".to_owned(),
    };
    pending::answer(context.output, &outcome, &text, &outcome.pending)
}

/// Describes the end of every session, before it is confirmed.
fn everyone_text(live: u64, app: Option<&AppName>) -> String {
    let scope = app.map_or_else(|| "all apps".to_owned(), |app| format!("app {app}"));
    format!(
        "Every session of {scope} will end, {live} of them live: their refresh tokens will be refused at once, and these \
         users must log in again. Tokens that were issued are valid at Braze until their exp.\nThis cannot be undone."
    )
}

fn sessions(context: &Context, user: &UserId) -> anyhow::Result<()> {
    let sessions = context.with_operations(Access::Read, async |ops| Ok(ops.user_sessions(user).await?))?;
    let rows = sessions.iter().map(|session| {
        let state = session.ended.map_or("", Ended::as_str).to_owned();
        let until = session.idle_expires.min(session.expires);
        [
            session.session.to_string(),
            session.app.to_string(),
            session.created.to_string(),
            session.refreshed.to_string(),
            session.refreshes.to_string(),
            until.to_string(),
            state,
        ]
    });
    let columns = ["SESSION", "APP", "BEGAN", "REFRESHED", "REFRESHES", "UNTIL", "ENDED"];
    context.output.answer(&serde_json::to_value(&sessions)?, table(&columns, rows))
}

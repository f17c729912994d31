//! Users: sessions of one user by exact id, opt-out, end of sessions. The id travels in bodies only.

use axum::{http::StatusCode, response::Response};

use super::{
    form::version_of,
    html::{Markup, ShortId, ShownTime},
    overview::plural,
    page::{Condition, Page, StateSentence, render_as},
    visit::Visit,
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, UserId, UserIdRules},
        session::Ended,
    },
    operate::{OperationError, OperationErrorKind, SessionsOf, UserSession},
};

/// Sessions on the page.
const SHOWN: usize = 50;
/// Text that confirms the end of sessions.
const CONFIRMATION: &str = "end sessions";

struct SessionRow {
    session: ShortId,
    app: String,
    created: ShownTime,
    refreshed: ShownTime,
    refreshes: u64,
    expires: ShownTime,
    mark: Markup,
}

/// User who was looked up.
struct Found {
    user: String,
    rows: Vec<SessionRow>,
    hidden: usize,
    version: String,
    apps: Vec<String>,
    done: Option<String>,
    confirm_error: Option<&'static str>,
}

#[derive(askama::Template)]
#[template(path = "users.html")]
struct UsersPage {
    page: Page,
    /// Id as it was typed.
    typed: String,
    error: Option<String>,
    found: Option<Found>,
}

/// Shows the form that looks up a user.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let live = visit.operations.live_sessions(None).await?;
    let sentence = format!("{live} {} are live.", plural("session", usize::try_from(live).unwrap_or(usize::MAX)));
    Ok(blank(&visit, sentence, String::new(), None))
}

fn blank(visit: &Visit, sentence: String, typed: String, error: Option<String>) -> Response {
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = visit.page("Users", StateSentence::new(Condition::Neutral, sentence, visit.now));
    render_as(status, &UsersPage { page, typed, error, found: None })
}

/// Looks up a user.
pub(super) async fn find(visit: Visit) -> Result<Response, OperationError> {
    match user(&visit) {
        Ok(user) => found(&visit, &user, None, None).await,
        Err(error) => {
            Ok(blank(&visit, "No user was looked up.".to_owned(), visit.form.text("user").to_owned(), Some(error)))
        }
    }
}

fn user(visit: &Visit) -> Result<UserId, String> {
    UserId::parse(visit.form.text("user"), UserIdRules::WIDEST).map_err(|error| format!("The user id {error}."))
}

async fn found(
    visit: &Visit,
    user: &UserId,
    done: Option<String>,
    confirm_error: Option<&'static str>,
) -> Result<Response, OperationError> {
    let sessions = visit.operations.user_sessions(user).await?;
    let configuration = visit.operations.configuration().await?;
    let apps = configuration.json.get("apps").and_then(|apps| apps.as_object());
    let live = sessions.iter().filter(|session| is_live(session, visit.now)).count();
    let sentence = format!("This user has {live} live {}, of {} on record.", plural("session", live), sessions.len());
    let (version, hidden) = (version(&sessions), sessions.len().saturating_sub(SHOWN));
    let page = visit.page("Users", StateSentence::new(Condition::Neutral, sentence, visit.now));
    let found = Found {
        user: user.as_str().to_owned(),
        rows: sessions.iter().take(SHOWN).map(|session| row(session, visit.now)).collect(),
        hidden,
        version,
        apps: apps.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
        done,
        confirm_error,
    };
    let status = if confirm_error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(render_as(status, &UsersPage { page, typed: user.as_str().to_owned(), error: None, found: Some(found) }))
}

fn is_live(session: &UserSession, now: UnixMillis) -> bool {
    session.ended.is_none() && now < session.idle_expires && now < session.expires
}

fn row(session: &UserSession, now: UnixMillis) -> SessionRow {
    let (condition, word) = match session.ended {
        Some(Ended::Reused) => (Condition::Attention, "reused"),
        Some(ended) => (Condition::Neutral, ended.as_str()),
        None if is_live(session, now) => (Condition::Serving, "live"),
        None => (Condition::Neutral, "expired"),
    };
    SessionRow {
        session: ShortId(session.session.to_string()),
        app: session.app.to_string(),
        created: ShownTime(session.created),
        refreshed: ShownTime(session.refreshed),
        refreshes: session.refreshes,
        expires: ShownTime(session.idle_expires.min(session.expires)),
        mark: Markup(StateSentence::mark(condition, &word.replace('_', " "))),
    }
}

/// Version of a user's sessions in a form: which there are, and which have ended. A refresh does not change it.
fn version(sessions: &[UserSession]) -> String {
    let rows: Vec<String> = sessions
        .iter()
        .map(|session| format!("{} {}", session.session, session.ended.map_or("", Ended::as_str)))
        .collect();
    version_of(rows.iter().map(String::as_str))
}

/// Act on a user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UserAct {
    OptOut,
    OptIn,
    EndSessions,
}

/// Opts a user out.
pub(super) async fn opt_out(visit: Visit) -> Result<Response, OperationError> {
    act(visit, UserAct::OptOut).await
}

/// Opts a user in again.
pub(super) async fn opt_in(visit: Visit) -> Result<Response, OperationError> {
    act(visit, UserAct::OptIn).await
}

/// Ends the sessions of a user.
pub(super) async fn end_sessions(visit: Visit) -> Result<Response, OperationError> {
    act(visit, UserAct::EndSessions).await
}

async fn act(visit: Visit, act: UserAct) -> Result<Response, OperationError> {
    let invalid = |error: String| OperationError::new(OperationErrorKind::Invalid, error);
    let user = user(&visit).map_err(invalid)?;
    let app: Option<AppName> = match visit.form.trimmed("app") {
        "" => None,
        app => Some(app.parse().map_err(|_| invalid("There is no such app.".to_owned()))?),
    };
    let sessions = visit.operations.user_sessions(&user).await?;
    if visit.form.text("version") != version(&sessions) {
        let live = sessions.iter().filter(|session| is_live(session, visit.now)).count();
        return Ok(visit.outdated(vec![format!("The user has {live} live {} now.", plural("session", live))]));
    }
    if act == UserAct::EndSessions && visit.form.trimmed("confirm") != CONFIRMATION {
        return found(&visit, &user, None, Some("type the words exactly")).await;
    }
    let done = done(&visit, act, &user, app).await?;
    found(&visit, &user, Some(done), None).await
}

async fn done(visit: &Visit, act: UserAct, user: &UserId, app: Option<AppName>) -> Result<String, OperationError> {
    let operations = &visit.operations;
    let scope = app.as_ref().map_or_else(|| "every app".to_owned(), |app| format!("app {app}"));
    let (text, pending) = match act {
        UserAct::OptIn => {
            let changed = operations.opt_in(user, app.as_ref()).await?;
            let text = if changed { "The user is opted in again" } else { "The user was not opted out" };
            (text.to_owned(), Vec::new())
        }
        UserAct::OptOut => {
            let opted_out = operations.opt_out(user, app.as_ref()).await?;
            let text = if opted_out.changed { "The user is opted out" } else { "The user was opted out already" };
            (text.to_owned(), opted_out.pending)
        }
        UserAct::EndSessions => {
            let ended = operations.end_sessions(SessionsOf::User { user: user.clone(), app }).await?;
            let count = ended.ended.unwrap_or_default();
            let noun = plural("session", usize::try_from(count).unwrap_or(usize::MAX));
            (format!("{count} {noun} ended"), ended.pending)
        }
    };
    let tokens = if act == UserAct::OptIn { "" } else { " Tokens that are out stay valid until they expire." };
    let waiting = pending.iter().map(|node| node.node.as_str()).collect::<Vec<_>>().join(", ");
    let waiting = if waiting.is_empty() { String::new() } else { format!(" Not known yet to {waiting}.") };
    Ok(format!("{text}, for {scope}.{tokens}{waiting}"))
}

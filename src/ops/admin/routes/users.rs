//! Routes of users, their sessions and the failures that apps report. User ids travel in bodies: a path would be in
//! logs.

use super::{
    super::route::{AdminRoute, Answer, Call, Fault, changes, contradiction, parsed, reads, schema, user},
    APP, SPAN,
};
use crate::operate::{
    SessionsOf,
    wire::{EndSessions, OneUser, UserOfApp},
};

pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute {
        body: Some(schema::<UserOfApp>),
        handler: |call| Box::pin(opt_out(call)),
        ..changes("/users/opt-out", "opt_out", "Opts a user out, of one app or of all")
    },
    AdminRoute {
        body: Some(schema::<UserOfApp>),
        handler: |call| Box::pin(opt_in(call)),
        ..changes("/users/opt-in", "opt_in", "Removes an opt-out; `false` where there was none of that scope")
    },
    AdminRoute {
        body: Some(schema::<EndSessions>),
        handler: |call| Box::pin(end_sessions(call)),
        ..changes("/users/end-sessions", "end_sessions", "Ends sessions: of a user, a single one, or of everyone")
    },
    AdminRoute {
        method: "POST",
        body: Some(schema::<OneUser>),
        handler: |call| Box::pin(sessions(call)),
        ..reads("/users/sessions", "user_sessions", "Sessions of a user, newest first")
    },
    AdminRoute {
        query: &[APP],
        handler: |call| Box::pin(live_sessions(call)),
        ..reads("/sessions/live", "live_sessions", "Number of live sessions")
    },
    AdminRoute {
        query: &[SPAN, APP],
        handler: |call| Box::pin(failures(call)),
        ..reads("/failures", "failures", "Failures that apps reported, by cause")
    },
    AdminRoute {
        query: &[SPAN, APP],
        handler: |call| Box::pin(failure_counts(call)),
        ..reads("/failures/counts", "failure_counts", "Counts of those reports by minute or hour, oldest first")
    },
    AdminRoute {
        query: &[SPAN],
        handler: |call| Box::pin(activity(call)),
        ..reads("/activity", "activity", "Answers by the minute, oldest first; they are kept for 8 days")
    },
];

async fn opt_out(call: Call) -> Result<Answer, Fault> {
    let UserOfApp { user_id, app } = call.body()?;
    Answer::of(&call.operations.opt_out(&user(&user_id)?, app.as_ref()).await?)
}

async fn opt_in(call: Call) -> Result<Answer, Fault> {
    let UserOfApp { user_id, app } = call.body()?;
    Answer::of(&call.operations.opt_in(&user(&user_id)?, app.as_ref()).await?)
}

async fn end_sessions(call: Call) -> Result<Answer, Fault> {
    let whose = match call.body()? {
        EndSessions { user_id: Some(id), session: None, everyone: None | Some(false), app } => {
            SessionsOf::User { user: user(&id)?, app }
        }
        EndSessions { user_id: None, session: Some(id), everyone: None | Some(false), app: None } => {
            SessionsOf::Session(parsed("session", &id)?)
        }
        EndSessions { user_id: None, session: None, everyone: Some(true), app } => SessionsOf::Everyone { app },
        _ => {
            return Err(contradiction(
                "give exactly one of user_id, session and everyone; an app beside the first or the last",
            ));
        }
    };
    Answer::of(&call.operations.end_sessions(whose).await?)
}

async fn sessions(call: Call) -> Result<Answer, Fault> {
    let OneUser { user_id } = call.body()?;
    Answer::of(&call.operations.user_sessions(&user(&user_id)?).await?)
}

async fn live_sessions(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.live_sessions(call.app()?.as_ref()).await?)
}

async fn failures(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.failures(call.span()?, call.app()?.as_ref()).await?)
}

async fn failure_counts(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.failure_counts(call.span()?, call.app()?.as_ref()).await?)
}

async fn activity(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.activity(call.span()?).await?)
}

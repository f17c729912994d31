//! SQL conditions on a row `s` of `countersign.sessions`.

/// SQL condition on a session: its user is opted out of its app, or of all apps.
macro_rules! opted_out {
    () => {
        "EXISTS (SELECT 1 FROM countersign.opt_outs o WHERE o.user_hash = s.user_hash AND o.app IN ('', s.app))"
    };
}

/// SQL condition on a session: all sessions of its app, or of all apps, were ended after it was created.
macro_rules! app_ended {
    () => {
        "EXISTS (SELECT 1 FROM countersign.app_ends e WHERE e.app IN ('', s.app) AND e.ended_at >= s.created)"
    };
}

pub(super) use {app_ended, opted_out};

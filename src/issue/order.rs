//! Order of the signature and of the session's write that goes with it.
//!
//! A signature comes first, because one that fails must use up nothing: neither the refresh token that was presented,
//! nor the session that a new one would end. Where a failure is repaired without a trace, both run at once, so that one
//! login alone does not wait for processor and disk in turn.

use std::{future::Future, pin::pin, time::Duration};

use tokio::sync::oneshot;

use crate::domain::{policy::RefreshPolicy, session::Decision};

/// Least retry window with which the app of a failed refresh surely asks again in time: clients do within seconds.
const REPAIR: Duration = Duration::from_mins(1);

/// Order of a signature and a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The signature is ready before the write is begun.
    SignFirst(Why),
    /// The write is begun once the signature is being computed in this process.
    Together,
}

/// Reason for which the signature comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The app accepts the refresh token before the newest too shortly, or never: nothing would repair a failure.
    Strict,
    /// The store lost writes: it is repaired with care.
    LostWrites,
    /// The session does not advance.
    NoWrite,
}

impl Order {
    /// Order of a login. Where the signature fails after the write, the session that nobody has a token of is ended.
    /// One that would end another session of the user is signed first all the same
    /// ([`Creation::Full`](crate::store::Creation::Full)).
    pub(super) fn of_login(rules: RefreshPolicy) -> Self {
        if rules.retry_window < REPAIR { Self::SignFirst(Why::Strict) } else { Self::Together }
    }

    /// Order of a refresh. Where the signature fails after the write, the app presents the same refresh token again,
    /// which is one behind then, and gets its successor ([`Decision::Repeat`]).
    pub(super) fn of_refresh(decision: Decision, rules: RefreshPolicy) -> Self {
        match decision {
            Decision::Rotate { .. } if rules.retry_window < REPAIR => Self::SignFirst(Why::Strict),
            Decision::Rotate { .. } => Self::Together,
            Decision::Ahead { .. } => Self::SignFirst(Why::LostWrites),
            _ => Self::SignFirst(Why::NoWrite),
        }
    }
}

/// Signs and writes at once: begins `write` when `begun` tells that the signature is being computed.
///
/// Returns no outcome of the write where it was never begun: the signature was ready before, or failed, or had to wait
/// its turn. Under load that is the rule, and there one commit serves many writes.
pub(super) async fn together<S, W>(
    signature: impl Future<Output = S>,
    begun: oneshot::Receiver<()>,
    write: impl Future<Output = W>,
) -> (S, Option<W>) {
    let mut signature = pin!(signature);
    tokio::select! {
        biased;
        signed = &mut signature => (signed, None),
        Ok(()) = begun => {
            let (written, signed) = tokio::join!(write, signature);
            (signed, Some(written))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(retry_window: Duration) -> RefreshPolicy {
        RefreshPolicy { retry_window, ..RefreshPolicy::default() }
    }

    #[test]
    fn an_app_with_a_short_window_or_none_signs_first() {
        for strict in [Duration::ZERO, Duration::from_secs(59)] {
            assert_eq!(Order::of_login(window(strict)), Order::SignFirst(Why::Strict));
            let refresh = Order::of_refresh(Decision::Rotate { to: 1 }, window(strict));
            assert_eq!(refresh, Order::SignFirst(Why::Strict));
        }
        assert_eq!(Order::of_login(window(REPAIR)), Order::Together);
        assert_eq!(Order::of_refresh(Decision::Rotate { to: 1 }, window(REPAIR)), Order::Together);
    }

    #[test]
    fn only_the_advance_of_an_intact_session_overlaps() {
        let rules = RefreshPolicy::default();
        let lost = Order::of_refresh(Decision::Ahead { to: 9 }, rules);
        assert_eq!(lost, Order::SignFirst(Why::LostWrites));
        assert_eq!(Order::of_refresh(Decision::Repeat, rules), Order::SignFirst(Why::NoWrite));
    }

    #[tokio::test]
    async fn nothing_is_written_for_a_signature_that_is_not_begun() {
        let (begun, is_begun) = oneshot::channel();
        drop(begun);
        let written = together(async { "refused" }, is_begun, async { "written" }).await;
        assert_eq!(written, ("refused", None));
        let (begun, is_begun) = oneshot::channel();
        let signature = async {
            let _ = begun.send(());
            tokio::task::yield_now().await;
            "signed"
        };
        assert_eq!(together(signature, is_begun, async { "written" }).await, ("signed", Some("written")));
    }
}

//! `countersign keys compromise`: stop a key at once.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::{
    confirmation::Confirmation,
    context::{Access, Context},
    rotate::{finish, rotate},
};
use crate::{
    domain::{ids::AppName, key::KeyRecord},
    operate::{CompromiseForecast, Consequences, RotationAct},
};

/// Declare a key compromised: stop it at once, because somebody else may have it
///
/// Every node stops signing with it within 2 s. A published key takes over in the same moment; without one, a new
/// key is published as fast as possible. The key is deleted at Braze, which ends its tokens, and its private half
/// is destroyed. This cannot be undone, so it asks first.
#[derive(Args)]
pub(super) struct Compromise {
    /// Id of the key, or at least 8 characters of its beginning
    #[arg(allow_hyphen_values = true)]
    kid: String,
    /// Reason, for the audit log
    #[arg(long, default_value = "declared at the command line")]
    why: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Compromise {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let outcome = context.with_operations(Access::Destroy, async |ops| {
            let forecast = ops.forecast_compromise(&self.kid).await?;
            let key = ops.key(&self.kid).await?;
            if let Some(forecast) = forecast {
                self.confirmation.require(context.output, forecast_text(&forecast, &key))?;
            }
            let consequences = ops.compromise(key.kid.as_str(), &self.why).await?;
            context.output.remark(consequences_text(&consequences, &key));
            let followed = rotate(context, ops, &key.ring, RotationAct::FollowUp).await;
            followed.with_context(|| {
                let (program, ring) = (context.program(), &key.ring);
                format!("the key is stopped; the rest was interrupted, `{program} rotate run --ring {ring}` goes on")
            })
        })?;
        finish(context, &outcome)
    }
}

/// Describes what a compromise would do, before it is confirmed.
fn forecast_text(forecast: &CompromiseForecast, key: &KeyRecord) -> String {
    let (kid, ring) = (&key.kid, &key.ring);
    let live = forecast.live_sessions;
    let live = live.map_or_else(|| "unknown, as the clock is not trusted".to_owned(), |live| live.to_string());
    let signing = match (forecast.signs, &forecast.takes_over) {
        (false, _) => format!("It does not sign for ring {ring} now: signing goes on as before."),
        (true, Some(next)) => format!("Key {next} takes over in the same moment: signing for ring {ring} goes on."),
        (true, None) => format!(
            "NO KEY IS READY TO TAKE OVER: nothing can be signed for ring {ring}, and requests for tokens are answered \
             503, until {}. Live sessions that cannot be refreshed until then: {live}.",
            until_next_key(&forecast.by_hand)
        ),
    };
    let tokens = match forecast.tokens_until {
        Some(until) => format!(
            "Its tokens (some may live until {until}) are rejected as soon as Braze has deleted the key. Live sessions \
             that then need one refresh each: {live}."
        ),
        None => "No token of it is alive.".to_owned(),
    };
    format!(
        "Key {kid} ({}, ring {ring}) will be stopped for good, its private half destroyed, and the key deleted at Braze{}.\n\
         {signing}\n{tokens}\nThis cannot be undone.",
        key.state.as_str(),
        by_whom(&forecast.by_hand)
    )
}

/// Returns a remark about the apps whose keys only people can delete.
fn by_whom(by_hand: &[AppName]) -> String {
    if by_hand.is_empty() { String::new() } else { format!(" (for {} by you, in the dashboard)", names(by_hand)) }
}

fn until_next_key(by_hand: &[AppName]) -> String {
    if by_hand.is_empty() {
        return "Braze lists a new key, which is published at once".to_owned();
    }
    format!("somebody has added a new key at Braze for {} and confirmed it (`keys confirm`)", names(by_hand))
}

pub(super) fn names(apps: &[AppName]) -> String {
    let apps: Vec<&str> = apps.iter().map(AppName::as_str).collect();
    apps.join(", ")
}

/// Describes the tokens that are rejected, and when clients recover.
fn consequences_text(consequences: &Consequences, key: &KeyRecord) -> String {
    let tokens = match consequences.tokens_until {
        Some(until) => format!(
            "Its tokens (some may live until {until}) are rejected as soon as Braze has deleted the key; each client \
             recovers at its next request to Braze, through its auth-failure callback, with one refresh."
        ),
        None => "No token of it is alive: clients notice nothing.".to_owned(),
    };
    let next = match &consequences.active {
        Some(active) => format!("Key {active} signs for ring {}.", key.ring),
        None => format!(
            "No key signs for ring {} now: requests for tokens are answered 503 until a new key is published, which is \
             done as fast as possible.",
            key.ring
        ),
    };
    format!("Key {} signs no more; nodes follow within 2 s. {next}\n{tokens}", key.kid)
}

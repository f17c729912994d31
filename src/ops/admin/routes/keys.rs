//! Routes of keys.

use std::time::Duration;

use super::super::route::{AdminRoute, Answer, Call, Fault, changes, contradiction, parsed, reads, schema};
use crate::operate::{
    DashboardChange, KeySelection,
    wire::{ConfirmKey, GenerateKey, LONGEST_WAIT, MoveKeys, Reason},
};

/// Length of a modulus by default, in bits.
const BITS: u32 = 2048;

pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute { handler: |call| Box::pin(list(call)), ..reads("/keys", "keys", "Every key on record, oldest first") },
    AdminRoute {
        handler: |call| Box::pin(find(call)),
        ..reads("/keys/{id}", "key", "The key with this id, or with the only id that begins with it")
    },
    AdminRoute {
        creates: true,
        body: Some(schema::<GenerateKey>),
        handler: |call| Box::pin(generate(call)),
        ..changes("/keys", "generate_key", "Generates a key; it signs nothing before a rotation has published it")
    },
    AdminRoute {
        body: Some(schema::<ConfirmKey>),
        handler: |call| Box::pin(confirm(call)),
        ..changes("/keys/{id}/confirm", "confirm_key", "Records a change that was made in the Braze dashboard")
    },
    AdminRoute {
        handler: |call| Box::pin(forecast(call)),
        ..reads(
            "/keys/{id}/compromise",
            "forecast_compromise",
            "Forecast of a compromise, `null` where it would be refused",
        )
    },
    AdminRoute {
        body: Some(schema::<Reason>),
        handler: |call| Box::pin(compromise(call)),
        ..changes("/keys/{id}/compromise", "compromise", "Declares a key compromised, and stops it at once")
    },
    AdminRoute {
        body: Some(schema::<MoveKeys>),
        handler: |call| Box::pin(move_keys(call)),
        ..changes("/keys/move", "move_keys", "Moves private keys between places of custody of the service")
    },
    AdminRoute {
        handler: |call| Box::pin(erase(call)),
        ..changes("/keys/{id}/erase", "erase_key", "Erases private halves that no record names")
    },
];

async fn list(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.keys().await?)
}

async fn find(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.key(call.segment("id")).await?)
}

async fn generate(call: Call) -> Result<Answer, Fault> {
    let GenerateKey { ring, bits } = call.body()?;
    let key = call.operations.generate_key(ring, bits.unwrap_or(BITS)).await?;
    Answer::made(&key, key.kid.as_str())
}

async fn confirm(call: Call) -> Result<Answer, Fault> {
    let ConfirmKey { added, app } = call.body()?;
    let what = match added {
        Some(fingerprint) => DashboardChange::Added(parsed("added", &fingerprint)?),
        None => DashboardChange::Deleted,
    };
    Answer::of(&call.operations.confirm_key(call.segment("id"), what, app.as_ref()).await?)
}

async fn forecast(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.forecast_compromise(call.segment("id")).await?)
}

async fn compromise(call: Call) -> Result<Answer, Fault> {
    let Reason { why } = call.body()?;
    Answer::of(&call.operations.compromise(call.segment("id"), &why).await?)
}

async fn move_keys(call: Call) -> Result<Answer, Fault> {
    let MoveKeys { ids, ring, to, wait } = call.body()?;
    let keys = match (ids, ring) {
        (Some(_), Some(_)) => return Err(contradiction("give ids or a ring, not both")),
        (Some(ids), None) => KeySelection::Ids(ids),
        (None, ring) => KeySelection::Held(ring),
    };
    let wait = wait.map_or(LONGEST_WAIT, Duration::from_millis).min(LONGEST_WAIT);
    Answer::of(&call.operations.move_keys(keys, to, wait).await?)
}

async fn erase(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.erase_key(call.segment("id")).await?)
}

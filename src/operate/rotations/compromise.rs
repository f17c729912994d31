//! Compromise of a key: its forecast, and its consequences.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RingError, Rotations};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid},
        key::{KeyRecord, KeyState},
    },
    rotate::{
        Ring,
        plan::{self, CommandRefused, OperatorCommand, Snapshot},
    },
};

/// Forecast of a compromise; nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompromiseForecast {
    /// The key signs for its ring.
    pub signs: bool,
    /// Key that becomes active in the same moment.
    pub takes_over: Option<Kid>,
    /// Latest end of a token that the key may have signed; `None` where no token of it is alive.
    pub tokens_until: Option<UnixMillis>,
    /// Apps of the ring without a workspace: people add the next key there.
    pub by_hand: Vec<AppName>,
    /// Live sessions of the apps of the ring; `None` while the clock, which decides that, is stopped.
    pub live_sessions: Option<u64>,
}

/// Consequences of a compromise, as they are on record right after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consequences {
    /// Latest end of a token that the key may have signed; `None` where no token of it is alive.
    pub tokens_until: Option<UnixMillis>,
    /// Key that is active in its ring now.
    pub active: Option<Kid>,
}

impl Rotations {
    /// Forecast of [`Rotations::compromise`]; `None` where that would be refused.
    pub async fn forecast_compromise(&self, key: &KeyRecord) -> Result<Option<CompromiseForecast>, RingError> {
        let ring = self.find(&key.ring)?;
        let snapshot = self.rotator.load_recorded(ring).await?.snapshot;
        let Ok(takes_over) = successor(&snapshot, key) else { return Ok(None) };
        Ok(Some(CompromiseForecast {
            signs: key.state == KeyState::Active,
            takes_over,
            tokens_until: tokens_until(&snapshot, key),
            by_hand: ring.apps.iter().filter(|app| app.at_braze.is_none()).map(|app| app.app.clone()).collect(),
            live_sessions: self.live_sessions(ring).await?,
        }))
    }

    async fn live_sessions(&self, ring: &Ring) -> Result<Option<u64>, RingError> {
        let Ok(now) = self.rotator.clock.trusted_now() else { return Ok(None) };
        let live = self.rotator.store.live_sessions(now).await?.into_iter();
        let of_ring = live.filter(|(app, _)| ring.apps.iter().any(|known| known.app == *app));
        Ok(Some(of_ring.map(|(_, sessions)| sessions).sum()))
    }

    /// Declares a key compromised: nodes stop signing with it within 2 s. [`Rotations::follow_up`] does the next steps.
    pub async fn compromise(&self, key: &KeyRecord, why: &str) -> Result<Consequences, RingError> {
        let ring = self.find(&key.ring)?;
        self.rotator.compromise(ring, &key.kid, why).await?;
        let snapshot = self.rotator.load_recorded(ring).await?.snapshot;
        let active = snapshot.active().map(|active| active.record.kid.clone());
        Ok(Consequences { tokens_until: tokens_until(&snapshot, key), active })
    }
}

/// Returns the key that the compromise activates.
fn successor(snapshot: &Snapshot, key: &KeyRecord) -> Result<Option<Kid>, CommandRefused> {
    let command = OperatorCommand::Compromise(key.kid.clone());
    let changes = plan::command_transition(snapshot, &command)?.map(|transition| transition.changes);
    let activated = changes.into_iter().flatten().find(|(_, record)| record.state == KeyState::Active);
    Ok(activated.map(|(_, record)| record.kid))
}

fn tokens_until(snapshot: &Snapshot, key: &KeyRecord) -> Option<UnixMillis> {
    let signed = matches!(key.state, KeyState::Active | KeyState::Retiring);
    snapshot.key(&key.kid).and_then(|key| key.tokens_until).filter(|_| signed)
}

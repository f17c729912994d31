//! Routes of rings, rotations and keys at Braze.

use super::{
    super::route::{AdminRoute, Answer, Call, Fault, changes, contradiction, reads, schema},
    RING,
};
use crate::operate::{RotationAct, wire::Rotate};

pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute {
        query: &[RING],
        handler: |call| Box::pin(rings(call)),
        ..reads("/rings", "rings", "Names of the rings that apps use")
    },
    AdminRoute {
        handler: |call| Box::pin(apps_by_hand(call)),
        ..reads("/rings/{ring}/apps-by-hand", "apps_by_hand", "Apps whose keys people change in the Braze dashboard")
    },
    AdminRoute {
        handler: |call| Box::pin(plan(call)),
        ..reads("/rings/{ring}/plan", "rotation_plan", "Forecast of a rotation; changes nothing")
    },
    AdminRoute {
        handler: |call| Box::pin(status(call)),
        ..reads("/rings/{ring}/status", "rotation_status", "Keys, nodes, blockers and latest steps of a ring")
    },
    AdminRoute {
        body: Some(schema::<Rotate>),
        handler: |call| Box::pin(rotate(call)),
        ..changes(
            "/rings/{ring}/rotation",
            "rotate",
            "Begins, continues, aborts or rolls back a rotation, or repairs keys; `dry_run` answers with the plan",
        )
    },
    AdminRoute {
        query: &[RING],
        handler: |call| Box::pin(braze_keys(call)),
        ..reads("/braze/keys", "braze_keys", "Keys that Braze lists, compared with the records")
    },
    AdminRoute {
        query: &[RING],
        handler: |call| Box::pin(braze_diff(call)),
        ..reads("/braze/diff", "braze_diff", "Differences between what Braze holds and what it should hold")
    },
];

async fn rings(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.rings(call.member("ring")?.as_ref()).await?)
}

async fn apps_by_hand(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.apps_by_hand(&call.ring()?).await?)
}

async fn plan(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.rotation_plan(&call.ring()?).await?)
}

async fn status(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.rotation_status(&call.ring()?).await?)
}

async fn rotate(call: Call) -> Result<Answer, Fault> {
    let (ring, Rotate { act, dry_run }) = (call.ring()?, call.body()?);
    match (act, dry_run.unwrap_or_default()) {
        (RotationAct::Run, true) => Answer::of(&call.operations.rotation_plan(&ring).await?),
        (_, true) => Err(contradiction("dry_run is for the act run only: it answers with the plan of a rotation")),
        (act, false) => Answer::of(&call.operations.rotate(&ring, act).await?),
    }
}

async fn braze_keys(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.braze_keys(call.member("ring")?.as_ref()).await?)
}

async fn braze_diff(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.braze_diff(call.member("ring")?.as_ref()).await?)
}

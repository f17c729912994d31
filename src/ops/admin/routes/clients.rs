//! Routes of API keys.

use std::time::Duration;

use super::super::route::{AdminRoute, Answer, Call, Fault, changes, parsed, reads, schema};
use crate::operate::wire::CreateClient;

pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute {
        handler: |call| Box::pin(list(call)),
        ..reads("/clients", "clients", "Every API key on record, without its secret")
    },
    AdminRoute {
        creates: true,
        body: Some(schema::<CreateClient>),
        handler: |call| Box::pin(create(call)),
        ..changes("/clients", "create_client", "Makes an API key; it is shown only in this answer")
    },
    AdminRoute {
        handler: |call| Box::pin(revoke(call)),
        ..changes(
            "/clients/{id}/revoke",
            "revoke_client",
            "Revokes an API key; answers with its client where that has no live key any more, else `null`",
        )
    },
];

async fn list(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.clients().await?)
}

async fn create(call: Call) -> Result<Answer, Fault> {
    let CreateClient { client, apps, lifetime } = call.body()?;
    let made = call.operations.create_client(client, apps, lifetime.map(Duration::from_millis)).await?;
    Answer::made(&made, made.client.id.as_str())
}

async fn revoke(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.revoke_client(&parsed("id", call.segment("id"))?).await?)
}

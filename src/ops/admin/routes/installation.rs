//! Routes of the installation and of its operators.

use std::time::Duration;

use super::super::route::{AdminRoute, Answer, Call, Fault, changes, parsed, reads, schema};
use crate::{domain::operator::Role, operate::wire::CreateOperator};

pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute {
        handler: |call| Box::pin(about(call)),
        ..reads("/about", "about", "The installation, and the operator that asks")
    },
    AdminRoute { handler: |call| Box::pin(checks(call)), ..reads("/checks", "checks", "Checks of the installation") },
    AdminRoute { handler: |call| Box::pin(nodes(call)), ..reads("/nodes", "nodes", "Nodes that reported lately") },
    AdminRoute {
        handler: |call| Box::pin(schema_version(call)),
        ..reads("/schema", "schema", "Version of the store's tables")
    },
    AdminRoute {
        handler: |call| Box::pin(configuration(call)),
        ..reads("/configuration", "configuration", "Configuration in force, secrets left out")
    },
];

/// Routes of operators, which answer on the socket only: a stolen token must not make another.
pub(super) const OPERATOR_ROUTES: &[AdminRoute] = &[
    AdminRoute {
        role: Role::Operator,
        on_socket_only: true,
        handler: |call| Box::pin(operators(call)),
        ..reads("/operators", "operators", "Every operator on record, oldest first")
    },
    AdminRoute {
        on_socket_only: true,
        creates: true,
        body: Some(schema::<CreateOperator>),
        handler: |call| Box::pin(create_operator(call)),
        ..changes("/operators", "create_operator", "Puts an operator on record; the token is shown only in this answer")
    },
    AdminRoute {
        on_socket_only: true,
        handler: |call| Box::pin(revoke_operator(call)),
        ..changes("/operators/{name}/revoke", "revoke_operator", "Revokes an operator; the token is refused at once")
    },
];

async fn about(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.about().await?)
}

async fn checks(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.checks().await?)
}

async fn nodes(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.nodes().await?)
}

async fn schema_version(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.schema().await?)
}

async fn configuration(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.configuration().await?)
}

async fn operators(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.operators().await?)
}

async fn create_operator(call: Call) -> Result<Answer, Fault> {
    let CreateOperator { name, role, lifetime } = call.body()?;
    let id = name.to_string();
    Answer::made(&call.operations.create_operator(name, role, lifetime.map(Duration::from_millis)).await?, id)
}

async fn revoke_operator(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.revoke_operator(&parsed("name", call.segment("name"))?).await?)
}

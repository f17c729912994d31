//! `countersign clients`: API keys of backends.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    context::{Access, Context},
    output::{table, time_or_dash},
};
use crate::domain::{
    api_key::ApiKeyId,
    ids::{AppName, ClientName},
};

#[derive(Subcommand)]
pub(super) enum ClientsCommand {
    /// Make an API key for a backend; it is shown only once
    ///
    /// Running servers accept it within 2 s; until then they answer 401.
    ///
    /// A backend may have two live keys, so that one can replace the other without a gap: make the second, configure
    /// the backend with it, revoke the first.
    Create {
        /// Name of the backend
        client: ClientName,
        /// App that it may mint for; repeat it for more apps
        #[arg(long = "app", required = true)]
        apps: Vec<AppName>,
        /// Time after which the key expires, e.g. 90d [default: never]
        #[arg(long, value_name = "SPAN", value_parser = crate::clock::parse_duration)]
        expires: Option<std::time::Duration>,
    },
    /// List the API keys on record, without their secrets
    ///
    /// The last use is known to the minute; a running server writes it about once a minute.
    List,
    /// Revoke an API key for good; running servers refuse it within 2 s
    Revoke {
        /// Id of the key: the 16 digits after csk1_
        id: ApiKeyId,
    },
}

impl ClientsCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create { client, apps, expires } => create(context, client, apps, expires),
            Self::List => list(context),
            Self::Revoke { id } => revoke(context, &id),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn create(
    context: &Context,
    client: ClientName,
    apps: Vec<AppName>,
    expires: Option<std::time::Duration>,
) -> anyhow::Result<()> {
    let created =
        context.with_operations(Access::Change, async |ops| Ok(ops.create_client(client, apps, expires).await?))?;
    context.output.answer(&created, &*created.api_key).with_context(|| {
        let (program, id) = (context.program(), &created.client.id);
        format!("nobody has seen the new API key {id}: `{program} clients revoke {id}` revokes it")
    })?;
    context.output.remark(
        "This is the only time the key is shown: put it into the backend's secrets now.\n\
         Running servers accept it within 2 s; until then they answer 401.",
    );
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let records = context.with_operations(Access::Read, async |ops| Ok(ops.clients().await?))?;
    let rows = records.iter().map(|record| {
        let apps: Vec<&str> = record.apps.iter().map(AppName::as_str).collect();
        [
            record.id.to_string(),
            record.client.to_string(),
            apps.join(","),
            record.created.to_string(),
            time_or_dash(record.expires),
            time_or_dash(record.revoked),
            time_or_dash(record.last_used),
        ]
    });
    let header = ["ID", "CLIENT", "APPS", "CREATED", "EXPIRES", "REVOKED", "LAST USED"];
    context.output.answer(&records, table(&header, rows))
}

fn revoke(context: &Context, id: &ApiKeyId) -> anyhow::Result<()> {
    let locked_out = context.with_operations(Access::Destroy, async |ops| Ok(ops.revoke_client(id).await?))?;
    let text = format!("API key {id} is revoked; running servers refuse it within 2 s.");
    context.output.answer(&serde_json::json!({ "revoked": id }), text)?;
    if let Some(client) = locked_out {
        context.output.remark(format_args!("Client {client} has no live API key now: its requests are answered 401."));
    }
    Ok(())
}

//! `countersign operators`: operators of the operators' API and the console.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use super::{
    context::{Access, Context, UsageError},
    output::{table, time_or_dash},
    target::Target,
};
use crate::domain::operator::{OperatorName, Role};

#[derive(Subcommand)]
pub(super) enum OperatorsCommand {
    /// Make an operator; the token is shown only once
    ///
    /// The operators' API and the console are off until there is an operator. Operators are made on the store, or with
    /// `--url unix:/PATH` through the socket of the service, and never over the network.
    Create {
        /// Name of the operator
        name: OperatorName,
        /// Rights of the operator
        #[arg(long)]
        role: RoleArg,
        /// Time after which the token expires, e.g. 90d [default: never]
        #[arg(long, value_name = "SPAN", value_parser = crate::clock::parse_duration)]
        expires: Option<Duration>,
    },
    /// List the operators on record, without their tokens
    List,
    /// Revoke an operator for good: the token and its sessions of the console are refused at once
    Revoke {
        /// Name of the operator
        name: OperatorName,
    },
}

/// Rights of an operator, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleArg {
    /// Reads everything, and changes nothing
    Viewer,
    /// Does everything
    Operator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
        }
    }
}

impl OperatorsCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if let Target::Remote(target) = context.target()?
            && !target.endpoint.is_socket()
        {
            let text = "operators are made, listed and revoked on the store or with `--url unix:/PATH` through the socket \
                        of the service, and never over the network: whoever has one token could make others";
            return Err(UsageError::new(text).into());
        }
        match self {
            Self::Create { name, role, expires } => create(context, name, role.into(), expires),
            Self::List => list(context),
            Self::Revoke { name } => revoke(context, &name),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn create(context: &Context, name: OperatorName, role: Role, expires: Option<Duration>) -> anyhow::Result<()> {
    let created =
        context.with_operations(Access::Change, async |ops| Ok(ops.create_operator(name, role, expires).await?))?;
    context.output.answer(&created, &*created.operator_token).with_context(|| {
        let (program, name) = (context.program(), &created.operator.name);
        format!("nobody has seen the token of operator {name}: `{program} operators revoke {name}` revokes it")
    })?;
    context.output.remark(
        "This is the only time the token is shown: put it into a file that only its operator may read (chmod 600), for \
         --token-file, or use it to log in to the console.",
    );
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let operators = context.with_operations(Access::Read, async |ops| Ok(ops.operators().await?))?;
    let rows = operators.iter().map(|operator| {
        [
            operator.name.to_string(),
            operator.role.as_str().to_owned(),
            operator.token.to_string(),
            operator.created.to_string(),
            time_or_dash(operator.expires),
            time_or_dash(operator.revoked),
        ]
    });
    context.output.answer(&operators, table(&["NAME", "ROLE", "TOKEN", "CREATED", "EXPIRES", "REVOKED"], rows))
}

fn revoke(context: &Context, name: &OperatorName) -> anyhow::Result<()> {
    context.with_operations(Access::Destroy, async |ops| Ok(ops.revoke_operator(name).await?))?;
    let text = format!("Operator {name} is revoked: the token and its sessions of the console are refused at once.");
    context.output.answer(&serde_json::json!({ "revoked": name }), text)
}

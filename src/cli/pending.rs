//! Ends that are on record, and that some nodes may not know yet.

use std::process::ExitCode;

use serde::Serialize;

use super::{context::EXIT_PENDING, output::Output};
use crate::operate::PendingNode;

/// Answers a command that ended something: with `value`, `text`, and the nodes that may not know
/// it.
pub(super) fn answer(
    output: Output,
    value: &impl Serialize,
    text: &str,
    pending: &[PendingNode],
) -> anyhow::Result<ExitCode> {
    if pending.is_empty() {
        output.answer(value, text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let nodes: String = pending.iter().map(as_line).collect();
    output.answer(
        value,
        format_args!(
            "{text}\nIt is on record. These nodes did not say that they know it; where they are cut off from the store, they \
             may go on to give out tokens. Stop them where you cannot wait:\n{}",
            nodes.trim_end()
        ),
    )?;
    Ok(ExitCode::from(EXIT_PENDING))
}

fn as_line(node: &PendingNode) -> String {
    format!("  {} until {}, last heard of at {}\n", node.node, node.serves_until, node.looked)
}

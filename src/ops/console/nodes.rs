//! Nodes: the last report of each, and the keys that it could sign with.

use axum::response::Response;

use super::{
    html::{ShortId, ShownTime},
    overview::plural,
    page::{Condition, Page, StateSentence, render},
    visit::Visit,
};
use crate::operate::OperationError;

struct NodeRow {
    node: String,
    seen: ShownTime,
    keys: Vec<ShortId>,
}

#[derive(askama::Template)]
#[template(path = "nodes.html")]
struct Nodes {
    page: Page,
    rows: Vec<NodeRow>,
    hidden: usize,
}

/// Largest number of nodes on the page.
const MOST: usize = 25;
/// Largest number of keys of a node on the page.
const MOST_KEYS: usize = 6;

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let mut nodes = visit.operations.nodes().await?;
    nodes.sort_by(|one, other| one.node.cmp(&other.node));
    let state = if nodes.is_empty() {
        StateSentence::new(Condition::Attention, "No node reported in the last seconds.", visit.now)
    } else {
        let text = format!("{} {} reported in the last seconds.", nodes.len(), plural("node", nodes.len()));
        StateSentence::new(Condition::Serving, text, visit.now)
    };
    let hidden = nodes.len().saturating_sub(MOST);
    let rows = nodes.into_iter().take(MOST).map(|node| NodeRow {
        node: node.node,
        seen: ShownTime(node.seen),
        keys: node.loaded.keys().take(MOST_KEYS).map(|kid| ShortId(kid.to_string())).collect(),
    });
    Ok(render(&Nodes { page: visit.page("Nodes", state), rows: rows.collect(), hidden }))
}

//! Pure decision about the next step of one ring: (keys on record, Braze's lists, keys that nodes have loaded, policy,
//! now) → one step with its reason, or the blockers and the time until which they last.
//!
//! The plan depends on the present state only, not on earlier steps. It may therefore be computed again after a crash,
//! on another node, or after a change by hand in Braze's dashboard, and continues from there. It keeps these rules in
//! every case:
//!
//! * a key signs only after every app of the ring was shown to hold it and every live node has loaded it;
//! * no app is ever asked to hold more than [`SLOTS`] keys;
//! * the primary key of an app, and the key that signs, are never withdrawn;
//! * a private half is destroyed only when no token of it can be alive, or when it is compromised.

mod braze_rules;
mod command;
mod display;
mod outcome;
mod rules;
mod simulate;
mod snapshot;
mod step;
mod transition;

pub use command::{CommandRefused, OperatorCommand};
pub use rules::{due, next, tokens_expired};
pub use simulate::{Forecast, Planned, forecast, record, simulate};
pub use snapshot::{AppSnapshot, Entry, KeySnapshot, Listing, NodeSnapshot, SLOTS, Snapshot};
pub use step::{Blocker, Next, Observation, Step};
pub use transition::{Transition, command_transition, transition};

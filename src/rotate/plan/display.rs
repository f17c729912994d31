//! Texts of the plan: steps with their reasons, observations, blockers.

use std::fmt;

use super::{
    snapshot::Snapshot,
    step::{Blocker, Observation, Step},
};
use crate::domain::{ids::Kid, key::KeyState, rotation::Goal};

/// Returns the reason why a step is to be done now.
pub(super) fn reason(snapshot: &Snapshot, step: &Step) -> String {
    match step {
        Step::Note { observations } => note(observations),
        Step::Begin if snapshot.is_emergency() => "no key signs for this ring".to_owned(),
        Step::Begin => "the key that signs has done so for as long as the policy allows".to_owned(),
        Step::Generate => generate(snapshot),
        Step::Publish { kid, .. } if has_valid_tokens(snapshot, kid) => {
            "its tokens are alive, and the app does not list it: they are rejected there".to_owned()
        }
        Step::Publish { .. } => "a key signs only after Braze was shown to hold it".to_owned(),
        Step::Prove { .. } => "every app of the ring is shown or attested to hold it: nodes may load it".to_owned(),
        Step::Activate { .. } if snapshot.is_emergency() => {
            "no key signs: every app holds this one and every node has loaded it; the usual soak is left out".to_owned()
        }
        Step::Activate { .. } => "every app has held it for the soak, and every live node has loaded it".to_owned(),
        Step::Promote { .. } => "the key that signs should be the primary; a primary cannot be deleted".to_owned(),
        Step::Retire { .. } => "its last token has expired, and every app holds its successor".to_owned(),
        Step::Withdraw { kid, .. } => withdraw(snapshot, kid),
        Step::Destroy { kid } if is_compromised(snapshot, kid) => "it is compromised".to_owned(),
        Step::Destroy { .. } => "no token of it can be alive".to_owned(),
        Step::Finish => "nothing is left to do".to_owned(),
    }
}

fn note(observations: &[Observation]) -> String {
    let is_assumed = |observation: &&Observation| matches!(observation, Observation::Assumed { .. });
    let assumed = observations.iter().filter(is_assumed).count();
    let mut reasons = Vec::new();
    if assumed < observations.len() {
        reasons.push("Braze's list shows it");
    }
    if assumed > 0 {
        reasons.push("Braze is not asked about an app without a workspace, and no operator has attested the key");
    }
    reasons.join("; ")
}

fn generate(snapshot: &Snapshot) -> String {
    match (snapshot.is_emergency(), snapshot.goal) {
        (true, _) => "no key signs and none is ready: the new one signs as soon as it is listed and loaded".to_owned(),
        (false, Goal::Rotating) => "there is no published key to rotate to".to_owned(),
        (false, _) => "the policy keeps a published key ready beside the one that signs".to_owned(),
    }
}

fn withdraw(snapshot: &Snapshot, kid: &Kid) -> String {
    let state = snapshot.key(kid).map(|key| key.record.state);
    match state {
        Some(KeyState::Compromised) => "it is compromised: its tokens must be rejected".to_owned(),
        Some(KeyState::Retired) => "no token of it can be alive".to_owned(),
        _ => "the app holds it twice".to_owned(),
    }
}

fn is_compromised(snapshot: &Snapshot, kid: &Kid) -> bool {
    snapshot.key(kid).is_some_and(|key| key.record.state == KeyState::Compromised)
}

fn has_valid_tokens(snapshot: &Snapshot, kid: &Kid) -> bool {
    snapshot.key(kid).is_some_and(|key| matches!(key.record.state, KeyState::Active | KeyState::Retiring))
}

/// Returns the first eight characters of a key's id.
fn short(kid: &Kid) -> &str {
    kid.as_str().get(..8).unwrap_or(kid.as_str())
}

/// Replaces the ids of simulated keys, which are nobody's: the keys are still to be made, and get other ids.
pub(super) fn name_new_keys(text: &str, new: &[Kid]) -> String {
    let names = [("the new key", "NEW"), ("the standby key", "STANDBY")];
    new.iter().zip(names).fold(text.to_owned(), |text, (kid, (name, argument))| {
        text.replace(&format!("key {}", short(kid)), name).replace(short(kid), argument)
    })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note { observations } => {
                let all: Vec<String> = observations.iter().map(ToString::to_string).collect();
                write!(f, "put on record: {}", all.join("; "))
            }
            Self::Begin => f.write_str("begin a rotation"),
            Self::Generate => f.write_str("make a new key"),
            Self::Publish { app, kid } => write!(f, "publish key {} at Braze for app {app}", short(kid)),
            Self::Prove { kid } => write!(f, "put on record that key {} is published", short(kid)),
            Self::Activate { kid, retiring: None } => write!(f, "sign with key {}", short(kid)),
            Self::Activate { kid, retiring: Some(old) } => {
                write!(f, "sign with key {}; key {} retires", short(kid), short(old))
            }
            Self::Promote { app, kid, .. } => write!(f, "make key {} the primary of app {app}", short(kid)),
            Self::Retire { kid } => write!(f, "retire key {} for good", short(kid)),
            Self::Withdraw { app, kid, .. } => write!(f, "delete key {} at Braze for app {app}", short(kid)),
            Self::Destroy { kid } => write!(f, "destroy the private half of key {}", short(kid)),
            Self::Finish => f.write_str("end the rotation"),
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown { app, kid, .. } => write!(f, "app {app} lists key {}", short(kid)),
            Self::Assumed { app, kid } => {
                write!(f, "app {app} is taken to hold key {}, because it signs", short(kid))
            }
            Self::Attested { app, kid } => {
                write!(f, "an operator attests by its fingerprint that app {app} holds key {}", short(kid))
            }
            Self::Gone { app, kid } => write!(f, "app {app} no longer lists key {}", short(kid)),
            Self::Removed { app, kid } => {
                write!(f, "an operator attests that key {} is deleted at Braze for app {app}", short(kid))
            }
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soak { kid, until } => {
                write!(f, "key {} may sign from {until}: Braze advises to wait after publishing", short(kid))
            }
            Self::Settling { app, kid, until } => write!(
                f,
                "Braze was asked to add key {} for app {app} and does not list it yet; it may appear until {until}",
                short(kid)
            ),
            Self::Unlisted { app, kid, id, asked } => write!(
                f,
                "Braze answered at {asked} that it added key {} for app {app} (Braze's id {id}), and has not listed it since; look in the dashboard: `countersign braze keys apply` asks again, and withdraws what is there twice",
                short(kid)
            ),
            Self::Tokens { kid, until } => write!(f, "tokens of key {} are alive until {until}", short(kid)),
            Self::Nodes { kid, nodes } => {
                write!(f, "these nodes have not loaded key {} yet: {}", short(kid), nodes.join(", "))
            }
            Self::Paste { app, kid } => write!(
                f,
                "add key {} at Braze for app {app} (`countersign keys public {}`), then `countersign keys confirm {} --fingerprint …`",
                short(kid),
                short(kid),
                short(kid)
            ),
            Self::Remove { app, kid } => write!(
                f,
                "delete key {} at Braze for app {app}, then `countersign keys confirm {} --deleted`",
                short(kid),
                short(kid)
            ),
            Self::Silent { app, why } => write!(f, "app {app} waits for Braze: {why}"),
            Self::Full { app } => write!(
                f,
                "app {app} holds three keys, as many as Braze takes: delete one there that is not ours (`countersign braze keys diff`)"
            ),
            Self::Primary { app, kid } => write!(
                f,
                "key {} is the primary of app {app} and cannot be deleted before another of ours takes its place",
                short(kid)
            ),
            Self::NoSuccessor { kid } => write!(f, "no key signs: key {} stays until one does", short(kid)),
            Self::Missing { app, kid } => write!(
                f,
                "app {app} does not list key {}, which signs: `countersign braze keys apply` publishes it again",
                short(kid)
            ),
        }
    }
}

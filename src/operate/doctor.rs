//! Checks of an installation: keys, Braze, store, audit log and clock, each with what to do.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Operator, rotations::KeySource};
use crate::{
    custody::{InstallationMark, Orphan},
    domain::{
        key::{KeyLocation, KeyRecord, KeyState},
        missing_key,
    },
    rotate::{self, Drift},
    store::{AuditHead, Fact, Weight},
};

/// Result of a check; the worst one is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    Warning,
    Wrong,
}

/// Check with its result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Subject of the check, e.g. `store` or `key <kid> (active)`.
    pub what: String,
    pub health: Health,
    /// Finding, and what to do about it.
    pub text: String,
}

impl Check {
    /// Makes a check with its result.
    pub fn new(what: impl Into<String>, health: Health, text: impl Into<String>) -> Self {
        Self { what: what.into(), health, text: text.into() }
    }
}

impl From<Fact> for Check {
    fn from(fact: Fact) -> Self {
        let health = match fact.weight {
            Weight::Good => Health::Ok,
            Weight::Doubtful => Health::Warning,
            Weight::Bad => Health::Wrong,
        };
        Self::new(fact.what, health, fact.text)
    }
}

/// Checks of what is outside of an installation. `app` provides them.
#[async_trait]
pub trait OutsideChecks: Send + Sync {
    /// Asks every provider that vouches for users, within seconds, and looks whether this machine forbids the way to it or to
    /// another machine that the configuration names.
    async fn check_outside(&self) -> Vec<Check>;
}

impl Operator {
    /// Checks providers, network, keys, Braze, store, audit log and clock. Changes only one row of the store, to check that it can be
    /// written.
    ///
    /// # Errors
    /// The store cannot be asked for the keys, or a ring for its apps.
    pub async fn checks(&self) -> anyhow::Result<Vec<Check>> {
        let (mut checks, own) = tokio::join!(self.outside.check_outside(), self.own_checks());
        checks.extend(own?);
        Ok(checks)
    }

    async fn own_checks(&self) -> anyhow::Result<Vec<Check>> {
        let mut checks = vec![self.check_sealing().await?];
        checks.extend(self.check_keys().await?);
        checks.extend(self.check_braze().await?);
        checks.extend(self.check_store().await);
        checks.extend(self.check_database().await);
        checks.push(self.check_audit_log().await);
        checks.push(self.check_installation().await?);
        checks.extend(self.check_clock().await);
        Ok(checks)
    }

    /// Says which versions of the sealing secret the keys in the store need.
    async fn check_sealing(&self) -> anyhow::Result<Check> {
        let versions = self.places.sealing_versions(&self.store.keys().await?).await?;
        let listed = |wanted: bool| {
            let found = versions.iter().filter(|(_, newest)| **newest == wanted);
            found.map(|(version, _)| version.to_string()).collect::<Vec<_>>().join(", ")
        };
        let (older, newest) = (listed(false), listed(true));
        Ok(if !older.is_empty() {
            let text = format!(
                "opens the store; keys in the store still need version {older}: keep it, and seal them with the newest: \
                 `countersign keys rewrap`"
            );
            Check::new("sealing secret", Health::Warning, text)
        } else if newest.is_empty() {
            Check::new("sealing secret", Health::Ok, "opens the store")
        } else {
            Check::new("sealing secret", Health::Ok, format!("opens the store; its keys need version {newest} only"))
        })
    }

    async fn check_keys(&self) -> anyhow::Result<Vec<Check>> {
        let records = self.store.keys().await?;
        let held = records.iter().filter(|key| key.state.is_held());
        let mut checks = Vec::new();
        for key in held {
            checks.push(self.check_key(key).await);
        }
        checks.extend(self.custodian.orphans(&records).await?.iter().map(check_orphan));
        let active = || records.iter().filter(|key| key.state == KeyState::Active).map(|key| &key.ring);
        let keyless = self.rings.iter().filter(|ring| active().all(|keyed| *keyed != ring.name));
        checks.extend(keyless.map(|ring| {
            Check::new(format!("ring {}", ring.name), Health::Wrong, missing_key::advice(&ring.name, active()))
        }));
        Ok(checks)
    }

    /// Loads a key as a service would.
    async fn check_key(&self, key: &KeyRecord) -> Check {
        let what = format!("key {} ({})", key.kid, key.state.as_str());
        match (self.custodian.open(key).await, key.state) {
            (Ok(signer), _) => {
                let pace = signer.pace().map_or_else(String::new, |pace| format!("; {pace}"));
                Check::new(what, Health::Ok, format!("loads, signs, verifies{pace}"))
            }
            (Err(why), KeyState::Active) => Check::new(what, Health::Wrong, why.to_string()),
            (Err(why), _) => Check::new(what, Health::Warning, why.to_string()),
        }
    }

    /// Compares Braze's lists with our records; Braze is not asked about apps without a workspace.
    async fn check_braze(&self) -> anyhow::Result<Vec<Check>> {
        if self.clock.check().is_some() {
            return Ok(vec![Check::new(
                "braze",
                Health::Warning,
                "not compared with the records while the clock is wrong",
            )]);
        }
        let rotations = self.rotations(|_| {});
        let mut checks = Vec::new();
        for ring in rotations.rings(None)? {
            let what = format!("braze, ring {ring}");
            let diff = rotations.braze_diff(&[ring]).await?;
            checks.extend(diff.sources.iter().filter_map(|source| match source {
                KeySource::Listed { app, at } if diff.drift.is_empty() => {
                    let text = format!("Braze lists for app {app} what it should list, at {at}");
                    Some(Check::new(what.clone(), Health::Ok, text))
                }
                KeySource::Recorded { app, .. } => {
                    let text = "has no workspace, so Braze was not asked; `countersign braze keys list` shows what is on record";
                    Some(Check::new(what.clone(), Health::Ok, format!("app {app} {text}")))
                }
                KeySource::Listed { .. } | KeySource::Silent { .. } => None,
            }));
            checks.extend(diff.drift.iter().map(|drift| {
                let health = if matches!(drift, Drift::Missing { .. }) { Health::Wrong } else { Health::Warning };
                Check::new(what.clone(), health, drift.to_string())
            }));
        }
        Ok(checks)
    }

    /// Returns what the store's database says of itself.
    async fn check_database(&self) -> Vec<Check> {
        let lately = self.clock.untrusted_now().minus(rotate::NODE_LIVENESS);
        let facts = async { self.store.facts(self.store.nodes(lately).await?.len() as u64).await };
        match facts.await {
            Ok(facts) => facts.into_iter().map(Check::from).collect(),
            Err(error) => vec![Check::new("database", Health::Wrong, error.to_string())],
        }
    }

    async fn check_store(&self) -> [Check; 2] {
        let written = match self.store.check(self.clock.untrusted_now()).await {
            Ok(()) => Check::new("store", Health::Ok, "can be written and read"),
            Err(error) => Check::new("store", Health::Wrong, error.to_string()),
        };
        let schema = match self.store.schema().await {
            Ok(schema) => {
                Check::new("schema", Health::Ok, format!("{} (this build knows {})", schema.found, schema.known))
            }
            Err(error) => Check::new("schema", Health::Wrong, error.to_string()),
        };
        [written, schema]
    }

    /// Checks what the head of the audit log says; `audit verify` reads the log.
    async fn check_audit_log(&self) -> Check {
        const VERIFY: &str = "run `countersign audit verify`";
        let (health, text) = match self.store.audit_head().await {
            Ok(AuditHead { fork: Some(fork), .. }) => (Health::Wrong, format!("a fork is on record: {fork}: {VERIFY}")),
            Ok(AuditHead { waiting: 1.., .. }) => {
                (Health::Warning, format!("acts took effect and wait for their records: {VERIFY}"))
            }
            Ok(head) => {
                (Health::Ok, format!("its head has no fork on record, size {}, epoch {}", head.size, head.epoch))
            }
            Err(error) => (Health::Wrong, error.to_string()),
        };
        Check::new("audit log", health, text)
    }

    /// Checks that another store in the place of this one would be noticed.
    async fn check_installation(&self) -> anyhow::Result<Check> {
        let (store, keys) = (self.store.installation_id().await?, self.custodian.installation_mark().await?);
        Ok(match (store, keys) {
            (Some(store), InstallationMark::Of(keys)) if store == keys => {
                Check::new("installation", Health::Ok, format!("{store}, of the store and of the key folder"))
            }
            (Some(store), InstallationMark::InStore) => {
                let text = format!("{store}, of the store, which keeps the keys; the sealing secret opens both");
                Check::new("installation", Health::Ok, text)
            }
            (store, _) => {
                let id = store.map_or_else(|| "none".to_owned(), |id| id.to_string());
                let text = format!(
                    "the store's id is {id}, and the key folder has none: let the service write to the folder once, so \
                     that it notices another store"
                );
                Check::new("installation", Health::Warning, text)
            }
        })
    }
}

/// Check of a private half that no record names where it is.
fn check_orphan(orphan: &Orphan) -> Check {
    let KeyLocation { custody, locator } = &orphan.location;
    let what = if custody == "file" { format!("key file {locator}") } else { format!("sealed key {locator}") };
    let text = match &orphan.record {
        Some(key) if key.state.is_held() => format!(
            "a copy of key {}, which was moved to custody {}: `countersign keys move --to {} {}` erases the copy",
            key.kid, key.custody, key.custody, key.kid
        ),
        Some(key) => {
            format!("a copy of key {}, which is {}: `countersign keys erase {}`", key.kid, key.state.as_str(), key.kid)
        }
        None => format!(
            "no record names it, and nothing signs with it: import it with `countersign keys import`, or delete it: \
             `countersign keys erase {}`",
            locator.trim_end_matches(".pem")
        ),
    };
    Check::new(what, Health::Warning, text)
}

//! Operations on failures that apps report.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::{KnownApps, UserError};
use crate::{
    clock::{ClockGuard, UnixMillis},
    domain::{failure::SdkVersion, ids::AppName},
    failures::{AppFacts, FailureRow, Knowledge, KnownInstallation, OverviewFacts, overview},
    store::{Store, StoreError},
};

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// Newest acts that a rise is compared with.
const ACTS: u32 = 1000;

/// Facts of the configuration that failures are compared with.
#[derive(Clone, Debug, Default)]
pub struct FailureSettings {
    pub apps: BTreeMap<AppName, AppFacts>,
    /// Number of distinct sessions from which a rise counts.
    pub threshold: u64,
}

/// Operators' operations on failures.
pub struct ReportedFailures {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) known_apps: KnownApps,
    pub(super) settings: FailureSettings,
}

/// Failures of a time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailureOverview {
    pub since: UnixMillis,
    pub until: UnixMillis,
    /// Those that began to rise last first, then those of most sessions.
    pub failures: Vec<FailureRow>,
    /// SDK versions that most sessions reported with, as far as clients send one, with their number.
    pub sdk_versions: Vec<VersionCount>,
}

/// Sessions that reported with a version of an SDK.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionCount {
    pub version: SdkVersion,
    pub sessions: u64,
}

impl ReportedFailures {
    /// Returns the failures of the last `span`, of one app or all.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn overview(&self, span: Duration, app: Option<&AppName>) -> Result<FailureOverview, UserError> {
        self.known_apps.check_known(app).await?;
        let now = self.clock.untrusted_now();
        // Counts are of whole minutes.
        let since = UnixMillis(now.minus(span).0.div_euclid(MINUTE) * MINUTE);
        let mut counts = self.store.failures_since(since).await?;
        counts.retain(|count| app.is_none_or(|app| count.key.app == *app));
        let facts = OverviewFacts {
            counts,
            examples: self.store.failure_examples().await?,
            acts: self.store.audit_log(None, ACTS).await?,
            service_events: self.store.service_events(UnixMillis(0)).await?,
            installation: self.installation(now).await?,
            threshold: self.settings.threshold,
            now,
        };
        Ok(FailureOverview { since, until: now, failures: overview(&facts), sdk_versions: self.versions().await? })
    }

    async fn installation(&self, now: UnixMillis) -> Result<KnownInstallation, StoreError> {
        let knowledge = Knowledge::new(self.settings.apps.clone());
        knowledge.renew(&*self.store, now).await?;
        Ok(KnownInstallation::clone(&knowledge.load()))
    }

    async fn versions(&self) -> Result<Vec<VersionCount>, StoreError> {
        let mut versions: Vec<VersionCount> = self
            .store
            .failure_versions()
            .await?
            .into_iter()
            .map(|one| VersionCount { version: one.version, sessions: one.sessions.estimate() })
            .collect();
        versions.sort_by(|one, other| (other.sessions, &one.version).cmp(&(one.sessions, &other.version)));
        Ok(versions)
    }
}

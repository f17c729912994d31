//! What has ended, as the tables have it: all of it at first, and parts again when there are many exact ends.
//!
//! These long reads are no requests: that one of them gets no answer in time does not show that others get none. So none
//! of them opens the breaker; while it is open, none begins.

use std::mem::discriminant;

use super::EndsAgent;
use crate::{
    clock::UnixMillis,
    domain::ids::SessionId,
    outage::{Coverage, IdRange, LogRead, Operation, SliceKeys, Taken},
    store::{End, StoreError},
};

impl EndsAgent {
    /// Begins a look at everything, with what stands.
    pub(super) async fn standing(&self, began: Option<UnixMillis>) -> Result<LogRead, StoreError> {
        let ended = &self.node.outage.ended;
        let mut look = ended.read_all(began);
        self.node.outage.check(Operation::Read)?;
        let most = ended.most_standing();
        let ends = self.node.store.standing_ends(most.saturating_add(1)).await?;
        if ends.len() > most as usize {
            look.cut();
        }
        for end in &ends {
            look.stands(end);
        }
        // Opt-outs take effect with the whole look.
        let others = ends.iter().filter(|end| !matches!(end, End::OptOut { .. }));
        ended.take(&mut look, others);
        Ok(look)
    }

    /// Reads every session that has ended, into filters. What was known before stays known meanwhile.
    pub(super) async fn read_tables(&self, now: UnixMillis) -> Result<(), StoreError> {
        let ended = &self.node.outage.ended;
        ended.read_tables();
        let mut range = Some(ended.first_range());
        while let Some(next) = range {
            self.read_range(next, now).await?;
            range = ended.range_after(next);
        }
        let (sessions, bytes) = ended.size();
        tracing::info!(sessions, bytes, "what has ended is read");
        Ok(())
    }

    /// Logs where there is no memory for what has ended, or there is again.
    pub(super) fn report_coverage(&mut self) {
        let covered = self.node.outage.ended.coverage();
        let before = std::mem::replace(&mut self.coverage, covered);
        // Not each time that one more old filter leaves.
        if discriminant(&before) == discriminant(&covered) {
            return;
        }
        match covered {
            Coverage::All => tracing::info!("there is memory for all that has ended"),
            Coverage::From(from) => {
                tracing::warn!(%from, "older sessions are not refreshed while the store is out of reach: \
                there is no memory for those that ended; raise store.outage_memory_mib");
            }
            Coverage::Nothing => tracing::error!(
                "nothing is answered while the store is out of reach: there is no memory \
                for all opt-outs and ends; raise store.outage_memory_mib"
            ),
        }
    }

    /// Puts old exact ends into filters, where there are many. Without a trusted time they wait: which sessions have
    /// expired is not known.
    pub(super) async fn make_room(&self) -> Result<(), StoreError> {
        let ended = &self.node.outage.ended;
        while let Some(range) = ended.crowded() {
            let Ok(now) = self.node.clock.trusted_now() else { return Ok(()) };
            let before = ended.exact();
            self.read_range(range, now).await?;
            if ended.exact() >= before {
                ended.tolerate();
            }
        }
        Ok(())
    }

    async fn read_range(&self, range: IdRange, now: UnixMillis) -> Result<(), StoreError> {
        let ended = &self.node.outage.ended;
        let (mut reader, page) = (ended.reader(range), ended.page());
        loop {
            let sessions = self.page(reader.after(), now, page).await?;
            let mut is_read = sessions.len() < usize::try_from(page).unwrap_or(usize::MAX);
            for (id, expires) in sessions {
                match reader.take(id, expires) {
                    Taken::Waits => {}
                    Taken::Full(keys) => self.build(keys).await?,
                    Taken::Beyond => is_read = true,
                }
            }
            if is_read {
                return self.build(reader.finish()).await;
            }
        }
    }

    async fn page(
        &self,
        after: SessionId,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<(SessionId, UnixMillis)>, StoreError> {
        self.node.outage.check(Operation::Read)?;
        self.node.store.ended_sessions(after, now, limit).await
    }

    async fn build(&self, keys: SliceKeys) -> Result<(), StoreError> {
        let built = tokio::task::spawn_blocking(move || keys.build()).await;
        let why = "a filter of ended sessions could not be made";
        let slice = built.map_err(|_| self.node.outage.out_of_reach(why))?;
        self.node.outage.ended.put(slice);
        Ok(())
    }
}

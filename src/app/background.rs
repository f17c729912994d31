//! Background tasks of a service. None of them ends while the service runs: one that does is a fault, and nothing here
//! restarts it.

use std::{collections::HashMap, sync::Arc};

use strum::IntoStaticStr;
use tokio::task::{Id, JoinError, JoinSet};

use super::failpoint;
use crate::telemetry::{Alarm, Metrics};

/// Background task of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BackgroundTask {
    /// Heartbeat, reload, upkeep, readiness.
    Node,
    /// Following of what ends.
    Ends,
    /// Following of the audit log, and its checkpoints.
    Audit,
    /// Records for the reports of apps.
    Failures,
    /// Rotation of the key rings.
    Rotation,
    /// Listener for apps and backends.
    PublicListener,
    /// Listener for metrics and health.
    OpsListener,
}

impl BackgroundTask {
    /// Name of the task in logs.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A background task is gone, so that the process cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the background task {} {}", task.name(), if *panicked { "panicked" } else { "ended by itself" })]
pub struct TaskEnded {
    pub task: BackgroundTask,
    pub panicked: bool,
}

/// Running background tasks; they are aborted when this is dropped.
pub struct Background {
    tasks: JoinSet<()>,
    names: HashMap<Id, BackgroundTask>,
    metrics: Arc<Metrics>,
}

impl Background {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { tasks: JoinSet::new(), names: HashMap::new(), metrics }
    }

    /// Starts a task.
    pub(super) fn spawn(&mut self, task: BackgroundTask, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(failpoint::run(task.name(), work)).id();
        self.names.insert(id, task);
    }

    /// Waits until a task panics or ends by itself; logs it and raises the alarm.
    pub async fn ended(&mut self) -> TaskEnded {
        let Some(ended) = self.next().await else { return std::future::pending().await };
        tracing::error!(task = ended.task.name(), panicked = ended.panicked, "a background task is gone");
        self.metrics.alarm(Alarm::Task);
        ended
    }

    /// Waits for a task that was told to end; at once where it ended before.
    pub(super) async fn join(&mut self, task: BackgroundTask) {
        while self.names.values().any(|running| *running == task) {
            if self.next().await.is_none() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<TaskEnded> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        Some(TaskEnded { task: self.names.remove(&id)?, panicked: ended.is_err_and(|error| error.is_panic()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn background() -> (Background, Arc<Metrics>) {
        let metrics = Metrics::new();
        (Background::new(Arc::clone(&metrics)), metrics)
    }

    #[tokio::test]
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    async fn a_task_that_ends_or_panics_is_an_alarm() {
        let (mut background, metrics) = background();
        background.spawn(BackgroundTask::Node, std::future::pending());
        background.spawn(BackgroundTask::Rotation, async {});
        assert_eq!(background.ended().await, TaskEnded { task: BackgroundTask::Rotation, panicked: false });
        background.spawn(BackgroundTask::PublicListener, async { panic!("on purpose") });
        let ended = background.ended().await;
        assert_eq!(ended, TaskEnded { task: BackgroundTask::PublicListener, panicked: true });
        assert_eq!(ended.to_string(), "the background task public_listener panicked");
        assert!(metrics.encode().contains("countersign_alarms_total{kind=\"task\"} 2"));
    }

    #[tokio::test]
    async fn a_task_that_was_told_to_end_is_no_alarm() {
        let (mut background, metrics) = background();
        background.spawn(BackgroundTask::Node, std::future::pending());
        background.spawn(BackgroundTask::PublicListener, async {});
        background.join(BackgroundTask::PublicListener).await;
        background.join(BackgroundTask::OpsListener).await;
        assert!(metrics.encode().contains("countersign_alarms_total{kind=\"task\"} 0"));
    }
}

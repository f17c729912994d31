//! Outages of the store, on virtual time and on both stores: what honest devices notice of them, and what thieves and
//! ended sessions gain. `degraded.rs` has the answers one by one, `outage_simulation` what nobody thought of.

mod born;
mod copies;
mod failover;
mod hour;
mod known_ends;

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::Clock,
    domain::{
        refresh_token::{Contents, unseal},
        sealing::SealingKeys,
        session::Session,
    },
};

use super::support::{
    Answer,
    postgres::{Database, Server},
    switched_store::Reach,
    test_service::{CONFIG, TestClock, TestService},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// Makes tests of scenarios: one on SQLite, and one on PostgreSQL.
macro_rules! on_both_stores {
    ($($(#[$doc:meta])* $scenario:ident)*) => {
        mod sqlite {
            $($(#[$doc])* #[tokio::test]
            async fn $scenario() {
                super::$scenario(crate::outage::Engine::Sqlite).await;
            })*
        }
        mod postgres {
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs PostgreSQL: tests/run.sh postgres"]
            async fn $scenario() {
                super::$scenario(crate::outage::Engine::Postgres).await;
            })*
        }
    };
}
use on_both_stores;

/// Nodes on one store, each with a clock and a way to the store of its own.
struct Deployment {
    nodes: Vec<TestService>,
    database: Option<Database>,
}

impl Deployment {
    /// `store` is more of the section `[store]`, `more` more of the configuration.
    async fn on(engine: Engine, nodes: usize, store: &str, more: &str) -> Self {
        let database = (engine == Engine::Postgres).then(|| Server::shared().database());
        let url = database.as_ref().map_or_else(String::new, |database| format!("url = \"{}\"\n", database.url()));
        let first = TestService::with(&format!("[store]\n{url}{store}\n{CONFIG}{more}")).await;
        let mut site = Self { nodes: vec![first], database };
        for _ in 1..nodes {
            site.start_another().await;
        }
        site.tick().await;
        site
    }

    /// Starts one more node.
    async fn start_another(&mut self) {
        let clock = Arc::new(TestClock::at(self.nodes[0].clock.now()));
        self.nodes.push(self.nodes[0].beside(clock).await);
    }

    /// Does the background work of one second on every node: twice, so that each knows how far the others have come.
    async fn tick(&self) {
        for _ in 0..2 {
            for node in &self.nodes {
                node.tick().await;
            }
        }
    }

    /// Passes time, and does the background work after it.
    async fn pass(&self, span: Duration) {
        self.nodes.iter().for_each(|node| node.clock.forward(span));
        self.tick().await;
    }

    /// Passes days, with some background work in each.
    async fn pass_days(&self, days: u32) {
        for _ in 0..2 * days {
            self.pass(DAY / 2).await;
        }
    }

    fn reach(&self, reach: Reach) {
        self.nodes.iter().for_each(|node| node.switch.set(reach));
    }

    /// Ends the outage; the nodes notice it within two seconds.
    async fn recover(&self) {
        self.reach(Reach::Reachable);
        self.pass(SECOND).await;
        self.pass(SECOND).await;
    }

    fn contents(&self, refresh_token: &str) -> Contents {
        (*unseal(refresh_token, &SealingKeys::derive(self.nodes[0].settings.sealing())).unwrap()).clone()
    }

    /// The row of a refresh token's session, past the switches.
    async fn row(&self, refresh_token: &str) -> Option<Session> {
        self.nodes[0].switch.store().session(self.contents(refresh_token).session).await.unwrap()
    }

    /// Number of alarms of a kind on all nodes.
    fn alarms(&self, kind: &str) -> f64 {
        let series = format!(r#"countersign_alarms_total{{kind="{kind}"}}"#);
        self.nodes.iter().map(|node| node.metric(&series)).sum()
    }
}

/// Returns true for an answer without the store; its token lives at most 15 minutes.
#[track_caller]
fn is_degraded(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let body = answer.json();
    let degraded = body.get("degraded").is_some();
    assert!(!degraded || body["expires_in"].as_u64().unwrap() <= 900, "{body}");
    degraded
}

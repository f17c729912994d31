//! Two processes of the service on one PostgreSQL database, direct and behind pgbouncer in transaction mode.

use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    cluster::Cluster,
    measured,
    postgres::{Database, Pooler, Server},
    service::{Service, run_ending},
};

/// One installation, two processes.
struct Pair {
    cluster: Cluster,
    nodes: Arc<[Service; 2]>,
    database: Database,
}

impl Pair {
    /// Both use the database itself.
    async fn direct() -> Self {
        let database = Server::shared().database();
        let url = database.url();
        Self::at(database, &url).await
    }

    /// Both use pgbouncer, which gives the statements of either to a few connections.
    async fn pooled() -> Self {
        let database = Server::shared().database();
        let url = Pooler::shared().url(&database.name);
        Self::at(database, &url).await
    }

    async fn at(database: Database, url: &str) -> Self {
        let cluster = Cluster::on(url, "").await;
        let nodes = Arc::new([cluster.node(), cluster.node()]);
        Self { cluster, nodes, database }
    }

    /// Runs a command of the CLI, as on the machine of the first node.
    fn run(&self, arguments: &[&str]) {
        run_ending(arguments, self.cluster.folder.path());
    }

    /// Uses one refresh token many times at once, on both nodes in turn; the counters of the tokens answered.
    async fn race(&self, refresh_token: &str, uses: usize) -> BTreeSet<u64> {
        let mut racing = JoinSet::new();
        for n in 0..uses {
            let (nodes, token) = (Arc::clone(&self.nodes), refresh_token.to_owned());
            racing.spawn(async move { nodes[n % 2].refresh(&token).await.unwrap().ok().text("refresh_token") });
        }
        racing.join_all().await.iter().map(|token| self.cluster.contents(token).counter).collect()
    }

    async fn one_generation(&self, rounds: u32) {
        for round in 0..rounds {
            let token = self.cluster.session(&self.nodes[0], &format!("u-{round}")).await;
            assert_eq!(self.race(&token, 200).await, BTreeSet::from([1]), "round {round}");
        }
        assert_eq!(self.database.sql("SELECT DISTINCT counter FROM countersign.sessions"), "1\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn of_200_parallel_uses_of_a_token_one_generation_is_made() {
    Pair::direct().await.one_generation(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn two_processes_behind_pgbouncer_agree() {
    let pair = Pair::pooled().await;
    pair.one_generation(5).await;
    let token = pair.cluster.session(&pair.nodes[1], "u-x").await;
    pair.run(&["users", "revoke", "u-x"]);
    for node in &*pair.nodes {
        node.refresh(&token).await.unwrap().problem(401, "invalid_token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn an_end_on_one_node_is_seen_by_the_other_at_once() {
    let pair = Pair::direct().await;
    let [first, second] = &*pair.nodes;
    for round in 0..5 {
        let user = format!("u-{round}");
        let token = pair.cluster.session(first, &user).await;
        let token = second.refresh(&token).await.unwrap().ok().text("refresh_token");
        let revoked = first.post("/v1/token/revoke", None, &json!({ "refresh_token": token })).await.unwrap();
        assert_eq!(revoked.status, 200, "{revoked:?}");
        second.refresh(&token).await.unwrap().problem(401, "invalid_token");

        let token = pair.cluster.session(second, &user).await;
        pair.run(&["users", "opt-out", &user]);
        second.refresh(&token).await.unwrap().problem(403, "opted_out");
        second.generate(&pair.cluster.api_key, &user).await.problem(403, "opted_out");
        pair.run(&["users", "opt-in", &user]);
        second.refresh(&token).await.unwrap().ok();
    }
}

/// Both nodes purge as they start: the sessions that are over go, each of them once, and the live ones stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn what_is_over_is_purged_beside_another_node() {
    let pair = Pair::direct().await;
    let live = pair.cluster.session(&pair.nodes[0], "u-live").await;
    pair.database.sql(
        "INSERT INTO countersign.sessions (id, user_hash, app, counter, created, rotated, idle_expires, expires)
         SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), sha256(n::TEXT::BYTEA), 'web', 0, 1, 1, 2, 3
         FROM generate_series(1, 1500) n",
    );
    // A purge examines a thousand rows, and each of these processes does one as it starts.
    let later = [pair.cluster.node(), pair.cluster.node()];
    crate::cli::eventually(async || pair.database.sql("SELECT count(*) FROM countersign.sessions") == "1\n").await;
    for node in &later {
        node.refresh(&live).await.unwrap().ok();
    }
}

/// The time of a request counts from its beginning, also where batches of others hang before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn no_request_waits_longer_than_the_timeout_for_a_database_that_hangs() {
    measured(wait_for_a_database_that_hangs).await;
}

async fn wait_for_a_database_that_hangs() -> Result<(), String> {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let database = Server::shared().database();
    let cluster = Cluster::on(&database.url(), "").await;
    let config = fs::read_to_string(cluster.config()).unwrap();
    fs::write(cluster.config(), config.replace("[store]\n", "[store]\noutage = \"refuse\"\ntimeout = \"4s\"\n"))
        .unwrap();
    let node = Arc::new(cluster.node());
    let token = cluster.session(&node, "u-1").await;
    let mut settings = tokio_postgres::Config::new();
    settings.host_path(Server::shared().folder()).user("postgres").dbname(&database.name);
    let (client, connection) = settings.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE countersign.sessions").await.unwrap();
    let mut requests = JoinSet::new();
    for _ in 0..25 {
        let (node, token) = (Arc::clone(&node), token.clone());
        requests.spawn(async move {
            let begun = Instant::now();
            node.refresh(&token).await.unwrap().problem(503, "unavailable");
            begun.elapsed()
        });
        sleep(Duration::from_millis(100)).await;
    }
    let longest = requests.join_all().await.into_iter().max().unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    crate::cli::eventually(async || node.refresh(&token).await.unwrap().status == 200).await;
    // Those that came first, and waited anew behind a batch that hung, would take twice the time.
    if longest < TIMEOUT + TIMEOUT * 3 / 4 { Ok(()) } else { Err(format!("{longest:?}")) }
}

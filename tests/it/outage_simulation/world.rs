//! A world of three nodes on one real store: users who log in, refresh and log out, thieves, operators, partitions,
//! outages, lost answers, restarts, wrong clocks and jumps of time. A seed decides what happens.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, InstallationId, SessionId, UserHash, UserId},
        refresh_token::{Contents, RefreshToken},
        session::Session,
    },
    identity::AppUser,
    outage::Operation,
    store::{self, Store},
    telemetry::Metrics,
};

use super::node::{Random, SimNode, put_key_on_record, user_hash};
use crate::support::{
    domain::{requester, sealing_keys, user},
    switched_store::Reach,
    test_service::TestClock,
};

pub const START: UnixMillis = UnixMillis(1_795_000_000_000);
pub const NODES: usize = 3;
const USERS: usize = 4;
const APPS: [&str; 2] = ["web", "ios"];

/// Fault that a world has on purpose, so that it is proved that the rules find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// A refresh without the store counts on.
    CounterPlusOne,
    /// The row of a session that began without the store is inserted whatever ended meanwhile.
    InsertIgnoresUserEnds,
    /// The row of a session is deleted 7 days after its end.
    PurgeSevenDaysAfterEnd,
}

/// User on one app, or on all.
pub type Scope = (usize, Option<usize>);

/// Something that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Session(SessionId),
    User(Scope),
    App(Option<usize>),
}

/// An end that the store has.
#[derive(Clone, Debug)]
pub struct SimEnd {
    pub what: What,
    pub at: UnixMillis,
    /// It was answered as done: no node may serve what it covers, ever.
    pub done: bool,
}

/// A session, as its device and the thieves know it.
pub struct SimSession {
    pub id: SessionId,
    pub user: usize,
    pub app: usize,
    /// Number of ends before it began: later ones may cover it.
    pub born: usize,
    /// Every refresh token that anybody got.
    pub tokens: Vec<String>,
    /// The one that its device has.
    pub latest: usize,
    /// Somebody else presented a token of it, or the device an old one.
    pub copied: bool,
    /// Time of the first rotation since then whose answer the device may not have.
    pub lost_since: Option<UnixMillis>,
}

/// Place of a node: its machine stays when its process ends.
pub struct Slot {
    pub node: Option<SimNode>,
    pub clock: Arc<TestClock>,
    pub reach: Reach,
    /// Error of the wall clock in seconds.
    pub stepped: i64,
    /// Number of ends at the last complete look, and the opt-outs then.
    pub followed: usize,
    pub known_out: BTreeSet<Scope>,
    starts: u32,
}

/// Numbers of answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub with_store: u64,
    pub degraded: u64,
    pub refused: u64,
    /// Copies that were caught, and sessions that were put on record at their first refresh.
    pub caught: u64,
    pub adopted: u64,
    /// Valid refreshes without the store on nodes that may serve, and those of them that got 503.
    pub valid: u64,
    pub unanswered: u64,
}

pub struct Simulation {
    pub seed: u64,
    pub random: Arc<Random>,
    pub mutant: Mutant,
    pub now: UnixMillis,
    pub slots: Vec<Slot>,
    pub sessions: Vec<SimSession>,
    pub ends: Vec<SimEnd>,
    pub opted_out: BTreeSet<Scope>,
    pub counts: Counts,
    pub history: Vec<String>,
    pub store: Arc<dyn Store>,
    config: store::Config,
    /// Past the service.
    pub raw: rusqlite::Connection,
    _folder: tempfile::TempDir,
}

impl Simulation {
    pub async fn new(seed: u64, mutant: Mutant) -> Self {
        // Nothing here must survive: memory is quicker than a disk.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let config = store::Config { path: folder.path().join("countersign.db"), ..store::Config::default() };
        let store = store::create(&config, InstallationId::new([7; 16]), Metrics::new()).await.unwrap();
        put_key_on_record(&*store, START).await;
        let raw = rusqlite::Connection::open(&config.path).unwrap();
        raw.execute_batch("PRAGMA synchronous = OFF").unwrap();
        if mutant == Mutant::InsertIgnoresUserEnds {
            let clear = "CREATE TRIGGER mutant AFTER INSERT ON sessions WHEN NEW.ended = 'revoked'
                         BEGIN UPDATE sessions SET ended = NULL, ended_at = NULL WHERE id = NEW.id; END";
            raw.execute_batch(clear).unwrap();
        }
        let slot = |_| Slot {
            node: None,
            clock: Arc::new(TestClock::at(START)),
            reach: Reach::Reachable,
            stepped: 0,
            followed: 0,
            known_out: BTreeSet::new(),
            starts: 0,
        };
        let mut world = Self {
            seed,
            random: Arc::new(Random::of(seed)),
            mutant,
            now: START,
            slots: (0..NODES).map(slot).collect(),
            sessions: Vec::new(),
            ends: Vec::new(),
            opted_out: BTreeSet::new(),
            counts: Counts::default(),
            history: Vec::new(),
            store,
            config,
            raw,
            _folder: folder,
        };
        for at in 0..NODES {
            world.start_node(at).await;
        }
        world.tick_all().await;
        world
    }

    pub fn note(&mut self, happening: &str) {
        let now = self.now.since(START);
        // The same world has another folder each time.
        let happening = happening.replace(&*self.config.path.to_string_lossy(), "PATH");
        self.history.push(format!("{:>10.1} s  {happening}", now.as_secs_f64()));
    }

    // Nodes.

    /// Starts the process of a node anew; its memory is gone. Where it does not reach the store, there is none.
    pub async fn start_node(&mut self, at: usize) {
        let (store, random) = (Arc::clone(&self.store), Arc::clone(&self.random));
        let slot = &mut self.slots[at];
        slot.starts += 1;
        (slot.followed, slot.known_out) = (0, BTreeSet::new());
        slot.node = None;
        let name = format!("node-{at}-{}", slot.starts);
        slot.node = SimNode::start(name, (store, &self.config), slot.reach, Arc::clone(&slot.clock), random).await;
    }

    pub async fn reach(&mut self, at: usize, reach: Reach) {
        self.note(&format!("node {at}: {reach:?}"));
        self.slots[at].reach = reach;
        match &self.slots[at].node {
            Some(node) => node.switch.set(reach),
            None => self.start_node(at).await,
        }
    }

    /// Does a second of the background work of every node.
    pub async fn tick_all(&mut self) {
        let first = self.random.below(NODES);
        for at in (0..NODES).map(|n| (first + n) % NODES) {
            let slot = &mut self.slots[at];
            if let Some(node) = &mut slot.node
                && node.tick().await
            {
                (slot.followed, slot.known_out) = (self.ends.len(), self.opted_out.clone());
            }
        }
    }

    pub fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        self.slots.iter().for_each(|slot| slot.clock.forward(span));
    }

    /// Sets the clock of a node wrong, or right again.
    pub fn step_clock(&mut self, at: usize, seconds: i64) {
        self.note(&format!("node {at}: clock set by {seconds} s"));
        let slot = &mut self.slots[at];
        slot.clock.set_by(seconds);
        slot.stepped += seconds;
    }

    // Users and operators.

    pub fn app(app: usize) -> AppName {
        APPS[app].parse().unwrap()
    }

    pub fn user(user_number: usize) -> UserId {
        user(&format!("u-{user_number}"))
    }

    pub fn hash(user_number: usize) -> UserHash {
        user_hash().hash(&Self::user(user_number))
    }

    pub fn any_scope(&self) -> Scope {
        (self.random.below(USERS), [None, Some(0), Some(1)][self.random.below(3)])
    }

    /// Logs a user in. The device may get no answer.
    pub async fn login(&mut self, at: usize) {
        let (user_number, app) = (self.random.below(USERS), self.random.below(APPS.len()));
        let is_lost = self.random.percent(5);
        let app_user = AppUser::named_by_operator(Self::app(app), Self::user(user_number));
        let Some(node) = &self.slots[at].node else { return };
        let outcome = node.issuer.mint(&app_user, None, requester()).await;
        self.check_login(at, (user_number, app), &outcome).await;
        let Ok(issued) = outcome else { return };
        let token = issued.refresh.unwrap().token.expose().to_owned();
        let contents = contents(&token);
        let degraded = if issued.degraded { " without the store" } else { "" };
        self.note(&format!("node {at}: login{degraded} of u-{user_number}, session {}", self.sessions.len()));
        if !is_lost {
            self.sessions.push(SimSession {
                id: contents.session,
                user: user_number,
                app,
                born: self.ends.len(),
                tokens: vec![token],
                latest: 0,
                copied: false,
                lost_since: None,
            });
        }
    }

    /// The device refreshes with the token that it has.
    pub async fn refresh(&mut self, at: usize, session: usize) {
        let is_lost = self.random.percent(6);
        let latest = self.sessions[session].latest;
        let Some(new) = self.present(at, session, latest).await else { return };
        let now = self.now;
        let session = &mut self.sessions[session];
        let (before, after) = (contents(&session.tokens[session.latest]), contents(&new));
        if is_lost {
            if after.counter > before.counter {
                session.lost_since.get_or_insert(now);
            }
            return;
        }
        if after.counter > before.counter {
            session.lost_since = None;
        }
        session.tokens.push(new);
        session.latest = session.tokens.len() - 1;
    }

    /// Somebody presents a copy of a token, of the first one more often than of others, and keeps what comes.
    pub async fn steal(&mut self, at: usize, session: usize) {
        let is_first = self.random.percent(50);
        let token = if is_first { 0 } else { self.random.below(self.sessions[session].tokens.len()) };
        self.steal_one(at, session, token).await;
    }

    /// Somebody presents a copy of the first token, and keeps what comes.
    pub async fn steal_first(&mut self, at: usize, session: usize) {
        self.steal_one(at, session, 0).await;
    }

    async fn steal_one(&mut self, at: usize, session: usize, token: usize) {
        self.sessions[session].copied = true;
        if let Some(new) = self.present(at, session, token).await {
            self.sessions[session].tokens.push(new);
        }
    }

    /// Presents a token, and checks the answer; the new one.
    async fn present(&mut self, at: usize, session: usize, token: usize) -> Option<String> {
        let (id, text) = (self.sessions[session].id, self.sessions[session].tokens[token].clone());
        let before = self.row(id).await;
        let node = self.slots[at].node.as_ref()?;
        let is_asked = !node.outage.breaker.is_open(Operation::Read);
        let outcome = node.issuer.refresh(node.issuer.unseal(&text).unwrap(), None, requester()).await;
        let after = self.row(id).await;
        let shown = match &outcome {
            Ok(issued) if issued.degraded => "200 without the store".to_owned(),
            Ok(_) => "200".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        let counter = contents(&text).counter;
        let newest = before.as_ref().map(|row| row.counter);
        self.note(&format!("node {at}: session {session}, counter {counter} of {newest:?}: {shown}"));
        self.check_refresh(at, (session, token), (before, after, is_asked), &outcome);
        let issued = outcome.ok()?;
        let new = issued.refresh.unwrap().token.expose().to_owned();
        if issued.degraded && self.mutant == Mutant::CounterPlusOne {
            let presented = contents(&new);
            let moved = Contents { counter: presented.counter + 1, ..presented };
            return Some(RefreshToken::seal(&moved, &sealing_keys(&[1]), [9; 12]).expose().to_owned());
        }
        Some(new)
    }

    /// The row of a session, past every switch.
    pub async fn row(&self, id: SessionId) -> Option<Session> {
        self.store.session(id).await.unwrap()
    }
}

/// The contents of a refresh token.
pub fn contents(token: &str) -> Contents {
    (*countersign::domain::refresh_token::unseal(token, &sealing_keys(&[1])).unwrap()).clone()
}

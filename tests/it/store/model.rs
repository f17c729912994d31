//! Random histories of operations: the store must answer as a model of it in plain collections does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        session::{Ended, Session},
    },
    store::{Creation, Purged, Store},
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{Engine, MAX_SESSIONS, T, app, session, step, user};
use crate::support::domain::actor;

const APPS: [&str; 2] = ["web", "ios"];
const USERS: u8 = 2;
const DAY: Duration = Duration::from_hours(24);
const HISTORIES: u32 = 64;
/// Number of the next history. Each uses apps and users of its own, but all share one store and its clock.
static HISTORY: AtomicU64 = AtomicU64::new(0);
/// The latest time of a history: the next one begins there, because they share a store.
static LATEST: AtomicI64 = AtomicI64::new(0);

#[derive(Clone, Debug)]
enum Op {
    Create {
        user: u8,
        app: usize,
    },
    /// A session that began so many hours ago, while the store was out of reach.
    Adopt {
        user: u8,
        app: usize,
        hours: u64,
        ended: Option<Ended>,
    },
    /// The first token of a session is presented once more.
    AdoptAgain {
        nth: usize,
    },
    Advance {
        nth: usize,
        off: u64,
    },
    End {
        nth: usize,
        why: Ended,
    },
    OptOut {
        user: u8,
        app: Option<usize>,
    },
    OptIn {
        user: u8,
        app: Option<usize>,
    },
    EndUser {
        user: u8,
        app: Option<usize>,
    },
    EndApp {
        app: usize,
    },
    Purge,
}

fn op() -> impl Strategy<Value = Op> {
    let (user, app) = (0..USERS, 0..APPS.len());
    let scope = proptest::option::of(0..APPS.len());
    let why = prop_oneof![Just(Ended::Logout), Just(Ended::Revoked), Just(Ended::Reused)];
    prop_oneof![
        6 => (user.clone(), app.clone()).prop_map(|(user, app)| Op::Create { user, app }),
        3 => (user.clone(), app.clone(), 0..60_u64, proptest::option::weighted(0.1, Just(Ended::Logout)))
            .prop_map(|(user, app, hours, ended)| Op::Adopt { user, app, hours, ended }),
        1 => (0..8_usize).prop_map(|nth| Op::AdoptAgain { nth }),
        6 => (0..8_usize, 0..3_u64).prop_map(|(nth, off)| Op::Advance { nth, off: off / 2 }),
        2 => (0..8_usize, why).prop_map(|(nth, why)| Op::End { nth, why }),
        1 => (user.clone(), scope.clone()).prop_map(|(user, app)| Op::OptOut { user, app }),
        2 => (user.clone(), scope.clone()).prop_map(|(user, app)| Op::OptIn { user, app }),
        1 => (user, scope).prop_map(|(user, app)| Op::EndUser { user, app }),
        1 => app.prop_map(|app| Op::EndApp { app }),
        2 => Just(Op::Purge),
    ]
}

/// Behaviour of a store, in plain collections.
#[derive(Default)]
struct Model {
    rows: BTreeMap<SessionId, Session>,
    opt_outs: BTreeSet<(UserHash, Option<AppName>)>,
    app_ends: BTreeMap<AppName, UnixMillis>,
    user_ends: BTreeMap<(UserHash, Option<AppName>), UnixMillis>,
}

impl Model {
    fn opted_out(&self, user: UserHash, app: &AppName) -> bool {
        self.opt_outs.contains(&(user, None)) || self.opt_outs.contains(&(user, Some(app.clone())))
    }

    fn app_end(&self, row: &Session) -> Option<UnixMillis> {
        self.app_ends.get(&row.app).copied().filter(|end| row.created <= *end)
    }

    fn live(&self, row: &Session, now: UnixMillis) -> bool {
        row.ended.is_none() && self.app_end(row).is_none() && now < row.idle_expires && now < row.expires
    }

    fn shown(&self, row: &Session) -> Session {
        let ended = if self.opted_out(row.user, &row.app) {
            Some(Ended::OptedOut)
        } else {
            row.ended.or(self.app_end(row).map(|_| Ended::Revoked))
        };
        Session { ended, ..row.clone() }
    }

    fn create(&mut self, new: &Session) -> Creation {
        if self.opted_out(new.user, &new.app) {
            return Creation::OptedOut;
        }
        self.rows.insert(new.id, new.clone());
        Creation::Created { evicted: self.evict_for(new) }
    }

    fn evict_for(&mut self, new: &Session) -> u64 {
        let peers = self.rows.values().filter(|row| row.id != new.id);
        let peers = peers.filter(|row| row.user == new.user && row.app == new.app && row.ended.is_none());
        let mut leaving: Vec<_> = peers.map(|row| (self.live(row, new.created), row.rotated, row.id)).collect();
        leaving.sort_unstable();
        leaving.truncate((leaving.len() + 1).saturating_sub(MAX_SESSIONS as usize));
        for (_, _, id) in &leaving {
            self.rows.get_mut(id).unwrap().ended = Some(Ended::Evicted);
        }
        leaving.iter().filter(|(live, ..)| *live).count() as u64
    }

    fn adopt(&mut self, born: &Session) {
        if self.rows.contains_key(&born.id) {
            return;
        }
        let scopes = [None, Some(born.app.clone())];
        let covers = |app| self.user_ends.get(&(born.user, app)).is_some_and(|end| born.created <= *end);
        let ended = born.ended.or(scopes.into_iter().any(covers).then_some(Ended::Revoked));
        let row = Session { ended, ..born.clone() };
        self.rows.insert(row.id, row.clone());
        if self.shown(&row).ended.is_none() {
            self.evict_for(&row);
        }
    }

    fn advance(&mut self, step: countersign::store::Advance) -> bool {
        let Some(row) = self.rows.get(&step.id) else { return false };
        let may = row.counter == step.from && self.shown(row).ended.is_none();
        if may {
            let row = self.rows.get_mut(&step.id).unwrap();
            (row.counter, row.rotated, row.idle_expires) = (step.to, step.rotated, step.idle_expires);
        }
        may
    }

    fn end(&mut self, id: SessionId, why: Ended) -> bool {
        let Some(row) = self.rows.get(&id) else { return false };
        let ends = row.ended.is_none() && self.app_end(row).is_none();
        if ends {
            self.rows.get_mut(&id).unwrap().ended = Some(why);
        }
        ends
    }

    fn end_user(&mut self, user: UserHash, app: Option<&AppName>, now: UnixMillis) -> u64 {
        let meant = |row: &Session| row.user == user && app.is_none_or(|app| row.app == *app);
        let live = self.rows.values().filter(|row| meant(row) && self.live(row, now)).count();
        for row in self.rows.values_mut().filter(|row| meant(row) && row.ended.is_none()) {
            row.ended = Some(Ended::Revoked);
        }
        self.user_ends.insert((user, app.cloned()), now);
        live as u64
    }

    fn purge(&mut self, now: UnixMillis) {
        self.rows.retain(|_, row| now < row.expires.plus(7 * DAY));
    }
}

/// One history, on a store and on the model of it.
struct History {
    store: Arc<dyn Store>,
    model: Model,
    number: u64,
    created: Vec<Session>,
    now: UnixMillis,
}

impl History {
    fn app(&self, nth: usize) -> AppName {
        app(&format!("{}-{}", APPS[nth], self.number))
    }

    fn user(&self, n: u8) -> UserHash {
        let mut hash = user(n);
        hash.0[..8].copy_from_slice(&self.number.to_be_bytes());
        hash
    }

    fn nth(&self, nth: usize) -> Session {
        let last = self.created.iter().rev().nth(nth).cloned();
        last.unwrap_or_else(|| session(255, self.now))
    }

    async fn apply(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Create { user, app } => self.create(user, app).await,
            Op::Adopt { user, app, hours, ended } => {
                let created = now.minus(Duration::from_hours(hours));
                let born = Session { ended, ..self.new_session(user, app, created) };
                self.adopt(&born).await;
            }
            Op::AdoptAgain { nth } => {
                if let Some(known) = self.created.iter().rev().nth(nth).cloned() {
                    self.adopt(&known).await;
                }
            }
            Op::Advance { nth, off } => {
                let known = self.nth(nth);
                let counter = self.model.rows.get(&known.id).map_or(0, |row| row.counter);
                let step = step(&known, counter + off, now);
                assert_eq!(self.store.advance_session(step).await.unwrap(), self.model.advance(step));
            }
            Op::End { nth, why } => {
                let id = self.nth(nth).id;
                assert_eq!(self.store.end_session(id, why, now, &actor()).await.unwrap(), self.model.end(id, why));
            }
            Op::OptOut { user, app } => {
                let (user, app) = (self.user(user), app.map(|app| self.app(app)));
                let new = self.store.opt_out(user, app.as_ref(), now, &actor()).await.unwrap();
                assert_eq!(new, self.model.opt_outs.insert((user, app)));
            }
            Op::OptIn { user, app } => {
                let (user, app) = (self.user(user), app.map(|app| self.app(app)));
                let known = self.store.opt_in(user, app.as_ref(), T, &actor()).await.unwrap();
                assert_eq!(known, self.model.opt_outs.remove(&(user, app)));
            }
            Op::EndUser { user, app } => {
                let (user, app) = (self.user(user), app.map(|app| self.app(app)));
                let live = self.store.end_sessions_of_user(user, app.as_ref(), now, &actor()).await.unwrap();
                assert_eq!(live, self.model.end_user(user, app.as_ref(), now));
            }
            Op::EndApp { app } => {
                let app = self.app(app);
                self.store.end_sessions_of_app(Some(&app), now, &actor()).await.unwrap();
                self.model.app_ends.insert(app, now);
            }
            Op::Purge => {
                let done = self.store.purge(now, 100_000).await.unwrap();
                assert!(matches!(done, Purged { complete: true, .. }), "{done:?}");
                self.model.purge(now);
            }
        }
    }

    fn new_session(&mut self, user: u8, app: usize, created: UnixMillis) -> Session {
        let n = u8::try_from(self.created.len()).unwrap();
        let new = Session { user: self.user(user), app: self.app(app), ..session(n, created) };
        self.created.push(new.clone());
        new
    }

    async fn adopt(&mut self, born: &Session) {
        self.store.adopt_session(born.clone(), None, &actor()).await.unwrap();
        self.model.adopt(born);
    }

    async fn create(&mut self, user: u8, app: usize) {
        let new = self.new_session(user, app, self.now);
        assert_eq!(self.store.create_session(new.clone()).await.unwrap(), self.model.create(&new));
    }

    /// Compares every answer about this history's sessions and users with the model's.
    async fn compare(&self) {
        for session in &self.created {
            let expected = self.model.rows.get(&session.id).map(|row| self.model.shown(row));
            assert_eq!(self.store.session(session.id).await.unwrap(), expected);
        }
        for n in 0..USERS {
            let user = self.user(n);
            for nth in 0..APPS.len() {
                let app = self.app(nth);
                let opted_out = self.store.is_opted_out(user, &app).await.unwrap();
                assert_eq!(opted_out, self.model.opted_out(user, &app));
            }
            self.compare_list(user).await;
        }
        self.compare_live().await;
    }

    async fn compare_list(&self, user: UserHash) {
        let rows = self.model.rows.values().filter(|row| row.user == user);
        let mut expected: Vec<_> = rows.map(|row| self.model.shown(row)).collect();
        expected.sort_by_key(|row| std::cmp::Reverse((row.created, row.id)));
        assert_eq!(self.store.sessions_of_user(user).await.unwrap(), expected);
    }

    async fn compare_live(&self) {
        let counts = self.store.live_sessions(self.now).await.unwrap();
        for nth in 0..APPS.len() {
            let app = self.app(nth);
            let rows = self.model.rows.values().filter(|row| row.app == app);
            let live = rows.filter(|row| self.model.live(row, self.now) && !self.model.opted_out(row.user, &app));
            let counted = counts.iter().find(|(name, _)| *name == app).map_or(0, |(_, count)| *count);
            assert_eq!(counted, live.count() as u64);
        }
    }
}

pub(super) async fn the_store_does_what_the_model_does(engine: &dyn Engine) {
    let store = engine.open();
    let handle = tokio::runtime::Handle::current();
    let config = ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() };
    let steps = proptest::collection::vec((op(), 0..30_u64), 1..60);
    let ran = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&steps, |steps| {
            handle.block_on(run(store.clone(), steps));
            Ok(())
        })
    });
    ran.unwrap();
}

/// Runs one history. It begins when the one before ended, because they share a clock.
async fn run(store: Arc<dyn Store>, steps: Vec<(Op, u64)>) {
    let number = HISTORY.fetch_add(1, Ordering::Relaxed);
    let now = UnixMillis(LATEST.load(Ordering::Relaxed)).max(T);
    let mut history = History { store, model: Model::default(), number, created: Vec::new(), now };
    for (op, hours) in steps {
        history.now = history.now.plus(Duration::from_hours(hours)).plus(Duration::from_millis(1));
        LATEST.fetch_max(history.now.0, Ordering::Relaxed);
        history.apply(op).await;
        history.compare().await;
    }
}

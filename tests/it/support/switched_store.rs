//! A store that is in reach, out of reach, slow, full or forgetful, as the test says: one switch for each node.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use countersign::{
    clock::{ClockAcceptance, ClockFloor, UnixMillis},
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        audit::{Actor, AuditEvent},
        failure::Cause,
        ids::{AppName, InstallationId, Kid, RingName, SessionId, UserHash},
        key::KeyRecord,
        login_record::{LoginRecord, LogoutRecord},
        operator::{ConsoleSession, OperatorName, OperatorRecord, SecretHash},
        rotation::NodeReport,
        session::{Ended, Session},
    },
    store::{
        Activity, ActivityCount, Advance, ApiKeys, AuditHead, AuditLeaf, AuditLog, ClockRecord, Creation,
        CreationRequest, CreationState, End, Ends, EndsPage, EndsPosition, Fact, FailureBatch, FailureCount, Failures,
        Follower, KeyTransaction, Keys, Nodes, Operators, ProviderLogins, Purged, ReportedVersion, RingRecords,
        SavedCheckpoint, Schema, SealedKeys, ServiceEvent, Sessions, SignedOut, Store, StoreError, StoredExample,
        Upkeep, Users,
    },
};
use tokio::sync::watch;

/// State of the way from a node to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "out of reach is what the store's error says")]
pub enum Reach {
    Reachable,
    /// Every call fails at once.
    OutOfReach,
    /// Every call waits until the switch is set to something else, or until [`Switch::time_out`].
    Hanging,
    /// Reads work, writes fail: the disk is full, or the server is a standby.
    NotWritable,
    /// Writes are committed, and their answers are lost.
    AnswersLost,
    /// Every call fails at once, and new sessions are on their way all the same, until [`Switch::deliver`].
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

/// Switch of one node's way to the store.
pub struct Switch {
    /// The state, and the number of time-outs so far.
    state: watch::Sender<(Reach, u64)>,
    calls: AtomicU64,
    waiting: AtomicU64,
    /// New sessions whose writes are on their way.
    late: Mutex<Vec<Session>>,
    store: RwLock<Arc<dyn Store>>,
    holds_time: bool,
}

impl Switch {
    /// Puts a switch before a store.
    pub fn before(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self::new(store, false))
    }

    /// Puts a switch before a store whose calls take no time on a paused clock. The store has threads of its own: a
    /// runtime that waits for them passes for idle, and a paused clock would run to the next time-out meanwhile.
    pub fn without_time(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self::new(store, true))
    }

    fn new(store: Arc<dyn Store>, holds_time: bool) -> Self {
        let (state, _) = watch::channel((Reach::Reachable, 0));
        let (calls, waiting, late) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        Self { state, calls, waiting, late, store: RwLock::new(store), holds_time }
    }

    async fn ask<T>(&self, call: impl Future<Output = T>) -> T {
        if !self.holds_time {
            return call.await;
        }
        // A paused clock stands while a blocking task runs.
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || is_done.recv().is_err());
        let answer = call.await;
        drop(done);
        held.await.unwrap();
        answer
    }

    pub fn set(&self, reach: Reach) {
        self.state.send_modify(|state| state.0 = reach);
    }

    /// Fails the calls that wait for a store that hangs.
    pub fn time_out(&self) {
        self.state.send_modify(|state| state.1 += 1);
    }

    /// Number of calls so far, also those that failed.
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Number of calls that wait for a store that hangs.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Puts another store in the place of this one.
    pub fn fail_over(&self, store: Arc<dyn Store>) {
        *self.store.write().unwrap() = store;
    }

    /// Lets the new sessions that are on their way arrive.
    pub async fn deliver(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for session in late {
            self.store().create_session(session).await.unwrap();
        }
    }

    /// The store itself, past the switch.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store.read().unwrap())
    }

    async fn admit(&self, kind: Kind) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Relaxed);
        let mut state = self.state.subscribe();
        let begun = state.borrow_and_update().1;
        loop {
            let (reach, time_outs) = *state.borrow_and_update();
            match reach {
                Reach::Reachable | Reach::AnswersLost => return Ok(()),
                Reach::NotWritable if kind == Kind::Read => return Ok(()),
                Reach::Hanging if time_outs == begun => {
                    let _waiting = Waiting::begin(&self.waiting);
                    state.changed().await.unwrap();
                }
                Reach::NotWritable | Reach::OutOfReach | Reach::Hanging | Reach::Late => {
                    return Err(out_of_reach(reach));
                }
            }
        }
    }

    fn answer<T>(&self, kind: Kind, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let (reach, _) = *self.state.borrow();
        match (kind, reach) {
            (Kind::Write, Reach::AnswersLost) => answer.and(Err(out_of_reach(reach))),
            _ => answer,
        }
    }
}

fn out_of_reach(reach: Reach) -> StoreError {
    StoreError::OutOfReach { store: "behind the switch".to_owned(), why: format!("{reach:?}") }
}

/// Counts a call that waits, also one that is dropped meanwhile.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A store behind a switch.
pub struct SwitchedStore(pub Arc<Switch>);

/// Passes every operation of a trait on, as the switch allows.
macro_rules! switched {
    ($trait:ident { $($kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* } $($own:item)*) => {
        #[async_trait]
        impl $trait for SwitchedStore {
            $(async fn $name(&self $(, $argument: $type)*) -> Result<$answer, StoreError> {
                self.0.admit(Kind::$kind).await?;
                let store = self.0.store();
                self.0.answer(Kind::$kind, self.0.ask(store.$name($($argument),*)).await)
            })*
            $($own)*
        }
    };
}

switched!(Sessions {
    Write create_session(session: Session) -> Creation;
    Read session(id: SessionId) -> Option<Session>;
    Write advance_session(step: Advance) -> bool;
    Write adopt_session(session: Session, login: Option<LoginRecord>, actor: &Actor) -> ();
    Write end_session(id: SessionId, why: Ended, now: UnixMillis, actor: &Actor) -> bool;
}
/// The first write of every login; one that comes late is of a login without a provider.
async fn create_session_within_limit(
    &self,
    session: Session,
    login: Option<LoginRecord>,
) -> Result<Creation, StoreError> {
    if login.is_none() && self.0.state.borrow().0 == Reach::Late {
        self.0.late.lock().unwrap().push(session.clone());
    }
    self.0.admit(Kind::Write).await?;
    let store = self.0.store();
    let created = self.0.ask(store.create_session_within_limit(session, login)).await;
    self.0.answer(Kind::Write, created)
});

switched!(ProviderLogins {
    Write create_session_of_login(session: Session, login: LoginRecord) -> Creation;
    Read is_signed_out(app: &AppName, login: LoginRecord) -> bool;
    Write sign_out(app: &AppName, logout: LogoutRecord, now: UnixMillis, actor: &Actor) -> SignedOut;
});

switched!(Operators {
    Read operators() -> Vec<OperatorRecord>;
    Write insert_operator(operator: OperatorRecord, actor: &Actor) -> bool;
    Write revoke_operator(name: &OperatorName, now: UnixMillis, actor: &Actor) -> bool;
    Write begin_console_session(session: ConsoleSession, expired: UnixMillis, actor: &Actor) -> bool;
    Read console_session(hash: SecretHash) -> Option<ConsoleSession>;
    Write use_console_session(hash: SecretHash, now: UnixMillis) -> ();
    Write end_console_session(hash: SecretHash) -> ();
    Write begin_creation(request: CreationRequest, forgotten: UnixMillis) -> CreationState;
    Write end_creation(actor: &str, key: &str, id: Option<&str>) -> ();
});

switched!(Activity {
    Write add_activity(counts: Vec<ActivityCount>) -> ();
    Read activity_since(minute: UnixMillis) -> Vec<ActivityCount>;
});

switched!(Users {
    Read is_opted_out(user: UserHash, app: &AppName) -> bool;
    Write opt_out(user: UserHash, app: Option<&AppName>, now: UnixMillis, actor: &Actor) -> bool;
    Write opt_in(user: UserHash, app: Option<&AppName>, now: UnixMillis, actor: &Actor) -> bool;
    Read count_opt_outs() -> u64;
    Write end_sessions_of_user(user: UserHash, app: Option<&AppName>, now: UnixMillis, actor: &Actor) -> u64;
    Write end_sessions_of_app(app: Option<&AppName>, now: UnixMillis, actor: &Actor) -> ();
    Read sessions_of_user(user: UserHash) -> Vec<Session>;
    Read has_records_of_app(app: &AppName) -> bool;
});

switched!(Ends {
    Read ends_position() -> EndsPosition;
    Read ends_since(from: EndsPosition, after: u64, limit: u32) -> EndsPage;
    Read standing_ends(limit: u32) -> Vec<End>;
    Read ended_sessions(after: SessionId, now: UnixMillis, limit: u32) -> Vec<(SessionId, UnixMillis)>;
    Write report_followed(follower: Follower) -> ();
    Read followers(since: UnixMillis) -> Vec<Follower>;
});

switched!(Keys {
    Read keys() -> Vec<KeyRecord>;
    Write transact(transaction: KeyTransaction) -> bool;
    Read ring(ring: &RingName) -> RingRecords;
    Read audit_log(ring: Option<&RingName>, limit: u32) -> Vec<AuditEvent>;
});

switched!(SealedKeys {
    Read sealed_key(kid: &Kid) -> Option<Vec<u8>>;
    Write insert_sealed_key(kid: &Kid, sealed: Vec<u8>) -> bool;
    Write replace_sealed_key(kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> bool;
    Write delete_sealed_key(kid: &Kid) -> bool;
    Read sealed_keys() -> Vec<Kid>;
});

switched!(Nodes {
    Write report(report: NodeReport, signing: Vec<(Kid, UnixMillis)>) -> ();
    Read nodes(since: UnixMillis) -> Vec<NodeReport>;
    Write forget_node(node: &str) -> ();
    Write lease(name: &str, holder: &str, now: UnixMillis, ttl: Duration) -> bool;
    Write release(name: &str, holder: &str) -> ();
});

switched!(ApiKeys {
    Read api_keys() -> Vec<ApiKeyRecord>;
    Write insert_api_key(key: ApiKeyRecord, max_live: u32, actor: &Actor) -> bool;
    Write revoke_api_key(id: &ApiKeyId, now: UnixMillis, actor: &Actor) -> bool;
    Write record_api_key_uses(uses: Vec<(ApiKeyId, UnixMillis)>) -> ();
});

switched!(AuditLog {
    Write append_events(events: Vec<AuditEvent>) -> ();
    Read audit_head() -> AuditHead;
    Read audit_leaves(from: u64, limit: u32) -> Vec<AuditLeaf>;
    Read audit_key() -> Option<Vec<u8>>;
    Write replace_audit_key(from: Option<Vec<u8>>, to: Vec<u8>, event: Option<AuditEvent>) -> bool;
    Write save_checkpoint(checkpoint: SavedCheckpoint) -> ();
    Read checkpoints(limit: u32) -> Vec<SavedCheckpoint>;
    Write begin_epoch(from: AuditHead, event: AuditEvent) -> bool;
    Write report_fork(description: &str) -> ();
});

switched!(Failures {
    Write add_failures(now: UnixMillis, batch: FailureBatch) -> ();
    Read failures_since(since: UnixMillis) -> Vec<FailureCount>;
    Read failure_examples() -> Vec<StoredExample>;
    Read failure_versions() -> Vec<ReportedVersion>;
    Write roll_up_failures(now: UnixMillis) -> ();
    Write claim_failure_alert(cause: Cause, now: UnixMillis) -> bool;
    Write record_service_event(event: ServiceEvent) -> ();
    Read service_events(since: UnixMillis) -> Vec<ServiceEvent>;
});

switched!(Upkeep {
    Read generation() -> u64;
    Read installation_id() -> Option<InstallationId>;
    Write adopt_installation_id(id: InstallationId) -> bool;
    Read user_hash_key() -> Option<Vec<u8>>;
    Write replace_user_hash_key(from: Option<Vec<u8>>, to: Vec<u8>) -> bool;
    Write purge(now: UnixMillis, limit: u32) -> Purged;
    Read live_sessions(now: UnixMillis) -> Vec<(AppName, u64)>;
    Read clock_record() -> ClockRecord;
    Write raise_clock_floor(floor: ClockFloor) -> ();
    Write accept_clock(acceptance: ClockAcceptance) -> ();
    Write check(now: UnixMillis) -> ();
    Read facts(nodes: u64) -> Vec<Fact>;
    Read schema() -> Schema;
    Read backup(to: PathBuf) -> ();
}
/// A database's clock is none of virtual time.
async fn database_time(&self) -> Result<Option<UnixMillis>, StoreError> {
    self.0.admit(Kind::Read).await.map(|()| None)
});

//! Conformance suite of stores: one list of cases, run on each engine. A new engine implements [`Engine`] and joins
//! the list at the end.

mod activity;
mod adoption;
mod api_keys;
pub(crate) mod audit;
mod ends;
mod failures;
mod keys;
mod model;
mod nodes;
mod operators;
mod postgres;
mod provider_logins;
mod rotations;
mod sealed_keys;
mod sessions;
mod upkeep;
mod users;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, InstallationId, SessionId, UserHash},
        session::Session,
    },
    store::{self, Advance, Config, Creation, Store, StoreError},
    telemetry::Metrics,
};

/// Time at which tests begin.
pub(crate) const T: UnixMillis = UnixMillis(1_795_000_000_000);
/// Greatest number of live sessions of one user on one app in the stores of these tests.
pub(crate) const MAX_SESSIONS: u32 = 3;

/// Fixture of one engine: the files or the database of one store, empty at first.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Opens the store: again after a restart, or a second time beside the first, as another process would.
    fn open(&self) -> Arc<dyn Store>;
    /// Makes a backup of the store, as an operator would.
    async fn back_up(&self, store: &Arc<dyn Store>);
    /// Opens the last backup as a store.
    fn open_backup(&self) -> Arc<dyn Store>;
    /// Runs SQL beside the store: of SQLite, or of PostgreSQL.
    fn sql(&self, sqlite: &str, postgres: &str) -> Result<(), String>;
    /// Word of the refusal to make a backup in place of an existing file.
    fn no_backup_because(&self) -> &'static str;
}

/// A SQLite file in a folder of its own.
pub(crate) struct Sqlite(tempfile::TempDir);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir().join("store.db")
    }

    pub(crate) fn backup_path(&self) -> PathBuf {
        self.dir().join("backup.db")
    }

    pub(crate) fn try_open(&self) -> Result<Arc<dyn Store>, StoreError> {
        open_file(&self.path())
    }
}

pub(crate) fn open_file(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let max_sessions_per_user = NonZeroU32::new(MAX_SESSIONS).unwrap();
    open_or_create(&Config { path: path.to_owned(), max_sessions_per_user, ..Config::default() })
}

/// Opens the store in a file, or creates it where there is none.
pub(crate) fn open_or_create(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match at_once(store::open(config, Metrics::new())) {
        Err(StoreError::Missing { .. }) => {
            match at_once(store::create(config, InstallationId::new([7; 16]), Metrics::new())) {
                Err(StoreError::Exists { .. }) => at_once(store::open(config, Metrics::new())),
                created => created,
            }
        }
        opened => opened,
    }
}

/// Result of a future that does not wait: that of SQLite's engine opens a file on the caller's thread.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the future waits"),
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn open(&self) -> Arc<dyn Store> {
        self.try_open().unwrap()
    }

    async fn back_up(&self, store: &Arc<dyn Store>) {
        store.backup(self.backup_path()).await.unwrap();
    }

    fn open_backup(&self) -> Arc<dyn Store> {
        open_file(&self.backup_path()).unwrap()
    }

    fn sql(&self, sqlite: &str, _: &str) -> Result<(), String> {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_mins(1)).unwrap();
        connection.execute_batch(sqlite).map_err(|why| why.to_string())
    }

    fn no_backup_because(&self) -> &'static str {
        "exists"
    }
}

pub(crate) fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

pub(crate) fn user(n: u8) -> UserHash {
    UserHash([n; 32])
}

pub(crate) fn at_min(n: u64) -> UnixMillis {
    T.plus(Duration::from_mins(n))
}

pub(crate) fn at_day(n: u64) -> UnixMillis {
    T.plus(Duration::from_hours(24 * n))
}

/// A session of user 1 on the app `web` that begins at `created`, idle for 2 days at most, and lives 10 days.
pub(crate) fn session(n: u8, created: UnixMillis) -> Session {
    Session {
        id: SessionId::new(created, [n; 10]),
        app: app("web"),
        user: user(1),
        counter: 0,
        created,
        rotated: created,
        idle_expires: created.plus(Duration::from_hours(48)),
        expires: created.plus(Duration::from_hours(240)),
        ended: None,
    }
}

/// The step from one counter to the next.
pub(crate) fn step(session: &Session, from: u64, now: UnixMillis) -> Advance {
    Advance { id: session.id, from, to: from + 1, rotated: now, idle_expires: now.plus(Duration::from_hours(48)) }
}

/// Creates a session; nothing may prevent it and nothing may be evicted.
pub(crate) async fn keep(store: &Arc<dyn Store>, session: &Session) {
    assert_eq!(store.create_session(session.clone()).await.unwrap(), Creation::Created { evicted: 0 });
}

macro_rules! conformance {
    ($($subject:ident: $($case:ident),+;)+) => {
        engine!(sqlite, crate::store::Sqlite::new(), []; $($subject: $($case),+;)+);
        // The stage `postgres` finds them by that word in their names.
        engine!(postgres_direct, crate::store::postgres::Postgres::direct(),
            [ignore = "needs PostgreSQL: tests/run.sh postgres"]; $($subject: $($case),+;)+);
        engine!(postgres_pooled, crate::store::postgres::Postgres::pooled(),
            [ignore = "needs PostgreSQL: tests/run.sh postgres"]; $($subject: $($case),+;)+);
    };
}

macro_rules! engine {
    ($name:ident, $new:expr, $attribute:tt; $($subject:ident: $($case:ident),+;)+) => {
        mod $name {
            $(mod $subject {
                use crate::store::$subject as cases;
                engine!(@cases $new, $attribute; $($case),+);
            })+
        }
    };
    (@cases $new:expr, []; $($case:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            cases::$case(&$new).await;
        })+
    };
    (@cases $new:expr, [$attribute:meta]; $($case:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[$attribute]
        async fn $case() {
            cases::$case(&$new).await;
        })+
    };
}

conformance! {
    sessions:
        a_session_is_kept_as_it_was_given, a_session_moves_on_by_compare_and_set,
        of_200_parallel_steps_one_is_taken, an_ended_session_stays_ended, what_is_not_there_is_not_found,
        beyond_the_limit_the_longest_unrefreshed_goes, ended_sessions_do_not_count, expired_sessions_go_before_live_ones, the_limit_is_of_one_user_on_one_app,
        ten_thousand_logins_leave_no_more_live_ones_than_the_limit, counters_go_to_the_end_of_i64,
        everything_survives_a_restart, two_processes_see_each_other_at_once;
    provider_logins:
        a_logout_of_a_subject_ends_its_older_logins, a_logout_of_a_provider_session_ends_that_one,
        a_login_that_ended_begins_no_session, a_logout_token_is_carried_out_once,
        an_earlier_logout_that_arrives_later_takes_nothing_back, only_live_sessions_are_counted_and_ends_stay,
        an_opted_out_user_begins_no_session_of_a_login, a_login_may_be_told_to_end_no_other_session,
        ended_logins_are_forgotten_when_no_credential_can_be_left, no_login_slips_past_a_logout;
    users:
        an_opt_out_of_one_app_is_of_that_app, an_opt_out_of_all_is_of_all, opting_out_and_in_is_exact,
        an_app_has_records_while_it_has_a_session_or_an_opt_out,
        an_opt_out_hides_and_an_opt_in_shows_again, a_logout_counts_while_opted_out,
        ending_a_users_sessions_counts_the_live_ones, ending_an_apps_sessions_ends_the_older_ones,
        an_end_of_all_apps_ends_all, the_end_of_an_app_never_goes_back, the_reasons_have_an_order,
        a_users_sessions_are_listed_newest_first;
    ends:
        each_end_of_a_session_is_logged_once, an_eviction_is_logged,
        an_end_of_a_user_is_logged_with_those_of_the_sessions, an_end_of_an_app_is_logged_each_time,
        opt_outs_and_opt_ins_are_logged_in_order, an_end_of_a_login_is_logged_with_those_of_its_sessions,
        a_session_that_is_on_record_ended_is_logged, the_log_is_read_in_pages,
        a_position_is_after_everything_that_is_committed, no_end_slips_past_a_look, what_stands_is_listed,
        ended_sessions_are_listed_in_pages, followers_are_known_until_they_leave,
        vanished_followers_are_forgotten_once_they_cannot_serve, the_log_goes_back_two_days, older_ends_leave_the_log_and_stand,
        ends_of_users_are_kept_as_long_as_a_session_can_live, ends_survive_a_restart_and_a_backup;
    adoption:
        a_session_is_adopted_as_it_was_given, of_racing_adoptions_one_is_kept,
        an_end_of_its_user_covers_an_adopted_session, an_end_of_a_user_never_goes_back,
        an_end_of_its_login_covers_an_adopted_session, opt_outs_and_ends_of_apps_cover_an_adopted_session_as_any,
        the_end_that_was_given_goes_first, a_live_adopted_session_counts_against_the_limit,
        an_adopted_session_is_not_adopted_twice;
    keys:
        keys_are_listed_oldest_first, a_known_kid_is_not_replaced, changes_are_all_or_none,
        a_key_may_change_twice_in_one_go, a_key_moves_by_compare_and_set, of_racing_changes_one_wins, every_change_is_a_new_generation;
    sealed_keys:
        a_sealed_key_is_kept_as_it_was_given, a_sealed_key_is_replaced_by_compare_and_set, a_deleted_sealed_key_is_gone;
    rotations:
        a_transaction_is_whole_or_nothing, progress_is_a_compare_and_set, of_racing_transactions_one_wins,
        publications_are_compare_and_set, a_ring_is_seen_whole, the_audit_log_is_listed_newest_first,
        a_repeated_event_is_logged_once, a_destroyed_key_stays_destroyed;
    failures:
        counts_add_up_and_sketches_merge, the_latest_example_stays, the_versions_of_most_sessions_stay,
        minutes_roll_up_into_hours, old_counts_are_purged, one_node_claims_an_event, starts_and_reloads_are_listed,
        failures_survive_a_restart_and_a_backup;
    nodes:
        nodes_are_seen_while_they_report, the_end_of_tokens_never_goes_back, a_lease_has_one_holder,
        of_racing_holders_one_wins, a_lease_is_given_back_by_its_holder_only;
    api_keys:
        api_keys_are_listed_oldest_first, a_client_has_no_more_live_keys_than_allowed, dead_keys_do_not_count,
        a_known_id_is_not_replaced, a_revoked_key_stays_revoked, every_change_is_a_new_generation,
        the_last_use_never_goes_back;
    operators:
        operators_are_listed_oldest_first, a_name_has_one_live_operator, a_name_is_free_after_its_end,
        a_revoked_operator_stays_revoked, a_console_session_is_kept_until_it_ends,
        console_sessions_end_with_their_operator, a_login_deletes_expired_console_sessions,
        acts_on_operators_leave_leaves, only_a_revocation_is_done_without_its_leaf, a_creation_is_done_once,
        a_creation_that_failed_may_be_asked_for_again, a_creation_is_forgotten_after_a_day,
        of_racing_creations_one_is_new, a_purge_forgets_what_is_over, operators_survive_a_restart_and_a_backup;
    activity:
        activity_adds_up, of_concurrent_activity_nothing_is_lost, activity_is_kept_for_8_days,
        activity_survives_a_restart_and_a_backup;
    audit:
        each_act_leaves_its_leaf, what_changes_nothing_leaves_no_leaf, an_act_without_its_leaf_is_not_done,
        a_stop_without_its_leaf_is_done_and_waits, a_stop_that_cannot_even_wait_is_held,
        rows_of_the_version_before_become_leaves, nobody_changes_a_leaf, after_a_fork_only_stops_are_done,
        an_epoch_begins_at_the_head_that_was_seen, the_audit_key_is_replaced_by_compare_and_set,
        checkpoints_are_kept_once, of_a_thousand_concurrent_acts_each_has_one_leaf, the_log_survives_a_restart_and_a_backup;
    upkeep:
        the_user_hash_key_is_replaced_by_compare_and_set, of_racing_first_keys_one_wins,
        the_dead_are_kept_while_their_tokens_can_open, no_way_to_die_makes_it_earlier, a_purge_goes_round_in_pieces,
        the_floor_never_goes_back_but_by_acceptance,
        live_sessions_are_counted_by_app, a_check_passes_and_the_schema_is_known, a_backup_can_be_opened,
        a_backup_replaces_nothing, a_restored_backup_can_end_every_older_session, a_backup_is_consistent;
    model: the_store_does_what_the_model_does;
}

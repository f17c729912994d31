//! Histories of ends, looks and reads: nothing that has ended is ever taken for live.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::domain::login_record::LoginHash;

const START: UnixMillis = UnixMillis(1_795_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn app(number: u8) -> AppName {
    ["web", "ios"][usize::from(number % 2)].parse().unwrap()
}

fn user(number: u8) -> UserHash {
    UserHash([number % 8; 32])
}

/// A session of the fake store.
#[derive(Clone)]
struct Row {
    user: UserHash,
    app: AppName,
    login: LoginRecord,
    expires: UnixMillis,
    ended: Option<Ended>,
}

/// Tables and log of a store, and a node that follows it.
struct History {
    ended: EndedSessions,
    rows: BTreeMap<SessionId, Row>,
    apps: BTreeMap<Option<AppName>, UnixMillis>,
    opted_out: Vec<(UserHash, Option<AppName>)>,
    users: Vec<End>,
    logins: Vec<End>,
    log: Vec<End>,
    followed: usize,
    now: UnixMillis,
    serial: u64,
    is_read: bool,
}

/// One event in the history of a history.
#[derive(Clone, Debug)]
enum Event {
    Login(u8),
    End(prop::sample::Index),
    EndUser(u8, bool),
    EndApp(u8),
    OptOut(u8, bool),
    OptIn(u8, bool),
    SignOut(u8),
    Pass(u16),
    Look,
    LookThatFails,
    LookAtAll,
    ReadTables,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => any::<u8>().prop_map(Event::Login),
        12 => any::<prop::sample::Index>().prop_map(Event::End),
        1 => any::<(u8, bool)>().prop_map(|(user, all)| Event::EndUser(user, all)),
        1 => any::<u8>().prop_map(Event::EndApp),
        1 => any::<(u8, bool)>().prop_map(|(user, all)| Event::OptOut(user, all)),
        1 => any::<(u8, bool)>().prop_map(|(user, all)| Event::OptIn(user, all)),
        1 => any::<u8>().prop_map(Event::SignOut),
        3 => any::<u16>().prop_map(Event::Pass),
        5 => Just(Event::Look),
        1 => Just(Event::LookThatFails),
        1 => Just(Event::LookAtAll),
        1 => Just(Event::ReadTables),
    ]
}

fn login_of(number: u8) -> LoginHash {
    LoginHash([number % 16; 16])
}

fn scope(number: u8, all: bool) -> Option<AppName> {
    (!all).then(|| app(number / 8))
}

impl History {
    fn new(budget: Budget) -> Self {
        Self {
            ended: EndedSessions::of(budget),
            rows: BTreeMap::new(),
            apps: BTreeMap::new(),
            opted_out: Vec::new(),
            users: Vec::new(),
            logins: Vec::new(),
            log: Vec::new(),
            followed: 0,
            now: START,
            serial: 0,
            is_read: false,
        }
    }

    fn end(&mut self, id: SessionId, why: Ended) {
        let Some(row) = self.rows.get_mut(&id).filter(|row| row.ended.is_none()) else { return };
        row.ended = Some(why);
        self.log.push(End::Session { id, why, expires: row.expires });
    }

    fn end_where(&mut self, why: Ended, is_meant: impl Fn(&Row) -> bool) {
        let ids: Vec<_> = self.rows.iter().filter(|(_, row)| is_meant(row)).map(|(id, _)| *id).collect();
        for id in ids {
            self.end(id, why);
        }
    }

    fn login(&mut self, number: u8) {
        self.serial += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.serial.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        let hash = login_of(number);
        let row = Row {
            user: user(number),
            app: app(number / 8),
            login: LoginRecord { subject: hash, session: hash, issued: self.now },
            expires: self.now.plus(HOUR * u32::from(number % 50 + 1)),
            ended: None,
        };
        self.rows.insert(SessionId::new(self.now, random), row);
    }

    fn happen(&mut self, event: &Event) {
        self.now = self.now.plus(Duration::from_millis(1));
        match event {
            Event::Login(number) => self.login(*number),
            Event::End(index) => {
                let ids: Vec<_> = self.rows.keys().copied().collect();
                if !ids.is_empty() {
                    self.end(*index.get(&ids), Ended::Evicted);
                }
            }
            Event::EndUser(number, all) => {
                let (whose, scope, at) = (user(*number), scope(*number, *all), self.now);
                self.end_where(Ended::Revoked, |row| {
                    row.user == whose && scope.as_ref().is_none_or(|app| *app == row.app)
                });
                let end = End::User { user: whose, app: scope, at };
                self.users.push(end.clone());
                self.log.push(end);
            }
            Event::EndApp(number) => {
                let (app, at) = (scope(*number, number.is_multiple_of(16)), self.now);
                self.apps.insert(app.clone(), at);
                self.log.push(End::App { app, at });
            }
            Event::OptOut(number, all) => {
                let (user, app) = (user(*number), scope(*number, *all));
                self.opted_out.push((user, app.clone()));
                self.log.push(End::OptOut { user, app });
            }
            Event::OptIn(number, all) => {
                let (user, app) = (user(*number), scope(*number, *all));
                self.opted_out.retain(|out| *out != (user, app.clone()));
                self.log.push(End::OptIn { user, app });
            }
            Event::SignOut(number) => self.sign_out(*number),
            Event::Pass(minutes) => self.pass(*minutes),
            Event::Look => self.look(false),
            Event::LookAtAll => self.look(true),
            Event::LookThatFails => self.look_that_fails(),
            Event::ReadTables => self.read_tables(),
        }
    }

    fn sign_out(&mut self, number: u8) {
        let (hash, app, until) = (login_of(number), app(number / 8), self.now);
        self.end_where(Ended::Logout, |row| row.app == app && row.login.subject == hash);
        let end = End::Login { app, login: hash, issued_until: until, remembered_until: until.plus(HOUR * 100) };
        self.logins.push(end.clone());
        self.log.push(end);
    }

    fn pass(&mut self, minutes: u16) {
        self.now = self.now.plus(Duration::from_mins(u64::from(minutes % 600)));
        let now = self.now;
        self.rows.retain(|_, row| row.expires > now);
        self.ended.forget_expired(now);
    }

    fn look(&mut self, at_all: bool) {
        if !self.is_read {
            self.read_tables();
        }
        let at_all = at_all || self.followed == 0;
        let mut look = if at_all { LogRead::at_all(Some(self.now)) } else { LogRead::at_new(Some(self.now)) };
        if at_all {
            let outs = self.opted_out.iter().map(|(user, app)| End::OptOut { user: *user, app: app.clone() });
            outs.for_each(|out| look.stands(&out));
            let apps = self.apps.iter().map(|(app, at)| End::App { app: app.clone(), at: *at });
            let others: Vec<_> = apps.chain(self.users.iter().cloned()).chain(self.logins.iter().cloned()).collect();
            self.ended.take(&mut look, &others);
        }
        let from = if at_all { 0 } else { self.followed };
        for page in self.log[from..].chunks(self.ended.page() as usize) {
            self.ended.take(&mut look, page);
            self.make_room();
        }
        self.ended.complete(look);
        self.followed = self.log.len();
    }

    /// Takes a part of the log, and loses the rest of the look.
    fn look_that_fails(&mut self) {
        let new = &self.log[self.followed..];
        self.ended.take(&mut LogRead::at_new(Some(self.now)), &new[..new.len() / 2]);
    }

    fn read_tables(&mut self) {
        let mut range = Some(self.ended.first_range());
        while let Some(next) = range {
            self.read_range(next);
            range = self.ended.range_after(next);
        }
        self.is_read = true;
        self.look(true);
    }

    fn make_room(&self) {
        while let Some(range) = self.ended.crowded() {
            let before = self.ended.exact();
            self.read_range(range);
            if self.ended.exact() >= before {
                self.ended.tolerate();
            }
        }
    }

    fn read_range(&self, range: IdRange) {
        let mut reader = self.ended.reader(range);
        for (id, row) in self.rows.range(range.after..).filter(|(id, row)| **id > range.after && row.ended.is_some()) {
            match reader.take(*id, row.expires) {
                Taken::Waits => {}
                Taken::Full(keys) => self.ended.put(keys.build()),
                Taken::Beyond => break,
            }
        }
        self.ended.put(reader.finish().build());
    }

    /// Returns true where the store takes the session for live.
    fn is_live(&self, id: SessionId, row: &Row) -> bool {
        let began = created(id);
        let out = |scope: &Option<AppName>| self.opted_out.contains(&(row.user, scope.clone()));
        let over = |scope: &Option<AppName>| self.apps.get(scope).is_some_and(|at| began <= *at);
        let scopes = [Some(row.app.clone()), None];
        row.ended.is_none() && !scopes.iter().any(out) && !scopes.iter().any(over)
    }

    fn standing(&self, id: SessionId, row: &Row) -> Standing {
        self.ended.standing(id, row.user, &row.app, Some(&row.login))
    }

    /// Asserts what holds after a complete look: what has ended is not live, what is live has not ended. Returns the
    /// numbers of live sessions, and of those of which the node is unsure.
    fn check(&self) -> (usize, usize) {
        let (mut live, mut unsure) = (0, 0);
        for (id, row) in &self.rows {
            let standing = self.standing(*id, row);
            if self.is_live(*id, row) {
                assert!(!matches!(standing, Standing::Ended(_)), "{id} is live, and {standing:?}");
                live += 1;
                unsure += usize::from(standing == Standing::Unsure);
            } else {
                assert_ne!(standing, Standing::Live, "{id} has ended");
            }
        }
        (live, unsure)
    }
}

/// A budget of a few entries, so that short histories reach every bound.
fn narrow(filters: usize) -> Budget {
    Budget { slice_keys: 8, most_sessions: 32, most_others: 10_000, filters_and_others: filters }
}

proptest! {
    /// Ends of users and logins are left out of the check for false ends: they are for sessions without a row.
    #[test]
    fn nothing_that_has_ended_is_taken_for_live(
        events in prop::collection::vec(event(), 1..400),
        filters in prop_oneof![Just(usize::MAX), 0..60_000usize],
    ) {
        let mut history = History::new(narrow(filters));
        for event in &events {
            history.happen(event);
            if matches!(event, Event::Look | Event::LookAtAll | Event::ReadTables) {
                history.check();
                let bytes = history.ended.read().filter_bytes();
                prop_assert!(bytes <= filters);
                prop_assert!(history.ended.exact() <= 32);
            }
        }
        history.look(false);
        let (live, unsure) = history.check();
        if filters == usize::MAX {
            let near = history.rows.values().filter(|row| history.users.iter().any(|end| matches!(end,
                End::User { user, .. } if *user == row.user))).count();
            prop_assert!(unsure <= near + 1 + live / 1000, "unsure of {unsure} of {live}");
        }
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn session(seed: &mut u64, at: u64) -> SessionId {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random(seed).to_be_bytes());
    bytes[8..].copy_from_slice(&random(seed).to_be_bytes()[..2]);
    SessionId::new(START.plus(Duration::from_millis(at)), bytes)
}

#[test]
fn a_filter_errs_once_in_65536() {
    let (seed, far) = (&mut 7, START.plus(HOUR * 1000));
    let ended = EndedSessions::new(const { NonZeroU32::new(128).unwrap() });
    let mut reader = ended.reader(ended.first_range());
    let ids: Vec<_> = (0..300_000).map(|number| session(seed, number)).collect();
    for id in &ids {
        if let Taken::Full(keys) = reader.take(*id, far) {
            ended.put(keys.build());
        }
    }
    ended.put(reader.finish().build());
    let (user, app) = (user(1), app(0));
    let standing = |id| ended.standing(id, user, &app, None);
    assert!(ids.iter().all(|id| standing(*id) == Standing::Unsure));
    let others = 2_000_000;
    let errors =
        (0..others).filter(|number| standing(session(seed, number * 300_000 / others)) != Standing::Live).count();
    assert!((10..60).contains(&errors), "{errors} errors, 30 are expected");
}

#[test]
fn the_end_of_a_user_ends_sessions_without_a_row() {
    let ended = EndedSessions::new(NonZeroU32::MIN);
    let standing = |seconds| {
        let id = SessionId::new(START.plus(Duration::from_secs(seconds)), [7; 10]);
        ended.standing(id, user(1), &app(0), None)
    };
    assert_eq!(standing(0), Standing::Live);
    ended.note(&End::User { user: user(1), app: None, at: START.plus(Duration::from_secs(100)) });
    assert_eq!(standing(0), Standing::Ended(Ended::Revoked));
    assert_eq!(standing(90), Standing::Unsure, "the clock of another node may be behind");
    assert_eq!(standing(101), Standing::Live);
}

#[test]
fn what_cannot_be_kept_makes_all_unsure() {
    let ended = EndedSessions::of(Budget { most_sessions: 2, ..narrow(usize::MAX) });
    let seed = &mut 7;
    let ids: Vec<_> = (0..3).map(|number| session(seed, number)).collect();
    for id in &ids {
        ended.note(&End::Session { id: *id, why: Ended::Reused, expires: START.plus(HOUR) });
    }
    let standing = |id| ended.standing(id, user(1), &app(0), None);
    assert_eq!(standing(ids[0]), Standing::Ended(Ended::Reused));
    assert_eq!(standing(ids[2]), Standing::Unsure);
    assert_eq!(standing(session(seed, 9)), Standing::Unsure, "it may be one that was lost");
}

#[test]
fn the_memory_is_divided() {
    for mib in [1, 2, 16, 128, 4096] {
        let budget = Budget::of(NonZeroU32::new(mib).unwrap());
        let build = budget.slice_keys * 48;
        let exact = budget.most_sessions * budget::SESSION_BYTES;
        assert!(build + exact + budget.filters(0) <= mib as usize * (1 << 20), "{budget:?}");
        assert!(budget.slice_keys > 1000 && budget.most_sessions > 1000 && budget.page() > 100, "{budget:?}");
    }
    // The default has room for 30 million.
    assert!(Budget::of(NonZeroU32::new(128).unwrap()).filters(0) > 30_000_000 * 24 / 10);
}

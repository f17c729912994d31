//! Sessions in the store before the service starts, and their refresh tokens.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::{
    app::{Ambient, Services},
    clock::UnixMillis,
    config::{Environment, Settings},
    domain::{
        ids::{AppName, SessionId, UserId, UserIdRules},
        refresh_token::{Contents, RefreshToken},
        sealing::SealingKeys,
        session::Session,
    },
    store::Creation,
};
use tokio::task::JoinSet;

use super::{process, service::APP};

/// Number of sessions that are created concurrently; smaller than the store's queue.
const CONCURRENT: usize = 2048;

/// Time between the first session's creation and the last one's.
const SPREAD: Duration = Duration::from_hours(20 * 24);

/// Distance of consecutively refreshed sessions: a prime, so that every session is refreshed, and neighbours are not.
const STRIDE: usize = 7_368_787;

const DAY: Duration = Duration::from_hours(24);

/// The sessions, each with the number of its refreshes.
pub struct Stored {
    keys: SealingKeys,
    app: AppName,
    first: UnixMillis,
    refreshed: Vec<AtomicU32>,
    turns: AtomicUsize,
}

impl Stored {
    /// Creates sessions in the store, one for each user, as logins do.
    pub async fn fill(config: &Path, count: usize) -> Arc<Self> {
        process::unpin();
        let settings = Settings::load(Some(config), &Environment::empty(), &[]).expect("a configuration");
        let services = Arc::new(Services::open(&settings, Ambient::system()).await.unwrap());
        let stored = Arc::new(Self {
            keys: SealingKeys::derive(settings.sealing()),
            app: APP.parse().unwrap(),
            first: UnixMillis(services.clock().untrusted_now().0 - SPREAD.as_millis() as i64),
            refreshed: (0..count).map(|_| AtomicU32::new(0)).collect(),
            turns: AtomicUsize::new(0),
        });
        let mut filling = JoinSet::new();
        for begin in 0..CONCURRENT {
            let (stored, services) = (Arc::clone(&stored), Arc::clone(&services));
            filling.spawn(async move {
                for number in (begin..count).step_by(CONCURRENT) {
                    let created = services.store().create_session(stored.session(number, &services)).await.unwrap();
                    assert_eq!(created, Creation::Created { evicted: 0 });
                }
            });
        }
        filling.join_all().await;
        process::pin_to_the_others();
        stored
    }

    pub fn count(&self) -> usize {
        self.refreshed.len()
    }

    /// Returns the next session to refresh, and its newest refresh token.
    pub fn next(&self) -> (usize, RefreshToken) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let number = turn.wrapping_mul(STRIDE) % self.count();
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&turn.to_be_bytes());
        (number, RefreshToken::seal(&self.contents(number), &self.keys, nonce))
    }

    /// Records that the service answered with the session's next token.
    pub fn rotated(&self, number: usize) {
        self.refreshed[number].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of refreshes that the service answered with a token.
    pub fn rotations(&self) -> u64 {
        self.refreshed.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
    }

    fn contents(&self, number: usize) -> Contents {
        let created = self.created(number);
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&number.to_be_bytes());
        Contents {
            session: SessionId::new(created, tail),
            app: self.app.clone(),
            user: UserId::parse(&format!("stored-{number}"), UserIdRules::default()).unwrap(),
            counter: u64::from(self.refreshed[number].load(Ordering::Relaxed)),
            issued: created,
            idle_expires: created.plus(30 * DAY),
            expires: created.plus(180 * DAY),
            shortened: None,
            login: None,
            unwritten: false,
        }
    }

    fn session(&self, number: usize, services: &Services) -> Session {
        let contents = self.contents(number);
        Session {
            id: contents.session,
            app: contents.app,
            user: services.user_hash().hash(&contents.user),
            counter: contents.counter,
            created: contents.issued,
            rotated: contents.issued,
            idle_expires: contents.idle_expires,
            expires: contents.expires,
            ended: None,
        }
    }

    fn created(&self, number: usize) -> UnixMillis {
        self.first.plus(SPREAD / self.count() as u32 * number as u32)
    }
}

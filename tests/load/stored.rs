//! Sessions that are in the store before the service starts, and the refresh tokens that belong to them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::{
    app::Services,
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

/// How many sessions are on their way to the store at once; fewer than its queue holds.
const ABREAST: usize = 2048;

/// The sessions began one after the other, over so long a time.
const SPREAD: Duration = Duration::from_hours(20 * 24);

/// Distance of sessions that are refreshed after each other: a prime, so that all of them have their turn, far apart.
const STRIDE: usize = 7_368_787;

const DAY: Duration = Duration::from_hours(24);

/// The sessions, and how often each was refreshed.
pub struct Stored {
    keys: SealingKeys,
    app: AppName,
    first: UnixMillis,
    refreshed: Vec<AtomicU32>,
    turns: AtomicUsize,
}

impl Stored {
    /// Creates sessions through the store's own code, one for each user, as logins do.
    pub async fn fill(config: &Path, count: usize) -> Arc<Self> {
        process::unpin();
        let settings = Settings::load(Some(config), &Environment::empty(), &[]).expect("a configuration");
        let services = Arc::new(Services::open(&settings).await.unwrap());
        let stored = Arc::new(Self {
            keys: SealingKeys::derive(settings.sealing()),
            app: APP.parse().unwrap(),
            first: UnixMillis(services.clock.now().0 - SPREAD.as_millis() as i64),
            refreshed: (0..count).map(|_| AtomicU32::new(0)).collect(),
            turns: AtomicUsize::new(0),
        });
        let mut filling = JoinSet::new();
        for begin in 0..ABREAST {
            let (stored, services) = (Arc::clone(&stored), Arc::clone(&services));
            filling.spawn(async move {
                for number in (begin..count).step_by(ABREAST) {
                    let created = services.store.create_session(stored.session(number, &services)).await.unwrap();
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

    /// The session whose turn it is, and the refresh token that it was given last.
    pub fn next(&self) -> (usize, RefreshToken) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let number = turn.wrapping_mul(STRIDE) % self.count();
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&turn.to_be_bytes());
        (number, RefreshToken::seal(&self.contents(number), &self.keys, nonce))
    }

    /// The service answered with the session's next token.
    pub fn rotated(&self, number: usize) {
        self.refreshed[number].fetch_add(1, Ordering::Relaxed);
    }

    /// Refreshes that the service answered with a token.
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
        }
    }

    fn session(&self, number: usize, services: &Services) -> Session {
        let contents = self.contents(number);
        Session {
            id: contents.session,
            app: contents.app,
            user: services.user_hash.hash(&contents.user),
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

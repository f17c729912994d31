//! A small model of an installation, of Braze and of one device. What happens in it is on record as the service records
//! it; Braze answers by its documented rules, by what it really holds, and by its own clock.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use countersign::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        claims::Claims,
        failure::Platform,
        ids::{AppName, Kid},
        jws::SigningInput,
        key::{KeyRecord, KeyState},
        policy::AppPolicy,
        rotation::{Publication, Published},
    },
    failures::{SessionFacts, TokenFacts},
};

use super::random::Random;
use crate::support::domain::{RsaKey, user};

/// Key pairs of the model; making one is slow.
pub static PAIRS: LazyLock<[RsaKey; 4]> = LazyLock::new(|| std::array::from_fn(|_| RsaKey::generate()));

/// Pair of nobody in the installation: of a server before it, or of another environment.
pub const FOREIGN: usize = 3;

pub const MINUTE: Duration = Duration::from_mins(1);
pub const HOUR: Duration = Duration::from_hours(1);
pub const DAY: Duration = Duration::from_hours(24);

/// Text in the dashboard that is no key.
pub const NO_KEY: &str = "-----BEGIN PUBLIC KEY-----MIIBIjANBgkq-----END PUBLIC KEY-----";

/// Key of the installation.
#[derive(Clone)]
pub struct Key {
    pub kid: Kid,
    pub pair: usize,
    pub record: KeyRecord,
}

/// Device, with its SDK and its report.
pub struct Device {
    pub platform: Platform,
    pub sdk_version: Option<String>,
    /// App of Braze that its SDK asks.
    pub braze_app: String,
    /// User that was given to `changeUser`.
    pub sdk_user: String,
    /// Users of the rows of its request; empty: the SDK's user.
    pub rows: Vec<Option<String>>,
    /// Token that its SDK sends.
    pub sends: Option<String>,
    /// The report has the refused token, and the service examines it.
    pub judged: bool,
    /// The report has no user id.
    pub loses_user_id: bool,
    pub with_refresh: bool,
}

/// The model.
pub struct Model {
    pub random: Random,
    pub now: UnixMillis,
    pub app: AppName,
    pub policies: BTreeMap<AppName, AppPolicy>,
    pub keys: Vec<Key>,
    pub publications: Vec<Published>,
    pub events: Vec<AuditEvent>,
    /// Public keys of each app of Braze.
    pub braze: BTreeMap<String, Vec<String>>,
    /// Braze's clock less ours, in milliseconds.
    pub braze_ahead: i64,
    pub clock_offset: Option<i64>,
    /// Braze names the last of a token's faults, not the first: the order of its checks is not documented.
    pub last_fault_first: bool,
    /// Braze answers 20 where no key fits, as it documents too.
    pub twenty: bool,
    pub device: Device,
    pub user: String,
    pub session: SessionFacts,
    pub token: Option<TokenFacts>,
}

fn policy(ring: &str, workspace: Option<&str>) -> AppPolicy {
    let workspace = workspace.map(str::to_owned);
    AppPolicy {
        braze_app_id: workspace.clone(),
        workspace,
        ring: ring.parse().unwrap(),
        sdk_api_key: Some("0a1b2c3d".to_owned()),
        ..AppPolicy::default()
    }
}

impl Model {
    /// Apps `web` and `ios`, whose keys Braze lists, and `kiosk` by hand, on ring `main`; and `web-test` on ring
    /// `staging`. Ring `main` has signed with the first key for long, ring `staging` with the third.
    pub fn new(seed: u64, app: &str) -> Self {
        let mut random = Random::of(seed);
        let now = UnixMillis(1_795_000_000_678).plus(Duration::from_secs(random.within(0..5_000_000)));
        let apps = [("web", "main", Some("eu")), ("ios", "main", Some("eu")), ("kiosk", "main", None)];
        let staging = [("web-test", "staging", Some("eu"))];
        let policies =
            apps.iter().chain(&staging).map(|(app, ring, workspace)| (app.parse().unwrap(), policy(ring, *workspace)));
        let platforms = [Platform::Web, Platform::Android, Platform::Ios, Platform::Flutter, Platform::ReactNative];
        let device = Device {
            platform: random.one(&platforms),
            sdk_version: None,
            braze_app: app.to_owned(),
            sdk_user: "user-7".to_owned(),
            rows: Vec::new(),
            sends: None,
            judged: random.percent(30),
            loses_user_id: false,
            with_refresh: true,
        };
        let offset = random.percent(70).then(|| i64::try_from(random.within(0..4_000)).unwrap() - 2_000);
        let mut model = Self {
            random,
            now,
            app: app.parse().unwrap(),
            policies: policies.collect(),
            keys: Vec::new(),
            publications: Vec::new(),
            events: Vec::new(),
            braze: BTreeMap::new(),
            braze_ahead: 0,
            clock_offset: offset,
            last_fault_first: false,
            twenty: false,
            device,
            user: "user-7".to_owned(),
            session: SessionFacts { created: now, refreshes: 0, numeric_user: false },
            token: None,
        };
        model.begin("main", 0, 40 * DAY);
        model.begin("staging", 2, 40 * DAY);
        model
    }

    /// Makes a key, publishes it for every app of its ring and activates it.
    pub fn begin(&mut self, ring: &str, pair: usize, ago: Duration) -> Kid {
        let kid = self.create(ring, pair, ago);
        for app in self.apps_of(ring) {
            self.publish(&app, &kid, ago.saturating_sub(5 * MINUTE));
        }
        self.activate(&kid, ago.saturating_sub(20 * MINUTE));
        kid
    }

    fn apps_of(&self, ring: &str) -> Vec<String> {
        self.policies
            .iter()
            .filter(|(_, policy)| policy.ring.as_str() == ring)
            .map(|(app, _)| app.to_string())
            .collect()
    }

    pub fn ago(&self, ago: Duration) -> UnixMillis {
        self.now.minus(ago)
    }

    pub fn create(&mut self, ring: &str, pair: usize, ago: Duration) -> Kid {
        let kid = Kid::from_thumbprint(&self.random.bytes());
        let created = self.ago(ago);
        let record = KeyRecord {
            kid: kid.clone(),
            ring: ring.parse().unwrap(),
            state: KeyState::Pending,
            bits: 2048,
            public_key: PAIRS[pair].public_pem(),
            custody: "file".to_owned(),
            locator: "key.pem".to_owned(),
            created,
            changed: created,
        };
        self.keys.push(Key { kid: kid.clone(), pair, record });
        self.log(&kid, None, AuditAction::Created, created);
        kid
    }

    fn key(&mut self, kid: &Kid) -> &mut Key {
        self.keys.iter_mut().find(|key| key.kid == *kid).unwrap()
    }

    fn log(&mut self, kid: &Kid, app: Option<&str>, action: AuditAction, at: UnixMillis) {
        let ring = Some(self.key(kid).record.ring.clone());
        let target = AuditTarget {
            ring,
            kid: Some(kid.clone()),
            app: app.map(|app| app.parse().unwrap()),
            ..AuditTarget::default()
        };
        let actor = Actor::named("model");
        self.events.push(AuditEvent { at, actor, action, target, outcome: AuditOutcome::Done, why: String::new() });
    }

    /// Asks Braze to add a key; it has not listed it.
    pub fn ask(&mut self, app: &str, kid: &Kid, ago: Duration) {
        let asked = self.ago(ago);
        let publication = Publication { asked: Some(asked), ..Publication::default() };
        self.publications.push(Published { app: app.parse().unwrap(), kid: kid.clone(), publication });
        self.log(kid, Some(app), AuditAction::Publishing, asked);
    }

    /// Puts a publication on record, and gives Braze the key.
    pub fn publish(&mut self, app: &str, kid: &Kid, ago: Duration) {
        self.record_publication(app, kid, ago);
        self.give(app, kid);
    }

    /// Puts a publication on record: Braze's list has the key, or an operator says so.
    pub fn record_publication(&mut self, app: &str, kid: &Kid, ago: Duration) {
        let shown = self.ago(ago);
        let publication = Publication { asked: None, shown: Some(shown), braze_id: None };
        self.publications.push(Published { app: app.parse().unwrap(), kid: kid.clone(), publication });
        self.log(kid, Some(app), AuditAction::Published, shown);
    }

    /// Gives an app of Braze a key.
    pub fn give(&mut self, app: &str, kid: &Kid) {
        let public_key = self.key(kid).record.public_key.clone();
        self.braze.entry(app.to_owned()).or_default().push(public_key);
    }

    /// Removes a key from an app of Braze.
    pub fn take(&mut self, app: &str, kid: &Kid) {
        let public_key = self.key(kid).record.public_key.clone();
        self.braze.entry(app.to_owned()).or_default().retain(|held| *held != public_key);
    }

    fn enter(&mut self, kid: &Kid, state: KeyState, at: UnixMillis) {
        let record = &mut self.key(kid).record;
        (record.state, record.changed) = (state, at);
    }

    pub fn activate(&mut self, kid: &Kid, ago: Duration) {
        let at = self.ago(ago);
        let ring = self.key(kid).record.ring.clone();
        let active = |key: &Key| key.record.ring == ring && key.record.state == KeyState::Active;
        let before: Vec<Kid> = self.keys.iter().filter(|key| active(key)).map(|key| key.kid.clone()).collect();
        for kid in &before {
            self.enter(kid, KeyState::Retiring, at);
        }
        self.log(kid, None, AuditAction::Activated, at);
        self.enter(kid, KeyState::Active, at);
    }

    /// Deletes a key at Braze, with its record.
    pub fn withdraw(&mut self, app: &str, kid: &Kid, ago: Duration) {
        self.log(kid, Some(app), AuditAction::Withdrawn, self.ago(ago));
        self.vanish(app, kid);
    }

    /// Somebody deletes a key in the dashboard; the next list shows it.
    pub fn vanish(&mut self, app: &str, kid: &Kid) {
        self.take(app, kid);
        self.publications.retain(|known| !(known.kid == *kid && known.app.as_str() == app));
    }

    pub fn retire(&mut self, kid: &Kid, ago: Duration) {
        self.log(kid, None, AuditAction::Retired, self.ago(ago));
        self.enter(kid, KeyState::Retired, self.ago(ago));
    }

    pub fn compromise(&mut self, kid: &Kid, ago: Duration) {
        self.log(kid, None, AuditAction::Compromised, self.ago(ago));
        self.enter(kid, KeyState::Compromised, self.ago(ago));
    }

    /// Drops a key's records: its installation is another.
    pub fn forget(&mut self, kid: &Kid) {
        self.keys.retain(|key| key.kid != *kid);
        self.events.retain(|event| event.target.kid.as_ref() != Some(kid));
        self.publications.retain(|known| known.kid != *kid);
    }

    pub fn policy(&mut self) -> &mut AppPolicy {
        self.policies.get_mut(&self.app).unwrap()
    }

    pub fn lifetime(&self) -> Duration {
        self.policies[&self.app].lifetime
    }

    /// Token of the app for a user, signed by a key pair.
    pub fn token_for(&mut self, id: &str, pair: usize, issued: UnixMillis) -> (String, UnixMillis) {
        let jti = self.random.bytes();
        let policy = &self.policies[&self.app];
        let user = user(id);
        let claims = Claims::new(&user, policy, issued, policy.lifetime, jti);
        let expires = claims.expires();
        let input = SigningInput::new(&claims, None);
        let signature = PAIRS[pair].sign(input.as_bytes());
        (input.signed(&signature).expose().to_owned(), expires)
    }

    /// The device got its newest token so long ago, by this key, after so many refreshes since the login.
    pub fn holds(&mut self, kid: &Kid, issued: Duration, login: Duration, refreshes: u64) {
        let pair = self.key(kid).pair;
        let issued = self.ago(issued);
        let user = self.user.clone();
        let (token, expires) = self.token_for(&user, pair, issued);
        self.token = Some(TokenFacts { kid: kid.clone(), issued, expires });
        self.session = SessionFacts {
            created: self.ago(login),
            refreshes,
            numeric_user: self.user.bytes().all(|byte| byte.is_ascii_digit()),
        };
        self.device.sends = Some(token);
    }

    /// The device refreshes in time, and got its newest token so long ago.
    pub fn lives(&mut self, kid: &Kid, issued: Duration) {
        let refreshes = self.random.within(1..40);
        let share = self.random.within(50..76);
        let interval = self.lifetime().mul_f64(f64::from(u32::try_from(share).unwrap()) / 100.0);
        let login = issued + interval * u32::try_from(refreshes).unwrap();
        self.holds(kid, issued, login, refreshes);
    }
}

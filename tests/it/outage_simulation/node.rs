//! A node of the simulation: a real issuer, and the real background work, with a clock and a way to the store of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use countersign::{
    clock::{self, Clock, ClockGuard, UnixMillis},
    custody::{Custodian, CustodyError, HeldKey, ImportError, InstallationMark, Orphan, Signer},
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        ids::{InstallationId, Kid, RingName},
        jws::{SignError, Signature, SignedToken, SigningInput},
        key::{KeyRecord, KeyState},
        policy::AppPolicy,
        sealing::UserHashKey,
    },
    issue::{self, Issuer, Policies},
    keyring::Keyring,
    node::{self, EndsAgent, Node, NodeAgent, Subscriber},
    outage::Outage,
    secret::{Entropy, NoEntropy, Secret},
    store::{self, KeyTransaction, Store},
    telemetry::{Metrics, Readiness},
};

use super::RULES;
use crate::support::{
    domain::sealing_keys,
    switched_store::{Reach, Switch, SwitchedStore},
    test_service::TestClock,
};

/// Repeatable numbers: `SplitMix64`.
pub struct Random(AtomicU64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D)))
    }

    pub fn next(&self) -> u64 {
        let state = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// True, so many times in a hundred.
    pub fn percent(&self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in bytes {
            *byte = self.next().to_be_bytes()[0];
        }
        Ok(())
    }
}

/// Key whose signatures cost nothing, and are none.
struct Seal(Kid);

#[async_trait]
impl Signer for Seal {
    fn kid(&self) -> &Kid {
        &self.0
    }

    async fn sign(&self, input: SigningInput) -> Result<SignedToken, SignError> {
        Ok(input.signed(&Signature(vec![0; 8])))
    }

    fn overloaded(&self) -> Option<Duration> {
        None
    }
}

struct Seals;

#[async_trait]
impl Custodian for Seals {
    async fn generate(&self, _: &RingName, bits: u32) -> Result<HeldKey, CustodyError> {
        Err(CustodyError::Bits(bits))
    }

    async fn import(
        &self,
        _: &RingName,
        _: &Secret<Vec<u8>>,
        _: Option<&Secret<String>>,
    ) -> Result<HeldKey, ImportError> {
        Err(ImportError::Malformed)
    }

    async fn open(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, CustodyError> {
        Ok(Arc::new(Seal(record.kid.clone())))
    }

    async fn destroy(&self, _: &KeyRecord) -> Result<(), CustodyError> {
        Ok(())
    }

    async fn installation_mark(&self) -> Result<InstallationMark, CustodyError> {
        Ok(InstallationMark::Missing)
    }

    async fn adopt_installation_id(&self, _: InstallationId) -> Result<(), CustodyError> {
        Ok(())
    }

    async fn orphans(&self, _: &[KeyRecord]) -> Result<Vec<Orphan>, CustodyError> {
        Ok(Vec::new())
    }
}

struct Nobody;

impl Subscriber for Nobody {
    fn on_records(&self, _: &[KeyRecord], _: Vec<ApiKeyRecord>) {}

    fn api_key_uses(&self) -> Vec<(ApiKeyId, UnixMillis)> {
        Vec::new()
    }

    fn evict_idle(&self) {}
}

/// Puts the one signing key of the simulation on record.
pub async fn put_key_on_record(store: &dyn Store, now: UnixMillis) {
    let key = KeyRecord {
        kid: Kid::from_thumbprint(&[1; 32]),
        ring: RingName::default(),
        state: KeyState::Active,
        bits: 2048,
        public_key: String::new(),
        custody: "file".to_owned(),
        locator: String::new(),
        created: now,
        changed: now,
    };
    let transaction = KeyTransaction { insert: Some(key), ..KeyTransaction::default() };
    assert!(store.transact(transaction).await.unwrap());
}

/// Hashes of users, the same in every world.
pub fn user_hash() -> UserHashKey {
    UserHashKey::new([7; 32])
}

fn policies() -> Policies {
    let policy = Arc::new(AppPolicy { refresh: RULES, ..AppPolicy::default() });
    ["web", "ios"].into_iter().map(|app| (app.parse().unwrap(), Arc::clone(&policy))).collect()
}

/// One node. Its memory is gone when it is dropped.
pub struct SimNode {
    pub clock: Arc<TestClock>,
    pub switch: Arc<Switch>,
    pub issuer: Issuer,
    pub outage: Arc<Outage>,
    agent: NodeAgent,
    ends_agent: EndsAgent,
}

impl SimNode {
    /// Starts a node; `None` where it cannot, because it does not reach the store.
    pub async fn start(
        name: String,
        (store, config): (Arc<dyn Store>, &store::Config),
        reach: Reach,
        clock: Arc<TestClock>,
        entropy: Arc<Random>,
    ) -> Option<Self> {
        let switch = Switch::without_time(store);
        switch.set(reach);
        let store: Arc<dyn Store> = Arc::new(SwitchedStore(Arc::clone(&switch)));
        let guard = Arc::new(ClockGuard::new(Arc::clone(&clock) as Arc<dyn Clock>, clock::Config::default().patience));
        if let Some(floor) = store.clock_record().await.ok()?.floor {
            guard.set_floor(&floor);
        }
        let metrics = Metrics::new();
        let outage = Arc::new(Outage::new(config, Arc::clone(&metrics)));
        let keyring = Arc::new(Keyring::new());
        let parts = issue::Parts {
            keyring: Arc::clone(&keyring),
            store: Arc::clone(&store),
            user_hash: Arc::new(user_hash()),
            clock: Arc::clone(&guard),
            entropy,
            outage: Arc::clone(&outage),
            metrics: Arc::clone(&metrics),
        };
        let issuer = Issuer::new(parts, policies(), sealing_keys(&[1]));
        let node = Arc::new(Node {
            name,
            store,
            custodian: Arc::new(Seals),
            keyring,
            metrics,
            clock: guard,
            readiness: Arc::new(Readiness::default()),
            outage: Arc::clone(&outage),
            subscriber: Arc::new(Nobody),
            audit: Arc::default(),
            activity: node::ActivityRecorder::default(),
        });
        let ends_agent = EndsAgent::new(Arc::clone(&node));
        let mut agent = NodeAgent::new(node);
        agent.start(&node::Config::default()).await.ok()?;
        Some(Self { clock, switch, issuer, outage, agent, ends_agent })
    }

    /// Does the background work of one second, in no time. Returns true where the node looked at what has ended.
    pub async fn tick(&mut self) -> bool {
        self.agent.tick(&node::Config::default()).await;
        self.ends_agent.tick().await;
        self.outage.ended.looked() == Some(self.clock.now())
    }
}

//! Keyring: one active signer for each ring; the snapshot is replaced as a whole.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use async_trait::async_trait;
use countersign::{
    clock::UnixMillis,
    custody::{Custodian, CustodyError, HeldKey, ImportError, InstallationMark, Orphan, Signer},
    domain::{
        ids::{InstallationId, Kid, RingName},
        jws::{SignError, SignedToken, SigningInput},
        key::{KeyRecord, KeyState},
    },
    keyring::Keyring,
    secret::Secret,
};
use strum::VariantArray;

struct Named(Kid);

#[async_trait]
impl Signer for Named {
    fn kid(&self) -> &Kid {
        &self.0
    }

    async fn sign(&self, _: SigningInput) -> Result<SignedToken, SignError> {
        Err(SignError::Unavailable("a stand-in".to_owned()))
    }

    fn overloaded(&self) -> Option<std::time::Duration> {
        None
    }
}

/// Custodian that counts the keys it opens, and refuses one key.
#[derive(Default)]
struct Counting {
    opened: AtomicUsize,
    refuses: Mutex<Option<Kid>>,
}

#[async_trait]
impl Custodian for Counting {
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
        if self.refuses.lock().unwrap().as_ref() == Some(&record.kid) {
            return Err(CustodyError::Generation("refused".to_owned()));
        }
        self.opened.fetch_add(1, Relaxed);
        Ok(Arc::new(Named(record.kid.clone())))
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

fn kid(n: u8) -> Kid {
    Kid::from_thumbprint(&[n; 32])
}

fn ring(name: &str) -> RingName {
    name.parse().unwrap()
}

fn record(n: u8, name: &str, state: KeyState, changed: i64) -> KeyRecord {
    KeyRecord {
        kid: kid(n),
        ring: ring(name),
        state,
        bits: 2048,
        public_key: String::new(),
        custody: "file".to_owned(),
        locator: String::new(),
        created: UnixMillis(0),
        changed: UnixMillis(changed),
    }
}

#[tokio::test]
async fn what_signs_is_opened_and_what_may_have_to_take_over() {
    let (keyring, custodian) = (Keyring::new(), Counting::default());
    let others = KeyState::VARIANTS.iter().copied().filter(|state| *state != KeyState::Active);
    let mut records: Vec<_> = (10..).zip(others).map(|(n, state)| record(n, "main", state, 9)).collect();
    records.push(record(1, "main", KeyState::Active, 1));
    records.push(record(2, "other", KeyState::Active, 1));
    records.push(record(3, "idle", KeyState::Published, 1));

    let signers = keyring.load(&custodian, &records).await;
    assert!(keyring.kids().is_empty(), "loading changes nothing");
    keyring.swap(signers);
    assert_eq!(keyring.kids().into_iter().collect::<Vec<_>>(), [(ring("main"), kid(1)), (ring("other"), kid(2))]);
    assert_eq!(*keyring.signer(&ring("main")).unwrap().kid(), kid(1));
    assert!(keyring.signer(&ring("idle")).is_none());
    let loaded: Vec<KeyState> =
        records.iter().filter(|record| keyring.loaded().contains_key(&record.kid)).map(|record| record.state).collect();
    let [active, published, retiring] = [KeyState::Active, KeyState::Published, KeyState::Retiring];
    assert_eq!(loaded, [published, retiring, active, active, published]);
    assert_eq!(custodian.opened.load(Relaxed), 5);
}

#[tokio::test]
async fn a_reload_opens_only_what_is_new() {
    let (keyring, custodian) = (Keyring::new(), Counting::default());
    keyring.swap(keyring.load(&custodian, &[record(1, "main", KeyState::Active, 1)]).await);
    let before = keyring.signer(&ring("main")).unwrap();
    let records = [record(1, "main", KeyState::Active, 1), record(2, "other", KeyState::Active, 1)];
    keyring.swap(keyring.load(&custodian, &records).await);
    assert_eq!(custodian.opened.load(Relaxed), 2);
    assert!(Arc::ptr_eq(&before, &keyring.signer(&ring("main")).unwrap()));

    // From the next swap on, a compromised key does not sign.
    keyring.swap(keyring.load(&custodian, &[record(1, "main", KeyState::Compromised, 2)]).await);
    assert!(keyring.signer(&ring("main")).is_none());
}

#[tokio::test]
async fn a_ring_whose_key_does_not_load_holds_up_no_other() {
    let (keyring, custodian) = (Keyring::new(), Counting::default());
    let first = [record(1, "main", KeyState::Active, 1), record(3, "other", KeyState::Active, 1)];
    keyring.swap(keyring.load(&custodian, &first).await);
    *custodian.refuses.lock().unwrap() = Some(kid(4));
    let next = |before: KeyState| {
        let main = [record(1, "main", KeyState::Compromised, 2), record(2, "main", KeyState::Active, 2)];
        [main, [record(3, "other", before, 2), record(4, "other", KeyState::Active, 2)]].concat()
    };

    let signers = keyring.load(&custodian, &next(KeyState::Retiring)).await;
    let unfit: Vec<_> = signers.unfit().iter().map(|key| (key.kid.clone(), key.ring.clone(), key.active)).collect();
    assert_eq!(unfit, [(kid(4), ring("other"), true)]);
    keyring.swap(signers);
    assert_eq!(*keyring.signer(&ring("main")).unwrap().kid(), kid(2), "the compromised key signs no more");
    assert_eq!(*keyring.signer(&ring("other")).unwrap().kid(), kid(3), "Braze holds the retiring key, which goes on");

    keyring.swap(keyring.load(&custodian, &next(KeyState::Compromised)).await);
    assert!(
        keyring.signer(&ring("other")).is_none(),
        "a compromised key does not sign in place of one that is missing"
    );
}

#[tokio::test]
async fn where_no_active_key_loads_its_reason_is_told() {
    let (keyring, custodian) = (Keyring::new(), Counting::default());
    *custodian.refuses.lock().unwrap() = Some(kid(1));
    let mut records = vec![record(1, "main", KeyState::Active, 1)];
    assert!(keyring.load(&custodian, &records).await.some_active().is_err());
    records.push(record(2, "other", KeyState::Active, 1));
    assert!(keyring.load(&custodian, &records).await.some_active().is_ok());
    assert!(keyring.load(&custodian, &[]).await.some_active().is_ok(), "a new installation has no key");
}

#[tokio::test]
async fn a_stand_by_that_does_not_load_is_told_and_keeps_nobody_from_signing() {
    let (keyring, custodian) = (Keyring::new(), Counting::default());
    *custodian.refuses.lock().unwrap() = Some(kid(2));
    let records = [record(1, "main", KeyState::Active, 1), record(2, "main", KeyState::Published, 1)];
    let signers = keyring.load(&custodian, &records).await;
    assert_eq!((&signers.unfit()[0].kid, signers.unfit()[0].active), (&kid(2), false));
    assert!(keyring.unfit().is_empty(), "loading changes nothing");
    keyring.swap(signers);
    assert_eq!(keyring.unfit().into_iter().collect::<Vec<_>>(), [kid(2)]);
    assert_eq!(keyring.loaded().into_keys().collect::<Vec<_>>(), [kid(1)]);
}

#[tokio::test]
async fn of_two_active_keys_the_later_one_signs() {
    let (keyring, custodian) = (Keyring::new(), Counting::default());
    let mut records = [record(1, "main", KeyState::Active, 5), record(2, "main", KeyState::Active, 7)];
    for _ in 0..2 {
        keyring.swap(keyring.load(&custodian, &records).await);
        assert_eq!(keyring.kids()[&ring("main")], kid(2));
        records.reverse();
    }
}

//! Keys in the store: sealed, loaded by every process that has the sealing secret, and by no other.

use std::sync::Arc;

use countersign::{
    clock::UnixMillis,
    custody::{self, Config, Custodian, Custody, CustodyError, HeldKey, ImportError, InstallationMark, SealedKeyStore},
    domain::{
        key::{CustodyKind, KeyRecord, KeyState},
        sealed_key::SealedKeyError,
        sealing::SealingKeys,
    },
    secret::{Secret, SystemEntropy},
    telemetry::Metrics,
};

use crate::custody::{Memory, fixture, input, sealing, verified_user};

/// Opens custody in this store; there is no folder of key files.
fn custody(store: &Arc<Memory>, sealing: SealingKeys) -> Custody {
    let config = Config { kind: CustodyKind::Store, dir: "/nonexistent/keys".into(), ..Config::default() };
    let store = Arc::clone(store) as Arc<dyn SealedKeyStore>;
    custody::open(config, store, sealing, Metrics::new(), Arc::new(SystemEntropy)).unwrap()
}

fn open(store: &Arc<Memory>, sealing: SealingKeys) -> Arc<dyn Custodian> {
    custody(store, sealing).custodian
}

async fn import(custodian: &dyn Custodian, ring: &str, name: &str) -> Result<HeldKey, ImportError> {
    custodian.import(&ring.parse().unwrap(), &Secret::new(fixture(name)), None).await
}

fn record(held: &HeldKey) -> KeyRecord {
    KeyRecord { state: KeyState::Active, ..held.clone().on_record("main".parse().unwrap(), UnixMillis(0)) }
}

#[tokio::test]
async fn a_key_that_one_process_makes_signs_in_another() {
    let store = Arc::new(Memory::default());
    let (one, other) = (open(&store, sealing("1")), open(&store, sealing("1")));
    let held = one.generate(&"main".parse().unwrap(), 2048).await.unwrap();
    assert_eq!((held.location.custody.as_str(), held.location.locator.as_str()), ("store", held.kid.as_str()));
    let token = other.open(&record(&held)).await.unwrap().sign(input("u-1")).await.unwrap();
    assert_eq!(verified_user(token.expose(), &held.public_key), "u-1");
    assert_eq!(other.installation_mark().await.unwrap(), InstallationMark::InStore);

    let compromised = record(&held).compromised(UnixMillis(1));
    other.destroy(&compromised).await.unwrap();
    other.destroy(&compromised).await.unwrap();
    assert!(store.0.lock().unwrap().is_empty());
    assert!(matches!(one.open(&record(&held)).await, Err(CustodyError::NotSealed(kid)) if kid == held.kid));
}

#[tokio::test]
async fn a_sealed_key_opens_only_in_its_place_and_with_its_secret() {
    let store = Arc::new(Memory::default());
    let custodian = open(&store, sealing("1"));
    let held = import(&*custodian, "main", "rsa-2048.pkcs8.pem").await.unwrap();
    let other = import(&*custodian, "main", "rsa-3072.pkcs8.pem").await.unwrap();
    let refusal = async |custodian: &dyn Custodian, record: &KeyRecord| match custodian.open(record).await.err() {
        Some(CustodyError::Sealed { kid, source }) if kid == held.kid => source,
        found => panic!("{found:?}"),
    };
    let elsewhere = KeyRecord { ring: "other".parse().unwrap(), ..record(&held) };
    assert_eq!(refusal(&*custodian, &elsewhere).await, SealedKeyError::Other);
    assert_eq!(refusal(&*open(&store, sealing("2")), &record(&held)).await, SealedKeyError::Version(1));
    let altered = KeyRecord { public_key: other.public_key.clone(), ..record(&held) };
    assert!(matches!(custodian.open(&altered).await, Err(CustodyError::File { .. })));

    let kept = store.0.lock().unwrap()[&held.kid].clone();
    let put = |sealed: Vec<u8>| drop(store.0.lock().unwrap().insert(held.kid.clone(), sealed));
    let others = store.0.lock().unwrap()[&other.kid].clone();
    put(others);
    assert_eq!(refusal(&*custodian, &record(&held)).await, SealedKeyError::Other, "another key in its place");
    for at in [4, 16, kept.len() - 1] {
        let mut altered = kept.clone();
        altered[at] ^= 1;
        put(altered);
        assert_eq!(refusal(&*custodian, &record(&held)).await, SealedKeyError::Other, "byte {at}");
    }
    put(kept[..10].to_vec());
    assert_eq!(refusal(&*custodian, &record(&held)).await, SealedKeyError::Short);
    put(kept);
    assert!(custodian.open(&record(&held)).await.is_ok());
}

#[tokio::test]
async fn an_import_may_be_repeated_and_overwrites_nothing() {
    let store = Arc::new(Memory::default());
    let custodian = open(&store, sealing("1"));
    let held = import(&*custodian, "main", "rsa-2048.pkcs8.pem").await.unwrap();
    let kept = store.0.lock().unwrap().clone();
    assert_eq!(import(&*custodian, "main", "rsa-2048.pkcs1.pem").await.unwrap(), held);
    assert!(matches!(import(&*custodian, "other", "rsa-2048.pkcs8.pem").await, Err(ImportError::NotKept(_))));
    assert_eq!(*store.0.lock().unwrap(), kept);
    assert_eq!(custodian.orphans(&[record(&held)]).await.unwrap(), []);
    let orphans = custodian.orphans(&[]).await.unwrap();
    assert_eq!(orphans.into_iter().map(|orphan| orphan.location).collect::<Vec<_>>(), [held.location]);
}

#[tokio::test]
async fn an_unknown_custody_is_named() {
    let store = Arc::new(Memory::default());
    let custodian = open(&store, sealing("1"));
    let held = import(&*custodian, "main", "rsa-2048.pkcs8.pem").await.unwrap();
    let astray = KeyRecord { custody: "pkcs11".to_owned(), ..record(&held) };
    let said = custodian.open(&astray).await.err().unwrap().to_string();
    assert!(said.contains("pkcs11") && said.contains("newer"), "{said}");
}

#[tokio::test]
async fn a_new_sealing_secret_takes_over_every_key_or_none() {
    let store = Arc::new(Memory::default());
    let old = open(&store, sealing("1"));
    let keys = [
        import(&*old, "main", "rsa-2048.pkcs8.pem").await.unwrap(),
        import(&*old, "main", "rsa-3072.pkcs8.pem").await.unwrap(),
    ];
    let records: Vec<_> = keys.iter().map(record).collect();
    let both = custody(&store, sealing("1"));
    assert!(both.places.reseal(&records, sealing("2")).await.is_err(), "version 1 is missing");
    assert!(both.custodian.open(&records[0]).await.is_ok(), "the secret before stays in use");
    assert_eq!(both.places.sealing_versions(&records).await.unwrap(), [(1, true)].into());

    both.places.reseal(&records, sealing("12")).await.unwrap();
    let kept = store.0.lock().unwrap().clone();
    both.places.reseal(&records, sealing("12")).await.unwrap();
    assert_eq!(*store.0.lock().unwrap(), kept, "what is sealed with the newest stays as it is");
    assert_eq!(both.places.sealing_versions(&records).await.unwrap(), [(2, true)].into());
    let new = open(&store, sealing("2"));
    for key in &records {
        assert!(new.open(key).await.is_ok());
        assert!(old.open(key).await.is_err());
    }
}

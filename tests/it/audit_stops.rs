//! A store that takes no record: what waits for its record is not done, neither here nor at Braze, and what stops
//! something is done at once (issue 18).

use countersign::rotate::RotateError;
use rusqlite::Connection;

use super::support::rotation::{APPS, RotationSetup};

/// Store that refuses records of an action, or all (`None`), until this is dropped.
struct Refusing(Connection);

impl Refusing {
    fn records_of(setup: &RotationSetup, action: Option<&str>) -> Self {
        let store = Connection::open(setup.folder.path().join("countersign.db")).unwrap();
        store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        let only = action.map_or_else(String::new, |action| format!("WHEN NEW.action = '{action}'"));
        let trigger = format!(
            "CREATE TRIGGER no_record BEFORE INSERT ON audit_leaves {only} \
             BEGIN SELECT RAISE(ABORT, 'no record today'); END"
        );
        store.execute_batch(&trigger).unwrap();
        Self(store)
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.execute_batch("DROP TRIGGER no_record").unwrap();
    }
}

/// What is at Braze, and which private halves there are.
type Outside = (Vec<Vec<(String, bool)>>, Vec<std::path::PathBuf>);

async fn outside(setup: &RotationSetup) -> Outside {
    let mut held = Vec::new();
    for app in APPS {
        held.push(setup.held(app).await);
    }
    let mut keys = super::support::key_files(setup.folder.path());
    keys.sort();
    (held, keys)
}

/// Reconciles until an act is refused for want of its record; fails where none is.
async fn refused(setup: &RotationSetup, action: &str) -> Outside {
    let (rotator, config) = (setup.rotator(), setup.config());
    for _ in 0..100 {
        setup.report_node("a").await;
        match rotator.reconcile(&config).await {
            Ok(next) => setup.pass(&next),
            Err(RotateError::Store(error)) => {
                assert!(error.to_string().contains("no record today"), "{action}: {error}");
                // Steps before this one were done. From here on nothing is.
                let now = outside(setup).await;
                assert!(rotator.reconcile(&config).await.is_err(), "{action}");
                assert_eq!(outside(setup).await, now, "{action}: it was done without its record");
                return now;
            }
            Err(RotateError::Busy(_)) => setup.clock.forward(std::time::Duration::from_secs(30)),
            Err(error) => panic!("{action}: {error}"),
        }
    }
    panic!("{action} was never refused");
}

#[tokio::test]
async fn an_act_that_cannot_be_recorded_is_not_done() {
    for action in ["created", "publishing", "activated", "made_primary", "withdrawn", "destroyed"] {
        let setup = RotationSetup::new().await;
        let old = setup.active().await;
        setup.report_node("a").await;
        setup.rotator().begin(&setup.config(), "the test wants it").await.unwrap();
        let refusing = Refusing::records_of(&setup, Some(action));
        let (held, files) = refused(&setup, action).await;
        let (active, in_web) = (setup.active().await, &held[0]);
        let lists = |public_key: &str| in_web.iter().any(|(key, _)| key == public_key);
        let is_primary = |public_key: &str| in_web.contains(&(public_key.to_owned(), true));
        match action {
            "created" => assert_eq!((files.len(), setup.keys().await.len()), (1, 1), "no key was made"),
            "publishing" => assert_eq!(in_web.len(), 1, "Braze was not asked to add one"),
            "activated" => assert_eq!(active.kid, old.kid, "the old one signs"),
            "made_primary" => assert!(active.kid != old.kid && !is_primary(&active.public_key)),
            "withdrawn" => assert!(lists(&old.public_key) && is_primary(&active.public_key)),
            _ => assert!(!lists(&old.public_key) && setup.key_file(&old.kid).exists(), "it is not destroyed"),
        }
        drop(refusing);
        setup.settle().await;
        setup.check_rotated_from(&old.kid).await;
    }
}

#[tokio::test]
async fn a_compromise_stops_a_key_without_its_record_and_is_recorded_first() {
    let setup = RotationSetup::new().await;
    let bad = setup.active().await;
    setup.report_node("a").await;
    let (rotator, config, store) = (setup.rotator(), setup.config(), setup.services.store());
    let size = store.audit_head().await.unwrap().size;
    let refusing = Refusing::records_of(&setup, None);
    rotator.compromise(&config, &bad.kid, "a laptop was lost").await.unwrap();
    let stopped = setup.keys().await.into_iter().find(|key| key.kid == bad.kid).unwrap();
    assert_eq!(stopped.state.as_str(), "compromised");
    setup.report_node("a").await;
    assert!(!setup.services.keyring().kids().into_values().any(|kid| kid == bad.kid), "no node signs with it");
    let head = store.audit_head().await.unwrap();
    assert!(head.size == size && head.waiting > 0, "{head:?}");
    let before = outside(&setup).await;
    assert!(rotator.reconcile(&config).await.is_err());
    assert_eq!(outside(&setup).await, before, "its withdrawal waits for its record");
    drop(refusing);
    setup.settle().await;
    assert!(!setup.held("web").await.iter().any(|(key, _)| *key == bad.public_key));
    assert_eq!(store.audit_head().await.unwrap().waiting, 0);
    let leaves = store.audit_leaves(size, 1000).await.unwrap();
    let actions: Vec<&str> = leaves.iter().map(|leaf| leaf.shown.as_ref().unwrap().action.as_str()).collect();
    let compromised = actions.iter().position(|action| *action == "compromised").unwrap();
    assert!(actions[..compromised].iter().all(|action| *action == "published"), "before any other act: {actions:?}");
}

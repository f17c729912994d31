//! Checkpoints that a service signs by itself, after changes of keys.

use countersign::operate::Operations;

use super::support::test_service::TestService;

/// A change of a key on record: a refused one is one, too.
async fn change(service: &TestService) {
    let operator = &service.operator as &dyn Operations;
    operator.generate_key("nope".parse().unwrap(), 2048).await.unwrap_err();
}

/// Number of checkpoints that the log agrees with: all that are on record.
async fn signed(service: &TestService) -> u64 {
    let operator = &service.operator as &dyn Operations;
    let verified = operator.verify_audit(&[], &[]).await.unwrap();
    assert!(!verified.is_wrong());
    verified.checkpoints
}

/// The same acts leave more or fewer checkpoints, as a service looks often or seldom: two services that did the same agree
/// in their records, and not in this number.
#[tokio::test]
async fn changes_that_one_look_finds_share_a_checkpoint() {
    let service = TestService::new().await;
    let mut agent = service.wiring.audit_agent();
    agent.tick().await;
    let first = signed(&service).await;
    for _ in 0..3 {
        change(&service).await;
    }
    agent.tick().await;
    assert_eq!(signed(&service).await, first + 1, "one for three changes");
    for _ in 0..3 {
        change(&service).await;
        agent.tick().await;
    }
    assert_eq!(signed(&service).await, first + 4, "one for each");
    agent.tick().await;
    assert_eq!(signed(&service).await, first + 4, "none where nothing changed");
}

//! Signatures that wait together, through the door: with the real batch library, on a processor that has what it needs or
//! one that is emulated. `tests/run.sh batch` brings both.

use super::support::{
    measured,
    test_service::{CONFIG, TestService},
    verified_claims,
};

const LOGINS: usize = 30;

/// Logs many users in at once; how many signatures there were, and in how many goes.
async fn logins(custody: &str) -> (f64, f64) {
    let config = CONFIG.replace("[custody]\n", &format!("[custody]\nthreads = 1\n{custody}"));
    let service = std::sync::Arc::new(TestService::with(&config).await);
    let asked: Vec<_> = (0..LOGINS)
        .map(|user| {
            let service = std::sync::Arc::clone(&service);
            tokio::spawn(async move { (user, service.login(&format!("u-{user}")).await.text("token")) })
        })
        .collect();
    for one in asked {
        let (user, token) = one.await.unwrap();
        assert_eq!(verified_claims(&token, &service.public_key)["sub"], format!("u-{user}"));
    }
    assert!(service.metric("countersign_signature_faults_total").abs() < 0.5);
    (service.metric("countersign_sign_together_sum"), service.metric("countersign_sign_together_count"))
}

#[tokio::test]
async fn logins_that_come_together_are_signed_together_and_verify() {
    // Those that come one after another, because a busy machine lets them, wait for none.
    measured(async || {
        let (signatures, goes) = logins("batch = \"on\"\n").await;
        assert_eq!(signatures, 30.0);
        if goes < 15.0 { Ok(()) } else { Err(format!("{goes} goes")) }
    })
    .await;
}

#[tokio::test]
async fn off_is_off() {
    assert_eq!(logins("batch = \"off\"\n").await, (30.0, 30.0));
}

//! Signature and write at once: a key that fails, or is out of reach, costs no user a session.

use std::sync::Arc;

use async_trait::async_trait;
use countersign::{
    custody::{Custodian, CustodyError, HeldKey, ImportError, InstallationMark, Orphan, Signer},
    domain::{
        ids::{InstallationId, Kid, RingName, UserId, UserIdRules},
        jws::{SignError, SignedToken, SigningInput},
        key::KeyRecord,
        refresh_token,
        sealing::SealingKeys,
        session::{Ended, Session},
    },
    keyring::Signers,
    secret::Secret,
};
use tokio::sync::oneshot;

use crate::support::test_service::{CONFIG, TestService};

/// Key that signs nothing.
#[derive(Clone, Copy)]
enum Broken {
    /// A local key: it fails while the signature is computed.
    Fails,
    /// A key elsewhere that does not answer.
    OutOfReach,
    /// A local key, for whose turn too many others wait.
    Shed,
}

struct BrokenSigner(Kid, Broken);

#[async_trait]
impl Signer for BrokenSigner {
    fn kid(&self) -> &Kid {
        &self.0
    }

    async fn sign(&self, _: SigningInput) -> Result<SignedToken, SignError> {
        match self.1 {
            Broken::Shed => Err(SignError::Overloaded { retry_after: std::time::Duration::from_secs(1) }),
            Broken::Fails | Broken::OutOfReach => Err(SignError::Unavailable("broken".to_owned())),
        }
    }

    async fn sign_telling(&self, input: SigningInput, begun: oneshot::Sender<()>) -> Result<SignedToken, SignError> {
        if let Broken::Fails = self.1 {
            begun.send(()).unwrap();
            tokio::task::yield_now().await;
        }
        self.sign(input).await
    }

    fn overloaded(&self) -> Option<std::time::Duration> {
        None
    }
}

#[async_trait]
impl Custodian for Broken {
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
        Ok(Arc::new(BrokenSigner(record.kid.clone(), *self)))
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

/// Loads the service's keys from this custody.
async fn load(service: &TestService, custodian: &dyn Custodian) {
    let records = service.services.store().keys().await.unwrap();
    let keyring = service.services.keyring();
    // A loaded key would be kept.
    keyring.swap(Signers::default());
    keyring.swap(keyring.load(custodian, &records).await);
}

async fn repair(service: &TestService) {
    load(service, &**service.services.custodian()).await;
}

/// The session of a refresh token, as the store has it.
async fn row(service: &TestService, refresh_token: &str) -> Session {
    let keys = SealingKeys::derive(service.settings.sealing());
    let id = refresh_token::unseal(refresh_token, &keys).unwrap().session;
    service.services.store().session(id).await.unwrap().unwrap()
}

async fn rows_of(service: &TestService, user: &str) -> Vec<Session> {
    let user = service.services.user_hash().hash(&UserId::parse(user, UserIdRules::default()).unwrap());
    service.services.store().sessions_of_user(user).await.unwrap()
}

/// The write overlapped, so that the counter moved; the old refresh token gets its successor all the same.
#[tokio::test]
async fn a_key_that_fails_after_the_write_leaves_the_old_refresh_token_good() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    load(&service, &Broken::Fails).await;
    service.refresh(&first).await.problem(503, "unavailable");
    service.refresh(&first).await.problem(503, "unavailable");
    assert_eq!(row(&service, &first).await.counter, 1, "written beside the first, and not again");
    repair(&service).await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="repeat"}"#), 1.0);
    service.refresh(&second).await.ok();
}

#[tokio::test]
async fn a_key_out_of_reach_uses_up_nothing() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    for (broken, code) in [(Broken::OutOfReach, "unavailable"), (Broken::Shed, "overloaded")] {
        load(&service, &broken).await;
        service.refresh(&first).await.problem(503, code);
        assert_eq!(row(&service, &first).await.counter, 0);
        let login = serde_json::json!({ "app": "web", "user_id": "u-1" });
        service.generate(&login).await.problem(503, code);
        assert_eq!(rows_of(&service, "u-1").await.len(), 1, "no session without a token");
    }
}

/// The app accepts no refresh token twice, so that nothing would repair a failure after the write.
#[tokio::test]
async fn a_strict_app_signs_first() {
    let strict = format!("[store]\noutage = \"refuse\"\n{CONFIG}\n[apps.web.refresh]\nretry_window = \"0s\"\n");
    let service = TestService::with(&strict).await;
    let first = service.session("u-1").await;
    load(&service, &Broken::Fails).await;
    service.refresh(&first).await.problem(503, "unavailable");
    assert_eq!(row(&service, &first).await.counter, 0);
    repair(&service).await;
    service.refresh(&first).await.ok();
}

#[tokio::test]
async fn a_session_whose_signature_failed_is_ended() {
    let service = TestService::new().await;
    load(&service, &Broken::Fails).await;
    let login = serde_json::json!({ "app": "web", "user_id": "u-1" });
    service.generate(&login).await.problem(503, "unavailable");
    let ends: Vec<_> = rows_of(&service, "u-1").await.into_iter().map(|session| session.ended).collect();
    assert_eq!(ends, [Some(Ended::Revoked)], "it takes no place among the user's sessions");
}

#[tokio::test]
async fn a_login_that_would_end_another_session_is_signed_first() {
    let service = TestService::with(&format!("{CONFIG}\n[store]\nmax_sessions_per_user = 1\n")).await;
    let first = service.session("u-1").await;
    load(&service, &Broken::Fails).await;
    let login = serde_json::json!({ "app": "web", "user_id": "u-1" });
    service.generate(&login).await.problem(503, "unavailable");
    assert_eq!(row(&service, &first).await.ended, None);
    assert_eq!(rows_of(&service, "u-1").await.len(), 1);
    repair(&service).await;
    service.login("u-1").await;
    assert_eq!(row(&service, &first).await.ended, Some(Ended::Evicted));
}

//! Forged and odd tokens: none of them signs anybody in, and none of them makes this service ask a server that the
//! token names.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use countersign::{
    clock::{ClockGuard, UnixMillis},
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::SignIn,
    },
    identity::{Credential, NotSignedIn, SignIns},
};

use crate::support::{
    jwt::{OTHER_RSA, RSA, TestProvider, forged::Target, published},
    test_service::TestClock,
};

const NOW: i64 = 1_795_000_000;

#[tokio::test]
async fn none_is_accepted() {
    let (provider, attacker) = (TestProvider::start(&published()).await, TestProvider::start(&[&OTHER_RSA]).await);
    let canary = TestProvider::start(&[&OTHER_RSA]).await;
    let target = Target { provider: &provider, attacker: &attacker, canary: &canary.issuer, now_seconds: NOW };
    let clock = ClockGuard::new(Arc::new(TestClock::at(UnixMillis(NOW * 1000))), Duration::from_mins(10));
    let web: AppName = "web".parse().unwrap();
    let apps = [SignIn::Oidc(provider.rules()), SignIn::Oidc(attacker.rules())];
    let sign_ins = SignIns::new(HashMap::from([(web.clone(), apps.to_vec())]), Arc::new(clock));
    let forgeries = target.forgeries();
    let tokens: HashSet<&str> = forgeries.iter().map(|forged| forged.token.as_str()).collect();
    assert!(tokens.len() >= 250, "{}", tokens.len());
    let sign_in = async |token: &str| sign_ins.sign_in(&web, UserIdRules::default(), Credential::Bearer(token)).await;
    let honest = RSA.token(&target.claims());
    assert!(sign_in(&honest).await.is_ok());
    let mut faults = Vec::new();
    for forged in &forgeries {
        // A kid that no set has is judged by a set that was fetched after it: until then it is unavailable.
        match sign_in(&forged.token).await {
            Err(NotSignedIn::Refused(_) | NotSignedIn::Unavailable { .. }) => {}
            outcome => faults.push(format!("{}: {outcome:?}", forged.name)),
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(sign_in(&honest).await.is_ok());
    assert_eq!(canary.requests(), 0);
}

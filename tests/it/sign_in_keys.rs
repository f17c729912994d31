//! Key sets of providers over time: logins while keys change, while junk comes, and while the provider is down.

use std::{collections::HashMap, sync::Arc, time::Duration};

use countersign::{
    clock::{Clock, ClockGuard},
    domain::{ids::UserIdRules, sign_in::SignIn},
    identity::{Credential, NotSignedIn, RefusedCredential, SignIns},
};
use serde_json::json;

use crate::support::{
    domain::NOW,
    switched_provider::{Answer, SwitchedProvider},
    test_service::TestClock,
};

const HOUR: Duration = Duration::from_hours(1);

/// App `web` with the sign-in of one provider, and a clock that the test moves.
struct Node {
    provider: SwitchedProvider,
    clock: Arc<TestClock>,
    guard: Arc<ClockGuard>,
    sign_ins: Arc<SignIns>,
}

/// Outcome of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    Accepted,
    Refused(RefusedCredential),
    Unavailable(Duration),
}

use Login::{Accepted, Refused, Unavailable};

const UNKNOWN: Login = Refused(RefusedCredential::UnknownKey);

impl Node {
    async fn start() -> Self {
        let provider = SwitchedProvider::start().await;
        let clock = Arc::new(TestClock::at(NOW));
        let guard = Arc::new(ClockGuard::new(clock.clone(), Duration::from_mins(10)));
        let apps = HashMap::from([("web".parse().unwrap(), vec![SignIn::Oidc(provider.rules())])]);
        let sign_ins = Arc::new(SignIns::new(apps, guard.clone()));
        Self { provider, clock, guard, sign_ins }
    }

    fn token(&self) -> String {
        self.provider.token("u-1", self.clock.now().seconds())
    }

    fn token_with_kid(&self, kid: Option<&str>) -> String {
        self.provider.token_with_kid(kid, "u-1", self.clock.now().seconds())
    }

    async fn present(&self, token: &str) -> Login {
        login(&self.sign_ins, token).await
    }

    /// Login with a token of the newest key.
    async fn login(&self) -> Login {
        self.present(&self.token()).await
    }

    fn pass(&self, span: Duration) {
        self.clock.forward(span);
    }
}

async fn login(sign_ins: &SignIns, token: &str) -> Login {
    let app = "web".parse().unwrap();
    match sign_ins.sign_in(&app, UserIdRules::default(), Credential::Bearer(token), None).await {
        Ok(signed_in) => {
            assert_eq!(signed_in.user().as_str(), "u-1");
            Accepted
        }
        Err(NotSignedIn::Refused(refusal)) => Refused(refusal.reason),
        Err(NotSignedIn::Unavailable { retry_after, .. }) => Unavailable(retry_after),
        Err(NotSignedIn::ClockStopped(stopped)) => panic!("{stopped}"),
    }
}

#[tokio::test]
async fn a_hundred_first_logins_share_one_fetch() {
    let node = Node::start().await;
    let token = node.token();
    let logins = (0..100).map(|_| {
        let (sign_ins, token) = (node.sign_ins.clone(), token.clone());
        tokio::spawn(async move { login(&sign_ins, &token).await })
    });
    for outcome in logins.collect::<Vec<_>>() {
        assert_eq!(outcome.await.unwrap(), Accepted);
    }
    for _ in 0..100 {
        assert_eq!(node.login().await, Accepted);
    }
    assert_eq!((node.provider.discovery_hits(), node.provider.key_hits()), (1, 1));
}

#[tokio::test]
async fn a_request_that_is_given_up_does_not_end_the_fetch() {
    let node = Node::start().await;
    let (sign_ins, token) = (node.sign_ins.clone(), node.token());
    let first = tokio::spawn(async move { login(&sign_ins, &token).await });
    while node.provider.discovery_hits() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert_eq!(node.login().await, Accepted);
    assert_eq!(node.provider.key_hits(), 1);
}

#[tokio::test]
async fn an_honest_token_of_a_new_key_is_never_refused() {
    let node = Node::start().await;
    assert_eq!(node.present(&node.token_with_kid(Some("junk"))).await, UNKNOWN);
    node.pass(Duration::from_secs(5));
    node.provider.add_key("key-1");
    node.pass(Duration::from_secs(1));
    assert_eq!(node.login().await, Unavailable(Duration::from_secs(24)));
    node.pass(Duration::from_secs(24));
    assert_eq!(node.login().await, Accepted);
    assert_eq!(node.provider.key_hits(), 2);
}

#[tokio::test]
async fn a_key_change_costs_one_fetch() {
    let node = Node::start().await;
    assert_eq!(node.login().await, Accepted);
    node.pass(Duration::from_mins(1));
    let old = node.token();
    node.provider.add_key("key-1");
    assert_eq!(node.login().await, Accepted);
    assert_eq!(node.present(&old).await, Accepted);
    assert_eq!(node.provider.key_hits(), 2);
    // A key that the provider withdrew is refused when the set has reached its end, by the first request.
    node.provider.withdraw_old_keys();
    node.pass(Duration::from_mins(59));
    let old = {
        node.provider.add_key("key-2");
        node.token()
    };
    node.provider.add_key("key-3");
    node.provider.withdraw_old_keys();
    assert_eq!(node.present(&old).await, UNKNOWN);
    assert_eq!(node.login().await, Accepted);
}

#[tokio::test]
async fn ten_thousand_random_kids_cost_two_fetches_and_refuse_nobody() {
    let node = Node::start().await;
    assert_eq!(node.login().await, Accepted);
    node.pass(Duration::from_mins(1));
    let (mut honest, mut waiting) = (0, 0);
    for n in 0..10_000 {
        node.pass(Duration::from_millis(3));
        let junk = node.present(&node.token_with_kid(Some(&format!("junk-{n}")))).await;
        assert!(matches!(junk, UNKNOWN | Unavailable(_)), "{junk:?}");
        if n == 2_000 {
            node.provider.add_key("key-1");
        }
        if n % 10 == 0 {
            match node.login().await {
                Accepted => honest += 1,
                Unavailable(retry) if n >= 2_000 && retry <= Duration::from_secs(30) => waiting += 1,
                other => panic!("{other:?} at {n}"),
            }
        }
    }
    assert_eq!((honest, waiting), (200, 800));
    assert!(node.provider.key_hits() <= 1 + 2, "{}", node.provider.key_hits());
    node.pass(Duration::from_secs(30));
    assert_eq!(node.login().await, Accepted);
}

#[tokio::test]
async fn a_provider_that_is_down_stops_logins_after_a_day_and_refuses_none() {
    let node = Node::start().await;
    assert_eq!(node.login().await, Accepted);
    node.provider.answer(Answer::Status(503));
    for minute in 1..=23 * 60 {
        node.pass(Duration::from_mins(1));
        assert_eq!(node.login().await, Accepted, "minute {minute}");
    }
    while node.provider.key_hits() < 2 {
        tokio::task::yield_now().await;
    }
    node.pass(2 * HOUR);
    for token in [node.token(), node.token_with_kid(Some("junk")), node.token_with_kid(None)] {
        assert_eq!(node.present(&token).await, Unavailable(Duration::from_secs(30)));
    }
    node.provider.answer(Answer::Keys);
    node.pass(Duration::from_secs(30));
    assert_eq!(node.login().await, Accepted);
}

#[tokio::test]
async fn a_provider_without_an_answer_yet_refuses_nobody() {
    let canary = SwitchedProvider::start().await;
    for answer in [
        Answer::SlowDrip,
        Answer::Redirect(format!("{}/jwks.json", canary.issuer)),
        Answer::GzipBomb { named: true },
        Answer::KeysAfter(vec![json!({}); 10_000]),
        Answer::Body("text/html", "<html>".to_owned()),
    ] {
        let node = Node::start().await;
        node.provider.answer(answer.clone());
        assert_eq!(node.login().await, Unavailable(Duration::from_secs(30)), "{answer:?}");
        node.provider.answer(Answer::Keys);
        node.pass(Duration::from_secs(30));
        assert_eq!(node.login().await, Accepted, "{answer:?}");
    }
    assert_eq!((canary.discovery_hits(), canary.key_hits()), (0, 0));
}

#[tokio::test]
async fn one_broken_key_does_no_harm_to_the_others() {
    let node = Node::start().await;
    node.provider.add_key("key-1");
    node.provider.answer(Answer::KeysAfter(vec![json!({ "kty": "EC", "crv": "P-256", "kid": "broken", "x": 7 })]));
    assert_eq!(node.login().await, Accepted);
}

#[tokio::test]
async fn a_token_without_kid_is_tried_with_the_keys_that_fit() {
    let node = Node::start().await;
    for n in 1..4 {
        node.provider.add_key(&format!("key-{n}"));
    }
    assert_eq!(node.present(&node.token_with_kid(None)).await, Accepted);
    node.provider.add_key("key-4");
    node.pass(2 * HOUR);
    // Four of the five keys are tried, and it is the fifth one's.
    assert_eq!(node.present(&node.token_with_kid(None)).await, Refused(RefusedCredential::Signature));
    let long = node.token_with_kid(Some(&"k".repeat(129)));
    assert_eq!(node.present(&long).await, Refused(RefusedCredential::Header));
}

#[tokio::test]
async fn a_change_of_keys_without_kid_is_seen_within_a_minute() {
    let node = Node::start().await;
    node.provider.answer(Answer::UnnamedKeys);
    assert_eq!(node.present(&node.token_with_kid(None)).await, Accepted);
    node.provider.add_key("key-1");
    node.provider.withdraw_old_keys();
    node.pass(Duration::from_secs(61));
    assert_eq!(node.present(&node.token_with_kid(None)).await, Accepted);
}

#[tokio::test]
async fn a_clock_that_was_set_ages_no_key_set() {
    let node = Node::start().await;
    assert_eq!(node.login().await, Accepted);
    node.provider.answer(Answer::Status(503));
    for days in [3, -6] {
        node.clock.set_by(days * 86_400);
        node.guard.accept();
        assert_eq!(node.login().await, Accepted, "{days}");
    }
}

//! The user id that a verified credential gives (R05, R06), claims that rules name, and logout tokens.

use std::{collections::HashMap, sync::Arc, time::Duration};

use countersign::{
    clock::{ClockGuard, UnixMillis},
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{ClaimPath, ClaimRule, LONGEST_AGE, OidcRules, ProviderLogout, SignIn},
    },
    identity::{Credential, NotSignedIn, RefusedCredential, SignIns},
};
use serde_json::{Value, json};

use crate::support::{
    jwt::{AUDIENCE, OTHER_RSA, RSA, TestProvider, changed},
    test_service::TestClock,
};

const NOW: i64 = 1_795_000_000;

struct Verifiers {
    provider: TestProvider,
    sign_ins: SignIns,
}

fn web() -> AppName {
    "web".parse().unwrap()
}

fn reason(error: NotSignedIn) -> RefusedCredential {
    match error {
        NotSignedIn::Refused(refusal) => refusal.reason,
        other => panic!("{other}"),
    }
}

impl Verifiers {
    async fn with(change: impl FnOnce(&mut OidcRules)) -> Self {
        let provider = TestProvider::start(&[&RSA]).await;
        let mut rules = provider.rules();
        change(&mut rules);
        let clock = ClockGuard::new(Arc::new(TestClock::at(UnixMillis(NOW * 1000))), Duration::from_mins(10));
        let sign_ins = SignIns::new(HashMap::from([(web(), vec![SignIn::Oidc(rules)])]), Arc::new(clock));
        Self { provider, sign_ins }
    }

    /// The user of the usual claims with these as well.
    async fn user(&self, more: Value) -> Result<String, RefusedCredential> {
        let mut claims = self.provider.claims("u-1", NOW);
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = RSA.token(&claims);
        let outcome = self.sign_ins.sign_in(&web(), UserIdRules::default(), Credential::Bearer(&token), None).await;
        outcome.map(|signed_in| signed_in.user().as_str().to_owned()).map_err(reason)
    }

    async fn sign_out(&self, token: &str) -> Result<ProviderLogout, RefusedCredential> {
        self.sign_ins.sign_out(&web(), token).await.map_err(reason)
    }
}

#[tokio::test]
async fn the_user_id_is_the_claim_and_nothing_else() {
    use RefusedCredential::UserId as Refused;
    let verifiers = Verifiers::with(|_| {}).await;
    for (sub, expected) in [
        (json!("A\u{30a}SA"), Ok("A\u{30a}SA")),
        (json!("auth0|5f7c"), Ok("auth0|5f7c")),
        (json!("x".repeat(512)), Ok(&*"x".repeat(512))),
        (json!(42), Ok("42")),
        (json!(-42), Ok("-42")),
        (json!(9_007_199_254_740_992_i64), Ok("9007199254740992")),
        (json!(9_007_199_254_740_993_i64), Err(Refused)),
        (json!(1.5), Err(Refused)),
        (json!(42.0), Err(Refused)),
        (json!(true), Err(Refused)),
        (json!(null), Err(Refused)),
        (json!(["u-1"]), Err(Refused)),
        (json!(""), Err(Refused)),
        (json!(" u-1"), Err(Refused)),
        (json!("u\u{0}v"), Err(Refused)),
        (json!("x".repeat(513)), Err(Refused)),
    ] {
        assert_eq!(verifiers.user(json!({ "sub": sub })).await, expected.map(str::to_owned), "{sub}");
    }
}

#[tokio::test]
async fn another_claim_may_be_the_user_id_with_a_prefix() {
    let verifiers = Verifiers::with(|rules| {
        rules.user_id.claim = ClaimPath("/https:~1~1example.com~1user/id".to_owned());
        rules.user_id.prefix = "ex|".to_owned();
    })
    .await;
    let nested = |id: Value| json!({ "https://example.com/user": { "id": id } });
    assert_eq!(verifiers.user(nested(json!(7))).await, Ok("ex|7".to_owned()));
    assert_eq!(verifiers.user(nested(json!(""))).await, Err(RefusedCredential::UserId), "a prefix alone names nobody");
    assert_eq!(verifiers.user(json!({})).await, Err(RefusedCredential::UserId), "sub is no stand-in");
}

#[tokio::test]
async fn an_email_is_a_user_id_where_it_is_verified() {
    for verified_email in [true, false] {
        let verifiers = Verifiers::with(|rules| {
            rules.user_id.claim = ClaimPath("email".to_owned());
            rules.user_id.verified_email = verified_email;
        })
        .await;
        let user = async |verified: Value| {
            verifiers.user(json!({ "email": "a@example.com", "email_verified": verified })).await
        };
        assert_eq!(user(json!(true)).await, Ok("a@example.com".to_owned()));
        for unverified in [json!(false), json!("true"), json!(1), json!(null), json!(["true"])] {
            assert_eq!(user(unverified.clone()).await, Err(RefusedCredential::UserId), "{unverified}");
        }
        assert_eq!(verifiers.user(json!({ "email": "a@example.com" })).await, Err(RefusedCredential::UserId));
    }
}

#[tokio::test]
async fn claims_are_required_and_refused() {
    let rule =
        |claim: &str, values: &[Value]| ClaimRule { claim: ClaimPath(claim.to_owned()), values: values.to_vec() };
    let verifiers = Verifiers::with(|rules| {
        rules.required_claims = vec![rule("token_use", &[json!("id"), json!("access")]), rule("tenant", &[])];
        rules.refused_claims = vec![
            rule("/firebase/sign_in_provider", &[json!("anonymous")]),
            rule("is_anonymous", &[json!(true)]),
            rule("act", &[]),
            rule("roles", &[json!("bot")]),
        ];
    })
    .await;
    let good = json!({ "token_use": "id", "tenant": "t", "firebase": { "sign_in_provider": "password" }, "is_anonymous": false });
    assert_eq!(verifiers.user(good.clone()).await, Ok("u-1".to_owned()));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (name, value) in [
        ("token_use", json!("refresh")),
        ("token_use", json!(null)),
        ("token_use", json!("ID")),
        ("tenant", json!(null)),
    ] {
        assert_eq!(verifiers.user(with(name, value)).await, Err(RefusedCredential::RequiredClaim), "{name}");
    }
    assert_eq!(verifiers.user(changed(&good, "tenant", Value::Null)).await, Err(RefusedCredential::RequiredClaim));
    for (name, value) in [
        ("firebase", json!({ "sign_in_provider": "anonymous" })),
        ("is_anonymous", json!(true)),
        ("act", json!({ "sub": "admin" })),
        ("act", json!(null)),
        ("roles", json!(["user", "bot"])),
        ("roles", json!("bot")),
    ] {
        assert_eq!(
            verifiers.user(with(name, value.clone())).await,
            Err(RefusedCredential::RefusedClaim),
            "{name} {value}"
        );
    }
}

#[tokio::test]
async fn a_logout_token_names_the_login() {
    let verifiers = Verifiers::with(|rules| rules.max_age = Some(Duration::from_hours(1))).await;
    let claims = verifiers.provider.logout_claims("u-1", NOW);
    for typ in [json!("logout+jwt"), json!("application/logout+jwt"), json!("JWT"), json!(null)] {
        let token = RSA.with_header(&changed(&RSA.header(), "typ", typ.clone()), &claims);
        let logout = verifiers.sign_out(&token).await.unwrap_or_else(|reason| panic!("{typ}: {reason}"));
        assert_eq!((logout.subject.as_deref(), logout.sid.as_deref(), &*logout.id), (Some("u-1"), Some("s-1"), "l-1"));
        assert_eq!(logout.issuer, verifiers.provider.issuer);
        assert_eq!(logout.issued, UnixMillis(NOW * 1000));
        assert_eq!(logout.expires, UnixMillis((NOW + 130) * 1000), "with the leeway: until then it could come again");
        let longest = i64::try_from(LONGEST_AGE.as_secs()).unwrap();
        assert_eq!(logout.remembered_until, UnixMillis((NOW + longest + 10) * 1000), "a reload may raise max_age");
    }
    for absent in ["sub", "sid"] {
        let logout = verifiers.sign_out(&RSA.token(&changed(&claims, absent, Value::Null))).await.unwrap();
        assert_ne!(logout.subject.is_some(), logout.sid.is_some());
    }
}

#[tokio::test]
async fn an_odd_logout_token_is_refused() {
    use RefusedCredential::{
        Audience, Expired, Malformed, NotYetValid, RefusedClaim, RequiredClaim, Signature, UnknownIssuer,
    };
    let verifiers = Verifiers::with(|_| {}).await;
    let claims = verifiers.provider.logout_claims("u-1", NOW);
    assert!(verifiers.sign_out(&RSA.token(&claims)).await.is_ok());
    let table = [
        ("events", json!(null), RequiredClaim),
        ("events", json!([]), RequiredClaim),
        ("events", json!({}), RequiredClaim),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": true }), RequiredClaim),
        ("events", json!("http://schemas.openid.net/event/backchannel-logout"), RequiredClaim),
        ("nonce", json!("n"), RefusedClaim),
        ("nonce", json!(null), RefusedClaim),
        ("jti", json!(null), RequiredClaim),
        ("jti", json!(""), RequiredClaim),
        ("jti", json!("x".repeat(257)), RequiredClaim),
        ("jti", json!(7), RequiredClaim),
        ("sub", json!(""), RequiredClaim),
        ("sub", json!(null), RequiredClaim),
        ("sid", json!(["s-1"]), RequiredClaim),
        ("exp", json!(NOW - 10), Expired),
        ("exp", json!("soon"), RequiredClaim),
        ("iat", json!(NOW + 11), NotYetValid),
        ("aud", json!("another"), Audience),
        ("aud", json!([AUDIENCE, 1]), Audience),
        ("iss", json!("https://id.example.com"), UnknownIssuer),
    ];
    for (name, value, expected) in table {
        let mut odd = claims.clone();
        odd[name] = value.clone();
        assert_eq!(verifiers.sign_out(&RSA.token(&odd)).await, Err(expected), "{name} {value}");
    }
    for name in ["events", "jti", "exp", "iat"] {
        assert_eq!(
            verifiers.sign_out(&RSA.token(&changed(&claims, name, Value::Null))).await,
            Err(RequiredClaim),
            "{name}"
        );
    }
    let nobody = changed(&changed(&claims, "sub", Value::Null), "sid", Value::Null);
    assert_eq!(verifiers.sign_out(&RSA.token(&nobody)).await, Err(RequiredClaim));
    assert_eq!(verifiers.sign_out(&OTHER_RSA.token(&claims)).await, Err(Signature));
    assert_eq!(verifiers.sign_out("opaque").await, Err(Malformed));
    // An ID token is no logout token, and a logout token no credential, whatever its typ.
    assert_eq!(verifiers.sign_out(&RSA.token(&verifiers.provider.claims("u-1", NOW))).await, Err(RequiredClaim));
    assert_eq!(verifiers.user(json!({ "events": claims["events"] })).await, Err(RefusedClaim));
}

#[tokio::test]
async fn a_logout_token_is_for_the_client_where_the_audience_is_an_api() {
    let verifiers = Verifiers::with(|rules| {
        rules.audience.accepted = vec!["https://api.example.com".to_owned()];
        rules.required_claims = vec![ClaimRule { claim: ClaimPath("azp".to_owned()), values: vec![json!("client-1")] }];
    })
    .await;
    let claims = verifiers.provider.logout_claims("u-1", NOW);
    for (aud, expected) in [("client-1", Ok(())), ("client-2", Err(RefusedCredential::Audience))] {
        let outcome = verifiers.sign_out(&RSA.token(&changed(&claims, "aud", json!(aud)))).await;
        assert_eq!(outcome.map(drop), expected, "{aud}");
    }
}

/// A credential that is bound to its client's key (RFC 7800) is good for whoever stole it, once it counts as a bearer's.
#[tokio::test]
async fn a_credential_bound_to_a_key_is_no_bearer_credential() {
    let verifiers = Verifiers::with(|_| {}).await;
    for cnf in [json!({ "jkt": "x" }), json!({ "x5t#S256": "x" }), json!(null)] {
        assert_eq!(verifiers.user(json!({ "cnf": cnf })).await, Err(RefusedCredential::RefusedClaim));
    }
}

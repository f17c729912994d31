//! Sign-in by a JWT (R04, R05, R15–R19): what a verified credential proves, and each rule by a table with a test clock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use countersign::{
    clock::{Clock, ClockGuard, UnixMillis},
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{Audience, ClaimPath, ClaimRule, JwsAlgorithm, OidcRules, SignIn},
    },
    identity::{AppUser, Credential, NotSignedIn, RefusedCredential, SignIns},
};
use serde_json::{Value, json};

use crate::support::{
    jwt::{AUDIENCE, ED25519, OTHER_RSA, P256, P384, ProviderKey, RSA, TestProvider, changed, published},
    test_service::TestClock,
};

/// Time of the test clock, in seconds.
const NOW: i64 = 1_795_000_000;

/// The verifiers of an app, and the provider that they know.
struct Verifiers {
    provider: TestProvider,
    clock: Arc<TestClock>,
    guard: Arc<ClockGuard>,
    sign_ins: SignIns,
}

fn web() -> AppName {
    "web".parse().unwrap()
}

impl Verifiers {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Verifiers whose rules a test changes.
    async fn with(change: impl FnOnce(&mut OidcRules)) -> Self {
        let provider = TestProvider::start(&published()).await;
        let mut rules = provider.rules();
        change(&mut rules);
        let clock = Arc::new(TestClock::at(UnixMillis(NOW * 1000)));
        let guard = Arc::new(ClockGuard::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_mins(10)));
        let apps = HashMap::from([(web(), vec![SignIn::Oidc(rules)])]);
        let sign_ins = SignIns::new(apps, Arc::clone(&guard));
        Self { provider, clock, guard, sign_ins }
    }

    fn claims(&self) -> Value {
        self.provider.claims("u-1", NOW)
    }

    async fn sign_in(&self, token: &str) -> Result<AppUser, NotSignedIn> {
        self.sign_ins.sign_in(&web(), UserIdRules::default(), Credential::Bearer(token), None).await
    }

    /// The user that these claims sign in.
    async fn user(&self, claims: &Value) -> Result<String, RefusedCredential> {
        match self.sign_in(&RSA.token(claims)).await {
            Ok(signed_in) => Ok(signed_in.user().as_str().to_owned()),
            Err(NotSignedIn::Refused(refusal)) => Err(refusal.reason),
            Err(other) => panic!("{other}"),
        }
    }

    async fn refused(&self, token: &str) -> RefusedCredential {
        match self.sign_in(token).await {
            Err(NotSignedIn::Refused(refusal)) => refusal.reason,
            other => panic!("{other:?}"),
        }
    }

    /// Outcome for the usual claims with one changed.
    async fn changed(&self, name: &str, value: Value) -> Result<String, RefusedCredential> {
        let mut claims = self.claims();
        claims[name] = value;
        self.user(&claims).await
    }
}

#[tokio::test]
async fn every_allowed_algorithm_proves_the_user_and_the_login() {
    let verifiers = Verifiers::new().await;
    for key in published() {
        let signed_in = verifiers.sign_in(&key.token(&verifiers.claims())).await.unwrap();
        assert_eq!(signed_in.user().as_str(), "u-1", "{}", key.kid);
        assert_eq!(signed_in.app(), &web());
        let login = signed_in.login().cloned().unwrap();
        assert_eq!(
            (login.issuer, login.subject, login.sid),
            (verifiers.provider.issuer.clone(), "u-1".into(), Some("s-1".into()))
        );
        assert_eq!(login.issued, UnixMillis(NOW * 1000));
    }
    assert_eq!(verifiers.provider.requests(), 2, "one discovery document, one key set");
}

#[tokio::test]
async fn r15_an_algorithm_is_one_of_the_list_and_of_the_key() {
    let all = [(JwsAlgorithm::RS256, &*RSA), (JwsAlgorithm::ES256, &*P256), (JwsAlgorithm::EdDSA, &*ED25519)];
    for (allowed, key) in all {
        let verifiers = Verifiers::with(|rules| rules.algorithms = vec![allowed]).await;
        assert!(verifiers.sign_in(&key.token(&verifiers.claims())).await.is_ok(), "{allowed:?}");
        for other in published().into_iter().filter(|other| other.kid != key.kid) {
            assert_eq!(
                verifiers.refused(&other.token(&verifiers.claims())).await,
                RefusedCredential::Algorithm,
                "{}",
                other.kid
            );
            let mut header = key.header();
            header["kid"] = other.kid.into();
            let reason = verifiers.refused(&other.with_header(&header, &verifiers.claims())).await;
            assert!(matches!(reason, RefusedCredential::UnknownKey | RefusedCredential::Signature), "{reason:?}");
        }
    }
}

#[tokio::test]
async fn r15_hmac_is_named_in_the_refusal() {
    let verifiers = Verifiers::new().await;
    let mut header = RSA.header();
    header["alg"] = "HS256".into();
    let refused = verifiers.sign_in(&RSA.with_header(&header, &verifiers.claims())).await;
    let Err(NotSignedIn::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.reason, RefusedCredential::Algorithm);
    assert!(refusal.detail.unwrap().contains("this project still signs with HS256"));
}

#[tokio::test]
async fn r16_nothing_that_a_header_names_is_fetched() {
    let verifiers = Verifiers::new().await;
    let canary = TestProvider::start(&[&OTHER_RSA]).await;
    for name in ["jku", "x5u"] {
        let mut header = OTHER_RSA.header();
        header[name] = format!("{}/jwks.json", canary.issuer).into();
        assert_eq!(
            verifiers.refused(&OTHER_RSA.with_header(&header, &verifiers.claims())).await,
            RefusedCredential::Header
        );
    }
    for name in ["crit", "b64", "jwk", "x5c", "zip", "enc"] {
        let mut header = RSA.header();
        header[name] = json!(null);
        assert_eq!(
            verifiers.refused(&RSA.with_header(&header, &verifiers.claims())).await,
            RefusedCredential::Header,
            "{name}"
        );
    }
    assert_eq!((canary.requests(), verifiers.provider.requests()), (0, 0));
    // Parameters that name no key are ignored, as RFC 7515 §4 wants it.
    let mut header = RSA.header();
    header["x5t"] = "thumbprint".into();
    header["cat"] = "cl_1".into();
    assert!(verifiers.sign_in(&RSA.with_header(&header, &verifiers.claims())).await.is_ok());
}

#[tokio::test]
async fn r17_a_key_is_one_of_its_issuer() {
    let (ours, theirs) = (TestProvider::start(&[&RSA]).await, TestProvider::start(&[&OTHER_RSA]).await);
    let clock = Arc::new(ClockGuard::new(Arc::new(TestClock::at(UnixMillis(NOW * 1000))), Duration::from_mins(10)));
    let apps = HashMap::from([(web(), vec![SignIn::Oidc(ours.rules()), SignIn::Oidc(theirs.rules())])]);
    let sign_ins = SignIns::new(apps, clock);
    let outcome = async |key: &ProviderKey, of: &TestProvider| {
        let token = key.token(&of.claims("u-1", NOW));
        let signed_in = sign_ins.sign_in(&web(), UserIdRules::default(), Credential::Bearer(&token), None).await;
        signed_in.map(|signed_in| signed_in.login().cloned().unwrap().issuer)
    };
    assert_eq!(RSA.kid, OTHER_RSA.kid);
    assert_eq!(outcome(&RSA, &ours).await.unwrap(), ours.issuer);
    assert_eq!(outcome(&OTHER_RSA, &theirs).await.unwrap(), theirs.issuer);
    assert_eq!(outcome(&OTHER_RSA, &ours).await.unwrap_err(), RefusedCredential::Signature.into());
    assert_eq!(outcome(&RSA, &theirs).await.unwrap_err(), RefusedCredential::Signature.into());
}

#[tokio::test]
async fn r17_the_audience_is_one_of_the_list() {
    use RefusedCredential::Audience as Refused;
    let verifiers = Verifiers::with(|rules| rules.audience.accepted.push("second".to_owned())).await;
    for (aud, expected) in [
        (json!(AUDIENCE), Ok(())),
        (json!("second"), Ok(())),
        (json!([AUDIENCE]), Ok(())),
        (json!("third"), Err(Refused)),
        (json!(["third"]), Err(Refused)),
        (json!([]), Err(Refused)),
        (json!([AUDIENCE, 7]), Err(Refused)),
        (json!([AUDIENCE, "third"]), Err(Refused)),
    ] {
        assert_eq!(verifiers.changed("aud", aud.clone()).await.map(drop), expected, "{aud}");
    }
    let mut claims = changed(&verifiers.claims(), "aud", json!([AUDIENCE, "third"]));
    for (azp, expected) in
        [(json!(AUDIENCE), Ok(())), (json!("third"), Err(Refused)), (json!([AUDIENCE]), Err(Refused))]
    {
        claims["azp"] = azp.clone();
        assert_eq!(verifiers.user(&claims).await.map(drop), expected, "{azp}");
    }
    // An access token: aud is the API, azp the client, which a required claim names.
    let client = ClaimRule { claim: ClaimPath("azp".to_owned()), values: vec![json!("our-app")] };
    let verifiers = Verifiers::with(|rules| rules.required_claims.push(client)).await;
    let mut claims = changed(&verifiers.claims(), "aud", json!([AUDIENCE, "https://example.com/userinfo"]));
    claims["azp"] = "our-app".into();
    assert_eq!(verifiers.user(&claims).await, Ok("u-1".to_owned()));
    claims["azp"] = "their-app".into();
    assert_eq!(verifiers.user(&claims).await, Err(RefusedCredential::RequiredClaim));
}

#[tokio::test]
async fn r17_another_claim_may_name_the_audience() {
    let audience = Audience { claim: "client_id".to_owned(), accepted: vec!["app-1".to_owned()] };
    let verifiers = Verifiers::with(|rules| rules.audience = audience).await;
    assert_eq!(verifiers.changed("client_id", json!("app-1")).await, Ok("u-1".to_owned()));
    assert_eq!(verifiers.changed("client_id", json!("app-2")).await, Err(RefusedCredential::Audience));
    assert_eq!(verifiers.user(&verifiers.claims()).await, Err(RefusedCredential::Audience), "aud is no stand-in");
}

#[tokio::test]
async fn r17_types_are_those_of_the_list() {
    let outcome = async |verifiers: &Verifiers, typ: Value| {
        let header = changed(&RSA.header(), "typ", typ);
        match verifiers.sign_in(&RSA.with_header(&header, &verifiers.claims())).await {
            Ok(_) => Ok(()),
            Err(NotSignedIn::Refused(refusal)) => Err(refusal.reason),
            Err(other) => panic!("{other}"),
        }
    };
    let verifiers = Verifiers::new().await;
    for typ in [json!(null), json!("JWT"), json!("jwt"), json!("application/JWT"), json!("Application/jwt")] {
        assert_eq!(outcome(&verifiers, typ.clone()).await, Ok(()), "{typ}");
    }
    for typ in ["at+jwt", "logout+jwt", "application/logout+jwt", "dpop+jwt", "JWS", "text/jwt", "JWT ", ""] {
        assert_eq!(outcome(&verifiers, json!(typ)).await, Err(RefusedCredential::TokenType), "{typ}");
    }
    let verifiers = Verifiers::with(|rules| rules.token_types = vec!["at+jwt".to_owned()]).await;
    assert_eq!(outcome(&verifiers, json!("application/AT+JWT")).await, Ok(()));
    for typ in [json!(null), json!("JWT")] {
        assert_eq!(outcome(&verifiers, typ.clone()).await, Err(RefusedCredential::TokenType), "{typ}");
    }
}

#[tokio::test]
async fn r18_times_are_judged_with_the_leeway() {
    use RefusedCredential::{Expired, NotYetValid, RequiredClaim};
    let verifiers = Verifiers::new().await;
    let table = [
        ("exp", NOW + 1, Ok(())),
        ("exp", NOW - 9, Ok(())),
        ("exp", NOW - 10, Err(Expired)),
        ("exp", 0, Err(Expired)),
        ("exp", -1, Err(RequiredClaim)),
        ("exp", 253_402_300_799, Ok(())),
        ("exp", 253_402_300_800, Err(RequiredClaim)),
        ("nbf", NOW + 10, Ok(())),
        ("nbf", NOW + 11, Err(NotYetValid)),
        ("iat", NOW + 10, Ok(())),
        ("iat", NOW + 11, Err(NotYetValid)),
    ];
    for (name, time, expected) in table {
        assert_eq!(verifiers.changed(name, json!(time)).await.map(drop), expected, "{name} {}", time - NOW);
    }
    for name in ["exp", "iat"] {
        let without = changed(&verifiers.claims(), name, Value::Null);
        assert_eq!(verifiers.user(&without).await, Err(RequiredClaim), "{name} absent");
        for odd in [json!("1795003600"), json!(1_795_003_600.5), json!(true), json!(null), json!(1e300)] {
            assert_eq!(verifiers.changed(name, odd.clone()).await, Err(RequiredClaim), "{name} {odd}");
        }
    }
}

#[tokio::test]
async fn r18_a_credential_grows_old() {
    let token = |verifiers: &Verifiers| RSA.token(&changed(&verifiers.claims(), "exp", json!(NOW + 10_000_000)));
    let verifiers = Verifiers::with(|rules| rules.max_age = Some(Duration::from_mins(5))).await;
    let five = token(&verifiers);
    verifiers.clock.forward(Duration::from_secs(309));
    assert!(verifiers.sign_in(&five).await.is_ok());
    verifiers.clock.forward(Duration::from_secs(1));
    assert_eq!(verifiers.refused(&five).await, RefusedCredential::TooOld);
    // Without max_age too: a logout is remembered for as long only.
    let verifiers = Verifiers::new().await;
    let month = token(&verifiers);
    verifiers.clock.forward(Duration::from_hours(30 * 24) + Duration::from_secs(9));
    assert!(verifiers.sign_in(&month).await.is_ok());
    verifiers.clock.forward(Duration::from_secs(1));
    assert_eq!(verifiers.refused(&month).await, RefusedCredential::TooOld);
}

#[tokio::test]
async fn r18_a_clock_that_went_back_revives_nothing() {
    let verifiers = Verifiers::new().await;
    let token = RSA.token(&verifiers.claims());
    assert!(verifiers.sign_in(&token).await.is_ok());
    verifiers.clock.forward(Duration::from_hours(2));
    assert!(verifiers.guard.trusted_now().is_ok());
    assert_eq!(verifiers.refused(&token).await, RefusedCredential::Expired);
    verifiers.clock.set_by(-7200);
    assert!(matches!(verifiers.sign_in(&token).await, Err(NotSignedIn::ClockStopped(_))));
}

#[tokio::test]
async fn r04_a_token_for_braze_is_no_credential() {
    let verifiers = Verifiers::new().await;
    for claims in [
        json!({ "sub": "u-1", "exp": NOW + 3600 }),
        json!({ "sub": "u-1", "exp": NOW - 3600, "jti": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "sub": "u-1", "exp": NOW + 3600, "iat": NOW, "aud": "braze", "iss": "sdk-key-of-web" }),
        json!({ "sub": "u-1", "exp": NOW + 3600, "iss": "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9" }),
    ] {
        assert_eq!(verifiers.refused(&RSA.token(&claims)).await, RefusedCredential::OwnToken, "{claims}");
    }
    assert_eq!(verifiers.provider.requests(), 0);
}

#[tokio::test]
async fn an_unknown_app_or_an_opaque_credential_is_refused() {
    let verifiers = Verifiers::new().await;
    let ios = "ios".parse().unwrap();
    let token = RSA.token(&verifiers.claims());
    let refused =
        verifiers.sign_ins.sign_in(&ios, UserIdRules::default(), Credential::Bearer(&token), None).await.unwrap_err();
    assert_eq!(refused, RefusedCredential::NotEnabled.into());
    assert!(!verifiers.sign_ins.is_enabled(&ios) && verifiers.sign_ins.is_enabled(&web()));
    for opaque in ["", "opaque", "a.b.c", "eyJzZXNzaW9uIjoxfQ.aWQ.c2ln", "a..b.c.d"] {
        assert_eq!(verifiers.refused(opaque).await, RefusedCredential::Malformed, "{opaque}");
    }
    for spaced in [format!("{token} "), format!(" {token}"), format!("{token}\n"), format!("{token}\0")] {
        assert_eq!(verifiers.refused(&spaced).await, RefusedCredential::Malformed);
    }
    let cookie = Credential::Cookie { name: "session", value: &token };
    let refused = verifiers.sign_ins.sign_in(&web(), UserIdRules::default(), cookie, None).await.unwrap_err();
    assert_eq!(refused, RefusedCredential::NotEnabled.into());
}

#[tokio::test]
async fn a_reload_keeps_the_key_sets_of_providers_that_stay() {
    let verifiers = Verifiers::new().await;
    let token = P384.token(&verifiers.claims());
    assert!(verifiers.sign_in(&token).await.is_ok());
    let mut rules = verifiers.provider.rules();
    rules.leeway = Duration::ZERO;
    verifiers.sign_ins.replace(HashMap::from([(web(), vec![SignIn::Oidc(rules)])]));
    assert!(verifiers.sign_in(&token).await.is_ok());
    assert_eq!(verifiers.provider.requests(), 2, "one discovery document, one key set");
    verifiers.sign_ins.replace(HashMap::new());
    assert_eq!(verifiers.refused(&token).await, RefusedCredential::NotEnabled);
}

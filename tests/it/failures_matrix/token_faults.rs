//! Faults of tokens: what the SDK sends is not what was issued. Codes 10, 20, 23, 24, 26 and 27.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::domain::failure::{Cause, Platform};
use serde_json::{Value, json};

use super::{
    faults::{ANY, Fault, LISTED, fault},
    model::{DAY, FOREIGN, HOUR, Model, PAIRS},
};

pub const FAULTS: &[Fault] = &[
    fault("27: a token of the server before", Cause::NotOurToken, LISTED, |model| {
        set(model, FOREIGN, RS256, &json!({"sub": "user-7", "exp": in_an_hour(model)}));
    }),
    fault("27: another user's id written into it", Cause::TokenTampered, LISTED, |model| {
        changed(model, |claims| claims["sub"] = json!("admin"));
    }),
    fault("27: an ID token of the login", Cause::WrongTokenGiven, LISTED, |model| {
        let claims = json!({"sub": "user-7", "exp": in_an_hour(model), "aud": "client-1", "email": "u@example.com"});
        set(model, FOREIGN, RS256, &claims);
    }),
    fault("20: the refresh token", Cause::WrongTokenGiven, LISTED, |model| gives(model, "csr1_AAAAAQ")),
    fault("20: with its scheme", Cause::WrongTokenGiven, LISTED, |model| gives(model, "0123456789abcdef")),
    fault("20: cut off by a column", Cause::TokenTampered, LISTED, |model| {
        let token = issued(model);
        gives(model, &token[..token.len() * 3 / 5]);
    }),
    fault("10: the server before has a key at Braze", Cause::NotOurToken, LISTED, |model| {
        give_foreign_key(model);
        set(model, FOREIGN, RS256, &json!({"sub": "user-7"}));
    }),
    fault("10: another program signs with our key", Cause::PayloadNotOurs, LISTED, |model| {
        set(model, 0, RS256, &json!({"sub": "user-7", "iat": in_an_hour(model)}));
    }),
    fault("10: its end was removed", Cause::TokenTampered, LISTED, |model| {
        model.last_fault_first = true;
        changed(model, |claims| drop(claims.as_object_mut().unwrap().remove("exp")));
    }),
    fault("23: the claim iss with a wrong key", Cause::ClaimRefused, LISTED, |model| {
        let policy = model.policy();
        policy.claims.iss = true;
        policy.sdk_api_key = Some("of-another-app".to_owned());
        issued(model);
    }),
    fault("23: another program signs with our key", Cause::PayloadNotOurs, LISTED, |model| {
        set(model, 0, RS256, &json!({"sub": "user-7", "exp": "tomorrow"}));
    }),
    fault("23: the server before has a key at Braze", Cause::NotOurToken, LISTED, |model| {
        give_foreign_key(model);
        set(model, FOREIGN, RS256, &json!({"sub": "user-7", "exp": in_an_hour(model), "iss": "of-the-server-before"}));
    }),
    fault("24: the server before signs with a secret", Cause::WrongAlgorithm, LISTED, |model| {
        set(model, FOREIGN, HS256, &json!({"sub": "user-7", "exp": in_an_hour(model)}));
    }),
    fault("24: the session token of the app", Cause::WrongTokenGiven, LISTED, |model| {
        let claims = json!({"sub": "user-7", "exp": in_an_hour(model), "scope": "shop", "sid": "s-1"});
        set(model, FOREIGN, HS256, &claims);
    }),
    fault("24: its algorithm was changed", Cause::TokenTampered, LISTED, |model| {
        let token = issued(model);
        let (_, rest) = token.split_once('.').unwrap();
        gives(model, &format!("{}.{rest}", encoded(&json!({"alg": "none", "typ": "JWT"}))));
    }),
    fault("26: the flag is off", Cause::SdkFlagOff, ANY, flag_off),
    // A flag that is off and a token that is missing are one cause, until a refresh shows which.
    fault("26: the flag is off, at the first request", Cause::TokenMissing, ANY, |model| {
        held(model, 20, 0);
        model.device.sends = None;
    }),
    fault("26: changeUser without a token", Cause::TokenMissing, ANY, |model| {
        let age = model.random.within(1..1200);
        held(model, age, 0);
        model.device.sends = None;
    }),
    fault("26: the app's storage was emptied", Cause::TokenMissing, ANY, |model| {
        issued(model);
        let kid = model.keys[0].kid.clone();
        let age = Duration::from_secs(model.random.within(400..1700));
        model.lives(&kid, age);
        model.device.sends = None;
    }),
    fault("26: changeUser to another user without a token", Cause::UserSwitched, ANY, |model| {
        issued(model);
        "user-8".clone_into(&mut model.device.sdk_user);
        model.device.sends = None;
    }),
    fault("26: an SDK without authentication", Cause::SdkTooOld, ANY, |model| {
        held(model, 30, 0);
        model.device.sends = None;
        let old = [
            (Platform::Web, "3.2.4"),
            (Platform::Android, "13.1.2"),
            (Platform::Ios, "4.7.0"),
            (Platform::Unity, "3.7.1"),
        ];
        let (platform, version) = model.random.one(&old);
        (model.device.platform, model.device.sdk_version) = (platform, Some(version.to_owned()));
    }),
];

const RS256: &str = "RS256";
const HS256: &str = "HS256";

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn in_an_hour(model: &Model) -> i64 {
    model.now.plus(HOUR).seconds()
}

/// The device got its newest token so many seconds ago, after so many refreshes of a login just before.
fn held(model: &mut Model, seconds: u64, refreshes: u64) {
    let kid = model.keys[0].kid.clone();
    let age = Duration::from_secs(seconds);
    let login = age + Duration::from_secs(15) * u32::try_from(refreshes).unwrap();
    model.holds(&kid, age, login, refreshes);
}

/// The device holds a good token, and the report has what the SDK sent, as most of the SDKs' reports do.
fn issued(model: &mut Model) -> String {
    let kid = model.keys[0].kid.clone();
    let age = Duration::from_secs(model.random.within(5..1500));
    model.lives(&kid, age);
    model.device.judged = model.random.percent(90);
    model.device.sends.clone().unwrap()
}

fn gives(model: &mut Model, text: &str) {
    if model.device.sends.is_none() {
        issued(model);
    }
    model.device.sends = Some(text.to_owned());
}

/// The app gives the SDK a JWT with these claims.
fn set(model: &mut Model, pair: usize, algorithm: &str, claims: &Value) {
    issued(model);
    let input = format!("{}.{}", encoded(&json!({"alg": algorithm, "typ": "JWT"})), encoded(claims));
    let signature = URL_SAFE_NO_PAD.encode(PAIRS[pair].sign(input.as_bytes()).0);
    gives(model, &format!("{input}.{signature}"));
}

/// Somebody changes the claims of the token that was issued.
fn changed(model: &mut Model, change: impl Fn(&mut Value)) {
    let token = issued(model);
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    change(&mut claims);
    gives(model, &format!("{}.{}.{}", parts[0], encoded(&claims), parts[2]));
}

/// Braze holds a key of the server before, too.
fn give_foreign_key(model: &mut Model) {
    model.braze.entry(model.app.to_string()).or_default().push(PAIRS[FOREIGN].public_pem());
}

fn flag_off(model: &mut Model) {
    let (age, refreshes) = (model.random.within(1..200), model.random.within(1..6));
    held(model, age, refreshes);
    assert!(model.session.created > model.ago(DAY));
    model.device.sends = None;
}

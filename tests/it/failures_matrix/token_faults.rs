//! Faults of tokens: what the SDK sends is not what was issued. Codes 10, 20, 23, 24, 26 and 27.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::domain::failure::{Cause, Platform};
use serde_json::{Value, json};

use super::{
    faults::{ANY, Fault, LISTED, fault},
    world::{DAY, FOREIGN, HOUR, PAIRS, World},
};

pub const FAULTS: &[Fault] = &[
    fault("27: a token of the server before", Cause::NotOurToken, LISTED, |world| {
        set(world, FOREIGN, RS256, &json!({"sub": "user-7", "exp": in_an_hour(world)}));
    }),
    fault("27: another user's id written into it", Cause::TokenTampered, LISTED, |world| {
        changed(world, |claims| claims["sub"] = json!("admin"));
    }),
    fault("27: an ID token of the login", Cause::WrongTokenGiven, LISTED, |world| {
        let claims = json!({"sub": "user-7", "exp": in_an_hour(world), "aud": "client-1", "email": "u@example.com"});
        set(world, FOREIGN, RS256, &claims);
    }),
    fault("20: the refresh token", Cause::WrongTokenGiven, LISTED, |world| gives(world, "csr1_AAAAAQ")),
    fault("20: with its scheme", Cause::WrongTokenGiven, LISTED, |world| gives(world, "0123456789abcdef")),
    fault("20: cut off by a column", Cause::TokenTampered, LISTED, |world| {
        let token = issued(world);
        gives(world, &token[..token.len() * 3 / 5]);
    }),
    fault("10: the server before has a key at Braze", Cause::NotOurToken, LISTED, |world| {
        give_foreign_key(world);
        set(world, FOREIGN, RS256, &json!({"sub": "user-7"}));
    }),
    fault("10: another program signs with our key", Cause::PayloadNotOurs, LISTED, |world| {
        set(world, 0, RS256, &json!({"sub": "user-7", "iat": in_an_hour(world)}));
    }),
    fault("10: its end was removed", Cause::TokenTampered, LISTED, |world| {
        world.last_fault_first = true;
        changed(world, |claims| drop(claims.as_object_mut().unwrap().remove("exp")));
    }),
    fault("23: the claim iss with a wrong key", Cause::ClaimRefused, LISTED, |world| {
        let policy = world.policy();
        policy.claims.iss = true;
        policy.sdk_api_key = Some("of-another-app".to_owned());
        issued(world);
    }),
    fault("23: another program signs with our key", Cause::PayloadNotOurs, LISTED, |world| {
        set(world, 0, RS256, &json!({"sub": "user-7", "exp": "tomorrow"}));
    }),
    fault("23: the server before has a key at Braze", Cause::NotOurToken, LISTED, |world| {
        give_foreign_key(world);
        set(world, FOREIGN, RS256, &json!({"sub": "user-7", "exp": in_an_hour(world), "iss": "of-the-server-before"}));
    }),
    fault("24: the server before signs with a secret", Cause::WrongAlgorithm, LISTED, |world| {
        set(world, FOREIGN, HS256, &json!({"sub": "user-7", "exp": in_an_hour(world)}));
    }),
    fault("24: the session token of the app", Cause::WrongTokenGiven, LISTED, |world| {
        let claims = json!({"sub": "user-7", "exp": in_an_hour(world), "scope": "shop", "sid": "s-1"});
        set(world, FOREIGN, HS256, &claims);
    }),
    fault("24: its algorithm was changed", Cause::TokenTampered, LISTED, |world| {
        let token = issued(world);
        let (_, rest) = token.split_once('.').unwrap();
        gives(world, &format!("{}.{rest}", encoded(&json!({"alg": "none", "typ": "JWT"}))));
    }),
    fault("26: the flag is off", Cause::SdkFlagOff, ANY, flag_off),
    // A flag that is off and a token that is missing are one cause, until a refresh shows which.
    fault("26: the flag is off, at the first request", Cause::TokenMissing, ANY, |world| {
        held(world, 20, 0);
        world.device.sends = None;
    }),
    fault("26: changeUser without a token", Cause::TokenMissing, ANY, |world| {
        let age = world.random.within(1..1200);
        held(world, age, 0);
        world.device.sends = None;
    }),
    fault("26: the app's storage was emptied", Cause::TokenMissing, ANY, |world| {
        issued(world);
        let kid = world.keys[0].kid.clone();
        let age = Duration::from_secs(world.random.within(400..1700));
        world.lives(&kid, age);
        world.device.sends = None;
    }),
    fault("26: changeUser to another user without a token", Cause::UserSwitched, ANY, |world| {
        issued(world);
        "user-8".clone_into(&mut world.device.sdk_user);
        world.device.sends = None;
    }),
    fault("26: an SDK without authentication", Cause::SdkTooOld, ANY, |world| {
        held(world, 30, 0);
        world.device.sends = None;
        let old = [
            (Platform::Web, "3.2.4"),
            (Platform::Android, "13.1.2"),
            (Platform::Ios, "4.7.0"),
            (Platform::Unity, "3.7.1"),
        ];
        let (platform, version) = world.random.one(&old);
        (world.device.platform, world.device.sdk_version) = (platform, Some(version.to_owned()));
    }),
];

const RS256: &str = "RS256";
const HS256: &str = "HS256";

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn in_an_hour(world: &World) -> i64 {
    world.now.plus(HOUR).seconds()
}

/// The device got its newest token so many seconds ago, after so many refreshes of a login just before.
fn held(world: &mut World, seconds: u64, refreshes: u64) {
    let kid = world.keys[0].kid.clone();
    let age = Duration::from_secs(seconds);
    let login = age + Duration::from_secs(15) * u32::try_from(refreshes).unwrap();
    world.holds(&kid, age, login, refreshes);
}

/// The device holds a good token, and the report has what the SDK sent, as most of the SDKs' reports do.
fn issued(world: &mut World) -> String {
    let kid = world.keys[0].kid.clone();
    let age = Duration::from_secs(world.random.within(5..1500));
    world.lives(&kid, age);
    world.device.judged = world.random.percent(90);
    world.device.sends.clone().unwrap()
}

fn gives(world: &mut World, text: &str) {
    if world.device.sends.is_none() {
        issued(world);
    }
    world.device.sends = Some(text.to_owned());
}

/// The app gives the SDK a JWT with these claims.
fn set(world: &mut World, pair: usize, algorithm: &str, claims: &Value) {
    issued(world);
    let input = format!("{}.{}", encoded(&json!({"alg": algorithm, "typ": "JWT"})), encoded(claims));
    let signature = URL_SAFE_NO_PAD.encode(PAIRS[pair].sign(input.as_bytes()).0);
    gives(world, &format!("{input}.{signature}"));
}

/// Somebody changes the claims of the token that was issued.
fn changed(world: &mut World, change: impl Fn(&mut Value)) {
    let token = issued(world);
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    change(&mut claims);
    gives(world, &format!("{}.{}.{}", parts[0], encoded(&claims), parts[2]));
}

/// Braze holds a key of the server before, too.
fn give_foreign_key(world: &mut World) {
    world.braze.entry(world.app.to_string()).or_default().push(PAIRS[FOREIGN].public_pem());
}

fn flag_off(world: &mut World) {
    let (age, refreshes) = (world.random.within(1..200), world.random.within(1..6));
    held(world, age, refreshes);
    assert!(world.session.created > world.ago(DAY));
    world.device.sends = None;
}

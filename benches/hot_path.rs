//! What stands around the signature: claims, signing input, sealing and unsealing, deciding.
//!
//! `cargo bench --bench hot_path`. The signature itself is in the same table, to hold everything against.

#![allow(clippy::unwrap_used, reason = "a program to measure with")]

use std::{hint::black_box, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};
use countersign::{
    clock::UnixMillis,
    domain::{
        claims::Claims,
        ids::{SessionId, UserHash, UserId, UserIdRules},
        jws::SigningInput,
        policy::{AppPolicy, RefreshPolicy},
        refresh_token::{Contents, RefreshToken, unseal},
        sealing::{SealingKeys, SealingSecrets, UserHashKey},
        session::{Session, decide},
    },
};
use criterion::{Criterion, criterion_group, criterion_main};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const HOUR: Duration = Duration::from_hours(1);
const REFRESH: RefreshPolicy = RefreshPolicy { enabled: true, idle: HOUR, absolute: HOUR, retry_window: HOUR };

fn policy() -> AppPolicy {
    AppPolicy { refresh: REFRESH, ..AppPolicy::default() }
}

fn contents() -> Contents {
    Contents {
        session: SessionId::new(NOW, [7; 10]),
        app: "web".parse().unwrap(),
        user: UserId::parse("user-4711", UserIdRules::default()).unwrap(),
        counter: 3,
        issued: NOW,
        idle_expires: NOW.plus(HOUR),
        expires: NOW.plus(HOUR),
        shortened: None,
        login: None,
        unwritten: false,
    }
}

fn hot_path(criterion: &mut Criterion) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    criterion.bench_function("raw RSA-2048 signature", |bench| {
        bench.iter(|| key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), black_box(&[7; 160]), &mut signature).unwrap());
    });
    let (policy, contents) = (policy(), contents());
    criterion.bench_function("claims and signing input", |bench| {
        bench.iter(|| SigningInput::new(&Claims::new(&contents.user, &policy, black_box(NOW), HOUR, [7; 16]), None));
    });
    let keys = SealingKeys::derive(&SealingSecrets::single([7; 32]));
    criterion.bench_function("seal a refresh token", |bench| {
        bench.iter(|| RefreshToken::seal(black_box(&contents), &keys, [7; 12]));
    });
    let token = RefreshToken::seal(&contents, &keys, [7; 12]);
    criterion.bench_function("unseal a refresh token", |bench| {
        bench.iter(|| unseal(black_box(token.expose()), &keys).unwrap());
    });
    criterion.bench_function("refuse a forged refresh token", |bench| {
        bench.iter(|| unseal(black_box("csr1_junk"), &keys).is_err());
    });
    let hash = UserHashKey::new([7; 32]);
    criterion.bench_function("hash a user id", |bench| bench.iter(|| hash.hash(black_box(&contents.user))));
    let session = Session {
        id: contents.session,
        app: contents.app.clone(),
        user: UserHash([7; 32]),
        counter: 3,
        created: NOW,
        rotated: NOW,
        idle_expires: NOW.plus(HOUR),
        expires: NOW.plus(HOUR),
        ended: None,
    };
    criterion.bench_function("decide a refresh", |bench| {
        bench.iter(|| decide(&session, black_box(&contents), NOW, REFRESH));
    });
}

criterion_group!(benches, hot_path);
criterion_main!(benches);

//! Tests of the linked library, on this processor or an emulated one. Keys are read from files: an emulated processor
//! needs minutes to generate one.

use super::*;
use crate::custody::batch::crypto_mb::time_stamp;

const KEYS: [(usize, &str); 3] = [
    (2048, include_str!("../../../../tests/fixtures/keys/rsa-2048.pkcs8.pem")),
    (3072, include_str!("../../../../tests/fixtures/keys/rsa-3072.pkcs8.pem")),
    (4096, include_str!("../../../../tests/fixtures/keys/rsa-4096.pkcs8.pem")),
];

fn read(pem: &str) -> Zeroizing<Vec<u8>> {
    let (_, pkcs8) = pkcs8::SecretDocument::from_pem(pem).unwrap();
    format::pkcs8::from_pkcs8(pkcs8.as_bytes()).unwrap()
}

/// Finds the provider of this build and processor; the log has the reason where there is none.
fn found() -> Provider {
    tracing_subscriber::fmt().with_test_writer().with_ansi(false).without_time().try_init().ok();
    let found = Provider::find(Batch::On, &Metrics::new());
    found.expect("a processor with AVX-512 IFMA, or one that is emulated")
}

#[test]
fn the_batch_library_makes_the_signatures_that_are_made_singly() {
    let provider = found();
    for (bits, pem) in KEYS {
        let key = local(&read(pem), Some(&provider));
        assert_eq!(key.together(), 3..=LANES, "the key of {bits} bits passed its test, lane by lane");
        for count in [1, 3, LANES] {
            let messages: Vec<Vec<u8>> = (0..count).map(|i| vec![u8::try_from(i).unwrap(); 300]).collect();
            let together = key.sign_together(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for (message, signature) in messages.iter().zip(together) {
                assert_eq!(signature, Some(key.sign(message).unwrap()), "{bits} bits");
            }
        }
    }
}

/// Counts the instructions of `work`: the minimum of three runs, as an interrupt adds instructions of its own.
fn instructions(mut work: impl FnMut()) -> u64 {
    let taken = (0..3).map(|_| {
        let begun = time_stamp();
        work();
        time_stamp() - begun
    });
    taken.min().unwrap()
}

#[test]
#[ignore = "counts, for people, and only an emulated processor counts instructions"]
#[expect(clippy::print_stdout, reason = "for people")]
fn instructions_that_signatures_take() {
    let provider = found();
    for (bits, pem) in KEYS {
        let pkcs1 = read(pem);
        let single = local(&pkcs1, None);
        let (batch, _) = provider.key(&pkcs1, &single).expect("a key that passes its test");
        let message: &[u8] = &[7; 300];
        let encoded = batch.encode(&[message]);
        let (mut signed, mut verified) = (vec![0; encoded.len()], vec![0; encoded.len()]);
        let one = instructions(|| drop(single.sign(message).unwrap()));
        let eight = instructions(|| drop(batch.sign(&[message; LANES])));
        let private = instructions(|| batch.lanes.private(&encoded, &mut signed).unwrap());
        let public = instructions(|| batch.lanes.public(&signed, &mut verified).unwrap());
        println!("instructions: {bits} bits, one {one}, batch {eight}, its private {private}, its public {public}");
    }
}

//! The yardstick: one raw signature of the library the service signs with, on the processor the service gets.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};

use super::process;

const ROUNDS: u32 = 100;

/// CPU time of one signature: the median of five rounds.
pub fn signature_cpu(cpu: usize) -> Duration {
    let measure = move || {
        process::pin_this_to(cpu);
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let (random, message) = (SystemRandom::new(), [7u8; 160]);
        let mut signature = vec![0; key.public_modulus_len()];
        let mut rounds: Vec<Duration> = (0..5)
            .map(|_| {
                let before = process::this_thread_cpu();
                for _ in 0..ROUNDS {
                    key.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature).unwrap();
                }
                process::this_thread_cpu().checked_sub(before).unwrap() / ROUNDS
            })
            .collect();
        rounds.sort_unstable();
        rounds[rounds.len() / 2]
    };
    std::thread::spawn(measure).join().unwrap()
}

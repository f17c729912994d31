use std::{sync::Mutex, time::Duration};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
};
use crypto_bigint::{BoxedUint, Odd};
use rsa::pkcs1::RsaPrivateKeyRef;

use super::*;
use crate::{
    custody::{format, local_key::LocalKey, pace::Work},
    telemetry::Metrics,
};

/// Lanes by the slow library, computed one by one, with faults where a test injects them.
struct Slow {
    n: Odd<BoxedUint>,
    e: BoxedUint,
    d: BoxedUint,
    length: usize,
}

/// Fault that a test injects into the lanes.
#[derive(Clone, Copy, Default)]
struct InjectedFault {
    /// Lane whose signature gets one wrong bit.
    flip: Option<usize>,
    refuse: bool,
}

static INJECTED: Mutex<InjectedFault> = Mutex::new(InjectedFault { flip: None, refuse: false });
/// Lock of the tests that inject faults: they run one at a time.
static EXCLUSIVE: Mutex<()> = Mutex::new(());

impl Slow {
    fn raise(&self, exponent: &BoxedUint, from: &[u8], to: &mut [u8]) {
        for (from, to) in from.chunks(self.length).zip(to.chunks_mut(self.length)) {
            let power = number(from).pow_mod(exponent, &self.n).to_be_bytes();
            to.copy_from_slice(&power[power.len() - self.length..]);
        }
    }
}

impl Lanes for Slow {
    fn private(&self, from: &[u8], to: &mut [u8]) -> Result<(), String> {
        self.raise(&self.d, from, to);
        let InjectedFault { flip, refuse } = *INJECTED.lock().unwrap();
        if let Some(lane) = flip {
            to[lane * self.length + 100] ^= 1;
        }
        if refuse { Err("refused".to_owned()) } else { Ok(()) }
    }

    fn public(&self, from: &[u8], to: &mut [u8]) -> Result<(), String> {
        self.raise(&self.e, from, to);
        Ok(())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the library's, which may have none")]
fn slow(key: &RsaPrivateKeyRef<'_>) -> Result<Box<dyn Lanes>, String> {
    let [n, e, d] = [key.modulus, key.public_exponent, key.private_exponent].map(|it| number(it.as_bytes()));
    let n = Odd::new(n).into_option().unwrap();
    Ok(Box::new(Slow { n, e, d, length: key.modulus.as_bytes().len() }))
}

fn number(bytes: &[u8]) -> BoxedUint {
    BoxedUint::from_be_slice_vartime(bytes)
}

fn pkcs1() -> Zeroizing<Vec<u8>> {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    format::pkcs8::from_pkcs8(pkcs8.as_ref()).unwrap()
}

fn provider(make: fn(&RsaPrivateKeyRef<'_>) -> Result<Box<dyn Lanes>, String>) -> (Provider, Arc<Metrics>) {
    let metrics = Metrics::new();
    let faults = Arc::new(Faults::new(Arc::clone(&metrics)));
    (Provider { library: "slow".to_owned(), measures: true, meter: quick_batches, faults, make }, metrics)
}

/// Meter by which eight lanes take as long as two and a half single signatures, whatever they do.
#[expect(clippy::unnecessary_wraps, reason = "as a meter whose work may fail")]
fn quick_batches(work: Work, _: &mut dyn FnMut() -> Result<(), String>) -> Result<Duration, String> {
    Ok(Duration::from_micros(if work == Work::Single { 100 } else { 250 }))
}

fn local(pkcs1: &[u8], provider: Option<&Provider>) -> LocalKey {
    LocalKey::new(KeyPair::from_der(pkcs1).unwrap(), pkcs1, provider).unwrap()
}

fn counted(metrics: &Metrics, line: &str) -> bool {
    metrics.encode().lines().any(|it| it == line)
}

fn inject(with: InjectedFault) {
    *INJECTED.lock().unwrap() = with;
}

#[test]
fn signatures_made_together_equal_those_made_singly() {
    let _exclusive = EXCLUSIVE.lock().unwrap();
    inject(InjectedFault::default());
    let pkcs1 = pkcs1();
    let (provider, metrics) = provider(slow);
    let key = local(&pkcs1, Some(&provider));
    assert_eq!(key.together(), 3..=LANES);
    let messages: Vec<String> = (0..LANES).map(|i| "m".repeat(i * 40)).collect();
    for count in 1..=LANES {
        let messages: Vec<&[u8]> = messages[..count].iter().map(String::as_bytes).collect();
        let together = key.sign_together(&messages);
        assert_eq!(together.len(), count);
        for (message, signature) in messages.iter().zip(together) {
            assert_eq!(signature, Some(key.sign(message).unwrap()));
        }
    }
    assert!(counted(&metrics, "countersign_signature_faults_total 0"));
}

#[test]
fn a_wrong_signature_is_never_returned_and_three_switch_batches_off() {
    let _exclusive = EXCLUSIVE.lock().unwrap();
    inject(InjectedFault::default());
    let (provider, metrics) = provider(slow);
    let (pkcs1, other) = (pkcs1(), pkcs1());
    let (key, other) = (local(&pkcs1, Some(&provider)), local(&other, Some(&provider)));
    inject(InjectedFault { flip: Some(2), ..InjectedFault::default() });
    let messages: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    for fault in 1..=TOLERATED_FAULTS {
        assert_eq!(key.together(), 3..=LANES);
        let together = key.sign_together(&messages);
        for (lane, (message, signature)) in messages.iter().zip(together).enumerate() {
            assert_eq!(signature, (lane != 2).then(|| key.sign(message).unwrap()));
        }
        assert!(counted(&metrics, &format!("countersign_signature_faults_total {fault}")));
    }
    inject(InjectedFault::default());
    assert_eq!(
        (key.together(), other.together()),
        (1..=1, 1..=1),
        "for every key: it is the processor that computes wrongly"
    );
    assert!(counted(&metrics, r#"countersign_alarms_total{kind="signature_faults"} 1"#));
}

#[test]
fn a_wrong_signature_in_an_unused_lane_is_no_fault() {
    let _exclusive = EXCLUSIVE.lock().unwrap();
    inject(InjectedFault::default());
    let (provider, metrics) = provider(slow);
    let key = local(&pkcs1(), Some(&provider));
    inject(InjectedFault { flip: Some(7), ..InjectedFault::default() });
    assert!(key.sign_together(&[b"a", b"b", b"c"]).iter().all(Option::is_some));
    inject(InjectedFault::default());
    assert!(counted(&metrics, "countersign_signature_faults_total 0"));
}

#[test]
fn a_library_that_refuses_is_a_fault_too() {
    let _exclusive = EXCLUSIVE.lock().unwrap();
    inject(InjectedFault::default());
    let (provider, metrics) = provider(slow);
    let key = local(&pkcs1(), Some(&provider));
    inject(InjectedFault { refuse: true, ..InjectedFault::default() });
    assert_eq!(key.sign_together(&[b"a", b"b", b"c"]), [None, None, None]);
    inject(InjectedFault::default());
    assert!(counted(&metrics, "countersign_signature_faults_total 1"));
}

#[test]
fn a_key_that_fails_its_test_signs_singly() {
    let _exclusive = EXCLUSIVE.lock().unwrap();
    let pkcs1 = pkcs1();
    for lane in 0..LANES {
        inject(InjectedFault { flip: Some(lane), ..InjectedFault::default() });
        let (provider, _) = provider(slow);
        assert_eq!(local(&pkcs1, Some(&provider)).together(), 1..=1, "lane {lane}");
    }
    inject(InjectedFault::default());
    let (without, _) = provider(|_| Err("no operation for this size".to_owned()));
    assert_eq!(local(&pkcs1, Some(&without)).together(), 1..=1);
    assert_eq!(local(&pkcs1, None).together(), 1..=1);
}

/// The library of these tests really is slower than `aws-lc-rs`.
#[test]
fn a_key_whose_batches_are_slower_signs_singly_unless_they_are_forced() {
    let _exclusive = EXCLUSIVE.lock().unwrap();
    inject(InjectedFault::default());
    let pkcs1 = pkcs1();
    let (mut provider, _) = provider(slow);
    let key = local(&pkcs1, Some(&provider));
    assert_eq!(
        key.pace().unwrap().to_string(),
        "100 µs a signature (aws-lc-rs), 31 µs in batches from 3 waiting ones on (slow)"
    );

    provider.meter = processor_time;
    let key = local(&pkcs1, Some(&provider));
    let pace = key.pace().unwrap();
    assert_eq!((key.together(), pace.batch.as_ref()), (1..=1, None));
    assert!(pace.single > Duration::from_micros(10), "{pace}");

    provider.measures = false;
    let key = local(&pkcs1, Some(&provider));
    assert_eq!(key.together(), UNMEASURED_LEAST..=LANES);
    let pace = key.pace().unwrap();
    assert!(pace.batch.as_ref().unwrap().each > pace.single, "{pace}");
}

/// Tests of the linked library on this processor; `tests/run.sh batch` and `ifma` run them.
#[cfg(feature = "crypto-mb")]
mod real;

mod together;

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::mpsc,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    clock::UnixMillis,
    domain::{
        claims::Claims,
        ids::{UserId, UserIdRules},
        policy::AppPolicy,
    },
};

const LONG: Duration = Duration::from_hours(1);

/// Key that reports the start of each signature, and finishes it when the gate is opened.
struct Gated {
    began: mpsc::Sender<()>,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Gated {
    /// Returns the key, the receiver of its reports, and the sender that lets one signature through.
    fn new() -> (Arc<Self>, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (began, has_begun) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        (Arc::new(Self { began, gate: Mutex::new(gate) }), has_begun, open)
    }
}

impl PrivateKey for Gated {
    fn sign(&self, _: &[u8]) -> Result<Signature, String> {
        self.began.send(()).unwrap();
        self.gate.lock().unwrap().recv().unwrap();
        Ok(Signature(vec![0; 256]))
    }
}

/// Key that records the order of its signatures.
#[derive(Default)]
struct Recording(Mutex<Vec<Vec<u8>>>);

impl PrivateKey for Recording {
    fn sign(&self, message: &[u8]) -> Result<Signature, String> {
        self.0.lock().unwrap().push(message.to_vec());
        Ok(Signature(vec![0; 256]))
    }
}

fn engine(threads: usize, max_wait: Duration) -> Arc<Engine> {
    Arc::new(Engine::start(threads, max_wait, Metrics::new()).unwrap())
}

fn signer(engine: &Arc<Engine>, key: Arc<dyn PrivateKey>) -> Arc<dyn Signer> {
    engine.signer(Kid::from_thumbprint(&[1; 32]), key)
}

fn input(user: &str) -> SigningInput {
    let policy = AppPolicy { lifetime: LONG, ..AppPolicy::default() };
    let user = UserId::parse(user, UserIdRules::default()).unwrap();
    SigningInput::new(&Claims::new(&user, &policy, UnixMillis(1_795_000_000_000), LONG, [0; 16]), None)
}

type Signing = Pin<Box<dyn Future<Output = Result<SignedToken, SignError>> + Send>>;

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

type Answer = Poll<Result<SignedToken, SignError>>;

fn refused(answer: &Answer) -> bool {
    matches!(answer, Poll::Ready(Err(SignError::Overloaded { .. })))
}

#[tokio::test]
async fn a_job_that_would_wait_too_long_is_refused_at_once() {
    let engine = engine(1, Duration::ZERO);
    let (key, begun, open) = Gated::new();
    let signer = signer(&engine, key);
    let mut signing = signer.sign(input("first"));
    assert!(poll(signing.as_mut()).is_pending());
    begun.recv().unwrap();
    assert_eq!(signer.overloaded(), None, "nothing waits: the first is being signed");

    let mut waiting = signer.sign(input("second"));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(signer.overloaded(), Some(engine.shared.shedding.estimate(1)), "one signature waits");
    assert!(refused(&poll(pin!(signer.sign(input("third"))))));

    open.send(()).unwrap();
    open.send(()).unwrap();
    signing.await.unwrap();
    waiting.await.unwrap();
    assert_eq!(signer.overloaded(), None);
}

#[test]
fn the_queue_is_bounded_however_long_a_job_may_wait() {
    let engine = engine(1, LONG);
    let (key, begun, open) = Gated::new();
    let signer = signer(&engine, key);
    let mut asked: Vec<_> = (0..=MAX_QUEUE_PER_THREAD).map(|_| signer.sign(input("u"))).collect();
    assert!(poll(asked[0].as_mut()).is_pending());
    begun.recv().unwrap();
    assert!(asked[1..].iter_mut().all(|one| poll(one.as_mut()).is_pending()));
    assert!(refused(&poll(pin!(signer.sign(input("one too many"))))));
    // The other jobs have no caller now.
    drop(asked);
    open.send(()).unwrap();
}

#[tokio::test]
async fn nothing_is_signed_for_a_caller_that_has_gone() {
    let engine = engine(1, LONG);
    let ((gated, begun, open), recording) = (Gated::new(), Arc::new(Recording::default()));
    let (first, then) = (signer(&engine, gated), signer(&engine, recording.clone()));
    let mut signing = first.sign(input("first"));
    assert!(poll(signing.as_mut()).is_pending());
    begun.recv().unwrap();

    let mut gone = then.sign(input("gone"));
    assert!(poll(gone.as_mut()).is_pending());
    drop(gone);
    let mut stays = then.sign(input("stays"));
    assert!(poll(stays.as_mut()).is_pending());
    open.send(()).unwrap();
    stays.await.unwrap();
    assert_eq!(*recording.0.lock().unwrap(), [input("stays").as_bytes()]);
}

#[tokio::test]
async fn a_slow_signature_raises_the_estimate_for_the_next() {
    let engine = engine(1, Duration::ZERO);
    let (key, begun, open) = Gated::new();
    let signer = signer(&engine, key);
    let mut signing = signer.sign(input("first"));
    assert!(poll(signing.as_mut()).is_pending());
    begun.recv().unwrap();
    let slow = Stopwatch::start();
    while slow.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    let mut waiting = signer.sign(input("second"));
    assert!(poll(waiting.as_mut()).is_pending());
    let before = signer.overloaded().unwrap();
    open.send(()).unwrap();
    // The first was measured before the second began.
    begun.recv().unwrap();
    let after = engine.shared.shedding.estimate(1);
    assert!(after > before + Duration::from_millis(1), "{before:?}, then {after:?}");
    open.send(()).unwrap();
    signing.await.unwrap();
    waiting.await.unwrap();
}

/// The caller may write meanwhile only where its signature is being computed, and nobody waits.
#[tokio::test]
async fn only_a_signature_that_is_begun_alone_is_told() {
    let engine = engine(1, Duration::ZERO);
    let (key, begun, open) = Gated::new();
    let signer = signer(&engine, key);
    let (tell, mut told) = oneshot::channel();
    let mut first = signer.sign_telling(input("first"), tell);
    assert!(poll(first.as_mut()).is_pending());
    begun.recv().unwrap();
    assert!(told.try_recv().is_ok(), "told before the signature is ready");

    let (tell, mut second_told) = oneshot::channel();
    let mut second = signer.sign_telling(input("second"), tell);
    assert!(poll(second.as_mut()).is_pending());
    assert!(second_told.try_recv().is_err(), "it waits for its turn");
    let (tell, mut third_told) = oneshot::channel();
    assert!(refused(&poll(signer.sign_telling(input("third"), tell).as_mut())));
    assert!(third_told.try_recv().is_err(), "it was shed");

    open.send(()).unwrap();
    open.send(()).unwrap();
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn first_come_first_served() {
    let engine = engine(1, LONG);
    let ((gated, begun, open), recording) = (Gated::new(), Arc::new(Recording::default()));
    let (first, then) = (signer(&engine, gated), signer(&engine, recording.clone()));
    let mut signing = first.sign(input("first"));
    assert!(poll(signing.as_mut()).is_pending());
    begun.recv().unwrap();
    let users: Vec<_> = (0..20).map(|i| format!("u{i}")).collect();
    let mut asked: Vec<_> = users.iter().map(|user| then.sign(input(user))).collect();
    assert!(asked.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
    open.send(()).unwrap();
    for one in asked {
        one.await.unwrap();
    }
    let order: Vec<_> = users.iter().map(|user| input(user).as_bytes().to_vec()).collect();
    assert_eq!(*recording.0.lock().unwrap(), order);
}

#[tokio::test]
async fn a_panic_is_answered_with_an_error_and_the_thread_keeps_running() {
    struct Panics;
    #[expect(clippy::panic, reason = "that is the point")]
    impl PrivateKey for Panics {
        fn sign(&self, _: &[u8]) -> Result<Signature, String> {
            panic!("in a signature")
        }
    }
    let engine = engine(1, LONG);
    let panicked = signer(&engine, Arc::new(Panics)).sign(input("u")).await;
    assert_eq!(panicked.unwrap_err(), SignError::Unavailable("signing panicked".to_owned()));
    signer(&engine, Arc::new(Recording::default())).sign(input("u")).await.unwrap();
}

#[tokio::test]
async fn the_threads_end_with_the_engine() {
    let engine = engine(3, LONG);
    let shared = Arc::downgrade(&engine.shared);
    signer(&engine, Arc::new(Recording::default())).sign(input("u")).await.unwrap();
    drop(engine);
    assert!(shared.upgrade().is_none(), "a thread still holds it");
}

#[tokio::test]
async fn a_signer_keeps_its_threads_alive() {
    let engine = engine(1, LONG);
    let signer = signer(&engine, Arc::new(Recording::default()));
    drop(engine);
    signer.sign(input("u")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_one_of_many_jobs_is_answered() {
    let engine = engine(2, LONG);
    let recording = Arc::new(Recording::default());
    let signer = signer(&engine, recording.clone());
    let asked: Vec<_> = (0..500)
        .map(|i| {
            let signer = Arc::clone(&signer);
            tokio::spawn(async move { signer.sign(input(&format!("u{i}"))).await })
        })
        .collect();
    for one in asked {
        one.await.unwrap().unwrap();
    }
    assert_eq!(recording.0.lock().unwrap().len(), 500);
    assert_eq!(engine.shared.waiting.load(Relaxed), 0);
}

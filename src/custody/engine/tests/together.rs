//! Jobs that wait for one key are signed together; the keys are served round robin.

use std::ops::RangeInclusive;

use super::*;

/// Key that records the sizes of its batches, and its single signatures.
struct Batching {
    lanes: usize,
    together: Mutex<Vec<usize>>,
    alone: Recording,
}

impl Batching {
    fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Self { lanes, together: Mutex::default(), alone: Recording::default() })
    }
}

impl PrivateKey for Batching {
    fn sign(&self, message: &[u8]) -> Result<Signature, String> {
        self.alone.sign(message)
    }

    fn together(&self) -> RangeInclusive<usize> {
        if self.lanes == 1 { 1..=1 } else { 3..=self.lanes }
    }

    /// Signs all but the first of each batch.
    fn sign_together(&self, messages: &[&[u8]]) -> Vec<Option<Signature>> {
        self.together.lock().unwrap().push(messages.len());
        (0..messages.len()).map(|lane| (lane > 0).then(|| Signature(vec![1; 256]))).collect()
    }
}

/// Engine whose only thread is blocked by a key until the gate opens: jobs that arrive meanwhile wait together.
struct Held {
    engine: Arc<Engine>,
    open: mpsc::Sender<()>,
    signing: Signing,
}

impl Held {
    fn new() -> Self {
        let engine = engine(1, LONG);
        let (key, begun, open) = Gated::new();
        let holder = signer(&engine, key);
        let mut signing: Signing = Box::pin(async move { holder.sign(input("holder")).await });
        assert!(poll(signing.as_mut()).is_pending());
        begun.recv().unwrap();
        Self { engine, open, signing }
    }

    /// Asks this key to sign tokens of these users; the replies come after [`Self::release`].
    fn ask(&self, key: Arc<dyn PrivateKey>, users: std::ops::Range<usize>) -> Vec<Signing> {
        let signer = signer(&self.engine, key);
        users
            .map(|user| {
                let signer = Arc::clone(&signer);
                let mut one: Signing = Box::pin(async move { signer.sign(input(&format!("u{user}"))).await });
                assert!(poll(one.as_mut()).is_pending());
                one
            })
            .collect()
    }

    async fn release(self) -> Arc<Engine> {
        self.open.send(()).unwrap();
        self.signing.await.unwrap();
        self.engine
    }
}

#[tokio::test]
async fn waiting_jobs_are_signed_eight_at_a_time_and_few_are_signed_singly() {
    let key = Batching::new(8);
    let held = Held::new();
    let asked = held.ask(key.clone(), 0..21);
    let engine = held.release().await;
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(*key.together.lock().unwrap(), [8, 8, 5]);
    let wrong: Vec<_> = ["u0", "u8", "u16"].iter().map(|user| input(user).as_bytes().to_vec()).collect();
    assert_eq!(*key.alone.0.lock().unwrap(), wrong, "a message whose signature was wrong is signed again");
    drop(engine);

    let (key, held) = (Batching::new(8), Held::new());
    let asked = held.ask(key.clone(), 0..2);
    let _engine = held.release().await;
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(key.together.lock().unwrap().len(), 0);
    assert_eq!(key.alone.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_caller_who_has_gone_takes_no_lane_of_a_batch() {
    let key = Batching::new(8);
    let held = Held::new();
    let mut asked = held.ask(key.clone(), 0..12);
    // Five of the first eight callers go.
    drop(asked.drain(1..6));
    let _engine = held.release().await;
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(*key.together.lock().unwrap(), [7]);
}

#[tokio::test]
async fn many_jobs_of_one_key_delay_no_other_key() {
    /// Key that records how many batches of the other key came before it.
    struct Quiet(Arc<Batching>, Mutex<Option<usize>>);
    impl PrivateKey for Quiet {
        fn sign(&self, _: &[u8]) -> Result<Signature, String> {
            *self.1.lock().unwrap() = Some(self.0.together.lock().unwrap().len());
            Ok(Signature(vec![0; 256]))
        }
    }
    let crowded = Batching::new(8);
    let quiet = Arc::new(Quiet(crowded.clone(), Mutex::default()));
    let held = Held::new();
    let mut asked = held.ask(crowded.clone(), 0..40);
    asked.extend(held.ask(quiet.clone(), 40..41));
    let engine = held.release().await;
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(*quiet.1.lock().unwrap(), Some(1), "after one batch of the crowded key");
    assert_eq!(*crowded.together.lock().unwrap(), [8; 5]);
    assert_eq!(engine.shared.waiting.load(Relaxed), 0);
}

#[tokio::test]
async fn a_batch_that_panics_is_signed_singly() {
    struct Panics(Recording);
    #[expect(clippy::panic, reason = "that is the point")]
    impl PrivateKey for Panics {
        fn sign(&self, message: &[u8]) -> Result<Signature, String> {
            self.0.sign(message)
        }

        fn together(&self) -> RangeInclusive<usize> {
            3..=8
        }

        fn sign_together(&self, _: &[&[u8]]) -> Vec<Option<Signature>> {
            panic!("in a batch")
        }
    }
    let key = Arc::new(Panics(Recording::default()));
    let held = Held::new();
    let asked = held.ask(key.clone(), 0..5);
    let _engine = held.release().await;
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(key.0.0.lock().unwrap().len(), 5);
}

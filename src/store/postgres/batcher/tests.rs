use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;
use tokio::{
    runtime,
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    queue::{BATCH, LIMIT},
    *,
};

/// Compare-and-set on a counter in memory, which fails as asked.
#[derive(Clone, Copy, Debug)]
struct Step {
    counter: u8,
    from: u64,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Values,
    Store,
    OutOfReach,
    Panic,
}

fn step(counter: u8, from: u64) -> Step {
    Step { counter, from, fault: None }
}

fn name() -> StoreName {
    StoreName::new(&super::super::Target::parse("postgres://u@h/d").unwrap())
}

/// A database in memory. Each batch needs a permit before it is done.
#[derive(Clone)]
struct Memory(Arc<Inside>);

struct Inside {
    counters: Mutex<HashMap<u8, u64>>,
    under_way: Mutex<HashSet<u8>>,
    batches: Mutex<Vec<usize>>,
    most_under_way: AtomicUsize,
    permits: Semaphore,
    /// Time that each batch takes, for each of its first items' counters.
    delay: fn(u8) -> Duration,
}

impl Memory {
    fn new(permits: usize, delay: fn(u8) -> Duration) -> (Self, Batcher<Self>) {
        let memory = Self(Arc::new(Inside {
            counters: Mutex::default(),
            under_way: Mutex::default(),
            batches: Mutex::default(),
            most_under_way: AtomicUsize::new(0),
            permits: Semaphore::new(permits),
            delay,
        }));
        (memory.clone(), Batcher::new(memory, name(), Duration::from_mins(5), Metrics::new()))
    }

    fn free() -> (Self, Batcher<Self>) {
        Self::new(Semaphore::MAX_PERMITS, |_| Duration::ZERO)
    }

    fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }
}

impl Work for Memory {
    const KIND: StoreWork = StoreWork::Write;
    type Item = Step;
    type Answer = bool;

    fn exclusive(step: &Step) -> Option<SessionId> {
        Some(SessionId([step.counter; 16]))
    }

    #[expect(clippy::panic, reason = "the panic is what is tested")]
    async fn run(&self, steps: &[Step]) -> Result<Vec<bool>, Failure> {
        self.0.batches.lock().unwrap().push(steps.len());
        for step in steps {
            assert!(self.0.under_way.lock().unwrap().insert(step.counter), "one step of a counter at a time");
        }
        self.0.most_under_way.fetch_max(self.0.under_way.lock().unwrap().len(), Ordering::Relaxed);
        self.0.permits.acquire().await.unwrap().forget();
        sleep((self.0.delay)(steps[0].counter)).await;
        for step in steps {
            self.0.under_way.lock().unwrap().remove(&step.counter);
        }
        match steps.iter().find_map(|step| step.fault) {
            Some(Fault::Values) => return Err(Failure::Values("refused".to_owned())),
            Some(Fault::Store) => return Err(Failure::Store("gone".to_owned())),
            Some(Fault::OutOfReach) => return Err(Failure::OutOfReach("gone".to_owned())),
            Some(Fault::Panic) => panic!("on purpose"),
            None => {}
        }
        let mut counters = self.0.counters.lock().unwrap();
        let mut advance = |step: &Step| {
            let counter = counters.entry(step.counter).or_default();
            let is_same = *counter == step.from;
            *counter += u64::from(is_same);
            is_same
        };
        Ok(steps.iter().map(&mut advance).collect())
    }
}

type Answers = Vec<oneshot::Receiver<Result<bool, StoreError>>>;

/// Asks for all steps before any of them is done.
fn ask(batcher: &Batcher<Memory>, steps: impl IntoIterator<Item = Step>) -> Answers {
    steps.into_iter().map(|step| batcher.0.push(step).unwrap()).collect()
}

async fn all(answers: Answers) -> Vec<Option<bool>> {
    let mut all = Vec::new();
    for answer in answers {
        all.push(answer.await.ok().and_then(Result::ok));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn what_comes_alone_goes_at_once() {
    let (memory, batcher) = Memory::free();
    let begun = Instant::now();
    for from in 0..100 {
        assert!(batcher.run(step(1, from)).await.unwrap());
    }
    assert_eq!((memory.batches(), begun.elapsed()), (vec![1; 100], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_waits_together_goes_together() {
    let (memory, batcher) = Memory::free();
    let answers = ask(&batcher, (0..200).map(|counter| step(counter, 0)));
    assert_eq!(all(answers).await, vec![Some(true); 200]);
    assert_eq!(memory.batches(), [200]);
    let many = (0..4).flat_map(|_| (0..200).map(|counter| step(counter, 1)));
    let won = all(ask(&batcher, many)).await.into_iter().filter(|won| *won == Some(true)).count();
    assert_eq!(won, 200, "one step of each counter");
    assert!(memory.batches().iter().all(|size| *size <= BATCH), "{:?}", memory.batches());
}

#[tokio::test(start_paused = true)]
async fn a_refused_value_makes_no_other_fail() {
    let (_, batcher) = Memory::free();
    let refused = Step { fault: Some(Fault::Values), ..step(2, 0) };
    assert_eq!(all(ask(&batcher, [step(1, 0), refused, step(3, 0)])).await, [Some(true), None, Some(true)]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_or_panic_ends_with_its_batch() {
    let (memory, batcher) = Memory::free();
    for fault in [Fault::Store, Fault::OutOfReach, Fault::Panic] {
        let begun = memory.batches().len();
        let failing = Step { fault: Some(fault), ..step(2, 0) };
        assert_eq!(all(ask(&batcher, [step(1, 0), failing, step(3, 0)])).await, [None; 3], "{fault:?}");
        assert_eq!(memory.batches().len(), begun + 1, "the others would fail in the same way");
        assert!(!batcher.run(step(1, 9)).await.unwrap(), "after {fault:?}");
    }
    assert_eq!(all(ask(&batcher, [step(1, 0), step(2, 0), step(3, 0)])).await, [Some(true); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_its_class() {
    let (_, batcher) = Memory::free();
    for (fault, is_outage) in [(Fault::Values, false), (Fault::Store, false), (Fault::OutOfReach, true)] {
        let failing = Step { fault: Some(fault), ..step(2, 0) };
        for answer in ask(&batcher, [step(1, 0), failing]).into_iter().skip(1) {
            assert_eq!(answer.await.unwrap().unwrap_err().is_outage(), is_outage, "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_outage() {
    let (_, batcher) = Memory::new(0, |_| Duration::ZERO);
    assert!(batcher.run(step(1, 0)).await.unwrap_err().is_outage());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let (memory, batcher) = Memory::new(0, |_| Duration::ZERO);
    let waiting: Answers = ask(&batcher, (0..LIMIT).map(|_| step(1, 0)));
    assert!(matches!(batcher.run(step(2, 0)).await, Err(StoreError::Unavailable { .. })));
    memory.0.permits.add_permits(LIMIT + 1);
    assert_eq!(all(waiting).await.iter().filter(|won| **won == Some(true)).count(), 1);
    assert!(batcher.run(step(2, 0)).await.unwrap(), "the queue has room again");
}

#[tokio::test(start_paused = true)]
async fn another_batch_goes_beside_one_that_takes_long() {
    // The row of counter 1 is locked for a minute.
    let (memory, batcher) = Memory::new(Semaphore::MAX_PERMITS, |first| Duration::from_mins((first == 1).into()));
    let begun = Instant::now();
    let locked = ask(&batcher, [step(1, 0)]);
    tokio::task::yield_now().await;
    let again = ask(&batcher, [step(1, 1)]);
    for from in 0..10 {
        assert!(batcher.run(step(2, from)).await.unwrap());
    }
    assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
    assert_eq!((all(locked).await, all(again).await), (vec![Some(true)], vec![Some(true)]));
    assert_eq!(memory.0.most_under_way.load(Ordering::Relaxed), 2);
    assert!(batcher.0.queue().is_idle());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_done_before_the_end() {
    let (memory, batcher) = Memory::new(0, |_| Duration::from_millis(20));
    drop(ask(&batcher, [step(1, 0), step(2, 0)]));
    memory.0.permits.add_permits(2);
    drop(batcher);
    let done = memory.0.counters.lock().unwrap().clone();
    assert_eq!(done, HashMap::from([(1, 1), (2, 1)]), "nobody waits for them");
}

#[test]
fn the_end_of_the_runtime_is_no_wait() {
    let (_, batcher) = Memory::new(0, |_| Duration::ZERO);
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async { ask(&batcher, [step(1, 0)]) });
    drop(runtime);
    drop(batcher);
    for mut answer in answers {
        assert!(answer.try_recv().is_err());
    }
}

proptest! {
    /// Whatever comes together, and however long batches take: each counter's steps are done one after the other, in
    /// the order in which they came.
    #[test]
    fn steps_of_a_counter_are_done_in_their_order(
        steps in proptest::collection::vec((0..6_u8, 0..5_u64, 0..12_u64), 1..120),
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (_, batcher) = Memory::new(Semaphore::MAX_PERMITS, |first| Duration::from_millis(3 * u64::from(first)));
            let (mut model, mut answers, mut expected) = (HashMap::<u8, u64>::new(), Vec::new(), Vec::new());
            for (counter, from, pause) in steps {
                let now = model.entry(counter).or_default();
                let advances = *now == from;
                *now += u64::from(advances);
                expected.push(Some(advances));
                answers.extend(ask(&batcher, [step(counter, from)]));
                // Many come at the same time.
                sleep(Duration::from_millis(pause.saturating_sub(6))).await;
            }
            assert_eq!(all(answers).await, expected);
            // A driver may still let more gather.
            sleep(Duration::from_secs(1)).await;
            assert!(batcher.0.queue().is_idle());
        });
    }
}

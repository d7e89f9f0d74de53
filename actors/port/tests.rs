use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::super::system::{Place, Places, Threads};
use super::super::timer::Rang;
use super::*;
use crate::engine::block_on;
use crate::error::OutcomeUnknown;
use crate::limits::{ASK_DEADLINE, MAILBOX_MAX};

/// An actor that counts, and waits where it is told to.
struct Counter {
    executed: Arc<AtomicU64>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

/// Counts and answers the count.
struct Count;

impl Message for Count {
    type Result = Result<u64, Error>;
}

impl Handler<Delivery<Count>> for Counter {
    type Result = Result<u64, Error>;

    fn handle(&mut self, delivery: Delivery<Count>, _: &mut Context<Self>) -> Self::Result {
        let (Count, _begun) = delivery.begin()?;
        Ok(self.executed.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// Blocks the actor's thread, as no actor should, until released.
struct Block {
    entered: mpsc::Sender<()>,
    release: mpsc::Receiver<()>,
}

impl Message for Block {
    type Result = Result<(), Error>;
}

impl Handler<Delivery<Block>> for Counter {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<Block>, _: &mut Context<Self>) -> Self::Result {
        let (block, _begun) = delivery.begin()?;
        block.entered.send(()).expect("the test listens");
        block.release.recv().expect("the test releases");
        Ok(())
    }
}

/// Answers when the test does, from a future that holds the message's place.
struct Later(oneshot::Receiver<u64>);

impl Message for Later {
    type Result = Result<u64, Error>;
}

impl Handler<Delivery<Later>> for Counter {
    type Result = actix::ResponseActFuture<Self, Result<u64, Error>>;

    fn handle(&mut self, delivery: Delivery<Later>, _: &mut Context<Self>) -> Self::Result {
        let begun = delivery.begin();
        let answer = async move {
            let (Later(told), _begun) = begun?;
            told.await.map_err(|_| Error::Unreachable("the test went away"))
        };
        Box::pin(actix::fut::wrap_future(answer))
    }
}

/// The answers to all `asks`, in their order.
fn answers<F: Future>(asks: Vec<F>) -> Vec<F::Output> {
    asks.into_iter().map(block_on).collect()
}

/// A counter on the backend thread of an engine of its own.
struct Bench {
    port: Port<Counter>,
    executed: Arc<AtomicU64>,
    threads: Threads,
}

impl Bench {
    fn new() -> Self {
        let threads = Threads::start().unwrap();
        let port = Port::new("counter", threads.places().timer().clone());
        let executed = Arc::new(AtomicU64::new(0));
        raise(threads.places(), &port, &executed);
        Self { port, executed, threads }
    }

    /// Blocks the actor; what is asked from then on stays queued until the answer is sent to.
    fn block(&self) -> (mpsc::Sender<()>, impl Future<Output = Result<(), Error>> + use<>) {
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let message = Block { entered, release: released };
        let blocked = self.port.ask(message, ASK_DEADLINE);
        has_entered.recv().unwrap();
        (release, blocked)
    }

    fn executed(&self) -> u64 {
        self.executed.load(Ordering::SeqCst)
    }

    /// The last place is given back a moment after its answer.
    fn wait_until_empty(&self) {
        while self.port.counters().under_way > 0 {
            thread::yield_now();
        }
    }
}

fn raise(places: &Places, port: &Port<Counter>, executed: &Arc<AtomicU64>) {
    let (port, executed) = (port.clone(), Arc::clone(executed));
    places
        .run_on_blocking(Place::Backend, move || port.raise(Counter { executed }))
        .unwrap()
        .unwrap();
}

fn refused<T>(answer: Result<T, Error>) -> Refused {
    match answer {
        Err(Error::Refused(why)) => why,
        Err(other) => panic!("not a refusal: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

fn is_unknown<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::OutcomeUnknown(OutcomeUnknown { .. })))
}

/// Every message received became exactly one thing (invariant 2).
fn assert_balanced(counters: Messages) {
    assert_eq!(counters.under_way, 0);
    let ends = counters.refused_full
        + counters.refused_down
        + counters.refused_late
        + counters.refused_closed
        + counters.cancelled
        + counters.begun;
    assert_eq!(counters.received, ends, "{counters:?}");
}

#[test]
fn ten_thousand_asks_of_a_blocked_actor_from_many_threads_admit_exactly_the_limit() {
    let bench = Bench::new();
    let (release, blocked) = bench.block();
    let asks: Vec<_> = thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|_| {
                // A clone of the port for each thread and each ask: clones have no slot of their own.
                let port = bench.port.clone();
                let ask = move || port.clone().ask(Count, ASK_DEADLINE);
                scope.spawn(move || (0..1250).map(|_| ask()).collect::<Vec<_>>())
            })
            .collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    // The blocking message has one of the places.
    assert_eq!(bench.port.counters().under_way, MAILBOX_MAX);
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    let (given, refusals): (Vec<_>, Vec<_>) = answers(asks).into_iter().partition(Result::is_ok);
    assert_eq!(given.len(), MAILBOX_MAX - 1);
    assert_eq!(refusals.len(), 10_000 - (MAILBOX_MAX - 1));
    for refusal in refusals {
        let Refused::Full { limit, retry_after } = refused(refusal) else {
            panic!("refused for another reason");
        };
        assert_eq!(limit, "MAILBOX_MAX");
        assert!(retry_after > Duration::ZERO);
    }
    assert_eq!(bench.executed(), MAILBOX_MAX as u64 - 1);
    assert_balanced(bench.port.counters());
    // All places are back: as many are admitted again.
    let (release, blocked) = bench.block();
    let again: Vec<_> = (1..MAILBOX_MAX).map(|_| bench.port.ask(Count, ASK_DEADLINE)).collect();
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    assert!(answers(again).iter().all(Result::is_ok));
}

#[test]
fn a_flood_of_tells_is_bounded_like_asks() {
    let bench = Bench::new();
    let (release, blocked) = bench.block();
    let told = (0..10_000).filter(|_| bench.port.tell(Count).is_ok()).count();
    assert_eq!(told, MAILBOX_MAX - 1);
    assert!(matches!(bench.port.tell(Count), Err(Refused::Full { .. })));
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    bench.wait_until_empty();
    assert_eq!(bench.executed(), MAILBOX_MAX as u64 - 1);
    assert_balanced(bench.port.counters());
}

#[test]
fn a_mailbox_with_a_capacity_of_its_own_loses_and_refuses_nothing() {
    let bench = Bench::new();
    let (port, executed) = (bench.port.clone(), Arc::clone(&bench.executed));
    bench
        .threads
        .places()
        // `start` leaves actix's default capacity of 16.
        .run_on_blocking(Place::Backend, move || port.install(Counter { executed }.start()))
        .unwrap()
        .unwrap();
    let (release, blocked) = bench.block();
    let asks: Vec<_> = (0..500).map(|_| bench.port.ask(Count, ASK_DEADLINE)).collect();
    for _ in 0..500 {
        bench.port.tell(Count).unwrap();
    }
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    assert!(answers(asks).iter().all(Result::is_ok));
    bench.wait_until_empty();
    assert_eq!(bench.executed(), 1000);
}

#[test]
fn a_deadline_that_passes_while_queued_is_late_and_the_message_is_never_executed() {
    let bench = Bench::new();
    let (release, blocked) = bench.block();
    let answer = block_on(bench.port.ask(Count, Duration::from_millis(20)));
    assert_eq!(refused(answer), Refused::Late);
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    bench.wait_until_empty();
    assert_eq!(bench.executed(), 0);
    assert_eq!(bench.port.counters().refused_late, 1);
    assert_balanced(bench.port.counters());
}

#[test]
fn a_deadline_that_passes_while_the_actors_thread_is_stuck_in_it_leaves_the_outcome_unknown() {
    let bench = Bench::new();
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let message = Block { entered, release: released };
    // Long enough for the message to begin, on any machine.
    let stuck = bench.port.ask(message, Duration::from_secs(1));
    has_entered.recv().unwrap();
    assert!(is_unknown(&block_on(stuck)));
    release.send(()).unwrap();
    bench.wait_until_empty();
    assert_eq!(bench.port.counters().outcome_unknown, 1);
    assert_balanced(bench.port.counters());
}

#[test]
fn a_queued_ask_whose_future_is_dropped_is_skipped_and_counted() {
    let bench = Bench::new();
    let (release, blocked) = bench.block();
    let kept = bench.port.ask(Count, ASK_DEADLINE);
    drop(bench.port.ask(Count, ASK_DEADLINE));
    let mut polled = Box::pin(bench.port.ask(Count, ASK_DEADLINE));
    assert!(polled.as_mut().now_or_never().is_none());
    drop(polled);
    assert_eq!(bench.port.counters().cancelled, 2);
    // Taken back, they still have their places: what is queued is bounded, heard or not.
    assert_eq!(bench.port.counters().under_way, 4);
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    assert_eq!(block_on(kept).unwrap(), 1);
    bench.wait_until_empty();
    assert_eq!(bench.executed(), 1);
    assert_balanced(bench.port.counters());
}

#[test]
fn asks_are_queued_when_called_whatever_the_order_of_their_polling() {
    let bench = Bench::new();
    let (release, blocked) = bench.block();
    let first = bench.port.ask(Count, ASK_DEADLINE);
    let second = bench.port.ask(Count, ASK_DEADLINE);
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    assert_eq!(block_on(second).unwrap(), 2);
    assert_eq!(block_on(first).unwrap(), 1);
}

#[test]
fn a_closed_port_refuses_what_comes_and_what_is_queued_and_lets_the_begun_finish() {
    let bench = Bench::new();
    let (release, blocked) = bench.block();
    let queued = bench.port.ask(Count, ASK_DEADLINE);
    bench.port.close(Refused::Draining);
    assert_eq!(refused(block_on(bench.port.ask(Count, ASK_DEADLINE))), Refused::Draining);
    assert_eq!(bench.port.tell(Count), Err(Refused::Draining));
    assert_eq!(bench.port.counters().under_way, 2);
    release.send(()).unwrap();
    block_on(blocked).unwrap();
    assert_eq!(refused(block_on(queued)), Refused::Draining);
    assert_eq!(bench.executed(), 0);
    assert_balanced(bench.port.counters());
}

#[test]
fn a_closed_port_takes_no_actor_until_it_is_reopened() {
    let bench = Bench::new();
    bench.port.close(Refused::Failed);
    bench.port.take_down(Duration::from_secs(1));
    let (port, executed) = (bench.port.clone(), Arc::clone(&bench.executed));
    let late = bench
        .threads
        .places()
        .run_on_blocking(Place::Backend, move || port.raise(Counter { executed }));
    assert_eq!(late.unwrap(), Err(Refused::Failed));
    assert_eq!(refused(block_on(bench.port.ask(Count, ASK_DEADLINE))), Refused::Failed);
    bench.port.reopen();
    let down = refused(block_on(bench.port.ask(Count, ASK_DEADLINE)));
    assert!(matches!(down, Refused::Down { actor: "counter", .. }));
    raise(bench.threads.places(), &bench.port, &bench.executed);
    assert_eq!(block_on(bench.port.ask(Count, ASK_DEADLINE)).unwrap(), 1);
}

#[test]
fn the_end_of_the_threads_ends_every_ask() {
    let bench = Bench::new();
    let (answer, told) = oneshot::channel();
    let begun = bench.port.ask(Later(told), ASK_DEADLINE);
    // Answered after the one before it has begun.
    block_on(bench.port.ask(Count, ASK_DEADLINE)).unwrap();
    let (release, blocked) = bench.block();
    let queued = bench.port.ask(Count, ASK_DEADLINE);
    let threads = bench.threads;
    let stopping = thread::spawn(move || threads.stop());
    release.send(()).unwrap();
    stopping.join().unwrap().unwrap();
    assert!(block_on(blocked).is_ok());
    assert!(is_unknown(&block_on(begun)));
    // It was handled before the thread looked for its stop, or dropped with the thread.
    match block_on(queued) {
        Ok(count) => assert_eq!(count, 2),
        Err(Error::Refused(why)) => assert_eq!(why, Refused::Stopped),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(refused(block_on(bench.port.ask(Count, ASK_DEADLINE))), Refused::Stopped);
    assert_balanced(bench.port.counters());
    drop(answer);
}

#[test]
fn an_answer_that_is_given_by_a_future_holds_its_place_until_then() {
    let bench = Bench::new();
    let (answer, told) = oneshot::channel();
    let later = bench.port.ask(Later(told), ASK_DEADLINE);
    block_on(bench.port.ask(Count, ASK_DEADLINE)).unwrap();
    assert_eq!(bench.port.counters().under_way, 1);
    answer.send(7).unwrap();
    assert_eq!(block_on(later).unwrap(), 7);
    assert_eq!(bench.port.counters().under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn deadlines_follow_the_paused_clock_when_all_is_on_one_thread() {
    let begin = Instant::now();
    LocalSet::new()
        .run_until(async {
            let places = Places::inline();
            let port = Port::new("counter", places.timer().clone());
            let executed = Arc::default();
            port.raise(Counter { executed }).unwrap();
            let (_answer, told) = oneshot::channel();
            let answer = port.ask(Later(told), Duration::from_secs(3600)).await;
            assert!(is_unknown(&answer));
            assert_eq!(port.ask(Count, ASK_DEADLINE).await.unwrap(), 1);
        })
        .await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(3600) && took < Duration::from_secs(3601));
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_queue_and_in_the_handler_are_measured_apart() {
    LocalSet::new()
        .run_until(async {
            let places = Places::inline();
            let port = Port::new("counter", places.timer().clone());
            let executed = Arc::default();
            port.raise(Counter { executed }).unwrap();
            let (answer, told) = oneshot::channel();
            let asked = port.ask(Later(told), ASK_DEADLINE);
            // The actor has not had a turn yet.
            tokio::time::advance(Duration::from_secs(2)).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            answer.send(1).unwrap();
            asked.await.unwrap();
            let counters = port.counters();
            assert_eq!(counters.wait.longest, counters.wait.total);
            let both = counters.wait.total + counters.handling.total;
            assert!(both >= Duration::from_secs(5) && both < Duration::from_millis(5010));
            assert!(counters.handling.longest >= Duration::from_secs(3));
        })
        .await;
}

/// actix skips a message whose asker has gone, but looks before the handler runs: an asker that
/// leaves between the two must win or lose by the exchange alone.
#[test]
fn a_message_whose_asker_has_left_does_not_begin_whatever_actix_has_seen() {
    let bench = Bench::new();
    let far = bench.port.0.desk.timer().after(ASK_DEADLINE);

    let Admitted { pass, .. } = bench.port.admit(Some(far)).unwrap();
    drop(pass.asker());
    assert!(Delivery::new(Count, pass).begin().is_err());

    let Admitted { pass, .. } = bench.port.admit(Some(far)).unwrap();
    let asker = pass.asker();
    assert!(matches!(asker.leave(Rang::Due), Error::Refused(Refused::Late)));
    assert!(Delivery::new(Count, pass).begin().is_err());

    let Admitted { pass, .. } = bench.port.admit(Some(far)).unwrap();
    let asker = pass.asker();
    let begun = Delivery::new(Count, pass).begin().unwrap();
    assert!(matches!(asker.leave(Rang::Due), Error::OutcomeUnknown(_)));
    drop(begun);

    let counters = bench.port.counters();
    assert_eq!((counters.cancelled, counters.refused_late, counters.begun), (1, 1, 1));
    assert_balanced(counters);
}

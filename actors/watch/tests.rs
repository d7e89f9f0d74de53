use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use actix::{Handler, Message};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::super::port::Delivery;
use super::super::system::Threads;
use super::*;
use crate::error::KeyError;
use crate::limits::ASK_DEADLINE;

/// An actor that panics when asked to, and says which build of it answers.
struct Fragile(Obituary);

impl Actor for Fragile {
    type Context = Context<Self>;
}

struct Which;

impl Message for Which {
    type Result = Result<u64, Error>;
}

impl Handler<Delivery<Which>> for Fragile {
    type Result = Result<u64, Error>;

    fn handle(&mut self, delivery: Delivery<Which>, _: &mut Context<Self>) -> Self::Result {
        let (Which, _begun) = delivery.begin()?;
        Ok(self.0.generation())
    }
}

struct Panic;

impl Message for Panic {
    type Result = Result<(), Error>;
}

impl Handler<Delivery<Panic>> for Fragile {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<Panic>, _: &mut Context<Self>) -> Self::Result {
        let (Panic, _begun) = delivery.begin()?;
        panic!("on purpose")
    }
}

/// What happened, as the closures saw it.
#[derive(Default)]
struct Log {
    builds: AtomicUsize,
    failed: AtomicUsize,
    rung: Notify,
}

async fn keep(watch: &Watch, port: &Port<Fragile>, log: &Arc<Log>) -> Result<(), Error> {
    let (builds, failed) = (Arc::clone(log), Arc::clone(log));
    let build = move |obituary| {
        builds.builds.fetch_add(1, Ordering::SeqCst);
        Ok(Fragile(obituary))
    };
    let give_up = move |actor| {
        assert_eq!(actor, "fragile");
        failed.failed.fetch_add(1, Ordering::SeqCst);
        failed.rung.notify_one();
    };
    watch.keep(port.clone(), Place::Backend, build, give_up).await
}

/// Runs `test` with a watcher and a port on one thread in virtual time.
async fn inline<F: Future<Output = ()>>(test: impl FnOnce(Watch, Port<Fragile>) -> F) {
    LocalSet::new()
        .run_until(async {
            let places = Places::inline();
            let port = Port::new("fragile", places.timer().clone());
            let watch = Watch::start(places).await.unwrap();
            test(watch, port).await;
        })
        .await;
}

fn is_down<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Refused(Refused::Down { actor: "fragile", .. })))
}

/// Asks until the port is up again or closed; waits as long as each refusal says.
async fn which(port: &Port<Fragile>) -> Result<u64, Error> {
    loop {
        match port.ask(Which, ASK_DEADLINE).await {
            Err(Error::Refused(Refused::Down { retry_after, .. })) => {
                tokio::time::sleep(retry_after).await;
            }
            answer => return answer,
        }
    }
}

#[test]
fn the_policy_backs_off_exponentially_and_gives_up_at_one_more_than_the_limit() {
    let mut policy = RebuildPolicy::default();
    let now = Instant::now();
    for doubled in 0..REBUILDS_MAX {
        let after = REBUILD_BACKOFF_MIN * 2_u32.pow(doubled);
        assert_eq!(policy.died(now), Verdict::Rebuild { after });
    }
    assert_eq!(policy.died(now), Verdict::GiveUp);
}

#[test]
fn the_policy_forgets_a_death_when_its_window_has_passed_and_not_before() {
    let mut policy = RebuildPolicy::default();
    let now = Instant::now();
    for _ in 0..REBUILDS_MAX {
        policy.died(now);
    }
    let just_inside = now + REBUILD_WINDOW - Duration::from_nanos(1);
    assert_eq!(policy.died(just_inside), Verdict::GiveUp);
    let first = Verdict::Rebuild { after: REBUILD_BACKOFF_MIN };
    assert_eq!(policy.died(now + REBUILD_WINDOW), first);
}

#[test]
fn the_policy_never_waits_longer_than_its_most() {
    let mut policy = RebuildPolicy::default();
    let now = Instant::now();
    for _ in 0..REBUILDS_MAX {
        let Verdict::Rebuild { after } = policy.died(now) else {
            panic!("gave up too early");
        };
        assert!(after <= REBUILD_BACKOFF_MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_the_outcome_unknown_the_queue_refused_and_the_actor_rebuilt() {
    inline(|watch, port| async move {
        let log = Arc::default();
        keep(&watch, &port, &log).await.unwrap();
        assert_eq!(port.ask(Which, ASK_DEADLINE).await.unwrap(), 1);
        let begin = Instant::now();
        let fatal = port.ask(Panic, ASK_DEADLINE);
        let queued = port.ask(Which, ASK_DEADLINE);
        assert!(matches!(fatal.await, Err(Error::OutcomeUnknown(_))));
        assert!(is_down(&queued.await));
        // The same port, another value behind it, once the back-off is over.
        assert_eq!(which(&port).await.unwrap(), 2);
        assert!(begin.elapsed() >= REBUILD_BACKOFF_MIN);
        let counters = port.counters();
        assert_eq!((counters.panics, counters.restarts), (1, 1));
        assert_eq!(counters.under_way, 0);
        assert_eq!(log.builds.load(Ordering::SeqCst), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_fourth_panic_in_the_window_closes_the_port_as_failed_and_says_so_once() {
    inline(|watch, port| async move {
        let log: Arc<Log> = Arc::default();
        keep(&watch, &port, &log).await.unwrap();
        for generation in 1..=u64::from(REBUILDS_MAX) + 1 {
            assert_eq!(which(&port).await.unwrap(), generation);
            assert_eq!(log.failed.load(Ordering::SeqCst), 0);
            let fatal = port.ask(Panic, ASK_DEADLINE).await;
            assert!(matches!(fatal, Err(Error::OutcomeUnknown(_))));
        }
        log.rung.notified().await;
        tokio::time::sleep(2 * REBUILD_WINDOW).await;
        let answer = port.ask(Which, ASK_DEADLINE).await;
        assert!(matches!(answer, Err(Error::Refused(Refused::Failed))));
        assert_eq!(log.failed.load(Ordering::SeqCst), 1);
        assert_eq!(log.builds.load(Ordering::SeqCst), REBUILDS_MAX as usize + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn panics_that_are_further_apart_than_the_window_never_fail_the_engine() {
    inline(|watch, port| async move {
        let log = Arc::default();
        keep(&watch, &port, &log).await.unwrap();
        for generation in 1..=10 {
            assert_eq!(which(&port).await.unwrap(), generation);
            let fatal = port.ask(Panic, ASK_DEADLINE).await;
            assert!(matches!(fatal, Err(Error::OutcomeUnknown(_))));
            tokio::time::sleep(REBUILD_WINDOW).await;
        }
        assert_eq!(log.failed.load(Ordering::SeqCst), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_was_closed_ends_and_is_not_rebuilt() {
    inline(|watch, port| async move {
        let log = Arc::default();
        keep(&watch, &port, &log).await.unwrap();
        port.close(Refused::Stopped);
        tokio::time::sleep(2 * REBUILD_WINDOW).await;
        assert_eq!(log.builds.load(Ordering::SeqCst), 1);
        assert_eq!(log.failed.load(Ordering::SeqCst), 0);
        assert_eq!(port.counters().panics, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_port_closed_during_the_back_off_stays_closed() {
    inline(|watch, port| async move {
        let log = Arc::default();
        keep(&watch, &port, &log).await.unwrap();
        let _ = port.ask(Panic, ASK_DEADLINE).await;
        // The watcher has heard, and waits.
        tokio::time::sleep(REBUILD_BACKOFF_MIN / 2).await;
        port.close(Refused::Stopped);
        tokio::time::sleep(2 * REBUILD_WINDOW).await;
        assert_eq!(log.builds.load(Ordering::SeqCst), 1);
        let answer = port.ask(Which, ASK_DEADLINE).await;
        assert!(matches!(answer, Err(Error::Refused(Refused::Stopped))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_first_build_is_answered_and_not_retried() {
    inline(|watch, port| async move {
        let builds = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&builds);
        let build = move |_obituary| {
            count.fetch_add(1, Ordering::SeqCst);
            Err(KeyError::NotFound.into())
        };
        let failed = |_| panic!("the owner was told already");
        let answer = watch.keep(port, Place::Backend, build, failed).await;
        assert!(matches!(answer, Err(Error::Key(KeyError::NotFound))));
        tokio::time::sleep(REBUILD_WINDOW).await;
        assert_eq!(builds.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_that_cannot_read_its_state_is_tried_again_and_then_fails_the_engine() {
    inline(|watch, port| async move {
        let builds = Arc::new(AtomicUsize::new(0));
        let given_up = Arc::new(Mutex::new(Vec::new()));
        let (count, told) = (Arc::clone(&builds), Arc::clone(&given_up));
        let build = move |obituary| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(Fragile(obituary)),
            _ => Err(KeyError::NotFound.into()),
        };
        let failed = move |actor| told.lock().unwrap().push(actor);
        watch.keep(port.clone(), Place::Backend, build, failed).await.unwrap();
        let _ = port.ask(Panic, ASK_DEADLINE).await;
        tokio::time::sleep(REBUILD_WINDOW).await;
        assert_eq!(builds.load(Ordering::SeqCst), REBUILDS_MAX as usize + 1);
        assert_eq!(*given_up.lock().unwrap(), ["fragile"]);
        let counters = port.counters();
        assert_eq!((counters.panics, counters.restarts), (1, 3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_actors_of_one_name_are_rebuilt_apart() {
    inline(|watch, one| async move {
        // A candidate beside the running generation has the same name.
        let other = Port::new("fragile", watch.places.timer().clone());
        let log = Arc::default();
        keep(&watch, &one, &log).await.unwrap();
        keep(&watch, &other, &log).await.unwrap();
        let _ = one.ask(Panic, ASK_DEADLINE).await;
        assert_eq!(which(&one).await.unwrap(), 2);
        assert_eq!(which(&other).await.unwrap(), 1);
        assert_eq!(other.counters().restarts, 0);
    })
    .await;
}

#[tokio::test]
async fn an_actor_that_panics_on_its_own_thread_is_rebuilt_there() {
    let threads = Threads::start().unwrap();
    let port = Port::new("fragile", threads.places().timer().clone());
    let watch = Watch::start(threads.places().clone()).await.unwrap();
    let log = Arc::default();
    keep(&watch, &port, &log).await.unwrap();
    let fatal = port.ask(Panic, ASK_DEADLINE).await;
    assert!(matches!(fatal, Err(Error::OutcomeUnknown(_))));
    assert_eq!(which(&port).await.unwrap(), 2);
    // Every actor is dropped with its thread, and none of that counts as a panic.
    drop(threads);
    assert_eq!(port.counters().panics, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_watcher_closes_every_port() {
    inline(|watch, fatal| async move {
        let kept = Port::new("fragile", watch.places.timer().clone());
        keep(&watch, &kept, &Arc::default()).await.unwrap();
        // Its owner panics when told, on the watcher's turn.
        let failed = |_| panic!("on purpose");
        let build = |obituary| Ok(Fragile(obituary));
        let first = watch.keep(fatal.clone(), Place::Backend, build, failed);
        first.await.unwrap();
        for _ in 0..=REBUILDS_MAX {
            which(&fatal).await.unwrap();
            let _ = fatal.ask(Panic, ASK_DEADLINE).await;
        }
        tokio::time::sleep(REBUILD_WINDOW).await;
        let answer = kept.ask(Which, ASK_DEADLINE).await;
        assert!(matches!(answer, Err(Error::Refused(Refused::Failed))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_down_says_how_long_the_back_off_is() {
    inline(|watch, port| async move {
        keep(&watch, &port, &Arc::default()).await.unwrap();
        for doubled in 0..REBUILDS_MAX {
            which(&port).await.unwrap();
            let _ = port.ask(Panic, ASK_DEADLINE).await;
            // The watcher has heard.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let expected = REBUILD_BACKOFF_MIN * 2_u32.pow(doubled);
            match port.ask(Which, ASK_DEADLINE).await {
                Err(Error::Refused(Refused::Down { retry_after, .. })) => {
                    assert_eq!(retry_after, expected);
                }
                other => panic!("not down: {other:?}"),
            }
        }
    })
    .await;
}

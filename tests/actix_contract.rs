//! What the engine relies on, or guards against, in actix 0.13.5 and is not promised by its
//! documentation. If an upgrade changes one of these, it fails here before it fails in the engine.
//!
//! All in virtual time on one thread: `idle` returns when nothing is left to run.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the reasons for disallowing them are shown"
)]

use core::pin::Pin;
use core::task::{Context as TaskContext, Poll};
use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::thread;

use actix::dev::SendError;
use actix::prelude::*;
use futures_util::FutureExt;
use tokio::task::LocalSet;

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Writes down what happens to it.
struct Recorder {
    log: Log,
    value: u32,
}

impl Recorder {
    fn new(log: &Log) -> Self {
        Self { log: Arc::clone(log), value: 0 }
    }

    fn write(&self, what: &'static str) {
        self.log.lock().expect("nobody panics with it").push(what);
    }

    /// Writes `calm` or `unwinding`, by the state of the thread.
    fn write_state(&self, calm: &'static str, unwinding: &'static str) {
        self.write(if thread::panicking() { unwinding } else { calm });
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.write("started");
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        self.write_state("stopping", "stopping while unwinding");
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.write_state("stopped", "stopped while unwinding");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.write_state("dropped", "dropped while unwinding");
    }
}

impl Supervised for Recorder {}

/// Writes a line.
struct Note(&'static str);

impl Message for Note {
    type Result = ();
}

impl Handler<Note> for Recorder {
    type Result = ();

    fn handle(&mut self, Note(what): Note, _: &mut Context<Self>) {
        self.write(what);
    }
}

/// Runs a closure as the handler.
struct Do(Box<dyn Work>);

trait Work: FnOnce(&mut Recorder, &mut Context<Recorder>) + Send {}

impl<W: FnOnce(&mut Recorder, &mut Context<Recorder>) + Send> Work for W {}

impl Do {
    fn new(work: impl FnOnce(&mut Recorder, &mut Context<Recorder>) + Send + 'static) -> Self {
        Self(Box::new(work))
    }
}

impl Message for Do {
    type Result = ();
}

impl Handler<Do> for Recorder {
    type Result = ();

    fn handle(&mut self, Do(work): Do, context: &mut Context<Self>) {
        work(self, context);
    }
}

/// Writes "slow begun", and "slow done" a second later.
struct Slow;

impl Message for Slow {
    type Result = ();
}

impl Handler<Slow> for Recorder {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Slow, _: &mut Context<Self>) -> Self::Result {
        self.write("slow begun");
        let second = tokio::time::sleep(Duration::from_secs(1));
        Box::pin(second.into_actor(self).map(|(), recorder, _| recorder.write("slow done")))
    }
}

/// Writes a line when it runs.
fn writes(what: &'static str) -> impl ActorFuture<Recorder, Output = ()> {
    actix::fut::wrap_future(async {})
        .map(move |(), recorder: &mut Recorder, _| recorder.write(what))
}

/// Never ends, and writes a line whenever it is polled.
struct Restless(&'static str);

impl ActorFuture<Recorder> for Restless {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        recorder: &mut Recorder,
        _: &mut Context<Recorder>,
        _: &mut TaskContext<'_>,
    ) -> Poll<()> {
        recorder.write(self.0);
        Poll::Pending
    }
}

/// The paused clock moves only when nothing is left to run.
async fn idle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn local<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(test).await
}

/// What has been written since this was last called.
fn written(log: &Log) -> Vec<&'static str> {
    core::mem::take(&mut *log.lock().expect("nobody panics with it"))
}

fn begin() -> (Log, Addr<Recorder>) {
    let log = Log::default();
    let address = Recorder::new(&log).start();
    (log, address)
}

// Delivery

#[tokio::test(start_paused = true)]
async fn each_clone_of_an_address_passes_the_capacity_by() {
    local(async {
        let (log, address) = begin();
        let sent = (0..100).take_while(|_| address.try_send(Note("shared")).is_ok());
        assert_eq!(sent.count(), 16);
        for _ in 0..1000 {
            assert!(address.clone().try_send(Note("clone")).is_ok());
        }
        assert!(matches!(address.try_send(Note("shared")), Err(SendError::Full(_))));
        idle().await;
        assert_eq!(written(&log).len(), 1 + 16 + 1000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_send_to_a_full_mailbox_is_queued_by_its_first_poll_and_may_be_overtaken() {
    local(async {
        let (log, address) = begin();
        while address.try_send(Note("filler")).is_ok() {}
        let mut first = Box::pin(address.send(Note("first")));
        drop(written(&log));
        address.clone().do_send(Note("second"));
        assert!(first.as_mut().now_or_never().is_none());
        idle().await;
        let notes = written(&log);
        assert_eq!(notes[notes.len() - 2..], ["second", "first"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_send_to_a_mailbox_with_room_is_queued_when_called() {
    local(async {
        let (log, address) = begin();
        let first = address.send(Note("first"));
        let second = address.send(Note("second"));
        second.await.unwrap();
        first.await.unwrap();
        assert_eq!(written(&log), ["started", "first", "second"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_capacity_of_zero_is_none_and_never_parks_an_address() {
    local(async {
        let log = Log::default();
        let address = Recorder::create(|context| {
            context.set_mailbox_capacity(0);
            Recorder::new(&log)
        });
        for _ in 0..10_000 {
            assert!(address.try_send(Note("note")).is_ok());
        }
        idle().await;
        assert_eq!(written(&log).len(), 1 + 10_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_do_send_to_a_dead_actor_is_silent_and_a_try_send_gives_the_message_back() {
    local(async {
        let (log, address) = begin();
        address.send(Do::new(|_, context| context.stop())).await.unwrap();
        idle().await;
        drop(written(&log));
        address.do_send(Note("unheard"));
        idle().await;
        assert!(written(&log).is_empty());
        let Err(SendError::Closed(Note(back))) = address.try_send(Note("back")) else {
            panic!("not closed");
        };
        assert_eq!(back, "back");
        assert_eq!(address.send(Note("asked")).await, Err(MailboxError::Closed));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_while_queued_is_skipped() {
    local(async {
        let (log, address) = begin();
        drop(address.send(Note("taken back")));
        idle().await;
        assert_eq!(written(&log), ["started"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_after_it_began_completes_unheard() {
    local(async {
        let (log, address) = begin();
        let request = address.send(Slow);
        idle().await;
        drop(request);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(written(&log), ["started", "slow begun", "slow done"]);
    })
    .await;
}

// Scheduling

#[tokio::test(start_paused = true)]
async fn two_exclusive_futures_of_one_handler_run_newest_first() {
    local(async {
        let (log, address) = begin();
        let waits = Do::new(|_, context| {
            context.wait(writes("older"));
            context.wait(writes("newer"));
        });
        address.send(waits).await.unwrap();
        idle().await;
        assert_eq!(written(&log), ["started", "newer", "older"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn three_notifications_of_one_handler_arrive_as_first_third_second() {
    local(async {
        let (log, address) = begin();
        let notifies = Do::new(|_, context| {
            context.notify(Note("1"));
            context.notify(Note("2"));
            context.notify(Note("3"));
        });
        address.send(notifies).await.unwrap();
        idle().await;
        assert_eq!(written(&log), ["started", "1", "3", "2"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_spawned_future_is_polled_between_a_handler_and_its_exclusive_future() {
    local(async {
        let (log, address) = begin();
        let spawns = Do::new(|_, context| {
            context.spawn(Restless("spawned"));
        });
        address.send(spawns).await.unwrap();
        idle().await;
        drop(written(&log));
        let waits = Do::new(|recorder, context| {
            recorder.write("handler");
            context.wait(writes("exclusive"));
        });
        address.send(waits).await.unwrap();
        idle().await;
        assert_eq!(written(&log)[..3], ["handler", "spawned", "exclusive"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_mailbox_is_emptied_before_any_spawned_future_has_a_turn() {
    local(async {
        let (log, address) = begin();
        address.do_send(Do::new(|_, context| {
            context.spawn(writes("spawned"));
        }));
        for _ in 0..5000 {
            address.do_send(Note("note"));
        }
        idle().await;
        let notes = written(&log);
        assert_eq!(notes.len(), 5002);
        assert_eq!(notes.last(), Some(&"spawned"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_interval_catches_up_in_a_burst_after_its_thread_was_busy() {
    local(async {
        let (log, address) = begin();
        let ticks = Do::new(|_, context| {
            context.run_interval(Duration::from_secs(1), |recorder, _| recorder.write("tick"));
        });
        address.send(ticks).await.unwrap();
        idle().await;
        drop(written(&log));
        // The clock moves and nobody has a turn, as in a call that blocks.
        tokio::time::advance(Duration::from_millis(5500)).await;
        idle().await;
        assert_eq!(written(&log), ["tick"; 5]);
    })
    .await;
}

// Life and death

#[tokio::test(start_paused = true)]
async fn a_panic_closes_the_address_and_drops_the_queue() {
    local(async {
        let (log, address) = begin();
        let fatal = address.send(Do::new(|_, _| panic!("on purpose")));
        let queued = address.send(Note("queued"));
        assert_eq!(fatal.await, Err(MailboxError::Closed));
        assert_eq!(queued.await, Err(MailboxError::Closed));
        assert!(!address.connected());
        assert!(!written(&log).contains(&"queued"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_the_hooks_and_the_drop_run_while_the_thread_unwinds() {
    local(async {
        let (log, address) = begin();
        let fatal = address.send(Do::new(|_, _| panic!("on purpose")));
        assert_eq!(fatal.await, Err(MailboxError::Closed));
        let after =
            ["stopping while unwinding", "stopped while unwinding", "dropped while unwinding"];
        assert_eq!(written(&log)[1..], after);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_answering_future_ends_the_actor_as_well() {
    local(async {
        let (log, address) = begin();
        let spawns = Do::new(|_, context| {
            context.spawn(writes("spawned").map(|(), _, _| panic!("on purpose")));
        });
        address.send(spawns).await.unwrap();
        idle().await;
        assert!(!address.connected());
        assert_eq!(written(&log).last(), Some(&"dropped while unwinding"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_does_not_survive_a_panic() {
    local(async {
        let log = Log::default();
        let recorder = Recorder::new(&log);
        let address = Supervisor::start(|_| recorder);
        let fatal = address.send(Do::new(|_, _| panic!("on purpose")));
        assert_eq!(fatal.await, Err(MailboxError::Closed));
        assert!(!address.connected());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_under_a_supervisor_keeps_the_queue_and_the_stale_value() {
    local(async {
        let log = Log::default();
        let recorder = Recorder::new(&log);
        let address = Supervisor::start(|_| recorder);
        address.do_send(Do::new(|recorder, context| {
            recorder.value = 7;
            context.stop();
        }));
        let queued = address.send(Do::new(|recorder, _| {
            recorder.write(if recorder.value == 7 { "stale" } else { "fresh" });
        }));
        queued.await.unwrap();
        assert_eq!(written(&log), ["started", "stopping", "stopped", "started", "stale"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_dropped_with_its_runtime_runs_its_hooks() {
    let set = LocalSet::new();
    let (log, address) = set.run_until(async { begin() }).await;
    set.run_until(idle()).await;
    drop(set);
    assert!(!address.connected());
    assert_eq!(written(&log), ["started", "stopping", "stopped", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_dropped_before_its_first_turn_is_started_then() {
    let set = LocalSet::new();
    let log = {
        let _entered = set.enter();
        let (log, address) = begin();
        drop(address);
        log
    };
    assert!(written(&log).is_empty());
    drop(set);
    assert_eq!(written(&log), ["started", "stopping", "stopped", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_whose_last_address_is_dropped_drains_its_queue_and_its_futures() {
    local(async {
        let (log, address) = begin();
        address.do_send(Slow);
        address.do_send(Note("note"));
        drop(address);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let ends = ["started", "slow begun", "note", "slow done", "stopping", "stopped", "dropped"];
        assert_eq!(written(&log), ends);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_discards_what_is_queued() {
    local(async {
        let (log, address) = begin();
        address.do_send(Do::new(|_, context| context.stop()));
        let queued = address.send(Note("queued"));
        assert_eq!(queued.await, Err(MailboxError::Closed));
        assert_eq!(written(&log), ["started", "stopping", "stopped", "dropped"]);
    })
    .await;
}

// Threads

#[test]
fn an_arbiter_that_is_gone_refuses_work_and_still_answers_an_address() {
    System::new().block_on(async {
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        arbiter.stop();
        arbiter.join().unwrap();
        assert!(!handle.spawn_fn(|| ()));
        let log = Log::default();
        let written_to = Arc::clone(&log);
        let address = Recorder::start_in_arbiter(&handle, move |_| Recorder::new(&written_to));
        assert!(!address.connected());
        assert!(written(&log).is_empty());
    });
}

#[test]
fn an_arbiter_names_its_thread_itself() {
    System::new().block_on(async {
        let arbiter = Arbiter::new();
        let (says, hears) = std::sync::mpsc::channel();
        arbiter.spawn_fn(move || {
            says.send(thread::current().name().map(str::to_owned)).unwrap();
        });
        let name = hears.recv().unwrap().unwrap();
        assert!(name.starts_with("actix-rt|system:"), "{name}");
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

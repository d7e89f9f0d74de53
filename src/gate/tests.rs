use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Wake;
use std::thread::{self, Thread};

use super::*;

#[test]
fn a_new_gate_refuses_both_classes_without_a_reason() {
    let gate = Gate::new();
    for class in [Class::Read, Class::Write] {
        assert!(!gate.is_open(class));
        assert_eq!(gate.pass(class, |_| ()), Err(Closed { why: 0 }));
    }
    assert_eq!(gate.inside(), 0, "the refused were counted out");
}

#[test]
fn the_number_of_stripes_is_a_power_of_two_between_8_and_64() {
    let stripes = Gate::new().stripes();
    assert!(stripes.is_power_of_two() && (8..=64).contains(&stripes));
    assert_eq!(size_of::<Stripe>(), 128);
}

#[test]
fn an_open_gate_runs_sections_and_gives_their_results() {
    let gate = open_gate();
    let inside = gate.pass(Class::Write, |permit| {
        assert!(permit.stripe() < gate.stripes());
        gate.pass(Class::Read, |_| gate.inside()).unwrap()
    });
    assert_eq!(inside, Ok(2));
    assert_eq!(gate.inside(), 0);
}

#[test]
fn a_shut_of_writes_leaves_reads_open_and_each_class_has_its_reason() {
    let gate = open_gate();
    gate.shut(Scope::Writes, 3);
    assert_eq!(gate.pass(Class::Write, |_| ()), Err(Closed { why: 3 }));
    assert_eq!(gate.pass(Class::Read, |_| ()), Ok(()));
    gate.shut(Scope::All, 5);
    gate.shut(Scope::Writes, 7);
    assert_eq!(gate.pass(Class::Write, |_| ()), Err(Closed { why: 7 }));
    assert_eq!(gate.pass(Class::Read, |_| ()), Err(Closed { why: 5 }));
}

#[test]
fn a_section_under_way_goes_on_when_the_gate_is_shut() {
    let gate = open_gate();
    let result = gate.pass(Class::Read, |_| {
        gate.shut(Scope::All, 1);
        gate.pass(Class::Read, |_| ())
    });
    assert_eq!(result, Ok(Err(Closed { why: 1 })));
}

#[test]
fn an_open_that_does_not_know_the_newest_shut_does_nothing() {
    let gate = open_gate();
    let stop = gate.shut(Scope::All, 1);
    let freeze = gate.shut(Scope::Writes, 2);
    assert!(freeze > stop);
    assert!(!gate.open(stop));
    assert!(!gate.is_open(Class::Read) && !gate.is_open(Class::Write));
    assert_eq!(gate.latest_shut(), freeze);
    assert!(gate.open(freeze));
    assert!(gate.is_open(Class::Read) && gate.is_open(Class::Write));
}

#[test]
fn who_opens_learns_nothing_of_others_by_its_own_shut_and_its_labels() {
    let gate = open_gate();
    let told = gate.shut(Scope::Writes, 1);
    gate.shut_by_opener(Scope::All, 2);
    assert_eq!(gate.latest_shut(), told);
    assert_eq!(gate.pass(Class::Read, |_| ()), Err(Closed { why: 2 }));
    gate.relabel(3);
    assert_eq!(gate.pass(Class::Read, |_| ()), Err(Closed { why: 3 }));
    assert!(gate.open(told));
    let untold = gate.shut(Scope::All, 4);
    gate.shut_by_opener(Scope::All, 5);
    gate.relabel(6);
    assert!(!gate.open(told));
    assert!(gate.open(untold));
}

#[test]
fn a_panic_in_a_section_gives_the_permit_back() {
    let gate = open_gate();
    let panicked =
        catch_unwind(AssertUnwindSafe(|| gate.pass(Class::Read, |_| panic!("as a section may"))));
    assert!(panicked.is_err());
    assert_eq!(gate.inside(), 0);
    block_on(gate.quiesce());
}

#[test]
fn a_quiesce_waits_for_older_permits_and_not_for_newer_ones() {
    let gate = open_gate();
    thread::scope(|scope| {
        let old = Held::enter(scope, &gate);
        let mut quiesce = pin!(gate.quiesce());
        let woken = Arc::new(Flag::default());
        assert!(poll(quiesce.as_mut(), &woken).is_pending());
        let new = Held::enter(scope, &gate);
        assert!(poll(quiesce.as_mut(), &woken).is_pending());
        old.leave();
        assert!(woken.0.load(Ordering::SeqCst), "the last old permit wakes");
        assert!(poll(quiesce.as_mut(), &woken).is_ready());
        assert_eq!(gate.inside(), 1, "the new one is still there");
        new.leave();
    });
    assert_eq!(gate.inside(), 0);
}

#[test]
fn one_flip_serves_all_who_asked_while_the_one_before_was_under_way() {
    let gate = open_gate();
    thread::scope(|scope| {
        let held = Held::enter(scope, &gate);
        let mut first = pin!(gate.quiesce());
        let woken = Arc::new(Flag::default());
        assert!(poll(first.as_mut(), &woken).is_pending());
        let mut later: Vec<_> = (0..10).map(|_| gate.quiesce()).collect();
        for quiesce in &mut later {
            assert!(poll(pin!(quiesce), &woken).is_pending());
        }
        held.leave();
        for quiesce in &mut later {
            assert!(poll(pin!(quiesce), &woken).is_ready());
        }
        assert!(poll(first, &woken).is_ready());
    });
    assert_eq!(lock(&gate.grace).flips(), 2);
}

#[test]
fn a_quiesce_dropped_half_way_leaves_nothing_behind() {
    let gate = open_gate();
    thread::scope(|scope| {
        let held = Held::enter(scope, &gate);
        for _ in 0..100 {
            let woken = Arc::new(Flag::default());
            assert!(poll(pin!(gate.quiesce()), &woken).is_pending());
            drop(gate.quiesce());
        }
        assert_eq!(gate.waiters.len(), 0);
        held.leave();
    });
    block_on(gate.quiesce());
    assert!(gate.is_open(Class::Read));
}

#[test]
fn counts_wrap_without_touching_the_flags() {
    let gate = Gate::with_stripes(1);
    let last = u64::MAX - (ONE - 1);
    gate.stripe(0).entered.fetch_or(last, Ordering::SeqCst);
    gate.stripe(0).left(0).store(last, Ordering::SeqCst);
    assert_eq!(gate.inside(), 0);
    assert!(!gate.is_open(Class::Read));
    assert!(gate.open(gate.latest_shut()));
    for _ in 0..3 {
        thread::scope(|scope| {
            let held = Held::enter(scope, &gate);
            assert_eq!(gate.inside(), 1);
            let mut quiesce = pin!(gate.quiesce());
            let woken = Arc::new(Flag::default());
            assert!(poll(quiesce.as_mut(), &woken).is_pending());
            held.leave();
            assert!(poll(quiesce, &woken).is_ready());
        });
    }
    assert_eq!(gate.inside(), 0);
    assert!(gate.is_open(Class::Read) && gate.is_open(Class::Write));
}

#[test]
fn a_thread_keeps_its_number_and_the_next_thread_has_another() {
    let mine = stripe_of_thread();
    assert_eq!(stripe_of_thread(), mine);
    let other = thread::spawn(stripe_of_thread).join().unwrap();
    assert_ne!(other, mine);
}

#[test]
fn permits_stay_on_their_thread_and_quiesces_may_leave_it() {
    // Two candidates if `Permit` were `Send`, and inference would fail to choose.
    trait NotSend<Choice> {
        fn holds() {}
    }
    impl<T: ?Sized> NotSend<()> for T {}
    impl<T: ?Sized + Send> NotSend<u8> for T {}
    trait NotSync<Choice> {
        fn holds() {}
    }
    impl<T: ?Sized> NotSync<()> for T {}
    impl<T: ?Sized + Sync> NotSync<u8> for T {}
    <Permit<'static> as NotSend<_>>::holds();
    <Permit<'static> as NotSync<_>>::holds();

    let gate = Arc::new(open_gate());
    let quiesce = gate.quiesce_owned();
    drop(gate);
    thread::spawn(move || block_on(quiesce)).join().unwrap();
}

#[test]
fn no_section_is_inside_a_closed_gate_under_load() {
    let gate = open_gate();
    let has_key = AtomicBool::new(true);
    let is_over = AtomicBool::new(false);
    let passed = AtomicU64::new(0);
    let refused = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let result = gate.pass(Class::Read, |_| {
                        assert!(has_key.load(Ordering::Relaxed));
                        core::hint::spin_loop();
                        assert!(has_key.load(Ordering::Relaxed));
                    });
                    let counter = if result.is_ok() { &passed } else { &refused };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for cycle in 0..100 {
            // Each cycle meets sections and refusals, or it would show nothing.
            wait_for_more_than(&passed, passed.load(Ordering::Relaxed));
            let shut = gate.shut(Scope::All, 1);
            block_on(gate.quiesce());
            has_key.store(false, Ordering::Relaxed);
            if cycle % 8 == 0 {
                wait_for_more_than(&refused, refused.load(Ordering::Relaxed));
            }
            has_key.store(true, Ordering::Relaxed);
            assert!(gate.open(shut));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(gate.inside(), 0);
}

#[test]
fn many_owners_retire_snapshots_at_once_and_some_give_up() {
    const OWNERS: usize = 4;
    const ROUNDS: usize = 200;
    let gate = open_gate();
    let retired: Vec<AtomicBool> = (0..=OWNERS * ROUNDS).map(|_| AtomicBool::new(false)).collect();
    let current = AtomicUsize::new(0);
    let fresh = AtomicUsize::new(1);
    let owners_left = AtomicUsize::new(OWNERS);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while owners_left.load(Ordering::Relaxed) != 0 {
                    gate.pass(Class::Write, |_| {
                        let snapshot = current.load(Ordering::Relaxed);
                        core::hint::spin_loop();
                        assert!(!retired[snapshot].load(Ordering::Relaxed));
                    })
                    .unwrap();
                }
            });
        }
        for _ in 0..OWNERS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let new = fresh.fetch_add(1, Ordering::Relaxed);
                    let old = current.swap(new, Ordering::Relaxed);
                    if round % 3 == 0 {
                        let _ = poll(pin!(gate.quiesce()), &Arc::new(Flag::default()));
                    }
                    block_on(gate.quiesce());
                    retired[old].store(true, Ordering::Relaxed);
                }
                owners_left.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(gate.waiters.len(), 0);
    assert_eq!(gate.inside(), 0);
}

#[test]
fn a_shut_that_races_with_an_open_is_never_lost() {
    let gate = Gate::new();
    let start = Barrier::new(2);
    for _ in 0..500 {
        let seen = gate.latest_shut();
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                gate.shut(Scope::All, 1);
            });
            start.wait();
            let _ = gate.open(seen);
        });
        assert!(!gate.is_open(Class::Read) && !gate.is_open(Class::Write));
    }
}

fn open_gate() -> Gate {
    let gate = Gate::new();
    assert!(gate.open(gate.latest_shut()));
    gate
}

/// A thread that stays inside until told to leave.
struct Held<'scope> {
    leave: mpsc::Sender<()>,
    thread: thread::ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Held<'scope> {
    fn enter<'env>(scope: &'scope thread::Scope<'scope, 'env>, gate: &'env Gate) -> Self {
        let (leave, told) = mpsc::channel();
        let (entered, is_inside) = mpsc::channel();
        let thread = scope.spawn(move || {
            gate.pass(Class::Read, |_| {
                entered.send(()).unwrap();
                told.recv().unwrap();
            })
            .unwrap();
        });
        is_inside.recv().unwrap();
        Self { leave, thread }
    }

    /// Returns when the permit is back.
    fn leave(self) {
        self.leave.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn wait_for_more_than(counter: &AtomicU64, before: u64) {
    while counter.load(Ordering::Relaxed) <= before {
        thread::yield_now();
    }
}

/// Set when woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn poll<F: Future>(future: core::pin::Pin<&mut F>, woken: &Arc<Flag>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(woken));
    future.poll(&mut Context::from_waker(&waker))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

//! What the models play on: a gate, and things that only a working gate protects.
//!
//! Every property is stated as a user of the gate would notice it. A key that is wiped after a
//! close, or an old snapshot that is wiped after a quiesce, is a cell whose accesses loom checks:
//! a section that touches it without being ordered before the wipe fails the model, even if in
//! that run it came earlier. Snapshots and generations are relaxed atomics, so that whatever order
//! there is comes from the gate. A wake-up that is lost is a deadlock, which loom reports.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::gate::{Class, Closed, Gate, Scope, ShutTicket};

/// One step of a model's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Enters and leaves: uses the generation's key, the closers' keys and the snapshots.
    Pass(Class),
    /// Shuts, and says so to who looks.
    Shut(Scope),
    /// Replaces its snapshot, quiesces, wipes the old one.
    Quiesce,
    /// Polls a quiesce once and drops it.
    Abandon,
    /// Shuts, quiesces, wipes its key.
    Close(Scope),
    /// Begins the next generation and opens, knowing only shuts from before the model.
    Open,
    /// Shuts, quiesces, wipes the generation's key, begins the next generation, and opens knowing
    /// its own shut: what the lifecycle actor does for a stop and a start.
    Cycle,
    /// The same with the shut of who opens, so that it knows only shuts from before the model.
    OwnCycle,
}

impl Op {
    fn shuts(self, class: Class) -> bool {
        match self {
            Self::Shut(scope) | Self::Close(scope) => match (scope, class) {
                (Scope::All, Class::Read | Class::Write) | (Scope::Writes, Class::Write) => true,
                (Scope::Writes, Class::Read) => false,
            },
            Self::Cycle | Self::OwnCycle => true,
            Self::Pass(_) | Self::Quiesce | Self::Abandon | Self::Open => false,
        }
    }
}

/// Explores the runs of `threads`, each a list of steps, with so many preemptions in one run.
///
/// The gate begins open; closed if the model opens it.
pub(crate) fn explore(threads: &[&[Op]], stripes: usize, preemptions: usize) {
    let threads: Vec<Vec<Op>> = threads.iter().map(|steps| steps.to_vec()).collect();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let stage = Arc::new(Stage::new(&threads, stripes));
        let playing: Vec<_> = (1..threads.len())
            .map(|number| {
                let stage = Arc::clone(&stage);
                thread::spawn(move || stage.play(number))
            })
            .collect();
        stage.play(0);
        for thread in playing {
            thread.join().expect("a failure ends the whole model");
        }
        stage.check_end();
    });
}

struct Stage {
    gate: Gate,
    /// Every step of every thread: its thread and what it does. Its place is its number.
    steps: Vec<(usize, Op)>,
    props: Vec<Props>,
    /// The latest shut before the model began.
    seen: ShutTicket,
    began_open: bool,
    generation: AtomicUsize,
    /// The keys of generations 0 and 1.
    keys: [UnsafeCell<()>; 2],
    /// What shuts and opens answered; read after the end.
    history: std::sync::Mutex<History>,
}

/// The answers of the gate's lever.
#[derive(Default)]
struct History {
    /// Each shut: its step's number and its ticket.
    shuts: Vec<(usize, ShutTicket)>,
    /// Each open that was let through: the shuts that it knew.
    opens: Vec<ShutTicket>,
}

/// What one step needs.
struct Props {
    /// Whether its shut has returned.
    down: AtomicUsize,
    /// The version of its snapshot.
    snapshot: AtomicUsize,
    /// What version 0 of its snapshot needs.
    old: UnsafeCell<()>,
    /// The key that its close wipes.
    key: UnsafeCell<()>,
}

impl Stage {
    fn new(threads: &[Vec<Op>], stripes: usize) -> Self {
        let steps: Vec<(usize, Op)> = threads
            .iter()
            .enumerate()
            .flat_map(|(thread, steps)| steps.iter().map(move |op| (thread, *op)))
            .collect();
        let gate = Gate::with_stripes(stripes);
        let seen = gate.latest_shut();
        let began_open = steps.iter().all(|(_, op)| *op != Op::Open);
        let mut history = History::default();
        if began_open {
            assert!(gate.open(seen));
            history.opens.push(seen);
        }
        let props = steps
            .iter()
            .map(|_| Props {
                down: AtomicUsize::new(0),
                snapshot: AtomicUsize::new(0),
                old: UnsafeCell::new(()),
                key: UnsafeCell::new(()),
            })
            .collect();
        Self {
            gate,
            steps,
            props,
            seen,
            began_open,
            generation: AtomicUsize::new(0),
            keys: [UnsafeCell::new(()), UnsafeCell::new(())],
            history: std::sync::Mutex::new(history),
        }
    }

    /// Does the steps of one thread.
    fn play(&self, thread: usize) {
        for (number, (_, op)) in self.steps.iter().enumerate().filter(|(_, (t, _))| *t == thread) {
            match *op {
                Op::Pass(class) => self.pass(thread, class),
                Op::Shut(scope) => {
                    self.shut(number, scope);
                }
                Op::Quiesce => {
                    self.props[number].snapshot.store(1, Ordering::Relaxed);
                    block_on(self.gate.quiesce());
                    self.props[number].old.with_mut(|_| ());
                }
                Op::Abandon => self.abandon(),
                Op::Close(scope) => {
                    self.shut(number, scope);
                    block_on(self.gate.quiesce());
                    self.props[number].key.with_mut(|_| ());
                }
                Op::Open => {
                    self.generation.store(1, Ordering::Relaxed);
                    self.open(self.seen);
                }
                Op::Cycle => self.cycle(number),
                Op::OwnCycle => self.own_cycle(number),
            }
        }
    }

    fn pass(&self, thread: usize, class: Class) {
        let is_down = self.shuts(class).any(|number| {
            // Acquiring: if it says so, the shut has returned in every sense.
            self.props[number].down.load(Ordering::Acquire) == 1
        });
        // The first thread not on the first stripe: a step that forgets the others must show.
        match self.gate.pass_on(thread + 1, class, |_| self.section(class)) {
            Ok(()) => assert!(!is_down || self.has_cycle(), "entered after a shut returned"),
            Err(Closed { why: 0 }) => assert!(!self.began_open, "refused without a reason"),
            Err(Closed { why }) => assert!(
                self.shuts(class).any(|number| reason(number) == why),
                "refused for a reason that nobody gave"
            ),
        }
    }

    fn section(&self, class: Class) {
        let generation = self.generation.load(Ordering::Relaxed);
        assert!(self.began_open || generation == 1, "let in without the new generation");
        self.keys[generation].with(|_| ());
        for (props, (_, op)) in self.props.iter().zip(&self.steps) {
            match *op {
                Op::Quiesce => {
                    if props.snapshot.load(Ordering::Relaxed) == 0 {
                        props.old.with(|_| ());
                    }
                }
                Op::Close(_) => {
                    if op.shuts(class) && !self.has_cycle() {
                        props.key.with(|_| ());
                    }
                }
                Op::Pass(_) | Op::Shut(_) | Op::Abandon | Op::Open => {}
                Op::Cycle | Op::OwnCycle => {}
            }
        }
    }

    fn shut(&self, number: usize, scope: Scope) -> ShutTicket {
        let ticket = self.gate.shut(scope, reason(number));
        assert!(ticket > self.seen, "a shut has a ticket of its own");
        self.props[number].down.store(1, Ordering::Release);
        self.history().shuts.push((number, ticket));
        ticket
    }

    fn open(&self, seen: ShutTicket) {
        if self.gate.open(seen) {
            self.history().opens.push(seen);
        } else {
            assert!(self.gate.latest_shut() > seen, "refused without a newer shut");
        }
    }

    fn abandon(&self) {
        let mut quiesce = pin!(self.gate.quiesce());
        block_on(poll_fn(|cx| {
            let _ = quiesce.as_mut().poll(cx);
            Poll::Ready(())
        }));
    }

    fn cycle(&self, number: usize) {
        let ticket = self.shut(number, Scope::All);
        block_on(self.gate.quiesce());
        self.keys[0].with_mut(|_| ());
        self.generation.store(1, Ordering::Relaxed);
        self.open(ticket);
    }

    fn own_cycle(&self, number: usize) {
        self.gate.shut_by_opener(Scope::All, reason(number));
        block_on(self.gate.quiesce());
        self.keys[0].with_mut(|_| ());
        self.generation.store(1, Ordering::Relaxed);
        self.open(self.seen);
    }

    /// After all threads have ended.
    fn check_end(&self) {
        assert_eq!(self.gate.inside(), 0, "not everybody was counted out");
        let history = self.history();
        for class in [Class::Read, Class::Write] {
            let is_open = history.opens.iter().any(|known| {
                let mut shuts = history.shuts.iter();
                shuts.all(|(number, shut)| shut <= known || !self.steps[*number].1.shuts(class))
            });
            assert_eq!(self.gate.is_open(class), is_open, "{class:?} by the tickets");
        }
        drop(history);
        // The gate is whole: nothing is left over that a later quiesce would wait for.
        block_on(self.gate.quiesce());
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().expect("a failure ends the whole model")
    }

    fn shuts(&self, class: Class) -> impl Iterator<Item = usize> {
        self.steps
            .iter()
            .enumerate()
            .filter(move |(_, (_, op))| op.shuts(class))
            .map(|(number, _)| number)
    }

    fn has_cycle(&self) -> bool {
        self.steps.iter().any(|(_, op)| *op == Op::Cycle)
    }
}

/// The reason that a step gives for its shut; never 0.
fn reason(number: usize) -> u8 {
    u8::try_from(number).expect("models have few steps") + 1
}

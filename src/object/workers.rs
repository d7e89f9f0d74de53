//! The engine's own threads for large objects.
//!
//! Owns a pool that is made at its first use and joined when the engine is dropped; an engine that
//! never meets a large object never starts it.
//!
//! Invariants:
//!
//! 1. No global pool is ever touched: two engines do not meet, and a host's own rayon goes its way.
//! 2. Every thread that was started is joined by [`Workers::close`], but for the one that closes.
//! 3. A job's panic ends that job and no thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rayon_core::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// The pool, made when it is first needed.
#[derive(Default)]
pub(crate) struct Workers(Mutex<State>);

#[derive(Default)]
struct State {
    pool: Option<Arc<ThreadPool>>,
    threads: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl Workers {
    /// The pool of `threads` threads; `None` for none, where the system starts no threads, and once
    /// the engine is gone: the caller works alone then.
    pub(crate) fn pool(&self, threads: usize) -> Option<Arc<ThreadPool>> {
        let mut state = lock(&self.0);
        if threads == 0 || state.is_closed {
            return None;
        }
        if let Some(pool) = &state.pool
            && pool.current_num_threads() == threads
        {
            return Some(Arc::clone(pool));
        }
        // What works on the old one goes on there; its threads end with the last of that.
        let pool = Arc::new(start(threads, &mut state.threads).ok()?);
        state.pool = Some(Arc::clone(&pool));
        Some(pool)
    }

    /// Ends the threads, once what they work on has ended.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.is_closed = true;
        state.pool = None;
        let threads = core::mem::take(&mut state.threads);
        drop(state);
        let current = thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != current) {
            if thread.join().is_err() {
                tracing::error!("a thread for large objects panicked");
            }
        }
    }
}

fn start(
    threads: usize,
    started: &mut Vec<JoinHandle<()>>,
) -> Result<ThreadPool, ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .panic_handler(|_| tracing::error!("work on a large object panicked"))
        .spawn_handler(|thread| {
            let builder = thread::Builder::new().name("portcullis-object".to_owned());
            started.push(builder.spawn(move || thread.run())?);
            Ok(())
        })
        .build();
    if let Err(error) = &pool {
        tracing::error!(%error, "no threads for large objects: callers work alone");
    }
    pool
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn closing_waits_for_what_is_under_way_and_nothing_starts_after_it() {
        let workers = Workers::default();
        assert!(workers.pool(0).is_none());
        let pool = workers.pool(2).unwrap();
        assert!(Arc::ptr_eq(&pool, &workers.pool(2).unwrap()));
        let (started, starts) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let done = Arc::new(Mutex::new(false));
        let says = Arc::clone(&done);
        pool.spawn(move || {
            started.send(()).unwrap();
            gone.recv().unwrap_err();
            *lock(&says) = true;
        });
        starts.recv().unwrap();
        drop((pool, go));
        workers.close();
        assert!(*lock(&done));
        assert!(workers.pool(2).is_none());
    }

    #[test]
    fn another_size_is_another_pool_and_a_panic_ends_no_thread() {
        let workers = Workers::default();
        let (one, three) = (workers.pool(1).unwrap(), workers.pool(3).unwrap());
        one.spawn(|| panic!("the job's own"));
        let (done, heard) = mpsc::channel();
        one.spawn(move || done.send(()).unwrap());
        heard.recv().unwrap();
        assert_eq!(three.current_num_threads(), 3);
        drop((one, three));
        workers.close();
    }
}

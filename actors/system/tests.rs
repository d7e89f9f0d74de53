use core::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Counts the threads that end with it in their thread-local storage: by the time a thread is
/// joined, it has dropped it.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! {
    static ENDS: RefCell<Option<Ends>> = const { RefCell::new(None) };
}

/// Marks the three threads; answers the count of those that have ended, and their names.
fn mark(threads: &Threads) -> (Arc<AtomicUsize>, Vec<Task>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let tasks = Place::ALL
        .iter()
        .map(|place| {
            let ends = Ends(Arc::clone(&ended));
            let mark = move || {
                ENDS.set(Some(ends));
                Task::current()
            };
            threads.places().run_on_blocking(*place, mark).unwrap()
        })
        .collect();
    (ended, tasks)
}

impl Places {
    /// [`Places::run_on`] for a test that is in no future.
    pub(crate) fn run_on_blocking<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LifecycleError> {
        crate::engine::block_on(self.run_on(place, work))
    }
}

/// A thread as the system sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Task {
    directory: std::path::PathBuf,
    name: String,
}

impl Task {
    fn current() -> Self {
        let id = rustix::thread::gettid().as_raw_nonzero();
        let directory = std::path::PathBuf::from(format!("/proc/self/task/{id}"));
        let name = std::fs::read_to_string(directory.join("comm")).unwrap();
        Self { directory, name: name.trim().to_owned() }
    }

    /// The kernel takes the entry away a moment after it has let the joiner go.
    fn wait_until_gone(&self) {
        while self.directory.exists() {
            thread::yield_now();
        }
    }
}

#[test]
fn each_place_is_a_thread_of_its_own_with_its_name() {
    let threads = Threads::start().unwrap();
    let (_, tasks) = mark(&threads);
    let names: Vec<_> = tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["portcullis-cont", "portcullis-back", "portcullis-audi"]);
}

#[test]
fn dropping_the_threads_joins_all_of_them() {
    let threads = Threads::start().unwrap();
    let (ended, tasks) = mark(&threads);
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    drop(threads);
    assert_eq!(ended.load(Ordering::SeqCst), 3);
    tasks.iter().for_each(Task::wait_until_gone);
}

#[test]
fn stop_may_be_called_again_and_by_many_and_all_return_after_the_end() {
    let threads = Threads::start().unwrap();
    let (ended, _) = mark(&threads);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(threads.stop(), Ok(Joined::All));
                assert_eq!(ended.load(Ordering::SeqCst), 3);
            });
        }
    });
    assert_eq!(threads.stop(), Ok(Joined::All));
}

#[tokio::test]
async fn threads_are_started_and_joined_inside_a_runtime_of_the_host() {
    let threads = Threads::start().unwrap();
    let (ended, _) = mark(&threads);
    let sum = threads.places().run_on(Place::Audit, || 1 + 1).await;
    assert_eq!(sum, Ok(2));
    drop(threads);
    assert_eq!(ended.load(Ordering::SeqCst), 3);
}

#[test]
fn a_thread_of_the_engine_that_stops_it_hands_the_join_over() {
    for place in Place::ALL {
        let threads = Threads::start().unwrap();
        let (_, tasks) = mark(&threads);
        let places = threads.places().clone();
        let joined = places.run_on_blocking(place, move || threads.stop());
        assert_eq!(joined, Ok(Ok(Joined::HandedOver)));
        tasks.iter().for_each(Task::wait_until_gone);
    }
}

#[test]
fn a_thread_for_blocking_work_that_stops_the_engine_hands_the_join_over() {
    let threads = Threads::start().unwrap();
    let (_, tasks) = mark(&threads);
    let places = threads.places().clone();
    let (says, hears) = mpsc::channel();
    let blocking = move || {
        let end = move || says.send(threads.stop()).unwrap();
        drop(tokio::task::spawn_blocking(end));
    };
    places.run_on_blocking(Place::Backend, blocking).unwrap();
    assert_eq!(hears.recv().unwrap(), Ok(Joined::HandedOver));
    tasks.iter().for_each(Task::wait_until_gone);
}

#[test]
fn work_for_a_place_that_has_stopped_is_an_error_and_is_not_done() {
    let threads = Threads::start().unwrap();
    let places = threads.places().clone();
    drop(threads);
    for place in Place::ALL {
        let work = || panic!("done on a place that has stopped");
        let answer: Result<(), _> = places.run_on_blocking(place, work);
        assert_eq!(answer, Err(GONE));
    }
    assert!(places.timer().is_gone());
}

#[test]
fn work_that_panics_is_an_error_and_the_place_lives_on() {
    let threads = Threads::start().unwrap();
    let places = threads.places();
    let answer: Result<(), _> = places.run_on_blocking(Place::Backend, || panic!("on purpose"));
    assert_eq!(answer, Err(GONE));
    assert_eq!(places.run_on_blocking(Place::Backend, || 7), Ok(7));
    assert_eq!(threads.stop(), Ok(Joined::All));
}

#[test]
fn two_engines_at_once_end_apart() {
    let (one, other) = (Threads::start().unwrap(), Threads::start().unwrap());
    let ((ended, _), (other_ended, _)) = (mark(&one), mark(&other));
    drop(one);
    assert_eq!(ended.load(Ordering::SeqCst), 3);
    assert_eq!(other_ended.load(Ordering::SeqCst), 0);
    assert_eq!(other.places().run_on_blocking(Place::Control, || 7), Ok(7));
    assert!(!other.places().timer().is_gone());
}

#[test]
fn nothing_of_the_engine_is_left_on_the_hosts_thread() {
    let threads = Threads::start().unwrap();
    assert!(!System::is_registered());
    assert!(Arbiter::try_current().is_none());
    drop(threads);
}

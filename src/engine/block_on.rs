//! Waiting for a future on a thread that has no runtime.

use core::time::Duration;
use std::sync::Arc;

/// Waits for `future` on a thread without a runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    match block_on_within(Duration::MAX, future) {
        Some(output) => output,
        None => unreachable!("no deadline that is that far comes"),
    }
}

/// The same for so long.
#[expect(clippy::disallowed_methods, reason = "the engine's timer ends with its threads")]
pub(super) fn block_on_within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let began = std::time::Instant::now();
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = core::task::Context::from_waker(&waker);
    let mut future = core::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            core::task::Poll::Ready(output) => return Some(output),
            core::task::Poll::Pending => match time.checked_sub(began.elapsed()) {
                Some(left) => std::thread::park_timeout(left),
                None => return None,
            },
        }
    }
}

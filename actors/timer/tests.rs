use core::future::poll_fn;
use core::pin::pin;

use futures_util::FutureExt;

use super::*;

/// Polls `future` once beside the timer until either ends.
async fn beside<F: Future>(driver: impl Future<Output = ()>, future: F) -> F::Output {
    let mut driver = pin!(driver);
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _ = driver.as_mut().poll(cx);
        future.as_mut().poll(cx)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn an_alarm_rings_at_its_moment_and_not_before() {
    let (timer, driver) = Timer::of_runtime();
    let begin = timer.now();
    let moment = timer.after(Duration::from_secs(30));
    assert_eq!(beside(driver, timer.at(moment)).await, Rang::Due);
    let took = timer.now() - begin;
    assert!(took >= Duration::from_secs(30) && took < Duration::from_millis(30_002));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_alarm_is_not_kept_waiting_by_a_later_one() {
    let (timer, driver) = Timer::of_runtime();
    let begin = timer.now();
    let late = timer.at(timer.after(Duration::from_secs(60)));
    let early = timer.at(timer.after(Duration::from_secs(1)));
    let mut late = pin!(late);
    beside(driver, async {
        assert!(late.as_mut().now_or_never().is_none());
        // The timer now sleeps for a minute; this one must wake it.
        tokio::task::yield_now().await;
        assert_eq!(early.await, Rang::Due);
    })
    .await;
    assert!(timer.now() - begin < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_moment_in_the_past_is_due_at_once() {
    let (timer, _driver) = Timer::of_runtime();
    assert_eq!(timer.at(timer.now()).now_or_never(), Some(Rang::Due));
}

#[test]
fn a_timer_that_ends_rings_for_everybody_and_for_all_who_come_later() {
    let (timer, driver) = Timer::real();
    let moment = timer.after(Duration::from_secs(3600));
    let mut waiting = Box::pin(timer.at(moment));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(driver);
    assert!(timer.is_gone());
    assert_eq!(waiting.now_or_never(), Some(Rang::TimerGone));
    assert_eq!(timer.at(moment).now_or_never(), Some(Rang::TimerGone));
}

#[test]
fn a_dropped_alarm_leaves_nothing_behind() {
    let (timer, _driver) = Timer::real();
    let moment = timer.after(Duration::from_secs(3600));
    for _ in 0..100 {
        let mut alarm = timer.at(moment);
        assert!((&mut alarm).now_or_never().is_none());
        assert!((&mut alarm).now_or_never().is_none());
        assert_eq!(timer.lock().alarms.len(), 1);
    }
    assert!(timer.lock().alarms.is_empty());
}

#[test]
fn the_far_future_is_a_moment() {
    let (timer, _driver) = Timer::real();
    assert!(timer.after(Duration::MAX) > timer.now());
}

//! An engine's threads, counted as the system sees them. One test, so that no other engine of this
//! process is in the count.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong stops at once")]

#[allow(dead_code, reason = "the suites share it, and each uses some of it")]
#[path = "api/harness.rs"]
mod harness;

use portcullis::Engine;
use portcullis::envelope::DataKeySpec;

/// Threads of this process whose name says that they are an engine's.
fn engine_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    tasks.flatten().filter_map(|task| name(task).ok()).filter(|n| n.starts_with("portcu")).count()
}

#[test]
fn engines_need_no_runtime_never_meet_and_take_their_threads_with_them() {
    assert_eq!(engine_threads(), 0);
    let ((one, _first), (other, _second)) = (harness::keystore(), harness::keystore());
    let key = one.default_key.clone().unwrap();
    // On this plain thread, without a runtime.
    let one = Engine::start_blocking(one).unwrap();
    let other = Engine::start_blocking(other).unwrap();
    assert!(engine_threads() >= 8, "{}", engine_threads());

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (a, b) = (one.kms(), other.kms());
    let (spec, context) = (DataKeySpec::AES_256, harness::context("threads"));
    let made = runtime.block_on(a.generate_data_key(&key, spec, &context)).unwrap();
    // Its key is another keystore's, of the same name: the tag of the version tells.
    assert!(b.try_decrypt_data_key(&made.wrapped, &context).is_err());
    runtime.block_on(a.stop()).unwrap();
    assert!(runtime.block_on(b.generate_data_key(&key, spec, &context)).is_ok());

    // Callers go on calling while their engine is dropped, and are answered.
    let caller = std::thread::spawn({
        let (b, key, context) = (b.clone(), key.clone(), context.clone());
        move || while b.try_generate_data_key(&key, spec, &context).is_ok() {}
    });
    let outstanding = b.rotate_key(&key);
    drop(other);
    caller.join().unwrap();
    assert!(runtime.block_on(outstanding).is_err());
    // From inside a runtime.
    runtime.block_on(async { drop(one) });
    assert_eq!(engine_threads(), 0, "a dropped engine has joined its threads");
    assert!(a.try_decrypt_data_key(&made.wrapped, &context).is_err());
}

//! Guarantees 1 and 6 for objects under way: a stop in the middle of many of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use portcullis::error::{Error, Refused};
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, until};

const STREAMS: usize = 64;
const CHUNK: usize = 16 * 1024;

fn is_stop(error: &std::io::Error) -> bool {
    matches!(Error::in_stream(error), Some(Error::Refused(Refused::Stopped | Refused::Draining)))
}

#[tokio::test]
async fn a_stop_in_the_middle_of_64_streams_cuts_all_within_one_chunk_and_a_start_serves_anew() {
    let fixture = Fixture::for_load().await;
    let Fixture { kms, key, .. } = &fixture;
    let (context, plain) = (context("a"), vec![7; 40 * CHUNK]);
    let mut sealed = Vec::new();
    kms.seal_into(key, &context, &plain, &mut sealed).await.unwrap();

    // Half of them seal, half of them open, each as far as it happens to be.
    let (mut sealing, mut opening) = (Vec::new(), Vec::new());
    for nth in 0..STREAMS / 2 {
        let mut stream = kms.seal_buf(key, &context, &plain[..]).await.unwrap();
        stream.read_exact(&mut vec![0; 1 + nth * CHUNK]).await.unwrap();
        sealing.push(stream);
        let mut stream = kms.open_buf(&context, &sealed[..]).await.unwrap();
        stream.read_exact(&mut vec![0; 1 + nth * CHUNK]).await.unwrap();
        opening.push(stream);
    }
    assert_eq!(kms.status().operations, STREAMS as u64);
    let report = kms.stop_within(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(report.cancelled, STREAMS as u64);
    assert_eq!(kms.status().operations, 0);
    for mut stream in sealing {
        let mut rest = Vec::new();
        assert!(is_stop(&stream.read_to_end(&mut rest).await.unwrap_err()));
        assert!(rest.is_empty(), "{} bytes after the stop", rest.len());
    }
    for mut stream in opening {
        let mut rest = Vec::new();
        assert!(is_stop(&stream.read_to_end(&mut rest).await.unwrap_err()));
        assert!(rest.is_empty(), "{} bytes after the stop", rest.len());
    }

    kms.start().await.unwrap();
    let mut opened = Vec::new();
    kms.open_buf(&context, &sealed[..]).await.unwrap().read_to_end(&mut opened).await.unwrap();
    assert!(opened == plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_cuts_buffers_that_threads_are_working_on_and_leaves_nothing_in_them() {
    let fixture = Fixture::with(|config| config.objects.threads = Some(2)).await;
    let Fixture { kms, key, .. } = &fixture;
    let context = context("a");
    let mut sealed = Vec::new();
    kms.seal_into_blocking(key, &context, &vec![7; 24 << 20], &mut sealed).unwrap();
    let sealed = Arc::new(sealed);
    let (begun, done) = (Arc::new(Barrier::new(5)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (kms, context, sealed) = (kms.clone(), context.clone(), Arc::clone(&sealed));
            let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut out = Vec::new();
                begun.wait();
                loop {
                    let opened = kms.open_into_blocking(&context, &sealed, &mut out);
                    let Err(error) = opened else {
                        done.fetch_add(1, Ordering::SeqCst);
                        continue;
                    };
                    let is_stop =
                        matches!(error, Error::Refused(Refused::Stopped | Refused::Draining));
                    assert!(is_stop, "{error}");
                    return out;
                }
            })
        })
        .collect();
    begun.wait();
    until(|| done.load(Ordering::SeqCst) > 3);
    kms.stop().await.unwrap();
    for thread in threads {
        let out = thread.join().unwrap();
        assert!(out.is_empty(), "what was opened of it is gone");
    }
    assert_eq!(kms.status().operations, 0);
    kms.start().await.unwrap();
    let mut out = Vec::new();
    kms.open_into_blocking(&context, &sealed, &mut out).unwrap();
    assert_eq!(out.len(), 24 << 20);
}

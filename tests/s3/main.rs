//! The S3 host of `examples/s3_host`, driven by boto3: what a real client sees of SSE-S3, SSE-KMS
//! and SSE-C, and what lies on the disk meanwhile.
//!
//! boto3 is installed once into a virtual environment under the target directory. Where that cannot
//! be had these tests say so and pass; under `CI=true` they fail. What a client does stands in the
//! Python files beside this one, a function per test here.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

// Marked, so that clippy takes their helpers for test code.
#[cfg(test)]
mod client;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod host;
#[cfg(test)]
#[path = "../support/venv.rs"]
mod venv;

use memchr::memmem;

use crate::client::Client;
use crate::disk::Found;
use crate::host::{Host, Wire};

/// A running host and a client, or the test is skipped.
macro_rules! start {
    ($wire:expr) => {
        match Client::find() {
            Some(client) => (Host::start($wire), client),
            None => return,
        }
    };
}

#[test]
fn objects_of_every_size_and_mode_come_back_with_the_headers_of_s3() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.put_get_head");
}

#[test]
fn ranges_of_every_kind_give_their_bytes_and_those_beyond_the_end_give_416() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.ranges");
}

#[test]
fn metadata_and_checksums_come_back_and_a_body_that_is_not_its_digest_is_not_stored() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.metadata_and_checksums");
}

#[test]
fn conditions_on_reading_are_those_of_http() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.conditions");
}

#[test]
fn listings_show_plain_sizes_and_etags_in_pages_and_deleted_objects_are_gone() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.listings_and_deletions");
}

#[test]
fn a_buckets_default_encrypts_what_states_none() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "buckets.defaults");
}

#[test]
fn a_buckets_encryption_that_cannot_be_had_is_refused() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "buckets.refusals");
}

#[test]
fn uploads_in_parts_come_back_whole_by_range_and_by_part_in_every_mode() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "uploads.in_parts");
}

#[test]
fn a_part_that_is_uploaded_again_counts_and_one_that_is_aborted_is_gone() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "uploads.again_and_aborted");
    let found = Found::of(&host);
    assert_eq!((found.objects, found.uploads, found.bodies), (1, 0, 1));
}

#[test]
fn an_upload_is_completed_with_its_own_parts_in_order_or_not_at_all() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "uploads.completions_refused");
}

#[test]
fn each_part_of_an_upload_under_a_customers_key_brings_that_key() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "uploads.customers_keys");
}

#[test]
fn parts_are_copied_from_objects_of_every_mode() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "uploads.copied_parts");
}

#[test]
fn the_transfer_manager_moves_large_files_up_down_and_across() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "uploads.managed_transfers");
}

#[test]
fn objects_are_copied_between_every_two_modes() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "copies.between_modes");
}

#[test]
fn a_copy_onto_itself_changes_the_encryption_and_without_a_change_is_refused() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "copies.onto_itself");
}

#[test]
fn a_change_of_the_master_key_alone_leaves_the_body_where_it_is() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "copies.put_under_first_key");
    let before = Found::of(&host).body_bytes;
    client.run(&host, "copies.move_to_second_key");
    assert!(Found::of(&host).body_bytes == before);
}

#[test]
fn guideline_e2_a_wrong_or_missing_customers_key_opens_nothing_anywhere() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "refusals.wrong_keys");
}

#[test]
fn guideline_e1_every_wrong_combination_of_headers_has_the_code_and_status_of_s3_and_stores_nothing()
 {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "refusals.headers");
    let found = Found::of(&host);
    assert_eq!((found.objects, found.uploads, found.bodies), (0, 0, 0));
}

#[test]
fn guideline_e2_no_customers_key_and_no_plaintext_is_in_memory_once_its_requests_are_answered() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "restart.plant");
    // Digests lie on stacks for a while, and are told to the client anyway.
    let planted = client.planted();
    let secrets = planted.iter().filter(|(what, _)| !what.starts_with("the MD5"));
    let found = |memory: &[u8]| -> Vec<_> {
        // The search does find what is there.
        assert!(contains(memory, b"S3_HOST_SECRET_KEY=a secret of the tests"));
        secrets.clone().filter(|(_, bytes)| contains(memory, bytes)).map(|(what, _)| what).collect()
    };
    // The connection's buffers go with the connection, which the host may still be closing.
    let last = (0..40).map(|_| found(&host.memory())).find(Vec::is_empty);
    assert!(last.is_some(), "still in memory: {:?}", found(&host.memory()));
}

#[test]
fn guideline_e3_a_customers_key_over_plain_http_is_refused_and_other_modes_are_not() {
    let (host, client) = start!(Wire::Plain);
    client.run(&host, "refusals.plain_http");
    assert_eq!(Found::of(&host).objects, 2);
}

#[test]
fn guideline_e3_a_host_for_development_takes_a_customers_key_over_plain_http_and_says_so() {
    let (mut host, client) = start!(Wire::PlainInDevelopment);
    client.run(&host, "refusals.plain_http_in_development");
    let log = host.stop();
    assert!(log.contains("a customer's key came over plain HTTP"), "{log}");
}

#[test]
fn guideline_e2_neither_disk_nor_log_holds_plaintext_or_a_customers_key_and_no_digest_is_stored() {
    let (mut host, client) = start!(Wire::Tls);
    client.run(&host, "restart.plant");
    let log = host.stop();
    let found = Found::of(&host);
    assert_eq!((found.objects, found.uploads, found.bodies), (5, 1, 6));
    assert!(contains(log.as_bytes(), b"rustfs::kms"), "the engine's own events are in it");
    for (what, planted) in client.planted() {
        assert!(!found.contains(&planted), "{what} is on the disk");
        // Digests that the client is told may be logged: an ETag, the MD5 of its key.
        let is_digest = what.starts_with("the MD5 of");
        assert!(is_digest || !contains(log.as_bytes(), &planted), "{what} is in the log");
    }
}

#[test]
fn audit_records_name_the_request_its_signer_and_its_source() {
    let (mut host, client) = start!(Wire::Tls);
    let requests = client.run(&host, "restart.plant");
    let log = host.stop();
    for request in requests.lines() {
        let of_request = |line: &&str| line.contains("rustfs::kms") && line.contains(request);
        let records: Vec<_> = log.lines().filter(of_request).collect();
        assert!(!records.is_empty(), "{request}: {log}");
        for record in records {
            assert!(record.contains("AKTESTS") && record.contains("127.0.0.1"), "{record}");
            assert!(record.contains("seal"), "{record}");
        }
    }
    assert_eq!(requests.lines().count(), 3);
}

#[test]
fn what_was_stored_before_a_restart_is_read_and_uploads_go_on() {
    let (mut host, client) = start!(Wire::Tls);
    client.run(&host, "restart.plant");
    host.stop();
    host.restart();
    client.run(&host, "restart.find");
}

#[test]
fn what_a_crash_left_is_removed_and_nothing_else() {
    let (mut host, client) = start!(Wire::Tls);
    client.run(&host, "restart.plant");
    let before = Found::of(&host);
    host.kill();
    // As a crash leaves them: a body without an entry, an entry half written.
    let bucket = host.path("data/restart");
    std::fs::write(bucket.join("bodies/0123"), b"half").unwrap();
    std::fs::write(bucket.join("objects/0123.new"), b"{").unwrap();
    host.restart();
    let after = Found::of(&host);
    assert_eq!(after.files, before.files);
    client.run(&host, "restart.find");
}

#[test]
fn a_master_key_that_is_disabled_or_pending_deletion_says_so_and_others_go_on() {
    let (mut host, client) = start!(Wire::Tls);
    client.run(&host, "restart.plant");
    host.stop();
    host.key(&["disable", "first"]);
    host.key(&["schedule-deletion", "second", "--days", "7"]);
    host.restart();
    client.run(&host, "restart.keys_taken_away");
}

#[test]
fn a_changed_exchanged_or_cut_body_is_never_given_out() {
    let (mut host, client) = start!(Wire::Tls);
    client.run(&host, "damage.put");
    host.stop();
    disk::damage(&host);
    host.restart();
    client.run(&host, "damage.get");
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_read_to_its_end() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.replaced_while_read");
    let found = Found::of(&host);
    assert_eq!((found.objects, found.bodies), (3, 3));
}

#[test]
fn of_objects_put_under_one_name_at_once_one_is_there_whole_and_nothing_is_left_of_the_others() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.put_at_once");
    let found = Found::of(&host);
    assert_eq!((found.objects, found.bodies), (1, 1));
}

#[test]
fn memory_does_not_grow_with_the_object() {
    let (host, client) = start!(Wire::Tls);
    client.run(&host, "objects.put_get_head");
    let before = host.peak_memory();
    client.run(&host, "objects.large");
    let grown = host.peak_memory() - before;
    assert!(grown < 16 << 20, "{grown} bytes more for an object of 128 MiB");
}

fn contains(within: &[u8], searched: &[u8]) -> bool {
    memmem::find(within, searched).is_some()
}

//! The ten promises, the tests that show each, and what is not built or not shown yet.
//!
//! Code and tests cite these by number. A test that is named here exists: `tests/readme.rs` looks
//! for each of them. What stands under *Not yet* is not promised by this release.
//!
//! # 1. Freeze
//!
//! After [`stop`](crate::Kms::stop) or [`freeze`](crate::Kms::freeze) of everything has answered
//! `Ok`, no handle, reply, lease or stream of the engine yields another byte of a plaintext key or
//! of plaintext, until [`start`](crate::Kms::start) or [`thaw`](crate::Kms::thaw). The gate is shut
//! on the caller's thread, before the future is returned. A freeze of
//! [`Writes`](crate::status::FreezeScope::Writes) promises this for wraps, seals and changes of
//! keys alone. What was delivered or copied before is the host's; an error is not an answer, and
//! the engine then stays closed.
//!
//! *Shown by:* callers on two threads, with a stamp inside each section:
//! `after_each_of_a_thousand_stops_under_load_nothing_is_released_until_the_next_start`,
//! `after_each_of_a_thousand_freezes_under_load_nothing_of_its_scope_is_released`,
//! `a_stream_that_is_leaked_half_way_is_cut_and_its_key_wiped`,
//! `a_stop_whose_future_is_dropped_or_never_polled_stops_all_the_same`; every state and command
//! of the engine's life (`actors/lifecycle/state/tests.rs`); the models of the gate, every interleaving of every pair and triple of its
//! operations, with mutants that are caught (`tests/loom`: `every_triple_holds_on_two_stripes`,
//! `every_mutant_is_caught`); `no_section_is_inside_a_closed_gate_under_load`,
//! `a_shut_that_races_with_an_open_is_never_lost`,
//! `a_start_does_not_open_over_a_shut_that_came_after_it_was_asked_for`,
//! `a_quiesce_waits_for_older_permits_and_not_for_newer_ones`; streams:
//! `a_stream_is_cut_at_the_section_that_the_engine_refuses`,
//! `bytes_that_wait_in_the_stream_are_not_released_after_a_cut`; leases:
//! `a_stop_takes_leases_away_and_a_start_serves_again`; stored objects:
//! `a_stop_cuts_every_reader_and_part_and_wipes_what_handles_hold`,
//! `sixty_four_readers_and_as_many_parts_are_all_cut_by_a_stop_within_a_chunk`.
//!
//! # 2. Revocation
//!
//! Within one engine: once disable, schedule-deletion or retire has answered, no wrap, unwrap or
//! chunk under the old state begins and none is under way; streams under that key end at the next
//! chunk. Once rotate has answered, every new wrap uses the new version, and open streams keep the
//! data key they have. A [`reconfigure`](crate::Kms::reconfigure) gives nothing back: what is taken
//! away while another keystore is opened acts at once, and holds in that one too where it has the
//! same key.
//!
//! *Shown by:* callers that hammer one key from two threads while it changes,
//! `no_operation_that_begins_after_the_answer_uses_the_state_before_it`,
//! `open_streams_end_at_the_next_chunk_after_a_disable_and_keep_their_key_over_a_rotation`; and
//! `a_quiesce_waits_for_older_permits_and_not_for_newer_ones` for the wait that the answer rests
//! on; over swaps and losses:
//! `brakes_act_and_use_counts_are_had_at_once_while_another_store_is_opened`,
//! `a_brake_during_the_opening_of_a_copy_holds_in_the_copy`,
//! `a_copy_that_cannot_take_a_brake_over_does_not_come_into_use`,
//! `a_brake_waits_for_a_backend_that_was_lost_and_acts_then`; stored objects:
//! `a_disabled_key_ends_reading_and_sealing_at_the_next_chunk`.
//!
//! *Not yet:* other engines on one store: the local keystore has one process at a time.
//!
//! # 3. Durability
//!
//! A change of a key is answered only once it is durable: manifest, file, directory and mark
//! synced. A crash at any step leaves the old state or the new one. What gives is made in the keystore
//! that was in use when it was asked for, or refused: never in its successor, and never in the old
//! one after that was read.
//!
//! *Shown by:* `a_process_killed_at_any_step_leaves_the_old_key_or_the_new_one`,
//! `a_power_cut_at_any_step_leaves_the_old_key_or_the_new_one`,
//! `a_disk_that_fails_at_any_step_leaves_the_old_key_or_the_new_one`,
//! `a_power_cut_after_a_kill_and_an_opening_leaves_what_was_opened`,
//! `changes_that_wait_when_another_store_is_wanted_are_refused_and_made_in_neither`.
//!
//! # 4. Audit first
//!
//! Plaintext leaves only after its audit record was accepted. A change of a key or of the engine's
//! state is answered only after its records are written. A sink that blocks or fails becomes a
//! typed refusal within [`AUDIT_DEADLINE`](crate::limits::AUDIT_DEADLINE), never a hang, never
//! silence. Denials and failures are recorded too. (A host that keeps a trail of its own may set
//! [`Release::Unaudited`](crate::audit::Release::Unaudited), which the production profile refuses.)
//! The brake is never refused: it acts first, says `audited: false`, and its record goes first when
//! the sink returns, marked late: stop and freeze in their reports, changes of keys in theirs.
//!
//! *Shown by:* `guarantee_4_every_accepted_record_is_written_once_and_in_its_threads_order`,
//! `guarantee_4_a_sink_that_blocks_refuses_callers_after_its_deadline_and_recovers_by_itself`,
//! `guarantee_4_a_sink_that_fails_or_panics_gets_the_same_records_again_in_order`,
//! `guarantee_4_brakes_are_never_refused_and_their_records_go_first_when_the_sink_returns`,
//! `a_sink_that_blocks_refuses_what_gives_holds_up_no_brake_and_is_told_late`.
//!
//! *Not yet:* a trail of the engine's own: chained, signed files with a verifier. Today records go
//! to the host's [`AuditSink`](crate::audit::AuditSink), or to `tracing`, which is as durable as
//! whatever collects it.
//!
//! # 5. One call per cold key
//!
//! What there is to wait for so far is a key's first block of use counts after a start: any number
//! of callers wait for one message, and one who gives up disturbs nobody
//! (`any_number_of_callers_of_a_cold_key_wait_for_one_message`).
//!
//! *Not yet:* there is no cache and no remote backend, so there is no cold data key.
//!
//! # 6. Wipe
//!
//! When `stop` has answered, no root, master, data or customer key and no key schedule is in memory
//! that the engine controls: leases, half-finished streams, objects and uploads that are open,
//! random bytes drawn ahead, its own threads. A root key or passphrase that the host handed in with
//! the configuration goes too: it has to be handed in again before the next start
//! ([`SecretWiped`](crate::error::LifecycleError::SecretWiped)). Outside the promise: what the host
//! copied, its own buffers, and stacks.
//!
//! *Shown by:* `a_root_key_that_the_host_hands_in_is_wiped_by_a_stop_and_must_be_handed_in_again`,
//! `an_engine_that_has_failed_lets_its_store_go_for_good`,
//! `a_stop_takes_leases_away_and_a_start_serves_again`,
//! `a_wipe_reaches_bytes_that_have_left_and_those_nobody_spoke_of`,
//! `wiping_leaves_no_key_and_every_slot_usable`,
//! `a_freed_slot_is_wiped_and_its_handle_is_dead`.
//!
//! Keys lie in pages that are locked, fenced, left out of core dumps and wiped in forked children;
//! [`WipingAlloc`](crate::WipingAlloc) wipes what libraries free. A child process works with known
//! keys while its parent searches all of its memory for them, raw, in base64 at three alignments,
//! in hex and as key schedules: `a_stopped_engine_on_a_local_keystore_has_no_key_in_memory`,
//! `a_stopped_engine_on_a_static_key_has_no_key_in_memory`.
//!
//! # 7. Binding
//!
//! Every wrapped key and every object commits to its key and to its exact encryption context.
//! Swapping, reordering, truncating, extending or replaying a part fails with an error that says
//! nothing about the plaintext. A whole object put back by an earlier one of the same context is
//! not detected: see [`threat_model`](super::threat_model).
//!
//! *Shown by:* all vectors of C2SP chunked-encryption, RFC 8452 and RFC 5869 that apply;
//! `a_data_key_comes_back_under_its_context_and_no_other`,
//! `different_contexts_have_different_forms`, `an_envelope_cut_or_extended_anywhere_is_refused`,
//! `an_object_cut_at_any_byte_does_not_open`,
//! `a_changed_byte_anywhere_opens_nothing_of_its_chunk_or_after`,
//! `chunks_moved_dropped_repeated_or_appended_do_not_open`,
//! `suites_keys_contexts_and_salts_are_all_committed_to`; of ranges
//! `a_source_that_lies_is_an_error_and_never_other_bytes` and
//! `a_length_that_is_not_the_objects_opens_nothing`; of stored objects
//! ([`objects`](super::objects)) `a_record_does_not_open_the_body_of_another_object_or_of_an_earlier_put`,
//! `parts_that_were_dropped_swapped_renumbered_or_doubled_do_not_open`,
//! `a_part_put_back_from_an_earlier_upload_of_its_number_is_found`,
//! `tables_and_records_of_another_object_do_not_open`,
//! `any_changed_byte_of_a_record_is_refused`,
//! `any_changed_dropped_or_added_byte_ends_a_walk_before_the_bytes_that_it_is_in`; by an
//! implementation that shares no code: `the_opener_refuses_a_changed_byte_of_every_field`,
//! `the_opener_refuses_objects_that_were_changed_and_keys_that_are_not_theirs`.
//!
//! # 8. No invention
//!
//! Missing or damaged key material is a typed error. It is never regenerated, skipped, or taken for
//! an empty store. Only [`init`](crate::keystore::init) makes a keystore.
//!
//! *Shown by:* `what_is_removed_is_missing_and_never_made_anew`, `init_never_writes_over_anything`,
//! `guideline_t4_a_bit_flipped_in_any_byte_is_found_in_its_file`,
//! `guideline_t4_a_file_cut_at_any_byte_is_found`.
//!
//! # 9. Seamless credentials
//!
//! *Not yet:* there is no backend that asks for credentials.
//!
//! # 10. Bounded
//!
//! Mailboxes, waiters, leases, streams, audit buffers, request sizes, rebuilds: each has a limit
//! with a name and a reason in [`limits`](crate::limits), and reaching it is a typed error, with a
//! hint when to try again where trying again helps.
//!
//! *Shown by:* `ten_thousand_asks_of_a_blocked_actor_from_many_threads_admit_exactly_the_limit`,
//! `a_flood_of_tells_is_bounded_like_asks`,
//! `guarantee_10_full_buffers_refuse_and_lose_nothing_that_was_accepted`,
//! `a_full_stripe_borrows_from_the_next_and_then_refuses`,
//! `limits_are_typed_and_leave_the_context_as_it_was`,
//! `files_larger_than_any_of_the_keystore_are_not_read`.

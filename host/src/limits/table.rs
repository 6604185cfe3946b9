//! The table of limits: a row for each.

use std::fmt;
use std::time::Duration;

use super::derive::limits;
use super::{Quantity, Row};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The most bytes: the largest integer of TOML.
const MAX_BYTES: u64 = i64::MAX.unsigned_abs();

/// The least time that anything takes. The most is a year: it can be added to any instant.
const SOME_TIME: Duration = Duration::from_micros(1);
const MAX_TIME: Duration = Duration::from_hours(365 * 24);

/// The most calls in flight, and calls waiting.
const MAX_CALLS: usize = 1_000_000;

/// The most of what a call may have that is counted one by one: lines that it logs, requests that it sends.
const MAX_OF_A_CALL: u32 = 1_000_000;

/// The greatest value of `tables`: the elements that a slot of the sandbox has room for. The pool commits what a
/// table uses, not this number.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;

// The type says the unit: `Duration` is time, `u64` bytes, `u32` and `usize` a count (`Quantity` in `row.rs`).
limits! {
    Cpu cpu: Duration {
        name: "cpu",
        default: Duration::from_millis(50),
        least: SOME_TIME,
        most: MAX_TIME,
        key: "CPU time of one call, until the head of its answer; a call beyond it is answered 504.",
        of: "CPU time of one call by the clock of the thread that runs it, host calls included, until its \
             answer's head; of a streamed answer as much again for each second, and for each stretch in which it \
             waits for nothing",
        over: "the call is stopped; a stream that is ahead waits, and is cut if it does not wait itself",
        answer: "504 `cpu`",
        held_in: "cpu/task.rs",
        broken_by: &[
            "limits::a_call_that_computes_past_its_cpu_is_stopped",
            "limits::a_loop_before_or_after_the_call_itself_is_stopped_too",
            "streaming::a_stream_has_its_cpu_anew_each_second",
        ],
    }

    Wall wall: Duration {
        name: "wall",
        default: Duration::from_secs(30),
        least: SOME_TIME,
        most: MAX_TIME,
        key: "Time of one call from its admission to the head of its answer, waiting in queues included, \
              waiting for the client not; a call beyond it is answered 504.",
        of: "time from admission to the answer's head, waiting in queues included, waiting for the client not",
        over: "the instance is dropped; who waits in a queue is turned away",
        answer: "504 `wall`; in a queue 503 `queue`, `retry-after`",
        held_in: "sandbox/run.rs",
        broken_by: &[
            "limits::a_call_that_sleeps_past_its_wall_is_stopped",
            "limits::waiting_in_a_queue_counts_into_wall",
        ],
    }

    Stream stream: Duration {
        name: "stream",
        default: Duration::from_secs(5 * 60),
        least: SOME_TIME,
        most: MAX_TIME,
        key: "Life of a streamed body after the head; what is not sent by then is cut.",
        of: "life of a streamed body after the head, and of its guest",
        over: "the body is cut",
        answer: "a body that breaks off",
        held_in: "sandbox/streaming.rs",
        broken_by: &["streaming::a_stream_ends_when_its_time_is_over"],
    }

    Memory memory: u64 {
        name: "memory",
        default: 128 * MIB,
        // The least is a page of linear memory. The most is all that 32 bits address.
        least: 64 * KIB,
        most: 4096 * MIB,
        key: "Linear memory of one instance, `\"64KiB\"` to `\"4GiB\"`. It cannot grow beyond this.",
        of: "linear memory of one instance, all its memories together; 64KiB to 4GiB",
        over: "a component that begins above it is not published; a growth is refused to the guest, which may go on",
        answer: "500 `plugin-failed` if it traps",
        held_in: "sandbox/memory.rs",
        broken_by: &[
            "limits::memory_beyond_the_limit_is_refused_to_the_guest_which_may_go_on",
            "limits::several_memories_share_one_limit",
            "limits::a_component_that_begins_above_a_limit_is_refused_and_told_the_least_that_would_do",
        ],
    }

    RequestBody request_body: u64 {
        name: "request-body",
        default: MIB,
        least: 0,
        most: MAX_BYTES,
        key: "Size of a request's body; a longer one is answered 413. `\"0B\"` takes none.",
        of: "bytes of a request's body, whole or streamed",
        over: "a plugin that takes whole bodies is not called; one that streams is told, and cut after the head",
        answer: "413 `request-body`",
        held_in: "request/upload.rs",
        broken_by: &[
            "limits::a_request_body_over_its_limit_is_answered_413",
            "streaming::an_upload_that_is_too_large_is_413_before_the_head_and_breaks_the_answer_after_it",
        ],
    }

    ResponseBody response_body: u64 {
        name: "response-body",
        default: 16 * MIB,
        least: 0,
        most: MAX_BYTES,
        key: "Size of an answer's body. A longer buffered one becomes 502, and has `\"16MiB\"` if this is \
              left out; a longer streamed one is cut, and has no bound if this is left out.",
        of: "bytes of an answer's body; of a streamed one only if the limit, or a ceiling of it, is set",
        over: "the answer is refused; a streamed body is cut",
        answer: "502 `response-body`",
        held_in: "request/message.rs",
        broken_by: &[
            "limits::an_answer_over_its_limit_is_answered_502",
            "streaming::a_streams_length_is_limited_only_if_the_site_says_so",
        ],
    }

    Outbound outbound: u32 {
        name: "outbound",
        default: 16,
        least: 0,
        most: MAX_OF_A_CALL,
        key: "Requests that one call may send to granted origins; one more is an error to the plugin.",
        of: "requests of one call to granted origins",
        over: "`connection-limit-reached` to the guest",
        answer: "",
        held_in: "capability/http/budget.rs",
        broken_by: &["outbound::asking::one_call_asks_so_many_times_and_no_more"],
    }

    OutboundBytes outbound_bytes: u64 {
        name: "outbound-bytes",
        default: 256 * MIB,
        least: 0,
        most: MAX_BYTES,
        key: "Size of the bodies of those requests and of their answers, all together; more is an error to \
              the plugin.",
        of: "bytes of the bodies of those requests and of their answers, both ways together",
        over: "an error to the guest in the middle of the body",
        answer: "",
        held_in: "capability/http/budget.rs",
        broken_by: &["outbound::asking::one_call_sends_and_receives_so_many_bytes_and_no_more"],
    }

    Handles handles: usize {
        name: "handles",
        default: 4096,
        // A small guest needs 16; 65536 may still be refused before they have taken long to hand out.
        least: 16,
        most: 65_536,
        key: "Handles and host resources that one call may hold at once; one more traps.",
        of: "handles of one instance, and resources of the host behind them, at once: a pollable of a clock is two; \
             a list of handles that is passed counts while it is looked at. 16 to 65536",
        over: "the call is ended by a trap",
        answer: "500 `plugin-failed`",
        held_in: "sandbox/state.rs",
        broken_by: &[
            "bounds::a_call_holds_so_many_handles_at_once_and_no_more",
            "bounds::a_call_sleeps_on_no_more_than_it_may_hold_and_a_list_of_handles_counts_as_it_is_long",
        ],
    }

    Tables tables: usize {
        name: "tables",
        default: MAX_TABLE_ELEMENTS,
        least: 0,
        most: MAX_TABLE_ELEMENTS,
        key: "Elements of the tables of one instance, all its tables together. They cannot grow beyond this.",
        of: "elements of the tables of one instance, all its tables together",
        over: "a component that begins above it is not published; a growth is refused to the guest, which may go on",
        answer: "500 `plugin-failed` if it traps",
        held_in: "sandbox/memory.rs",
        broken_by: &[
            "bounds::several_tables_share_one_limit_and_a_growth_beyond_it_is_refused_to_the_guest",
            "bounds::a_plugin_that_traps_for_want_of_table_elements_is_told_so_in_the_log",
            "limits::a_component_that_begins_above_a_limit_is_refused_and_told_the_least_that_would_do",
        ],
    }

    Fields fields: u64 {
        name: "fields",
        // The largest head of a request and the largest head of an answer, each copied whole, take 146 KiB.
        default: 256 * KIB,
        least: 0,
        most: MAX_BYTES,
        key: "Size of the header fields that one call has the host build through `wasi:http/types`: names, \
              values and 72 bytes for each, of copies too, kept or not. More traps.",
        of: "bytes of header fields that one call has the host build through `wasi:http/types`, kept or not: names, \
             values, and for each field what a map takes for it; copies; methods, paths and authorities of requests",
        over: "the call is ended by a trap",
        answer: "500 `plugin-failed`",
        held_in: "sandbox/imports/fields.rs",
        broken_by: &[
            "bounds::header_fields_are_counted_over_the_whole_call_kept_or_not",
            "bounds::the_method_of_a_request_counts_as_header_fields_do",
            "bounds::a_head_of_the_largest_size_may_be_copied_three_times_by_default",
        ],
    }

    Random random: u64 {
        name: "random",
        default: 64 * KIB,
        least: 0,
        most: MAX_BYTES,
        key: "Random bytes that one call is given, all of them together; more traps.",
        of: "random bytes that one call is given, by whichever function of `wasi:random`",
        over: "the call is ended by a trap",
        answer: "500 `plugin-failed`",
        held_in: "sandbox/imports/random.rs",
        broken_by: &[
            "bounds::random_bytes_are_counted_over_the_whole_call_whichever_function_gives_them",
        ],
    }

    Files files: u32 {
        name: "files",
        default: 16,
        least: 0,
        most: MAX_OF_A_CALL,
        key: "Files and folders of its mounts that one call holds open at once.",
        of: "files and folders of its mounts that one call holds open at once",
        over: "`quota` to the guest",
        answer: "",
        held_in: "capability/files/share.rs",
        broken_by: &["mounts::a_call_holds_so_many_files_open_at_once_and_no_more"],
    }

    Concurrency concurrency: usize {
        name: "concurrency",
        default: 64,
        least: 1,
        most: MAX_CALLS,
        key: "Calls of the plugin in flight.",
        of: "calls of the plugin in flight; beyond them one of it as a filter on a streamed answer",
        over: "waits in the plugin's queue",
        answer: "",
        held_in: "tenant/gate.rs",
        broken_by: &[
            "limits::a_plugin_at_its_concurrency_has_callers_wait_and_turns_away_who_finds_the_queue_full",
            "streaming::streams_whose_plugins_filter_each_other_do_not_wait_for_each_other",
        ],
    }

    Queue queue: usize {
        name: "queue",
        default: 256,
        least: 0,
        most: MAX_CALLS,
        key: "Calls that wait for one of those to end. One more is answered 503.",
        of: "calls waiting for the plugin",
        over: "turned away",
        answer: "503 `queue`, `retry-after`",
        held_in: "tenant/gate.rs",
        broken_by: &[
            "limits::a_plugin_at_its_concurrency_has_callers_wait_and_turns_away_who_finds_the_queue_full",
        ],
    }

    QueueWait queue_wait: Duration {
        name: "queue-wait",
        default: Duration::from_secs(1),
        least: Duration::ZERO,
        most: MAX_TIME,
        key: "How long each of them may wait before it is answered 503.",
        of: "time that each of them waits; a request waits in all its queues no longer than the longest of these",
        over: "turned away",
        answer: "503 `queue`, `retry-after`",
        held_in: "tenant/patience.rs",
        broken_by: &[
            "limits::nobody_waits_for_a_plugin_longer_than_queue_wait",
            "limits::a_request_that_has_waited_for_its_tenant_does_not_wait_as_long_again_for_its_plugin",
        ],
    }

    LogLines log_lines: u32 {
        name: "log-lines",
        default: 64,
        least: 0,
        most: MAX_OF_A_CALL,
        key: "Lines that one call may print or log. The rest is dropped and counted.",
        of: "lines that one call may print or log",
        over: "dropped, counted, and one line says how many",
        answer: "",
        held_in: "capability/log.rs",
        broken_by: &["limits::what_a_call_logs_beyond_its_limits_is_dropped_and_counted"],
    }

    LogBytes log_bytes: u64 {
        name: "log-bytes",
        default: 64 * KIB,
        least: 0,
        most: MAX_BYTES,
        key: "Bytes that one call may print or log. The rest is dropped and counted.",
        of: "bytes of those lines, and of the names that a guest gives to their sources",
        over: "dropped, counted, and one line says how many",
        answer: "",
        held_in: "capability/log.rs",
        broken_by: &[
            "limits::what_a_call_logs_beyond_its_limits_is_dropped_and_counted",
            "limits::the_name_a_guest_gives_to_its_log_lines_counts_as_logged_too",
        ],
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

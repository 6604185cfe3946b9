//! Limits that somebody may change: of a plugin, of a tenant, of the host.

use super::{Amount, Row, Section};
use crate::config::DEFAULT_CONCURRENCY;
use crate::tenant::{Limits, Quota, Storage};

pub(super) fn sections() -> Vec<Section> {
    vec![
        Section {
            title: "Of a plugin",
            about: "\
Under `limits` of a plugin. The same names are ceilings under `[host.limits]` and, for one tenant, under
`quota.limits`: a plugin's limit above one is refused with the site, and a default above one is lowered to it. None is
set, but `memory` of the host, which sizes the sandbox's slots and is 1GiB. A changed limit makes a new revision of the
same compiled code; calls under way keep theirs.",
            most: "default",
            rows: of_a_plugin(),
        },
        Section {
            title: "Of a tenant",
            about: "\
Under `[tenants.NAME.quota]`: the operator's. A change holds at once, for calls under way too, and makes no revision.",
            most: "default",
            rows: of_a_tenant(),
        },
        Section {
            title: "Of the host",
            about: "Under `[host]`: fixed at start.",
            most: "default",
            rows: of_the_host(),
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a row a limit")]
fn of_a_plugin() -> Vec<Row> {
    // Without a rest, so that one more does not compile until it has its row.
    let Limits {
        cpu,
        wall,
        stream,
        memory,
        request_body,
        response_body,
        streamed_response_body,
        outbound,
        outbound_bytes,
        handles,
        tables,
        fields,
        random,
        concurrency,
        queue,
        queue_wait,
        log_lines,
        log_bytes,
    } = Limits::default();
    let streamed = streamed_response_body.map_or("none".to_owned(), |bytes| Amount::Bytes(bytes).to_string());
    vec![
        Row {
            name: "`cpu`",
            of: "CPU time of one call by the clock of the thread that runs it, host calls included, until its \
                 answer's head; of a streamed answer as much again for each second, and for each stretch in which it \
                 waits for nothing",
            most: Amount::Time(cpu),
            over: "the call is stopped; a stream that is ahead waits, and is cut if it does not wait itself",
            answer: "504 `cpu`",
            held_in: "cpu/task.rs",
            broken_by: &[
                "limits::a_call_that_computes_past_its_cpu_is_stopped",
                "limits::a_loop_before_or_after_the_call_itself_is_stopped_too",
                "streaming::a_stream_has_its_cpu_anew_each_second",
            ],
        },
        Row {
            name: "`wall`",
            of: "time from admission to the answer's head, waiting in queues included, waiting for the client not",
            most: Amount::Time(wall),
            over: "the instance is dropped; who waits in a queue is turned away",
            answer: "504 `wall`; in a queue 503 `queue`, `retry-after`",
            held_in: "sandbox/call.rs",
            broken_by: &[
                "limits::a_call_that_sleeps_past_its_wall_is_stopped",
                "limits::waiting_in_a_queue_counts_into_wall",
            ],
        },
        Row {
            name: "`stream`",
            of: "life of a streamed body after the head, and of its guest",
            most: Amount::Time(stream),
            over: "the body is cut",
            answer: "a body that breaks off",
            held_in: "sandbox/stream.rs",
            broken_by: &["streaming::a_stream_ends_when_its_time_is_over"],
        },
        Row {
            name: "`memory`",
            of: "linear memory of one instance, all its memories together; 64KiB to 4GiB",
            most: Amount::Bytes(memory),
            over: "a component that begins above it is not published; a growth is refused to the guest, which may go on",
            answer: "500 `plugin-failed` if it traps",
            held_in: "sandbox/state.rs",
            broken_by: &[
                "limits::memory_beyond_the_limit_is_refused_to_the_guest_which_may_go_on",
                "limits::several_memories_share_one_limit",
                "limits::a_component_that_begins_above_a_limit_is_refused_and_told_the_least_that_would_do",
            ],
        },
        Row {
            name: "`request-body`",
            of: "bytes of a request's body, whole or streamed",
            most: Amount::Bytes(request_body),
            over: "a plugin that takes whole bodies is not called; one that streams is told, and cut after the head",
            answer: "413 `request-body`",
            held_in: "request/upload.rs",
            broken_by: &[
                "limits::a_request_body_over_its_limit_is_answered_413",
                "streaming::an_upload_that_is_too_large_is_413_before_the_head_and_breaks_the_answer_after_it",
            ],
        },
        Row {
            name: "`response-body`",
            of: "bytes of an answer's body; of a streamed one only if the limit, or a ceiling of it, is set",
            most: Amount::Text(format!("{}; streamed: {streamed}", Amount::Bytes(response_body))),
            over: "the answer is refused; a streamed body is cut",
            answer: "502 `response-body`",
            held_in: "request/message.rs",
            broken_by: &[
                "limits::an_answer_over_its_limit_is_answered_502",
                "streaming::a_streams_length_is_limited_only_if_the_site_says_so",
            ],
        },
        Row {
            name: "`outbound`",
            of: "requests of one call to granted origins",
            most: Amount::count(outbound),
            over: "`connection-limit-reached` to the guest",
            answer: "",
            held_in: "capability/http/budget.rs",
            broken_by: &["outbound::asking::one_call_asks_so_many_times_and_no_more"],
        },
        Row {
            name: "`outbound-bytes`",
            of: "bytes of the bodies of those requests and of their answers, both ways together",
            most: Amount::Bytes(outbound_bytes),
            over: "an error to the guest in the middle of the body",
            answer: "",
            held_in: "capability/http/budget.rs",
            broken_by: &["outbound::asking::one_call_sends_and_receives_so_many_bytes_and_no_more"],
        },
        Row {
            name: "`handles`",
            of: "handles of one instance, and resources of the host behind them, at once: a pollable of a clock is two; \
                 a list of handles that is passed counts while it is looked at. 16 to 65536",
            most: Amount::count(handles),
            over: "the call is ended by a trap",
            answer: "500 `plugin-failed`",
            held_in: "sandbox/call.rs",
            broken_by: &[
                "bounds::a_call_holds_so_many_handles_at_once_and_no_more",
                "bounds::a_call_sleeps_on_no_more_than_it_may_hold_and_a_list_of_handles_counts_as_it_is_long",
            ],
        },
        Row {
            name: "`tables`",
            of: "elements of the tables of one instance, all its tables together",
            most: Amount::count(tables),
            over: "a component that begins above it is not published; a growth is refused to the guest, which may go on",
            answer: "500 `plugin-failed` if it traps",
            held_in: "sandbox/totals.rs",
            broken_by: &[
                "bounds::several_tables_share_one_limit_and_a_growth_beyond_it_is_refused_to_the_guest",
                "bounds::a_plugin_that_traps_for_want_of_table_elements_is_told_so_in_the_log",
                "limits::a_component_that_begins_above_a_limit_is_refused_and_told_the_least_that_would_do",
            ],
        },
        Row {
            name: "`fields`",
            of: "bytes of header fields that one call has the host build through `wasi:http/types`, kept or not: names, \
                 values, and for each field what a map takes for it; copies; methods, paths and authorities of requests",
            most: Amount::Bytes(fields),
            over: "the call is ended by a trap",
            answer: "500 `plugin-failed`",
            held_in: "sandbox/imports/fields.rs",
            broken_by: &[
                "bounds::header_fields_are_counted_over_the_whole_call_kept_or_not",
                "bounds::the_method_of_a_request_counts_as_header_fields_do",
                "bounds::a_head_of_the_largest_size_may_be_copied_three_times_by_default",
            ],
        },
        Row {
            name: "`random`",
            of: "random bytes that one call is given, by whichever function of `wasi:random`",
            most: Amount::Bytes(random),
            over: "the call is ended by a trap",
            answer: "500 `plugin-failed`",
            held_in: "sandbox/imports/random.rs",
            broken_by: &[
                "bounds::random_bytes_are_counted_over_the_whole_call_whichever_function_gives_them",
            ],
        },
        Row {
            name: "`concurrency`",
            of: "calls of the plugin in flight; beyond them one of it as a filter on a streamed answer",
            most: Amount::count(concurrency),
            over: "waits in the plugin's queue",
            answer: "",
            held_in: "tenant/gate.rs",
            broken_by: &[
                "limits::a_plugin_at_its_concurrency_has_callers_wait_and_turns_away_who_finds_the_queue_full",
                "streaming::streams_whose_plugins_filter_each_other_do_not_wait_for_each_other",
            ],
        },
        Row {
            name: "`queue`",
            of: "calls waiting for the plugin",
            most: Amount::count(queue),
            over: "turned away",
            answer: "503 `queue`, `retry-after`",
            held_in: "tenant/gate.rs",
            broken_by: &[
                "limits::a_plugin_at_its_concurrency_has_callers_wait_and_turns_away_who_finds_the_queue_full",
            ],
        },
        Row {
            name: "`queue-wait`",
            of: "time that each of them waits; a request waits in all its queues no longer than the longest of these",
            most: Amount::Time(queue_wait),
            over: "turned away",
            answer: "503 `queue`, `retry-after`",
            held_in: "tenant/patience.rs",
            broken_by: &[
                "limits::nobody_waits_for_a_plugin_longer_than_queue_wait",
                "limits::a_request_that_has_waited_for_its_tenant_does_not_wait_as_long_again_for_its_plugin",
            ],
        },
        Row {
            name: "`log-lines`",
            of: "lines that one call may print or log",
            most: Amount::count(log_lines),
            over: "dropped, counted, and one line says how many",
            answer: "",
            held_in: "capability/log.rs",
            broken_by: &["limits::what_a_call_logs_beyond_its_limits_is_dropped_and_counted"],
        },
        Row {
            name: "`log-bytes`",
            of: "bytes of those lines, and of the names that a guest gives to their sources",
            most: Amount::Bytes(log_bytes),
            over: "dropped, counted, and one line says how many",
            answer: "",
            held_in: "capability/log.rs",
            broken_by: &[
                "limits::what_a_call_logs_beyond_its_limits_is_dropped_and_counted",
                "limits::the_name_a_guest_gives_to_its_log_lines_counts_as_logged_too",
            ],
        },
    ]
}

fn of_a_tenant() -> Vec<Row> {
    // As above.
    let Quota { concurrency, queue, queue_wait, cpu, weight, storage: Storage { bytes, keys } } =
        Quota::default();
    vec![
        Row {
            name: "`concurrency`",
            of: "requests of the tenant in flight, each until the last byte of its answer is written",
            most: Amount::count(concurrency),
            over: "waits in the tenant's queue",
            answer: "",
            held_in: "tenant/gate.rs",
            broken_by: &[
                "limits::a_tenants_quota_counts_all_its_plugins_together_and_nobody_elses",
                "swap::a_quota_changes_in_place_and_holds_for_who_comes_next",
            ],
        },
        Row {
            name: "`queue`",
            of: "requests waiting for the tenant",
            most: Amount::count(queue),
            over: "turned away",
            answer: "503 `queue`, `retry-after`",
            held_in: "tenant/gate.rs",
            broken_by: &["limits::a_tenants_quota_counts_all_its_plugins_together_and_nobody_elses"],
        },
        Row {
            name: "`queue-wait`",
            of: "time that each of them waits; a request waits in all its queues no longer than the longest of these",
            most: Amount::Time(queue_wait),
            over: "turned away",
            answer: "503 `queue`, `retry-after`",
            held_in: "tenant/patience.rs",
            broken_by: &["limits::a_tenants_quota_counts_all_its_plugins_together_and_nobody_elses"],
        },
        Row {
            name: "`cpu`",
            of: "CPU time of the tenant a second: a bucket of one second, which a call may overdraw",
            most: cpu.map_or(Amount::Text("none".into()), Amount::Time),
            over: "turned away until it is paid back; streams wait",
            answer: "503 `quota-cpu`, `retry-after`",
            held_in: "cpu/account.rs",
            broken_by: &[
                "fairness::a_tenant_over_its_quota_of_cpu_is_told_when_to_come_back_and_its_neighbour_is_served",
                "fairness::a_stream_cannot_go_round_its_tenants_quota_of_cpu",
            ],
        },
        Row {
            name: "`weight`",
            of: "share of the CPU and of the host's slots when they are short",
            most: Amount::count(weight.get()),
            over: "waits its turn",
            answer: "",
            held_in: "cpu/queue.rs",
            broken_by: &[
                "fairness::weights_share_the_cpu_and_change_in_place",
                "fairness::when_slots_are_short_the_tenant_with_the_fewest_goes_next",
            ],
        },
        Row {
            name: "`storage.bytes`",
            of: "keys and values in the store, of all the tenant's plugins",
            most: Amount::Bytes(bytes),
            over: "the write is refused to the guest",
            answer: "",
            held_in: "store/quota.rs",
            broken_by: &[
                "limits::a_tenants_storage_quota_is_an_error_to_the_guest_and_holds_for_all_its_plugins",
            ],
        },
        Row {
            name: "`storage.keys`",
            of: "number of those keys",
            most: Amount::count(keys),
            over: "the write is refused to the guest",
            answer: "",
            held_in: "store/quota.rs",
            broken_by: &[
                "limits::a_tenants_storage_quota_is_an_error_to_the_guest_and_holds_for_all_its_plugins",
            ],
        },
    ]
}

fn of_the_host() -> Vec<Row> {
    vec![Row {
        name: "`concurrency`",
        of: "calls in flight of all tenants: the slots of the sandbox",
        most: Amount::count(DEFAULT_CONCURRENCY),
        over: "waits, by its tenant's weight, a second at most",
        answer: "503 `queue`, `retry-after`",
        held_in: "tenant/slots.rs",
        broken_by: &["limits::at_the_hosts_concurrency_the_host_is_to_blame"],
    }]
}

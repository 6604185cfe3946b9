//! Fixed bounds: of components, of one host call, of messages, of capabilities.

use super::row::{Amount, Row, Section};
use crate::capability::{MAX_LINE_BYTES, files, http, limiter};
use crate::config::{MAX_CONFIG_BYTES, written_size};
use crate::limits::MAX_TABLE_ELEMENTS;
use crate::listen::bounds as listen;
use crate::request::bounds as request;
use crate::sandbox::bounds as sandbox;
use crate::store;

pub(super) fn sections() -> Vec<Section> {
    vec![
        Section {
            title: "Of a component",
            about: "What a slot of the sandbox has room for. More is refused when the component is loaded.",
            most: "most",
            rows: of_a_component(),
        },
        Section {
            title: "Of instances that are put back",
            about: "\
Beyond these an instance of a fresh plugin is made anew for each call, which costs more, and nothing fails
([plugins.md](plugins.md#fresh-instances)).",
            most: "most",
            rows: of_restored_instances(),
        },
        Section {
            title: "Of one host call",
            about: "\
What passes between a guest and the host has no total over a call of its own, for none is needed: what a guest passes in
is the host's memory only while that host call lasts, unless it is kept, and everything that can be kept has a limit
(`fields`, `handles`, `storage`, `log-bytes`, `outbound-bytes`, and those below); what it is passed is in its own
`memory`; and the copying is its own `cpu`, as is a flood of host calls. What one host call copies at once has a most,
because it is not interrupted.",
            most: "most",
            rows: of_a_host_call(),
        },
        Section {
            title: "Of messages",
            about: "Checked before a plugin sees a request, and before a client sees an answer.",
            most: "most",
            rows: of_messages(),
        },
        Section {
            title: "Of what plugins are granted",
            about: "Beside the tenant's quota and the plugin's limits.",
            most: "most",
            rows: of_grants(),
        },
    ]
}

fn of_a_component() -> Vec<Row> {
    const REFUSED: &str = "the site is refused";
    const TEST: &[&str] = &[
        "sandbox::a_component_that_wants_more_memories_tables_or_instances_than_a_slot_has_is_refused_at_load",
    ];
    let row = |name, of, most| Row {
        name,
        of,
        most,
        over: REFUSED,
        answer: "",
        held_in: "sandbox/pool.rs",
        broken_by: TEST,
    };
    vec![
        row(
            "core instances",
            "core modules that are instantiated in it",
            Amount::count(sandbox::CORE_INSTANCES_PER_COMPONENT),
        ),
        row(
            "memories",
            "linear memories, one of each core module at most",
            Amount::count(sandbox::MEMORIES_PER_COMPONENT),
        ),
        row(
            "tables",
            "tables, one of each core module at most",
            Amount::count(sandbox::TABLES_PER_COMPONENT),
        ),
        row(
            "table elements",
            "elements that one table begins with; what it grows to is `tables`",
            Amount::count(MAX_TABLE_ELEMENTS),
        ),
        Row {
            name: "stack",
            of: "stack of the guest's own functions; as deep as they call one another",
            most: Amount::bytes(sandbox::WASM_STACK_BYTES),
            over: "the call is ended by a trap",
            answer: "500 `plugin-failed`",
            held_in: "sandbox/configuration.rs",
            broken_by: &["sandbox::a_plugin_that_fails_is_answered_500_and_its_reason_is_in_the_log_alone"],
        },
    ]
}

fn of_restored_instances() -> Vec<Row> {
    const IMAGES: &[&str] =
        &["sandbox::restore::image::images_have_a_bound_each_and_together_and_give_their_room_back"];
    let row = |name, of, most, held_in, broken_by| Row {
        name,
        of,
        most,
        over: "the instance is made anew",
        answer: "",
        held_in,
        broken_by,
    };
    vec![
        row(
            "restored memory",
            "memory of an instance that is put back, with the room to grow in",
            Amount::Bytes(sandbox::RESTORED_MEMORY_BYTES),
            "sandbox/pool.rs",
            &["sandbox::restore::tests::a_large_memory_is_put_back_and_one_that_is_too_large_is_not"],
        ),
        row(
            "image",
            "bytes that the host keeps of what the memory of one component begins with",
            Amount::bytes(sandbox::MAX_IMAGE_BYTES),
            "sandbox/restore/image.rs",
            IMAGES,
        ),
        row(
            "images",
            "those of all components together",
            Amount::bytes(sandbox::MAX_IMAGES_BYTES),
            "sandbox/restore/image.rs",
            IMAGES,
        ),
    ]
}

fn of_a_host_call() -> Vec<Row> {
    let pieces = format!(
        "2 × {}; of bodies begun after {} calls of `wasi:http/types`, 2 × {}",
        written_size(wide(sandbox::PIECE_BYTES)),
        sandbox::CALLS_AT_EASE,
        written_size(wide(sandbox::PIECE_BYTES_LATER)),
    );
    vec![
        Row {
            name: "bytes passed",
            of: "what a guest passes in one host call, or returns, in the host's own types",
            most: Amount::Text(format!("`response-body` + {}", written_size(sandbox::MESSAGE_BYTES))),
            over: "the call is ended by a trap",
            answer: "502 `response-body`",
            held_in: "sandbox/state.rs",
            broken_by: &[
                "sandbox::a_small_guest_cannot_have_the_host_build_something_large",
                "limits::an_answer_over_its_limit_is_answered_502",
            ],
        },
        Row {
            name: "random bytes at once",
            of: "what one call of `wasi:random` gives, whatever `random` allows",
            most: Amount::Bytes(sandbox::RANDOM_BYTES_AT_ONCE),
            over: "the call is ended by a trap",
            answer: "500 `plugin-failed`",
            held_in: "sandbox/wasi.rs",
            broken_by: &["bounds::no_call_of_random_gives_more_than_64_kib_whatever_a_call_may_have_in_all"],
        },
        Row {
            name: "cost of a field",
            of: "what each header field counts into `fields`, beside its name and value",
            most: Amount::Bytes(sandbox::FIELD_BYTES),
            over: "as `fields`",
            answer: "500 `plugin-failed`",
            held_in: "sandbox/imports/fields.rs",
            broken_by: &["bounds::header_fields_are_counted_over_the_whole_call_kept_or_not"],
        },
        Row {
            name: "body ahead",
            of: "what a guest has written of one streamed body and nobody has taken",
            most: Amount::Text(pieces),
            over: "the guest waits",
            answer: "",
            held_in: "sandbox/http.rs",
            broken_by: &["streaming::a_slow_reader_holds_the_plugin_back"],
        },
        Row {
            name: "line",
            of: "what a guest prints without a line break",
            most: Amount::bytes(MAX_LINE_BYTES),
            over: "is several lines",
            answer: "",
            held_in: "capability/log.rs",
            broken_by: &["bounds::a_line_longer_than_4_kib_is_several_lines"],
        },
    ]
}

fn of_messages() -> Vec<Row> {
    vec![
        Row {
            name: "request head",
            of: "bytes of a request's line and fields",
            most: Amount::bytes(listen::MAX_HEAD_BYTES),
            over: "refused",
            answer: "431 `headers`",
            held_in: "listen/http/connection.rs",
            broken_by: &["gate::what_cannot_be_read_at_all_is_refused_like_the_rest_and_ends_its_connection"],
        },
        Row {
            name: "request fields",
            of: "fields of a request",
            most: Amount::count(listen::MAX_HEAD_FIELDS),
            over: "refused",
            answer: "431 `headers`",
            held_in: "listen/http/connection.rs",
            broken_by: &["gate::what_cannot_be_read_at_all_is_refused_like_the_rest_and_ends_its_connection"],
        },
        Row {
            name: "target",
            of: "bytes of a request's target",
            most: Amount::bytes(listen::MAX_TARGET_BYTES),
            over: "refused",
            answer: "414 `target-length`",
            held_in: "listen/http/gate.rs",
            broken_by: &["gate::what_is_not_clear_http_is_refused_with_a_problem_and_a_log_line"],
        },
        Row {
            name: "drained bytes",
            of: "bytes of a request's body that nobody reads and that are taken all the same, so that its HTTP/1 connection is kept",
            most: Amount::Text(format!("{} KiB", listen::MAX_DRAINED_BYTES >> 10)),
            over: "the answer says `connection: close`, and the connection is closed in two steps",
            answer: "",
            held_in: "listen/http/request_body.rs",
            broken_by: &["early::a_client_that_keeps_its_connection_loses_no_request_behind_an_early_answer"],
        },
        Row {
            name: "control frames",
            of: "frames of an HTTP/2 client beside requests and their bodies: PING, SETTINGS, RST_STREAM, WINDOW_UPDATE and the like; four more are allowed for each frame of data that it is sent, two for each answer",
            most: Amount::Text(format!(
                "{}, and {} a second",
                listen::MAX_CONTROL_FRAMES,
                listen::CONTROL_FRAMES_PER_SECOND
            )),
            over: "the connection is closed, for `flood`",
            answer: "",
            held_in: "listen/http/http2.rs",
            broken_by: &[
                "conformance::floods::a_flood_of_frames_ends_its_connection_and_nobody_else_notices",
            ],
        },
        Row {
            name: "answer fields",
            of: "header fields of an answer, its trailers, or of a request as filters changed it",
            most: Amount::count(request::MAX_FIELDS),
            over: "refused",
            answer: "502 `plugin-answer`",
            held_in: "request/fields.rs",
            broken_by: &[
                "sandbox::an_answer_that_is_none_is_answered_502",
                "wasi_http::an_answers_fields_are_bounded",
            ],
        },
        Row {
            name: "answer field bytes",
            of: "bytes of their names and values",
            most: Amount::bytes(request::MAX_FIELD_BYTES),
            over: "refused",
            answer: "502 `plugin-answer`",
            held_in: "request/fields.rs",
            broken_by: &["wasi_http::an_answers_fields_are_bounded"],
        },
        Row {
            name: "least compressed",
            of: "bytes of an answer that is compressed, if its length is known",
            most: Amount::Bytes(request::LEAST_COMPRESSED_BYTES),
            over: "a smaller one is sent as it is",
            answer: "",
            held_in: "request/negotiation.rs",
            broken_by: &["compression::what_must_not_be_compressed_is_sent_as_the_plugin_gave_it"],
        },
        Row {
            name: "encoder",
            of: "memory of the encoder of one answer, until the answer's last byte is taken: it has a window of 256 KiB at most",
            most: Amount::Bytes(request::ENCODER_BYTES),
            over: "no more of the body is taken",
            answer: "",
            held_in: "request/encoder/codec.rs",
            broken_by: &["request::an_encoder_has_no_more_memory_than_is_said"],
        },
        Row {
            name: "header changes",
            of: "changes that one filter asks for at once",
            most: Amount::count(request::MAX_CHANGES),
            over: "refused",
            answer: "502 `plugin-answer`",
            held_in: "request/fields.rs",
            broken_by: &["limits::a_filters_changes_are_bounded_like_a_messages_fields"],
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a row a bound")]
fn of_grants() -> Vec<Row> {
    const STORE: &[&str] = &["bounds::what_passes_between_a_plugin_and_its_store_is_bounded"];
    let kept = |name, of, most| Row {
        name,
        of,
        most,
        over: "an error to the guest",
        answer: "",
        held_in: "store/keyvalue.rs",
        broken_by: STORE,
    };
    let limiter = |name, of, most, over, broken_by| Row {
        name,
        of,
        most,
        over,
        answer: "",
        held_in: "capability/limiter.rs",
        broken_by,
    };
    let outbound = |name, of, most, over, broken_by| Row {
        name,
        of,
        most,
        over,
        answer: "",
        held_in: "capability/http/outbound.rs",
        broken_by,
    };
    vec![
        kept("key", "bytes of a key in the store", Amount::bytes(store::MAX_KEY_BYTES)),
        kept("value", "bytes of a value in the store", Amount::bytes(store::MAX_VALUE_BYTES)),
        kept("batch", "keys of one call of `wasi:keyvalue/batch`", Amount::count(store::MAX_BATCH_ENTRIES)),
        kept("batch bytes", "bytes of their keys and values", Amount::bytes(store::MAX_BATCH_BYTES)),
        Row {
            name: "page",
            of: "keys that one call of `list-keys` gives",
            most: Amount::count(store::MAX_PAGE_KEYS),
            over: "a cursor leads to the rest",
            answer: "",
            held_in: "store/keyvalue.rs",
            broken_by: &["capabilities::a_list_longer_than_a_page_is_read_to_its_end_by_either_cursor"],
        },
        Row {
            name: "recent entries",
            of: "bytes of all tenants' entries that the store keeps in memory, so that who reads them again does not \
                 wait: keys, values up to 64 KiB, and 256 bytes for each",
            most: Amount::bytes(store::MAX_RECENT_BYTES),
            over: "the least used of the tenant that has the most are forgotten",
            answer: "",
            held_in: "store/recent.rs",
            broken_by: &["store::what_is_kept_has_a_most_however_much_is_read"],
        },
        Row {
            name: "held values",
            of: "bytes of keys and values behind the `cas` handles of one call",
            most: Amount::bytes(store::MAX_BATCH_BYTES),
            over: "an error to the guest",
            answer: "",
            held_in: "sandbox/imports/keyvalue.rs",
            broken_by: &["sandbox::what_a_guest_has_the_host_keep_of_the_store_is_bounded"],
        },
        Row {
            name: "file operations",
            of: "lookups and reads of one tenant that wait for a file system",
            most: Amount::count(files::MAX_BLOCKED),
            over: "the guest waits",
            answer: "",
            held_in: "capability/files/share.rs",
            broken_by: &["capability::a_file_system_that_does_not_answer_holds_up_its_own_tenant_alone"],
        },
        Row {
            name: "open files",
            of: "part of the files and folders that all guests hold open; these are a sixteenth of the process's \
                 descriptors",
            most: Amount::Text("a quarter".into()),
            over: "`quota` to the guest",
            answer: "",
            held_in: "capability/files/share.rs",
            broken_by: &["capability::open_files_are_bounded_for_a_tenant_and_for_all"],
        },
        limiter(
            "limiter key",
            "bytes of a key of the limiter",
            Amount::bytes(limiter::MAX_KEY_BYTES),
            "`key-too-long` to the guest",
            &["capabilities::the_limiter_refuses_what_makes_no_sense_by_name"],
        ),
        limiter(
            "limiter keys",
            "keys of one plugin's limiter",
            Amount::count(limiter::MAX_KEYS),
            "the least used are forgotten",
            &["capability::a_flood_of_keys_is_forgotten"],
        ),
        limiter(
            "limiter window",
            "a window of the limiter",
            Amount::Time(std::time::Duration::from_millis(limiter::MAX_WINDOW_MS.into())),
            "`invalid-window` to the guest",
            &["capabilities::the_limiter_refuses_what_makes_no_sense_by_name"],
        ),
        outbound(
            "outbound connections",
            "connections of one plugin to other servers that are in use",
            Amount::count(http::MAX_BUSY_CONNECTIONS),
            "`connection-limit-reached` to the guest, after a wait",
            &["capability::connections_in_use_have_a_most_and_come_back"],
        ),
        outbound(
            "outbound answer head",
            "bytes of the head of another server's answer",
            Amount::bytes(http::MAX_RESPONSE_HEAD_BYTES),
            "`HTTP-response-header-section-size` to the guest",
            &["capability::the_head_of_an_answer_has_a_most"],
        ),
        outbound(
            "outbound answer fields",
            "fields of it",
            Amount::count(http::MAX_RESPONSE_FIELDS),
            "`HTTP-response-header-section-size` to the guest",
            &["capability::the_head_of_an_answer_has_a_most"],
        ),
        Row {
            name: "configuration",
            of: "keys and values of a plugin's `config`, without what is secret",
            most: Amount::bytes(MAX_CONFIG_BYTES),
            over: "the site is refused",
            answer: "",
            held_in: "config/plugin.rs",
            broken_by: &["config::a_configuration_has_a_bound"],
        },
    ]
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

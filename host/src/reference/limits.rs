//! Limits that can be set: of a plugin, of a tenant, of the host.

use super::row::{Amount, Row, Section};
use crate::config::{DEFAULT_CONCURRENCY, written};
use crate::limits::{Limit, Limits};
use crate::tenant::{Quota, Storage};

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

fn of_a_plugin() -> Vec<Row> {
    let default = Limits::default();
    let rows = Limit::ALL.iter().map(|limit| {
        let row = limit.row();
        let most = written(row.unit, default.get(*limit));
        Row {
            name: row.name_as_code,
            of: row.of,
            most: Amount::Text(match limit {
                Limit::ResponseBody => format!("{most}; streamed: none"),
                _ => most,
            }),
            over: row.over,
            answer: row.answer,
            held_in: row.held_in,
            broken_by: row.broken_by,
        }
    });
    rows.collect()
}

fn of_a_tenant() -> Vec<Row> {
    // No `..` here, so that a further field does not compile until it has its row.
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

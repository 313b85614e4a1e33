//! The numbers at `/metrics`: one constant each, whose documentation is the metric's own description.
//!
//! Names are `tidegate_<noun>_<unit>[_total]`. Labels are few and their values come from the code, never from a
//! client, a table or a row.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// The label that says why: a resync's, refusal's or reset's reason as the protocol names it.
pub const REASON: &str = "reason";
/// The label for the path of an HTTP request, as routed: never the path that was asked for.
pub const ROUTE: &str = "route";
/// The label for the status of an HTTP response.
pub const STATUS: &str = "status";
/// The label for the transport of a connection: `websocket` or `sse`.
pub const TRANSPORT: &str = "transport";

macro_rules! catalogue {
    ($($(#[doc = $text:literal])+ $kind:ident $constant:ident = $name:literal, $unit:ident;)+) => {
        $($(#[doc = $text])+ pub const $constant: &str = $name;)+

        /// Gives the recorder in place every metric's unit and description.
        pub(super) fn describe() {
            $(catalogue!(@ $kind)($constant, Unit::$unit, concat!($($text),+).trim());)+
        }

        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($kind), $name)),+];
    };
    (@ counter) => { |name, unit, text: &'static str| describe_counter!(name, unit, text) };
    (@ gauge) => { |name, unit, text: &'static str| describe_gauge!(name, unit, text) };
    (@ histogram) => { |name, unit, text: &'static str| describe_histogram!(name, unit, text) };
}

catalogue! {
    /// Bytes of the replication stream that were received.
    counter SOURCE_BYTES = "tidegate_source_bytes_total", Bytes;
    /// Transactions that were received whole.
    counter SOURCE_TRANSACTIONS = "tidegate_source_transactions_total", Count;
    /// Row changes, truncates and events that were received.
    counter SOURCE_CHANGES = "tidegate_source_changes_total", Count;
    /// Events on a channel that were dropped because their body is not JSON or their channel no name.
    counter SOURCE_BAD_EVENTS = "tidegate_source_bad_events_total", Count;
    /// New incarnations of the journal, by `reason`: every subscriber was told to start over.
    counter SOURCE_RESETS = "tidegate_source_resets_total", Count;
    /// Replication connections that were opened.
    counter SOURCE_CONNECTIONS = "tidegate_source_connections_total", Count;
    /// 1 while this process holds the slot and streams, 0 otherwise.
    gauge SOURCE_STREAMING = "tidegate_source_streaming", Count;
    /// Write-ahead log between the server's end of it and what was confirmed to the slot: what PostgreSQL keeps for us.
    gauge SOURCE_CONFIRMED_LAG_BYTES = "tidegate_source_confirmed_lag_bytes", Bytes;

    /// Attempts of commands that were made again, since others changed the same rows.
    counter COMMAND_RETRIES = "tidegate_command_retries_total", Count;
    /// Reads that were answered from the cache.
    counter READ_HITS = "tidegate_read_hits_total", Count;
    /// Reads that PostgreSQL was asked for.
    counter READ_MISSES = "tidegate_read_misses_total", Count;
    /// What people looked at and searched for that was not written down.
    counter USER_ACTIONS_LOST = "tidegate_user_actions_lost_total", Count;
    /// Reads that a server was asked for which follows the primary.
    counter READ_REPLICA = "tidegate_read_replica_total", Count;

    /// Queries that asked PostgreSQL whether received transactions are visible yet.
    counter RELAY_VISIBILITY_QUERIES = "tidegate_relay_visibility_queries_total", Count;
    /// Time from the receipt of a transaction until PostgreSQL showed it.
    histogram RELAY_VISIBILITY_WAIT_SECONDS = "tidegate_relay_visibility_wait_seconds", Seconds;

    /// Size of the records that the journal holds.
    gauge JOURNAL_BYTES = "tidegate_journal_bytes", Bytes;
    /// Records that the journal holds.
    gauge JOURNAL_RECORDS = "tidegate_journal_records", Count;
    /// Age of the oldest record that the journal holds: for how long a client may be away and still resume.
    gauge JOURNAL_AGE_SECONDS = "tidegate_journal_age_seconds", Seconds;
    /// Records that were appended to the journal.
    counter JOURNAL_APPENDED = "tidegate_journal_appended_total", Count;
    /// Messages that were published to the stream.
    counter JOURNAL_MESSAGES = "tidegate_journal_messages_total", Count;
    /// Bytes of the messages that were published to the stream.
    counter JOURNAL_MESSAGE_BYTES = "tidegate_journal_message_bytes_total", Bytes;
    /// 1 while the broker takes no messages for want of disk or memory, 0 otherwise.
    gauge JOURNAL_BLOCKED = "tidegate_journal_blocked", Count;
    /// Readings of the stream for clients that were away for longer than the window is long.
    counter JOURNAL_CATCH_UPS = "tidegate_journal_catch_ups_total", Count;
    /// Times that this process lost its place in the stream, and its clients started over.
    counter JOURNAL_LOST_PLACES = "tidegate_journal_lost_places_total", Count;

    /// Rows and truncates that were sent to services.
    counter EXCHANGE_MESSAGES = "tidegate_exchange_messages_total", Count;
    /// Rows that were left out there, since their message would be larger than 16 MiB.
    counter EXCHANGE_TOO_LARGE = "tidegate_exchange_too_large_total", Count;
    /// Events of services that were appended to the journal.
    counter PUBLISH_EVENTS = "tidegate_publish_events_total", Count;
    /// Events of services that were sent again, and left out.
    counter PUBLISH_DUPLICATES = "tidegate_publish_duplicates_total", Count;
    /// What services have published and could not be read.
    counter PUBLISH_REJECTED = "tidegate_publish_rejected_total", Count;

    /// Shapes: sets of subscriptions with equal table, filter, columns and visibility.
    gauge HUB_SHAPES = "tidegate_hub_shapes", Count;
    /// Subscriptions that the hub delivers to.
    gauge HUB_READERS = "tidegate_hub_readers", Count;
    /// Changes that matched a shape.
    counter HUB_MATCHES = "tidegate_hub_matches_total", Count;
    /// Frames that were offered to an outbox.
    counter HUB_DELIVERIES = "tidegate_hub_deliveries_total", Count;
    /// Subscriptions that were told to start over, by `reason`.
    counter HUB_RESYNCS = "tidegate_hub_resyncs_total", Count;
    /// Transactions over `hub.transaction_bytes`, answered with a resync of the shapes that they touch.
    counter HUB_LARGE_TRANSACTIONS = "tidegate_hub_large_transactions_total", Count;
    /// Subscriptions that were resumed from a cursor without a snapshot.
    counter HUB_RESUMES = "tidegate_hub_resumes_total", Count;
    /// Size of what is kept of what clients that catch up are told, for others of the same shape.
    gauge HUB_MEMO_BYTES = "tidegate_hub_memo_bytes", Bytes;
    /// Filters that raised on a row and ended their subscription.
    counter HUB_FILTER_ERRORS = "tidegate_hub_filter_errors_total", Count;

    /// Client connections that are open, by `transport`.
    gauge SESSION_CONNECTIONS = "tidegate_session_connections", Count;
    /// Subscriptions on all connections.
    gauge SESSION_SUBSCRIPTIONS = "tidegate_session_subscriptions", Count;
    /// Frames that clients sent.
    counter SESSION_FRAMES_IN = "tidegate_session_frames_in_total", Count;
    /// Frames that were written to clients.
    counter SESSION_FRAMES_OUT = "tidegate_session_frames_out_total", Count;
    /// Bytes that were written to clients, before TLS.
    counter SESSION_BYTES_OUT = "tidegate_session_bytes_out_total", Bytes;
    /// Requests of clients that were answered with an error, by `reason`: the protocol's error code.
    counter SESSION_ERRORS = "tidegate_session_errors_total", Count;
    /// Connections that the server closed or did not take, by `reason`.
    counter SESSION_REFUSED = "tidegate_session_refused_total", Count;
    /// Readers whose outbox was full: conflated or told to start over.
    counter SESSION_SLOW_READERS = "tidegate_session_slow_readers_total", Count;

    /// Snapshots that are open: each holds back vacuum.
    gauge SNAPSHOT_OPEN = "tidegate_snapshot_open", Count;
    /// Requests for a snapshot that wait for one of `snapshot.concurrent` places.
    gauge SNAPSHOT_WAITING = "tidegate_snapshot_waiting", Count;
    /// Time from the start of a snapshot to its last row.
    histogram SNAPSHOT_SECONDS = "tidegate_snapshot_seconds", Seconds;
    /// Rows that snapshots have read.
    counter SNAPSHOT_ROWS = "tidegate_snapshot_rows_total", Count;
    /// Subscriptions that shared a snapshot already in flight instead of opening one.
    counter SNAPSHOT_SHARED = "tidegate_snapshot_shared_total", Count;
    /// Snapshots that ended without their last row.
    counter SNAPSHOT_FAILURES = "tidegate_snapshot_failures_total", Count;

    /// 1 while this process keeps the counters of measures, 0 otherwise.
    gauge KPI_KEEPER = "tidegate_kpi_keeper", Count;
    /// Transactions that have written counters of measures.
    counter KPI_WRITES = "tidegate_kpi_writes_total", Count;
    /// Time that one of them took.
    histogram KPI_WRITE_SECONDS = "tidegate_kpi_write_seconds", Seconds;
    /// How often all measures were counted anew from the tables.
    counter KPI_COUNTS = "tidegate_kpi_counts_total", Count;
    /// Counters that were not what the tables came to, when they were compared last.
    gauge KPI_DRIFT = "tidegate_kpi_drift", Count;

    /// Runs of jobs that have ended, by `job` and `status`: succeeded, failed or refused.
    counter JOB_RUNS = "tidegate_job_runs_total", Count;
    /// Time that a run took, by `job`.
    histogram JOB_SECONDS = "tidegate_job_seconds", Seconds;

    /// Tokens and sessions that were refused, by `reason`.
    counter AUTH_REFUSED = "tidegate_auth_refused_total", Count;
    /// Attempts to fetch the keys of tokens, by `reason`: `ok` or `failed`.
    counter AUTH_KEY_FETCHES = "tidegate_auth_key_fetches_total", Count;
    /// Calls of the function that is told who comes, by `reason`: `ok`, `refused` or `unavailable`.
    counter AUTH_PROFILE_CALLS = "tidegate_auth_profile_calls_total", Count;

    /// What clients were refused for asking too much in too short a time, by `reason`: connections, subscribes, frames,
    /// requests or bytes.
    counter LIMIT_DENIED = "tidegate_limit_denied_total", Count;
    /// Seconds in which limits were not shared with other processes, since Redis was away.
    counter LIMIT_UNSHARED = "tidegate_limit_unshared_total", Count;
    /// Clients that shared one bucket, since `limits.max_keys` others had one of their own.
    counter LIMIT_CROWDED = "tidegate_limit_crowded_total", Count;
    /// Events of the audit log that are in the log and not in its table, since its queue was full.
    counter AUDIT_LOST = "tidegate_audit_lost_total", Count;
    /// HTTP requests, by `route` and `status`.
    counter HTTP_REQUESTS = "tidegate_http_requests_total", Count;
    /// Connections to the HTTP listener that are open, upgraded ones included.
    gauge HTTP_CONNECTIONS = "tidegate_http_connections", Count;

    /// Memory of this process that is resident.
    gauge PROCESS_RESIDENT_BYTES = "tidegate_process_resident_bytes", Bytes;
    /// Files and sockets that this process has open.
    gauge PROCESS_OPEN_FILES = "tidegate_process_open_files", Count;
    /// Files and sockets that this process may have open.
    gauge PROCESS_OPEN_FILES_LIMIT = "tidegate_process_open_files_limit", Count;
    /// Processor time that this process has used, in user and kernel mode.
    counter PROCESS_CPU_MILLISECONDS = "tidegate_process_cpu_milliseconds_total", Milliseconds;
    /// 1; the label `version` tells what runs.
    gauge BUILD_INFO = "tidegate_build_info", Count;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_rule() {
        let mut seen = HashSet::new();
        for (kind, name) in ALL {
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("tidegate_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
        }
    }
}

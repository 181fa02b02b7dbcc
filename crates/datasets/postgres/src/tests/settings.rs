//! Settings of roles, databases and servers: none of them changes what is read or written, nor ends a session of ours.

use std::collections::BTreeMap;

use lab::PostgresVersion;

use super::versions::store_with;
use super::*;
use crate::session::Session;
use crate::settings::PINNED;

/// Those that a user or superuser may set and that are let be, by the reason why. Names of one version or another.
const HARMLESS: [(&str, &str); 13] = [
    (
        "how a statement is planned or carried out, not what it means",
        "backend_flush_after constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction default_statistics_target \
         effective_cache_size effective_io_concurrency enable_async_append enable_bitmapscan enable_distinct_reordering enable_gathermerge \
         enable_group_by_reordering enable_hashagg enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material \
         enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning \
         enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination enable_seqscan enable_sort \
         enable_tidscan file_copy_method from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed geqo_selection_bias geqo_threshold \
         hash_mem_multiplier io_combine_limit jit jit_above_cost jit_dump_bitcode jit_expressions jit_inline_above_cost jit_optimize_above_cost \
         jit_tuple_deforming join_collapse_limit logical_decoding_work_mem maintenance_io_concurrency maintenance_work_mem max_parallel_maintenance_workers \
         max_parallel_workers max_parallel_workers_per_gather min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation \
         parallel_setup_cost parallel_tuple_cost plan_cache_mode random_page_cost recursive_worktable_factor seq_page_cost stats_fetch_consistency \
         temp_buffers work_mem debug_parallel_query force_parallel_mode operator_precedence_warning",
    ),
    (
        "what is written into the server's log, and what is counted and shown of a session",
        "application_name backtrace_functions compute_query_id debug_pretty_print debug_print_parse debug_print_plan debug_print_rewritten \
         log_duration log_error_verbosity log_executor_stats log_lock_failures log_lock_waits log_min_duration_sample log_min_duration_statement \
         log_min_error_statement log_min_messages log_parameter_max_length log_parameter_max_length_on_error log_parser_stats log_planner_stats \
         log_replication_commands log_statement log_statement_sample_rate log_statement_stats log_temp_files log_transaction_sample_rate \
         md5_password_warnings trace_notify trace_sort track_activities track_cost_delay_timing track_counts track_functions track_io_timing \
         track_wal_io_timing update_process_title escape_string_warning icu_validation_level lc_messages",
    ),
    ("a limit whose reach is an error, never other data", "max_stack_depth temp_file_limit"),
    (
        "how fast a peer that has gone is noticed, and how a deadlock is",
        "client_connection_check_interval deadlock_timeout tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval tcp_user_timeout \
         wal_sender_timeout",
    ),
    (
        "how far a COMMIT is safe when it answers: what the site has chosen for its own data",
        "commit_delay commit_siblings synchronous_commit wal_compression wal_consistency_checking wal_init_zero wal_recycle wal_skip_threshold",
    ),
    (
        "of VACUUM, which is never called",
        "vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit vacuum_cost_page_miss \
         vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age vacuum_max_eager_freeze_failure_rate vacuum_multixact_failsafe_age \
         vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age vacuum_truncate vacuum_cleanup_index_scale_factor",
    ),
    (
        "of logical decoding, roles and passwords, which are never touched",
        "createrole_self_grant debug_logical_replication_streaming logical_decoding_mode output_plugin_libraries password_encryption scram_iterations",
    ),
    (
        "the archive says it for each object, and pg_restore for its session",
        "check_function_bodies default_table_access_method default_toast_compression",
    ),
    (
        "how a text becomes a value when a function is called without saying it: no statement of ours calls one, the archive's own are those of the database",
        "backslash_quote default_text_search_config timezone_abbreviations",
    ),
    (
        "the running transaction's own, by the settings default_transaction_*",
        "transaction_deferrable transaction_isolation transaction_read_only",
    ),
    (
        "where files are, and libraries: the server's",
        "allow_in_place_tablespaces dynamic_library_path extension_control_path extension_destdir local_preload_libraries session_preload_libraries temp_tablespaces \
         gin_pending_list_limit",
    ),
    ("lets a superuser do what no statement of ours does", "allow_system_table_mods lo_compat_privileges debug_discard_caches"),
    ("whose triggers fire: rows are loaded before there are any", "event_triggers session_replication_role"),
];

#[test]
fn every_setting_of_every_version_is_pinned_or_known_to_be_harmless() {
    let harmless: BTreeMap<&str, &str> =
        HARMLESS.iter().flat_map(|(why, names)| names.split_whitespace().map(move |name| (name, *why))).collect();
    for version in PostgresVersion::ALL {
        let server = lab::Postgres::start_version(version, &[]).unwrap();
        let list = "SELECT name FROM pg_settings WHERE context IN ('user', 'superuser') AND name NOT LIKE '%.%'";
        let unknown: Vec<_> = psql(&server, "postgres", list)
            .lines()
            .filter(|name| !harmless.contains_key(name) && !PINNED.iter().any(|one| one.name == *name))
            .map(str::to_owned)
            .collect();
        assert!(unknown.is_empty(), "{version:?}: pin these in settings.rs, or say why they are harmless: {unknown:?}");
        let twice: Vec<_> = PINNED.iter().filter(|one| harmless.contains_key(one.name)).map(|one| one.name).collect();
        assert!(twice.is_empty(), "{twice:?}");
        // Whatever they were, they are what they should be.
        psql(&server, "postgres", HOSTILE);
        let address = Address::parse(&server.url_as("zync", "zync", "postgres")).unwrap();
        let mut session = Session::open(&address).unwrap();
        for one in PINNED {
            let query = format!("SELECT setting FROM pg_settings WHERE name = '{}'", one.name);
            let found: Vec<String> = session.rows(&query, "ask").unwrap().iter().map(|row| row.get(0)).collect();
            assert!(found.iter().all(|value| value == one.value), "{version:?} {}: {found:?}", one.name);
        }
    }
}

/// What may be set for a role, each to something that harms.
const HOSTILE: &str = r"
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'zync') THEN CREATE ROLE zync LOGIN PASSWORD 'zync' CREATEDB; END IF; END $$;
ALTER ROLE zync SET default_transaction_read_only = on; ALTER ROLE zync SET default_transaction_isolation = 'serializable';
ALTER ROLE zync SET default_transaction_deferrable = on; ALTER ROLE zync SET transform_null_equals = on; ALTER ROLE zync SET array_nulls = off;
ALTER ROLE zync SET quote_all_identifiers = on; ALTER ROLE zync SET DateStyle = 'German'; ALTER ROLE zync SET IntervalStyle = 'iso_8601';
ALTER ROLE zync SET TimeZone = 'Asia/Kathmandu'; ALTER ROLE zync SET bytea_output = 'escape'; ALTER ROLE zync SET extra_float_digits = -5;
ALTER ROLE zync SET xmlbinary = 'hex'; ALTER ROLE zync SET xmloption = 'document'; ALTER ROLE zync SET search_path = 'nowhere';
ALTER ROLE zync SET statement_timeout = 600; ALTER ROLE zync SET lock_timeout = 600; ALTER ROLE zync SET idle_in_transaction_session_timeout = 600;
ALTER ROLE zync SET exit_on_error = on; ALTER ROLE zync SET row_security = on; ALTER ROLE zync SET client_encoding = 'LATIN1';
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 140000 THEN ALTER ROLE zync SET idle_session_timeout = 600; END IF;
  IF current_setting('server_version_num')::int >= 170000 THEN ALTER ROLE zync SET transaction_timeout = 600; END IF;
END $$;
";

/// The whole way under limits of 0.6 s, with parts that come later than that.
fn slowly(version: PostgresVersion, road: Road) {
    let server = lab::Postgres::start_version(version, &[]).unwrap();
    psql(&server, "postgres", HOSTILE);
    psql(&server, "postgres", "CREATE DATABASE zync OWNER zync");
    psql(
        &server,
        "zync",
        "SET ROLE zync; CREATE TABLE t (v text, at timestamptz); INSERT INTO t VALUES ('x', '2024-01-01 00:00:00+00'), (NULL, NULL)",
    );
    let before = text(&server, "zync");
    let store = store_with(&server.url_as("zync", "zync", "zync"), version);
    let (context, _) = context("01jd0000000000000001");
    let mut dump = store.dump(&context).unwrap();
    let limit = Duration::from_millis(700);
    std::thread::sleep(limit);
    let mut parts = Vec::new();
    while let Some(part) = dump.next_part().unwrap() {
        let Content::Bytes(bytes) = part.content else { panic!("a part that is not bytes") };
        parts.push((part.path, bytes));
    }
    std::thread::sleep(limit);
    let memory = Memory(parts);
    let kept = kept(&memory, dump.finish().unwrap());
    psql(&server, "zync", "DELETE FROM t");
    let place = store.reserve(&context, &kept, road).unwrap();
    store.stage(&context, &place, Arc::new(Slow(memory, limit)), &kept).unwrap();
    prove(&store, &context, &place, &kept);
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    same(&before, &text(&server, "zync"));
}

/// A repository that gives nothing for a while.
struct Slow(Memory, Duration);

impl Snapshot for Slow {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<Entry>> + Send + '_>> {
        self.0.entries()
    }

    fn find(&self, path: &Path) -> plan::Result<Entry> {
        self.0.find(path)
    }

    fn read(&self, entry: &Entry) -> plan::Result<Box<dyn Read + Send>> {
        std::thread::sleep(self.1);
        self.0.read(entry)
    }
}

#[test]
fn limits_and_whims_of_the_role_end_nothing_on_13() {
    slowly(PostgresVersion::V13, Road::SideCopy);
}

#[test]
fn limits_and_whims_of_the_role_end_nothing_on_the_machines_own_version() {
    slowly(PostgresVersion::Own, Road::SideCopy);
    slowly(PostgresVersion::Own, Road::InPlace);
}

#[test]
fn limits_and_whims_of_the_role_end_nothing_on_17() {
    slowly(PostgresVersion::V17, Road::SideCopy);
    slowly(PostgresVersion::V17, Road::InPlace);
}

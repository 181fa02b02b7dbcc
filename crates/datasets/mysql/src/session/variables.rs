//! Every session variable of the servers: what a session sets it to, or why it may be what it is.
//!
//! One list, made from the manuals' tables of system variables (MySQL 8.0 to 9.7, MariaDB 10.6 to 11.8). A test reads the variables of each server at hand and
//! fails for one that is not here: a new version brings new ones, and one of them may change what is read or written without a word.

/// What is done about a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Has this value in every session, as `SHOW VARIABLES` writes it; a server that refuses it is refused.
    Is(&'static str),
    /// Has this value where the user may set it (some need a privilege); what it changes otherwise is found by the proof.
    Better(&'static str),
    /// Set by each session for what it does: `NAMES`, the modes, the waits of a restore.
    Own,
    /// Changes nothing that is read or written here.
    Harmless,
    /// Changes how a generated column, a default or a key is computed: the server's own value is the application's, and so the right one.
    AsTheApplication,
    /// What replicas and the cluster get, how much memory and disk a session may have: the server's own policy, at worst an error.
    Policy,
}

use Rule::{AsTheApplication, Better, Harmless, Is, Own, Policy};

/// Names in lower case; a `*` at the end stands for any rest.
pub(super) const RULES: &[(&str, Rule)] = &[
    // Rows that would be missing, or be others.
    ("sql_select_limit", Is("18446744073709551615")),
    ("max_join_size", Is("18446744073709551615")),
    ("sql_big_selects", Is("ON")),
    ("sql_auto_is_null", Is("OFF")),
    ("sql_buffer_result", Is("OFF")),
    ("autocommit", Is("ON")),
    ("completion_type", Is("NO_CHAIN")),
    ("transaction_isolation", Is("REPEATABLE-READ")),
    ("tx_isolation", Is("REPEATABLE-READ")),
    ("transaction_read_only", Is("OFF")),
    ("tx_read_only", Is("OFF")),
    ("system_versioning_asof", Is("DEFAULT")),
    ("use_secondary_engine", Better("OFF")),
    ("query_cache_type", Is("OFF")),
    ("wsrep_dirty_reads", Better("OFF")),
    ("innodb_table_locks", Is("ON")),
    // Definitions that would be shown or taken differently.
    ("sql_quote_show_create", Is("ON")),
    ("show_create_table_verbosity", Is("OFF")),
    ("show_old_temporals", Is("OFF")),
    ("show_gipk_in_create_table_and_information_schema", Is("ON")),
    ("explicit_defaults_for_timestamp", Better("ON")),
    ("default_collation_for_utf8mb4", Better("utf8mb4_0900_ai_ci")),
    ("character_set_collations", Is("")),
    ("old_mode", Is("UTF8_IS_UTF8MB3")),
    ("sql_require_primary_key", Better("OFF")),
    ("sql_generate_invisible_primary_key", Better("OFF")),
    ("sql_if_exists", Is("OFF")),
    ("innodb_compression_default", Is("OFF")),
    ("information_schema_stats_expiry", Is("0")),
    // Statements that would be refused, or warnings that would not come.
    ("sql_safe_updates", Is("OFF")),
    ("sql_notes", Is("ON")),
    ("max_error_count", Better("65535")),
    ("max_execution_time", Is("0")),
    ("max_statement_time", Is("0.000000")),
    ("alter_algorithm", Is("DEFAULT")),
    // A part may wait long for the repository, and a session for its turn.
    ("net_write_timeout", Is("86400")),
    ("net_read_timeout", Is("86400")),
    ("wait_timeout", Is("2147483")),
    ("idle_transaction_timeout", Is("0")),
    ("idle_readonly_transaction_timeout", Is("0")),
    ("idle_write_transaction_timeout", Is("0")),
    // Of each session.
    ("sql_mode", Own),
    ("time_zone", Own),
    ("character_set_client", Own),
    ("character_set_connection", Own),
    ("character_set_results", Own),
    ("collation_connection", Own),
    ("foreign_key_checks", Own),
    ("unique_checks", Own),
    ("check_constraint_checks", Own),
    ("innodb_strict_mode", Own),
    ("restrict_fk_on_non_standard_key", Own),
    ("system_versioning_alter_history", Own),
    ("system_versioning_insert_history", Own),
    ("lock_wait_timeout", Own),
    ("innodb_lock_wait_timeout", Own),
    ("sql_log_bin", Own),
    // Set by `USE` and by clauses that every statement here writes out.
    ("character_set_database", Harmless),
    ("collation_database", Harmless),
    ("character_set_server", Harmless),
    ("collation_server", Harmless),
    ("character_set_filesystem", Harmless),
    ("default_storage_engine", Harmless),
    ("default_tmp_storage_engine", Harmless),
    ("storage_engine", Harmless),
    // What only expressions of the application use.
    ("block_encryption_mode", AsTheApplication),
    ("default_regex_flags", AsTheApplication),
    ("default_week_format", AsTheApplication),
    ("div_precision_increment", AsTheApplication),
    ("group_concat_max_len", AsTheApplication),
    ("lc_time_names", AsTheApplication),
    ("innodb_ft_*", AsTheApplication),
    ("max_points_in_geometry", AsTheApplication),
    ("max_sort_length", AsTheApplication),
    ("windowing_use_high_precision", AsTheApplication),
    ("standard_compliant_cte", AsTheApplication),
    ("max_heap_table_size", AsTheApplication),
    ("mhnsw_*", AsTheApplication),
    // Policies of the server.
    ("binlog_*", Policy),
    ("column_compression_*", Policy),
    ("connection_memory_*", Policy),
    ("cte_max_recursion_depth", Policy),
    ("default_table_encryption", Policy),
    ("enforce_storage_engine", Policy),
    ("external_table_*", Policy),
    ("group_replication_consistency", Policy),
    ("gtid_*", Policy),
    ("innodb_default_encryption_key_id", Policy),
    ("max_allowed_packet", Policy),
    ("max_recursive_iterations", Policy),
    ("max_session_mem_used", Policy),
    ("max_sp_recursion_depth", Policy),
    ("max_tmp_session_space_usage", Policy),
    ("max_user_connections", Policy),
    ("parser_max_mem_size", Policy),
    ("pseudo_*", Policy),
    ("server_id", Policy),
    ("skip_parallel_replication", Policy),
    ("skip_replication", Policy),
    ("sql_slave_skip_counter", Policy),
    ("tmp_disk_table_size", Policy),
    ("tmp_memory_table_size", Policy),
    ("tmp_table_size", Policy),
    ("wsrep_*", Policy),
    // Speed, logs, notices, numbers that the server itself keeps.
    ("analyze_*", Harmless),
    ("aria_*", Harmless),
    ("auto_increment_*", Harmless),
    ("big_tables", Harmless),
    ("bulk_insert_buffer_size", Harmless),
    ("deadlock_*", Harmless),
    ("default_master_connection", Harmless),
    ("enable_cascade_triggers", Harmless),
    ("enable_secondary_engine_statistics", Harmless),
    ("end_markers_in_json", Harmless),
    ("eq_range_index_dive_limit", Harmless),
    ("error_count", Harmless),
    ("expensive_subquery_limit", Harmless),
    ("explain_*", Harmless),
    ("external_user", Harmless),
    ("generated_random_password_length", Harmless),
    ("global_connection_memory_tracking", Harmless),
    ("histogram_*", Harmless),
    ("identity", Harmless),
    ("immediate_server_version", Harmless),
    ("in_predicate_conversion_threshold", Harmless),
    ("in_transaction", Harmless),
    ("innodb_ddl_*", Harmless),
    ("innodb_parallel_read_threads", Harmless),
    ("innodb_snapshot_isolation", Harmless),
    ("innodb_tmpdir", Harmless),
    ("insert_id", Harmless),
    ("interactive_timeout", Harmless),
    ("internal_tmp_mem_storage_engine", Harmless),
    ("join_*", Harmless),
    ("keep_files_on_create", Harmless),
    ("last_gtid", Harmless),
    ("last_insert_id", Harmless),
    ("lc_messages", Harmless),
    ("log_*", Harmless),
    ("long_query_time", Harmless),
    ("low_priority_updates", Harmless),
    ("max_delayed_threads", Harmless),
    ("max_insert_delayed_threads", Harmless),
    ("max_length_for_sort_data", Harmless),
    ("max_relay_log_size", Harmless),
    ("max_rowid_filter_size", Harmless),
    ("max_seeks_for_key", Harmless),
    ("max_tmp_tables", Harmless),
    ("min_examined_row_limit", Harmless),
    ("mrr_buffer_size", Harmless),
    ("myisam_*", Harmless),
    ("net_buffer_length", Harmless),
    ("net_retry_count", Harmless),
    ("new_mode", Harmless),
    ("note_verbosity", Harmless),
    ("old", Harmless),
    ("old_alter_table", Harmless),
    ("old_passwords", Harmless),
    ("optimizer_*", Harmless),
    ("original_*", Harmless),
    ("preload_buffer_size", Harmless),
    ("print_identified_with_as_hex", Harmless),
    ("profiling", Harmless),
    ("profiling_history_size", Harmless),
    ("progress_report_time", Harmless),
    ("proxy_user", Harmless),
    ("query_alloc_block_size", Harmless),
    ("query_cache_strip_comments", Harmless),
    ("query_cache_wlock_invalidate", Harmless),
    ("query_prealloc_size", Harmless),
    ("rand_seed1", Harmless),
    ("rand_seed2", Harmless),
    ("range_alloc_block_size", Harmless),
    ("range_optimizer_max_mem_size", Harmless),
    ("rbr_exec_mode", Harmless),
    ("read_buffer_size", Harmless),
    ("read_rnd_buffer_size", Harmless),
    ("redirect_url", Harmless),
    ("require_row_format", Harmless),
    ("resultset_metadata", Harmless),
    ("rowid_merge_buff_size", Harmless),
    ("secondary_engine_cost_threshold", Harmless),
    ("select_into_*", Harmless),
    ("session_track_*", Harmless),
    ("set_operations_buffer_size", Harmless),
    ("show_create_table_skip_secondary_engine", Harmless),
    ("slow_query_log", Harmless),
    ("sort_buffer_size", Harmless),
    ("sql_log_off", Harmless),
    ("sql_warnings", Harmless),
    ("statement_id", Harmless),
    ("tcp_nodelay", Harmless),
    ("terminology_use_previous", Harmless),
    ("thread_pool_*", Harmless),
    ("timestamp", Harmless),
    ("transaction_alloc_block_size", Harmless),
    ("transaction_allow_batching", Harmless),
    ("transaction_prealloc_size", Harmless),
    ("updatable_views_with_limit", Harmless),
    ("use_stat_tables", Harmless),
    ("warning_count", Harmless),
    ("xa_detach_on_prepare", Harmless),
];

/// Set before anything is asked: a limit of rows would hold for the answer to that too.
pub(super) const FIRST: &str = "SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1";

/// Asks for the values of those that are set.
pub(super) fn question() -> String {
    let names: Vec<String> = pinned().map(|(name, ..)| format!("'{name}'")).collect();
    format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({})", names.join(","))
}

/// Name, value, and whether a session cannot be without it.
pub(super) fn pinned() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    RULES.iter().filter_map(|(name, rule)| match rule {
        Is(value) => Some((*name, *value, true)),
        Better(value) => Some((*name, *value, false)),
        Own | Harmless | AsTheApplication | Policy => None,
    })
}

/// `name = value` as `SET SESSION` takes it: numbers and words as they are, all else in quotes.
pub(super) fn assignment(name: &str, value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // A word in quotes would be another thing than the keyword for one variable only.
    if is_number || value == "DEFAULT" { format!("{name} = {value}") } else { format!("{name} = '{value}'") }
}

/// The rule of a variable, by its name in any case.
#[cfg(test)]
pub(super) fn rule(name: &str) -> Option<Rule> {
    let name = name.to_ascii_lowercase();
    let fits = |pattern: &str| pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start));
    RULES.iter().find(|(pattern, _)| fits(pattern)).map(|(_, rule)| *rule)
}

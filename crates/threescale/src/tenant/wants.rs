//! Rows without which 3scale can neither show nor serve a row that refers to them, and that no foreign key of the database holds.

/// A table, the column that refers, and the table whose id it has. Source: porta, `belongs_to` of `app/models/backend_api_config.rb`, `cinstance.rb`, `contract.rb`, `usage_limit.rb`,
/// `pricing_rule.rb`, `plan_metric.rb`, `proxy_rule.rb`. What an owner deletes with a row of his own is not among them.
pub const WANTS: [(&str, &str, &str); 8] = [
    ("backend_api_configs", "backend_api_id", "backend_apis"),
    ("cinstances", "plan_id", "plans"),
    ("cinstances", "service_id", "services"),
    ("cinstances", "user_account_id", "accounts"),
    ("plan_metrics", "metric_id", "metrics"),
    ("pricing_rules", "metric_id", "metrics"),
    ("proxy_rules", "metric_id", "metrics"),
    ("usage_limits", "metric_id", "metrics"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{Extract, of_table};

    #[test]
    fn rows_of_these_tables_go_back() {
        for (table, _, other) in WANTS {
            assert!([table, other].iter().all(|name| of_table(name).is_some_and(|path| path.extract == Extract::Always)), "{table}");
        }
    }
}

//! What a job of the clock would find to do in a database now, as questions that count (SQL of MySQL and PostgreSQL alike).

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The job that would do it.
    pub job: &'static str,
    /// What is counted, for people.
    pub what: &'static str,
    /// `SELECT COUNT(*) …`.
    pub sql: String,
}

/// All questions. Sources: porta `app/models/finance/billing_strategy.rb`, `app/workers/find_and_delete_scheduled_accounts_worker.rb`,
/// `app/workers/destroy_all_deleted_objects_worker.rb`.
#[must_use]
pub fn questions(now: Timestamp) -> Vec<Question> {
    let today = TimeZone::UTC.to_datetime(now).date();
    let month = today.first_of_month();
    let question = |job, what, sql| Question { job, what, sql };
    vec![
        question(
            "billing_jobs",
            "invoices of months that have ended, to be issued",
            format!("SELECT COUNT(*) FROM invoices WHERE state = 'finalized' OR state = 'open' AND period < '{month}'"),
        ),
        question(
            "billing_jobs",
            "invoices that are due, to be charged",
            format!("SELECT COUNT(*) FROM invoices WHERE state IN ('pending', 'unpaid') AND due_on <= '{today}'"),
        ),
        question(
            "daily_jobs",
            "tenants that are scheduled for deletion, and deleted 15 days after that",
            "SELECT COUNT(*) FROM accounts WHERE provider = TRUE AND state = 'scheduled_for_deletion'".to_owned(),
        ),
        question(
            "daily_jobs",
            "services in state deleted, to be removed",
            "SELECT COUNT(*) FROM services WHERE state = 'deleted'".to_owned(),
        ),
    ]
}

//! What a job of the clock would find to do in a database when it strikes, as questions (SQL of MySQL and PostgreSQL alike).
//!
//! Sources: porta `lib/three_scale/jobs.rb`, `app/models/finance/billing_strategy.rb` (and its two kinds beside it), `app/models/invoice.rb` (scope `chargeable`),
//! `app/models/account/states.rb` (scope `deleted_since`), `app/workers/destroy_all_deleted_objects_worker.rb`, `app/models/contract/trial.rb`; alike in 2.13 to 2.16.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The job that would do it.
    pub job: &'static str,
    /// What is counted, for people.
    pub what: &'static str,
    /// The column that names a row for people.
    name: &'static str,
    /// `table WHERE …`.
    from: String,
}

impl Question {
    /// `SELECT COUNT(*) …`.
    #[must_use]
    pub fn count(&self) -> String {
        format!("SELECT COUNT(*) FROM {}", self.from)
    }

    /// `SELECT name …`, the first of them.
    #[must_use]
    pub fn names(&self, limit: usize) -> String {
        format!("SELECT {} FROM {} ORDER BY id LIMIT {limit}", self.name, self.from)
    }
}

/// All questions, for a strike at a moment.
#[must_use]
pub fn questions(at: Timestamp) -> Vec<Question> {
    let time = |ago: SignedDuration| TimeZone::UTC.to_datetime(at - ago);
    let (now, day) = (time(SignedDuration::ZERO), SignedDuration::from_hours(24));
    let text = |time: DateTime| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let (today, month) = (now.date(), now.date().first_of_month());
    // Billed for are providers that are approved; charged for are those among them that want it.
    let providers = |which: &str| {
        format!(
            "provider_account_id IN (SELECT b.account_id FROM billing_strategies b JOIN accounts p ON p.id = b.account_id WHERE p.state = 'approved'{which})"
        )
    };
    let prepaid = providers(" AND b.type = 'Finance::PrepaidBillingStrategy'");
    // Prepaid invoices are finalized on any day, the others on the first of a month.
    let finalized = if now.day() == 1 { format!("({prepaid} OR {} AND period < '{month}')", providers("")) } else { prepaid };
    let question = |job, what, name, from| Question { job, what, name, from };
    vec![
        question(
            "billing_jobs",
            "open invoices, to be finalized, and issued two days later",
            "friendly_id",
            format!("invoices WHERE state = 'open' AND {finalized}"),
        ),
        question(
            "billing_jobs",
            "finalized invoices, to be issued",
            "friendly_id",
            // One day and 22 hours after they were.
            format!(
                "invoices WHERE state = 'finalized' AND finalized_at <= '{}' AND {}",
                text(time(SignedDuration::from_hours(46))),
                providers("")
            ),
        ),
        question(
            "billing_jobs",
            "invoices that are due, to be charged",
            "friendly_id",
            format!(
                "invoices WHERE state IN ('pending', 'unpaid') AND due_on <= '{today}' AND (last_charging_retry IS NULL OR last_charging_retry <= '{}') AND {}",
                time(day * 3).date(),
                providers(" AND b.charging_enabled = TRUE")
            ),
        ),
        question(
            "daily_jobs",
            "tenants and accounts that were scheduled for deletion 15 days before, to be deleted",
            "org_name",
            format!("accounts WHERE state = 'scheduled_for_deletion' AND state_changed_at <= '{}'", text(time(day * 15))),
        ),
        question(
            "daily_jobs",
            "tenants and accounts that are scheduled for deletion, to be deleted on a later day",
            "org_name",
            format!("accounts WHERE state = 'scheduled_for_deletion' AND state_changed_at > '{}'", text(time(day * 15))),
        ),
        question("daily_jobs", "services in state deleted, to be removed", "name", "services WHERE state = 'deleted'".to_owned()),
        question(
            "daily_jobs",
            "applications whose trial ends on that day or ten days later, to be told by mail",
            "name",
            format!("cinstances WHERE CAST(trial_period_expires_at AS DATE) IN ('{today}', '{}')", time(-(day * 10)).date()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_strike() {
        let asked = |at: &str, what: &str| {
            let all = questions(at.parse().unwrap_or_default());
            all.iter().find(|question| question.what.starts_with(what)).map(Question::count).unwrap_or_default()
        };
        assert!(asked("2026-11-30T08:00:00Z", "finalized").contains("finalized_at <= '2026-11-28 10:00:00'"));
        assert!(
            asked("2026-11-30T08:00:00Z", "invoices that are due")
                .contains("due_on <= '2026-11-30' AND (last_charging_retry IS NULL OR last_charging_retry <= '2026-11-27')")
        );
        assert!(asked("2026-11-30T08:00:00Z", "tenants and accounts that were").contains("state_changed_at <= '2026-11-15 08:00:00'"));
        assert!(asked("2026-11-30T08:00:00Z", "applications").contains("IN ('2026-11-30', '2026-12-10')"));
        assert!(!asked("2026-11-30T08:00:00Z", "open").contains("period"), "in the midst of a month only prepaid ones are finalized");
        assert!(asked("2026-12-01T08:00:00Z", "open").contains("period < '2026-12-01'"));
        assert_eq!(questions(Timestamp::UNIX_EPOCH)[5].names(3), "SELECT name FROM services WHERE state = 'deleted' ORDER BY id LIMIT 3");
    }
}

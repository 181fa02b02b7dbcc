//! Destroying by hand, with the databases' own clients: what an accident or an attacker does.

use crate::Installation;

impl Installation {
    /// Rows, a table, a trigger and a routine of the system database; and rows that do not belong there.
    pub fn destroy_system_database(&self) {
        drop(self.mysql(
            "SET FOREIGN_KEY_CHECKS = 0; DELETE FROM accounts WHERE id > 2; DROP TABLE cms_files; TRUNCATE TABLE proxy_configs;
             UPDATE services SET name = 'broken', description = NULL; DROP PROCEDURE sp_invoices_friendly_id;
             INSERT INTO users (id, account_id, username, email) VALUES (666, 1, 'intruder', 'intruder@example.com');
             INSERT INTO heartbeats (source, at) VALUES ('after the backup', NOW()); CREATE TABLE alien (id INT);",
        ));
        let triggers = self.mysql("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'system' LIMIT 2");
        for trigger in triggers.lines() {
            drop(self.mysql(&format!("DROP TRIGGER `{trigger}`")));
        }
    }

    /// Rows, a table and a function of the zync database.
    pub fn destroy_zync_database(&self) {
        drop(self.psql("DELETE FROM entries; UPDATE tenants SET access_token = 'lost'; DROP TABLE integrations; DROP FUNCTION que_job_notify CASCADE; CREATE TABLE alien (id int)"));
    }

    /// All keys of Backend, and one that does not belong there.
    pub fn destroy_backend_redis(&self) {
        for database in [0, 1] {
            drop(self.redis("backend-redis", database, &["FLUSHDB"]));
        }
        drop(self.redis("backend-redis", 0, &["SET", "application/service_id:2/id:alien/state", "active"]));
    }

    /// What customers see in System's Redis.
    pub fn destroy_system_redis(&self) {
        drop(self.redis("system-redis", 1, &["DEL", "webhooks:failures:provider-2", "cron_jobs", "dead"]));
        drop(self.redis("system-redis", 1, &["LPUSH", "queue:alien", "{}"]));
    }

    /// A folder removed, a file overwritten, a mode changed, a file that does not belong there.
    pub fn destroy_files(&self) {
        drop(self.files(
            "set -e; first=$(find . -type f -size +1k ! -path './.*' | sort | head -n1); printf ruined > \"$first\"; chmod 600 \"$first\"; \
             last=$(find . -mindepth 1 -maxdepth 1 -type d ! -name '.*' | sort | tail -n1); rm -rf \"$last\"; echo alien > alien.txt",
        ));
    }

    /// An object overwritten, one removed, one that does not belong there.
    pub fn destroy_bucket(&self) {
        drop(self.bucket(
            "s3.put_object(Key=keys[0], Body=b'ruined', ContentType='text/plain', **bucket)
s3.delete_object(Key=keys[-1], **bucket)
s3.put_object(Key='alien.txt', Body=b'alien', **bucket)",
        ));
    }

    /// Objects that nothing mounts, so that what is still there goes on.
    pub fn destroy_objects(&self) {
        self.kubectl.act(&["delete", "secret", "system-smtp", "system-events-hook"]);
        self.kubectl.act(&["delete", "configmap", "apicast-environment"]);
    }

    /// The stores of a variant, as far as its own clients reach them; gives their names as a fingerprint has them.
    pub fn destroy_stores(&self) -> Vec<&'static str> {
        if self.is_on_postgres() {
            drop(self.system_psql("DELETE FROM cms_files; UPDATE services SET name = 'broken'; CREATE TABLE alien (id int)"));
        } else {
            self.destroy_system_database();
        }
        self.destroy_zync_database();
        self.destroy_backend_redis();
        self.destroy_system_redis();
        if self.has_bucket() {
            self.destroy_bucket();
        } else {
            self.destroy_files();
        }
        vec!["system-database/", "zync-database/", "backend-redis/", "system-redis/", "system-storage/"]
    }

    /// All of it.
    pub fn destroy(&self) {
        self.destroy_system_database();
        self.destroy_zync_database();
        self.destroy_backend_redis();
        self.destroy_system_redis();
        self.destroy_files();
        self.destroy_objects();
    }
}

/// The stores that [`Installation::destroy`] destroys, as a fingerprint names them.
pub const ALL: [&str; 6] = ["system-database/", "zync-database/", "backend-redis/", "system-redis/", "system-storage/", "object/"];

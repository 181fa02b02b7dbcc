//! Accidents: what people and programs do to an installation before somebody needs its backup.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use plan::error::During;
use plan::ids::DataSetName;
use plan::{Error, Result};

use super::{Installation, SYSTEM_DATABASE, ZYNC_DATABASE, no_objects};
use crate::link::Link;

impl Installation {
    /// Damages a store as an accident would, and says in a sentence what was done. The store goes on serving.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn damage(&self, data_set: DataSetName) -> Result<String> {
        let done = match data_set {
            DataSetName::KubernetesObjects => Err(no_objects()),
            DataSetName::SystemDatabase => self.damage_system_database(),
            DataSetName::SystemStorage => damage_storage(self.storage()),
            DataSetName::ZyncDatabase => self.damage_zync(),
            DataSetName::BackendRedis => self.damage_backend_redis(),
            DataSetName::SystemRedis => self.damage_system_redis(),
        };
        done.map_err(|error| error.during(format!("failed to damage {data_set}")))
    }

    fn damage_system_database(&self) -> Result<String> {
        let mut client = self.mysql.client();
        client.arg(SYSTEM_DATABASE).arg("-e").arg(
            "SET foreign_key_checks = 0;
             DELETE FROM cinstances WHERE id % 2 = 0;
             UPDATE accounts SET org_name = 'Lorem ipsum', state = 'suspended' WHERE id > 1;
             DROP TABLE invoices;
             TRUNCATE TABLE proxy_configs;
             ALTER TABLE users DROP COLUMN password_digest;
             DROP PROCEDURE sp_invoices_friendly_id;
             DROP TRIGGER cinstances_tenant_id;
             CREATE TABLE left_over (id INT PRIMARY KEY);",
        );
        run(client)?;
        Ok("Deleted every second application, renamed all accounts, dropped table invoices, emptied proxy_configs, dropped the users' passwords, \
            procedure sp_invoices_friendly_id and a trigger, and left a foreign table behind."
            .to_owned())
    }

    fn damage_zync(&self) -> Result<String> {
        let mut client = self.postgres.client();
        // The lock on what the writers' transactions touch first lets none of them in between: they take the other locks in another order.
        client.args(["-d", ZYNC_DATABASE, "-c"]).arg(
            "SET lock_timeout = '20s';
             BEGIN;
             LOCK TABLE entries;
             DELETE FROM entries WHERE id % 3 = 0;
             UPDATE tenants SET access_token = 'wrong';
             ALTER SEQUENCE entries_id_seq RESTART WITH 1;
             DROP TRIGGER que_job_notify ON que_jobs;
             DROP TABLE integrations CASCADE;
             COMMIT;",
        );
        run(client)?;
        Ok("Deleted a third of zync's entries, overwrote the tenants' tokens, rewound a sequence, dropped a trigger and table integrations.".to_owned())
    }

    fn damage_backend_redis(&self) -> Result<String> {
        let mut storage = Link::open(&self.backend_redis, 0)?;
        storage.call(&["FLUSHDB"])?;
        storage.call(&["SET", "events/id", "1"])?;
        storage.call(&["SET", "application/service_id:2/key:revoked/id", "app-attacker"])?;
        Link::open(&self.backend_redis, 1)?.call(&["DEL", "resque:failed", "resque:stat:processed", "resque:queue:main"])?;
        Ok("Flushed Backend's storage with all statistics, rewound its event counter, planted a foreign user key, and deleted queues."
            .to_owned())
    }

    fn damage_system_redis(&self) -> Result<String> {
        let mut link = Link::open(&self.system_redis, 1)?;
        link.call(&["FLUSHDB"])?;
        link.call(&["LPUSH", "queue:default", "{\"class\":\"Nonsense\"}"])?;
        Ok("Flushed System's Redis, failed web hooks and dead jobs with it.".to_owned())
    }
}

fn run(mut client: Command) -> Result<()> {
    let output = client.stdin(Stdio::null()).output().during(|| format!("start {}", client.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::failed(format!("a client ended with {}", output.status))
        .hint(format!("It said: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn damage_storage(root: &Path) -> Result<String> {
    let attempt = || -> std::io::Result<()> {
        fs::remove_dir_all(root.join("provider-2/2026/01"))?;
        fs::remove_dir_all(root.join("provider-2/odd names"))?;
        fs::remove_dir_all(root.join("provider-3/invoices"))
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        fs::write(root.join("provider-2/2/profiles/logos/original/logo-2.png"), "<html>not a picture</html>")?;
        fs::write(root.join(".hidden"), "")?;
        fs::write(root.join("left over.tmp"), "left over")
    };
    attempt().during(|| format!("damage {}", root.display()))?;
    Ok("Deleted a provider's files and another's invoices, overwrote a logo, emptied a dotfile and left a foreign file behind.".to_owned())
}

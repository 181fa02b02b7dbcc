//! What the program left behind in an installation: after `settle`, and after `undo`, nothing.

use crate::Installation;

const OURS: &str = "threescale-backup";

impl Installation {
    /// Databases, schemas, logical databases, keys, folders, pods, objects and annotations that are not 3scale's.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let own = ["information_schema", "mysql", "performance_schema", "sys", "system"];
        let schemas = self.mysql("SHOW DATABASES");
        found.extend(schemas.lines().filter(|name| !own.contains(name)).map(|name| format!("MySQL schema {name}")));
        let own = ["postgres", "template0", "template1", "zync_production"];
        let databases = self.psql("SELECT datname FROM pg_database");
        found.extend(databases.lines().filter(|name| !own.contains(name)).map(|name| format!("PostgreSQL database {name}")));
        for workload in ["backend-redis", "system-redis"] {
            let keyspace = self.redis(workload, 0, &["INFO", "keyspace"]);
            let numbers = keyspace.lines().filter_map(|line| line.strip_prefix("db")?.split(':').next());
            found.extend(numbers.filter(|number| !["0", "1"].contains(number)).map(|number| format!("{workload} database {number}")));
            for database in [0, 1] {
                let keys = self.redis(workload, database, &["--scan", "--pattern", "*threescale*backup*"]);
                found.extend(keys.lines().filter(|key| !key.is_empty()).map(|key| format!("{workload} key {key}")));
            }
        }
        let folders = self.files("find . -name '*threescale-backup*'");
        found.extend(folders.lines().map(|path| format!("file {path}")));
        found.extend(self.objects_of_ours());
        found
    }

    fn objects_of_ours(&self) -> Vec<String> {
        let mut found = Vec::new();
        let kinds = if self.era == "2.14" { ",deploymentconfigs" } else { "" };
        for item in self.kubectl.items(&[&format!("pods,secrets,configmaps,jobs,leases,networkpolicies,deployments{kinds}")]) {
            let name = format!("{} {}", item["kind"].as_str().unwrap_or_default(), item["metadata"]["name"].as_str().unwrap_or_default());
            let is_annotated = [&item["metadata"], &item["spec"]["template"]["metadata"]].iter().any(|metadata| {
                let annotations = metadata["annotations"].as_object();
                annotations.is_some_and(|all| all.keys().any(|key| key.contains(OURS) && !key.contains("last-applied")))
            });
            let is_named = name.contains(OURS);
            let is_labelled = item["metadata"]["labels"]["app.kubernetes.io/name"] == OURS;
            if is_named || is_labelled || is_annotated {
                found.push(name);
            }
        }
        found
    }
}

//! The table itself: every section and key, what it is for, and an example of it.

use super::table::{Key, Kind, Section, SubTable};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// More would take a database's connections away from the application, and make nothing faster.
pub(crate) const WORKERS_MAX: i64 = 64;
/// Ten years. What is in use is locked again and again; a slip of the pen cannot be taken back.
const LOCK_DAYS_MAX: i64 = 3_653;
/// There are no more data sets.
pub(crate) const JOBS_MAX: i64 = 6;

const TLS: SubTable = SubTable {
    name: "tls",
    help: "TLS towards the server; also written as tls = { mode = \"verify-full\", ca-file = \"…\" }.",
    keys: TLS_KEYS,
};
const STORAGE_TLS: SubTable = SubTable {
    name: "storage-tls",
    help: "TLS towards the storage and its sentinels, where it is another; each key goes before that of tls.",
    keys: TLS_KEYS,
};
const QUEUES_TLS: SubTable = SubTable {
    name: "queues-tls",
    help: "TLS towards the queues and their sentinels, where it is another; each key goes before that of tls.",
    keys: TLS_KEYS,
};
const TLS_KEYS: &[Key] = &[
    Key::new("mode", Kind::Word(&["disable", "require", "verify-ca", "verify-full"]), "\"verify-full\"", "How far the server is verified.")
        .or("disable"),
    Key::new("ca-file", Kind::Path, "\"/etc/threescale/ca.pem\"", "PEM file with the CAs.").or("the public web's CAs"),
    Key::new("client-certificate-file", Kind::Path, "\"/etc/threescale/client.pem\"", "PEM file with the client's certificate."),
    Key::new("client-key-file", Kind::Path, "\"/etc/threescale/client.key\"", "PEM file with the client's key."),
];

const S3: SubTable = SubTable {
    name: "s3",
    help: "For what is at s3://….",
    keys: &[
        Key::new("endpoint", Kind::Text, "\"https://minio.example.com\"", "Only for what is not Amazon's."),
        Key::new("region", Kind::Text, "\"eu-central-1\"", "The bucket's region.").or("us-east-1"),
        Key::new(
            "credentials",
            Kind::Word(&["keys", "workload-identity"]),
            "\"workload-identity\"",
            "keys: the two below; workload-identity: the role that the cluster gives the pod (IRSA, EKS Pod Identity, OpenShift with STS).",
        )
        .or("keys"),
        Key::new("access-key-id", Kind::Secret, "\"AKIA…\"", "The key's id."),
        Key::new("secret-access-key", Kind::Secret, "\"…\"", "The key."),
        Key::new("path-style", Kind::Truth, "true", "true: bucket in the path; false: bucket in the host name.")
            .or("true with an endpoint"),
        Key::new("ca-file", Kind::Path, "\"/etc/threescale/s3-ca.pem\"", "PEM file with the CAs of the endpoint.")
            .or("the public web's CAs"),
    ],
};

const EMAIL: SubTable = SubTable {
    name: "email",
    help: "Mail to people, by SMTP.",
    keys: &[
        Key::new("to", Kind::Text, "\"ops@example.com, Boss <boss@example.com>\"", "Mailboxes, separated by commas."),
        Key::new("from", Kind::Text, "\"3scale backup <backup@example.com>\"", "Who it comes from."),
        Key::new(
            "url",
            Kind::SecretAddress,
            "\"smtp://backup@mail.example.com:587\"",
            "The mail server, with the user in the address where it wants a login. smtp:// is STARTTLS, without which nothing is sent; smtps:// is TLS from the beginning; \
             smtp+plain:// is without TLS and login, for a server on this machine only.",
        ),
        PASSWORD,
        Key::new("ca-file", Kind::Path, "\"/etc/threescale/mail-ca.pem\"", "PEM file with the only CAs of that server.")
            .or("the public web's CAs"),
    ],
};

const ABSENT: Key =
    Key::new("absent", Kind::Truth, "false", "true: this installation has no such data set, and nothing else stands in the section.")
        .or("false");
const PASSWORD: Key = Key::new("password", Kind::Secret, "\"secret\"", "Instead of a password in the address.");
const CLIENT_FOLDER: Key =
    Key::new("client-folder", Kind::Path, "\"/usr/lib/postgresql/17/bin\"", "PostgreSQL: folder with pg_dump, pg_restore and psql.")
        .or("looked for on this machine");
const LOCK_WAIT: Key = Key::new(
    "lock-wait-seconds",
    Kind::Number(1, DAY_SECONDS),
    "30",
    "How long a cut-over waits for a lock before it names the blocker and gives up.",
)
.or("30");
const SENTINEL_USER: Key = Key::new("sentinel-username", Kind::Text, "\"sentinel\"", "User at the sentinels.");
const SENTINEL_PASSWORD: Key = Key::new("sentinel-password", Kind::Secret, "\"secret\"", "Password at the sentinels.");
const OBJECT_LOCK: Key = Key::new(
    "object-lock",
    Kind::Word(&["governance", "compliance"]),
    "\"governance\"",
    "In a bucket that has object lock: locks what is written against everybody. governance: who has the right to may get round it; compliance: nobody can.",
)
.or("not locked");
const OBJECT_LOCK_DAYS: Key = Key::new(
    "object-lock-days",
    Kind::Number(1, LOCK_DAYS_MAX),
    "30",
    "For how many days; each backup locks anew what sets need and less than half is left of.",
)
.or("30");
/// Of a Secret it may be empty.
const ROLES: Kind = Kind::Word(&["master", "slave", "replica", ""]);

/// The section that stands for all of its kind in the example; every other `[copies.NAME]` is made after it.
pub(super) const COPY_EXAMPLE: &str = "copies.offsite";

/// Every section, in the order in which people read them.
pub(crate) static SECTIONS: &[Section] = &[
    Section {
        name: "installation",
        help: "Which installation this is.",
        keys: &[Key::new("name", Kind::Text, "\"prod\"", "Its name, in sets, runs and locks.")
            .or("found on the platform")
            .short("INSTALLATION"),
            Key::new(
                "release",
                Kind::Text,
                "\"2.16\"",
                "Its release of 3scale: a set of a newer one is refused. Without, the newest migrations of the databases are compared.",
            )
            .or("found on Kubernetes")],
        tables: &[],
    },
    Section {
        name: "platform",
        help: "What the installation runs on.",
        keys: &[Key::new(
            "kind",
            Kind::Word(&["kubernetes", "direct"]),
            "\"direct\"",
            "kubernetes finds what there is; direct has addresses only.",
        )
        .or("kubernetes with --namespace, --context, --kubeconfig or --as; else direct when there are addresses or [writers]")],
        tables: &[],
    },
    Section {
        name: "repository",
        help: "Where the sets are kept.",
        keys: &[
            Key::new(
                "url",
                Kind::SecretAddress,
                "\"/backups/3scale\"",
                "A folder, or s3://bucket/prefix. A relative folder begins where this file is.",
            ),
            Key::new(
                "password",
                Kind::Secret,
                "\"secret\"",
                "Without it nothing in the repository can be read: keep it in a second place.",
            )
            .short("PASSWORD"),
            OBJECT_LOCK,
            OBJECT_LOCK_DAYS,
        ],
        tables: &[S3],
    },
    Section {
        name: COPY_EXAMPLE,
        help: "A second repository, into which `copy` copies sets: one section for each, with a name of its own (letters, digits, dashes).",
        keys: &[
            Key::new(
                "url",
                Kind::SecretAddress,
                "\"s3://bucket/prefix\"",
                "A folder, or s3://bucket/prefix. A relative folder begins where this file is.",
            )
            .required(),
            Key::new("password", Kind::Secret, "\"secret\"", "It has a key of its own: choose another password, and keep it in a second place."),
            Key::new("after-backup", Kind::Truth, "true", "Whether each backup copies what is missing there when the set is taken.").or("false"),
            OBJECT_LOCK,
            OBJECT_LOCK_DAYS,
        ],
        tables: &[S3],
    },
    Section {
        name: "state",
        help: "What a run must not forget.",
        keys: &[Key::new("folder", Kind::Path, "\"/var/lib/threescale-backup\"", "Where the journals of runs are kept.")
            .or("/var/lib/threescale-backup as root, else the user's state folder")],
        tables: &[],
    },
    Section {
        name: "options",
        help: "How hard to work.",
        keys: &[
            Key::new("workers", Kind::Number(1, WORKERS_MAX), "4", "Connections, readers or loaders at the same time, per data set.").or("4"),
            Key::new("jobs", Kind::Number(1, JOBS_MAX), "1", "Steps of a run at the same time, such as dumps of two data sets.").or("2"),
            Key::new("limit-read", Kind::Text, "\"20M\"", "How many bytes a second a backup reads from the stores, all data sets together.")
                .or("no limit"),
            Key::new("limit-upload", Kind::Text, "\"10M\"", "How many bytes a second are written into repositories.").or("no limit"),
            Key::new("limit-download", Kind::Text, "\"50M\"", "How many bytes a second are read from repositories.").or("no limit"),
            Key::new("nice", Kind::Truth, "true", "Whether to give way to all else on this machine: the lowest priority for processor and disk.")
                .or("false"),
            Key::new(
                "io-seconds-max",
                Kind::Number(1, DAY_SECONDS),
                "60",
                "How long a server may be silent, while it is waited for and at work on nothing, before the connection is given up.",
            )
            .or("60"),
        ],
        tables: &[],
    },
    Section {
        name: "notify",
        help: "Who is told how a command ended: backup, copy, check, renew, forget, rehearse, restore, resume, undo, verify and status.",
        keys: &[
            Key::new(
                "on",
                Kind::Word(&["failures", "everything"]),
                "\"failures\"",
                "failures: what failed, what was done with warnings, and the first success after it; everything: each end.",
            )
            .or("failures"),
            Key::new("command", Kind::Command, "\"mail -s '3scale backup' ops@example.com\"", "Gets the message on standard input, for sh -c."),
            Key::new("webhook-url", Kind::Secret, "\"https://hooks.example.com/…\"", "Gets the message by POST."),
            Key::new(
                "webhook-format",
                Kind::Word(&["json", "slack", "teams"]),
                "\"slack\"",
                "json: the message as it is; slack, teams: a text, as these take it.",
            )
            .or("json"),
            Key::new(
                "ping-url",
                Kind::Secret,
                "\"https://hc-ping.com/…\"",
                "Of backups only: POST to URL/start, then to URL or URL/fail, as Healthchecks takes it. It tells when no backup begins at all.",
            ),
            Key::new("ca-file", Kind::Path, "\"/etc/threescale/ca.pem\"", "PEM file with the only CAs of webhook-url and ping-url.")
                .or("the public web's CAs"),
        ],
        tables: &[EMAIL],
    },
    Section {
        name: "rehearse",
        help: "The pods of `rehearse --pods`: throw-away servers beside the installation.",
        keys: &[
            Key::new("mysql-image", Kind::Text, "\"registry.example.com/mysql:8.0\"", "Image of MySQL or MariaDB, of 3scale's, Red Hat's or Docker's kind.")
                .or("that of system-mysql in the namespace"),
            Key::new("postgresql-image", Kind::Text, "\"registry.example.com/postgres:15\"", "The same of PostgreSQL.")
                .or("that of system-postgresql or zync-database in the namespace"),
            Key::new("redis-image", Kind::Text, "\"registry.example.com/redis:7\"", "Image with redis-server or valkey-server.")
                .or("that of the Redis in the namespace"),
            Key::new("memory-limit", Kind::Text, "\"4Gi\"", "The most memory of each pod.").or("as the installation's own, else 2Gi"),
            Key::new("volume-limit", Kind::Text, "\"50Gi\"", "The most data of each pod, on the node's disk.").or("none"),
            Key::new("hours-max", Kind::Number(1, 7 * 24), "24", "After this long a pod ends by itself, whoever has forgotten it.").or("24"),
        ],
        tables: &[],
    },
    Section {
        name: "writers",
        help: "Commands that stop and start all who write to the data sets, for sh -c.",
        keys: &[
            Key::new("stop", Kind::Command, "\"systemctl stop 3scale.target\"", "Stops them; may be run when they are stopped.").required(),
            Key::new(
                "stop-makers",
                Kind::Command,
                "\"systemctl stop system-app backend-listener backend-cron\"",
                "Stops those that make jobs for the others: backup --freeze lets the others do them first. Without it, all stop at once.",
            ),
            Key::new("start", Kind::Command, "\"systemctl start 3scale.target\"", "Starts them; may be run when they run.").required(),
            Key::new(
                "stopped",
                Kind::Command,
                "\"! systemctl is-active --quiet 3scale.target\"",
                "Exits with 0 when they are stopped, 1 when not.",
            ),
            Key::new("wait-seconds-max", Kind::Number(1, 7 * DAY_SECONDS), "300", "How long each command may take.").or("300"),
        ],
        tables: &[],
    },
    Section {
        name: "system-database",
        help: "System's database: MySQL, MariaDB or PostgreSQL.",
        keys: &[
            Key::new("url", Kind::SecretAddress, "\"mysql2://root:secret@127.0.0.1:3306/system\"", "mysql2://… or postgresql://…")
                .required(),
            PASSWORD,
            Key::new(
                "log-bin",
                Kind::Word(&["always", "auto", "never"]),
                "\"always\"",
                "MySQL: whether restores are written to the binary log. Without, a replica that is down and a recovery to a point in time lack them; auto: only when a replica can be seen.",
            )
            .or("always"),
            CLIENT_FOLDER,
            LOCK_WAIT,
            ABSENT,
        ],
        tables: &[TLS],
    },
    Section {
        name: "system-storage",
        help: "System's files.",
        keys: &[
            Key::new("path", Kind::Place, "\"/opt/system/public/system\"", "The folder; or s3://bucket, whose keys are in [system-storage.s3].")
                .required(),
            Key::new("skip-unreadable", Kind::Truth, "false", "A folder: leave out, with a warning, what cannot be read.").or("false"),
            ABSENT,
        ],
        tables: &[S3],
    },
    Section {
        name: "zync-database",
        help: "zync's database: PostgreSQL.",
        keys: &[
            Key::new("url", Kind::SecretAddress, "\"postgresql://zync:secret@127.0.0.1:5432/zync_production\"", "postgresql://…")
                .required(),
            PASSWORD,
            CLIENT_FOLDER,
            LOCK_WAIT,
            ABSENT,
        ],
        tables: &[TLS],
    },
    Section {
        name: "backend-redis",
        help: "Backend's Redis: storage and queues.",
        keys: &[
            Key::new("storage-url", Kind::SecretAddress, "\"redis://:secret@127.0.0.1:6379/0\"", "redis://…, rediss://… or unix:///…")
                .required(),
            Key::new("queues-url", Kind::SecretAddress, "\"redis://:secret@127.0.0.1:6379/1\"", "As above.").required(),
            PASSWORD,
            Key::new(
                "storage-sentinel-hosts",
                Kind::Addresses,
                "\"redis://host1:26379,redis://host2:26379\"",
                "The URL's host is the group's name.",
            ),
            Key::new("storage-sentinel-role", ROLES, "\"master\"", "Which server is asked for.").or("master"),
            Key::new("queues-sentinel-hosts", Kind::Addresses, "\"redis://host1:26379,redis://host2:26379\"", "As above."),
            Key::new("queues-sentinel-role", ROLES, "\"master\"", "Which server is asked for.").or("master"),
            SENTINEL_USER,
            SENTINEL_PASSWORD,
            ABSENT,
        ],
        tables: &[TLS, STORAGE_TLS, QUEUES_TLS],
    },
    Section {
        name: "system-redis",
        help: "System's Redis: Sidekiq.",
        keys: &[
            Key::new("url", Kind::SecretAddress, "\"redis://:secret@127.0.0.1:6380/1\"", "redis://…, rediss://… or unix:///…").required(),
            PASSWORD,
            Key::new(
                "sentinel-hosts",
                Kind::Addresses,
                "\"redis://host1:26379,redis://host2:26379\"",
                "The URL's host is the group's name.",
            ),
            Key::new("sentinel-role", ROLES, "\"master\"", "Which server is asked for.").or("master"),
            SENTINEL_USER,
            SENTINEL_PASSWORD,
            Key::new("namespace", Kind::Text, "\"\"", "NAMESPACE of the Secret (3scale 2.14 and before): keys begin with it."),
            ABSENT,
        ],
        tables: &[TLS],
    },
    Section {
        name: "search-index",
        help: "The search index (searchd or sphinx), which verify counts against the database; on Kubernetes it is found.",
        keys: &[Key::new("address", Kind::Text, "\"127.0.0.1:9306\"", "Host and port at which it speaks the MySQL protocol.").required()],
        tables: &[],
    },
    Section {
        name: "kubernetes-objects",
        help: "Secrets, ConfigMaps and custom resources of the namespace; needs no address.",
        keys: &[ABSENT],
        tables: &[],
    },
];

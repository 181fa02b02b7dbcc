//! What the server is: kind, version, settings that matter. Changes nothing.

use plan::Result;
use plan::ports::{Problem, Severity, StoreKind};
use serde::{Deserialize, Serialize};

use crate::session::Session;

/// The two kinds of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Oracle MySQL, Percona Server, Aurora.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl From<Kind> for StoreKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Mysql => Self::MySql,
            Kind::Mariadb => Self::MariaDb,
        }
    }
}

impl Kind {
    /// As people write it.
    pub(crate) const fn display(self) -> &'static str {
        match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        }
    }
}

/// A server's version: comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version(pub(crate) u16, pub(crate) u16, pub(crate) u16);

impl Version {
    /// Reads the first three numbers of a text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self(next(), next(), next())
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The server as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    /// 0: names of tables are case-sensitive; 1: kept in lower case; 2: compared without case.
    pub(crate) lower_case_table_names: u8,
    pub(crate) max_allowed_packet_bytes: u64,
    pub(crate) log_bin: bool,
}

impl Server {
    /// Asks a session.
    pub(crate) fn ask(session: &mut Session) -> Result<Self> {
        let version = session.variable("GLOBAL.version")?.unwrap_or_default();
        let comment = session.variable("GLOBAL.version_comment")?.unwrap_or_default();
        let is_mariadb = [&version, &comment].iter().any(|text| text.to_ascii_lowercase().contains("mariadb"));
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Ok(Self {
            kind: if is_mariadb { Kind::Mariadb } else { Kind::Mysql },
            version: Version::parse(version.trim_start_matches("5.5.5-")),
            lower_case_table_names: u8::try_from(number(session.variable("GLOBAL.lower_case_table_names")?)).unwrap_or(0),
            max_allowed_packet_bytes: number(session.variable("GLOBAL.max_allowed_packet")?),
            log_bin: number(session.variable("GLOBAL.log_bin")?) == 1,
        })
    }

    /// A name that is not as the server keeps it: what it lists of that schema would not be found.
    pub(crate) fn misspelled(&self, database: &str) -> Option<Problem> {
        let lower = database.to_lowercase();
        (self.lower_case_table_names == 1 && lower != database).then(|| {
            let text = format!("the server keeps names in lower case (lower_case_table_names = 1), and the address names {database:?}");
            Problem::new(Severity::Blocks, text).way_out(format!("Write the database as {lower:?} in the address"))
        })
    }

    /// `MySQL 9.7.0`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.kind.display(), self.version)
    }
}

/// Whether somebody reads the binary log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replicas {
    Yes,
    No,
    /// This user may not look.
    NotShown,
}

impl Replicas {
    /// Whether there may be some.
    pub(crate) const fn may_be(self) -> bool {
        !matches!(self, Self::No)
    }

    /// Looks for them.
    pub(crate) fn look(session: &mut Session, server: &Server) -> Result<Self> {
        // In a cluster, the log is how the other members get the data.
        if session.variable("GLOBAL.wsrep_on")?.is_some_and(|on| on == "1") {
            return Ok(Self::Yes);
        }
        let group = "SELECT 1 FROM performance_schema.replication_group_members WHERE MEMBER_ID <> ''";
        let mut shown = Vec::new();
        if server.kind == Kind::Mysql {
            // Who may not read that table sees them by the other two.
            shown.extend(session.rows_if_possible("look for a replication group", group)?.map(|members| !members.is_empty()));
        }
        let mut registered = None;
        for sql in ["SHOW REPLICAS", "SHOW SLAVE HOSTS"] {
            registered = session.rows_if_possible("look for replicas", sql)?.map(|replicas| !replicas.is_empty());
            if registered.is_some() {
                break;
            }
        }
        // Those who may not see others see themselves.
        let reading = "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
        let reading = session.rows_if_possible("look for replicas", reading)?.map(|replicas| !replicas.is_empty());
        shown.extend(registered);
        shown.extend(reading);
        Ok(if shown.contains(&true) {
            Self::Yes
        } else if registered.is_none() || reading.is_none() {
            Self::NotShown
        } else {
            Self::No
        })
    }
}

impl std::fmt::Display for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotShown => "not shown to this user",
        })
    }
}

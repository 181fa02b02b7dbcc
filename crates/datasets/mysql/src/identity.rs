//! What tells a database from all others, whatever its address, users and passwords.
//!
//! MySQL makes a UUID when its data folder is made (`auto.cnf`): it stays with the folder. MariaDB has nothing like it. Its `server_uid` is made of the machine's
//! network card and changes with every pod; `hostname` changes as the issue of a name may; what only some users may read would make one server look like two.
//! So it is told by its number and its data folder. **Limit:** two MariaDB servers on two machines, both with the default number and folder, have the same
//! identity for databases of one name; there the marks of the runs tell them apart.

use plan::Result;

use crate::server::{Kind, Server};
use crate::session::Session;

/// The identity; `None` when the server does not tell.
pub(crate) fn of(session: &mut Session, server: &Server, database: &str) -> Result<Option<String>> {
    // Compared without case, or kept in lower case: one database, however the address writes it.
    let database = if server.lower_case_table_names == 0 { database.to_owned() } else { database.to_lowercase() };
    Ok(match server.kind {
        Kind::Mysql => {
            let uuid = session.variable("GLOBAL.server_uuid")?.filter(|uuid| !uuid.is_empty());
            uuid.map(|uuid| format!("mysql {uuid}/{database}"))
        }
        Kind::Mariadb => {
            let (number, folder) = (session.variable("GLOBAL.server_id")?, session.variable("GLOBAL.datadir")?);
            number.zip(folder).map(|(number, folder)| format!("mariadb {number}:{}/{database}", folder.trim_end_matches('/')))
        }
    })
}

//! What a server is and what our role may do on it.

use plan::Result;

use crate::session::Session;

/// A server as a session sees it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// `15.18`.
    pub(crate) version: String,
    /// `15`.
    pub(crate) major: u32,
    /// Our role.
    pub(crate) role: String,
    /// Whether our role may create databases.
    pub(crate) create_database: bool,
    /// Whether our role may end the sessions of others.
    pub(crate) signal: bool,
    /// Whether it is a standby.
    pub(crate) in_recovery: bool,
}

impl Server {
    /// Asks the server.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn read(session: &mut Session) -> Result<Self> {
        let row = session.row(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user::text, \
                    rolcreatedb OR rolsuper, rolsuper OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE'), pg_is_in_recovery() \
             FROM pg_roles WHERE rolname = current_user",
            "ask for the server's version",
        )?;
        let version: String = row.get(1);
        Ok(Self {
            major: u32::try_from(row.get::<_, i32>(0) / 10_000).unwrap_or(0),
            // Debian: `15.18 (Debian 15.18-0+deb12u1)`.
            version: version.split_whitespace().next().unwrap_or_default().to_owned(),
            role: row.get(2),
            create_database: row.get(3),
            signal: row.get(4),
            in_recovery: row.get(5),
        })
    }
}

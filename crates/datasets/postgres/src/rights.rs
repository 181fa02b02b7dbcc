//! What our role may make in a database: asked of the server once, by its catalogue.

use std::collections::{BTreeMap, BTreeSet};

use plan::Result;
use plan::ports::{Problem, Road, Severity};

use crate::address::Address;
use crate::clients::Finder;
use crate::look;
use crate::public::Public;
use crate::rules::some;
use crate::server::Server;
use crate::session::Session;
use crate::sql::of_the_user;
use crate::superuser::AtHand;

/// Objects of which a database has one of each name, whatever the schema, as tables of contents name them (`.tag` in `pg_dump.c`). Built-in ones and those that
/// are moved aside are not among them.
const THERE: &str = "SELECT 'EXTENSION', extname::text FROM pg_extension \
     UNION ALL SELECT 'EVENT TRIGGER', evtname FROM pg_event_trigger o WHERE NOT (pg_has_role(evtowner, 'USAGE') \
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = o.oid AND d.deptype = 'e')) \
     UNION ALL SELECT 'PUBLICATION', pubname FROM pg_publication o WHERE NOT (pg_has_role(pubowner, 'USAGE') \
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_publication'::regclass AND d.objid = o.oid AND d.deptype = 'e')) \
     UNION ALL SELECT 'SUBSCRIPTION', subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     UNION ALL SELECT 'ACCESS METHOD', amname FROM pg_am WHERE oid >= 16384 \
     UNION ALL SELECT 'FOREIGN DATA WRAPPER', fdwname FROM pg_foreign_data_wrapper o WHERE NOT (pg_has_role(fdwowner, 'USAGE') \
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_foreign_data_wrapper'::regclass AND d.objid = o.oid AND d.deptype = 'e')) \
     UNION ALL SELECT 'SERVER', srvname FROM pg_foreign_server o WHERE NOT (pg_has_role(srvowner, 'USAGE') \
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_foreign_server'::regclass AND d.objid = o.oid AND d.deptype = 'e')) \
     UNION ALL SELECT 'SCHEMA', nspname FROM pg_namespace n WHERE @user_schemas@ AND nspname <> 'public' \
       AND NOT (pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT 1 FROM pg_extension WHERE extnamespace = n.oid)) \
     UNION ALL SELECT 'PROCEDURAL LANGUAGE', lanname FROM pg_language WHERE oid >= 16384 \
     UNION ALL SELECT 'CAST', format('CAST (%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)) FROM pg_cast \
       WHERE oid >= 16384 AND castsource < 16384 AND casttarget < 16384";

/// Objects of the live database that only a superuser makes; of the extensions, the rights say which.
const SUPERUSERS: &str = "SELECT 'extension', extname::text FROM pg_extension WHERE extname <> 'plpgsql' \
     UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger o WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = o.oid AND d.deptype = 'e') \
     UNION ALL SELECT 'publication', pubname FROM pg_publication WHERE puballtables \
     UNION ALL SELECT 'access method', amname FROM pg_am o WHERE oid >= 16384 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_am'::regclass AND d.objid = o.oid AND d.deptype = 'e') \
     UNION ALL SELECT 'foreign data wrapper', fdwname FROM pg_foreign_data_wrapper o WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_foreign_data_wrapper'::regclass AND d.objid = o.oid AND d.deptype = 'e') \
     UNION ALL SELECT 'operator family', opfname FROM pg_opfamily o WHERE oid >= 16384 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_opfamily'::regclass AND d.objid = o.oid AND d.deptype = 'e') \
     UNION ALL SELECT 'function', o.oid::regprocedure::text FROM pg_proc o JOIN pg_language l ON l.oid = prolang \
       WHERE o.oid >= 16384 AND lanname IN ('c', 'internal') AND prokind <> 'a' AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = o.oid AND d.deptype = 'e') \
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = o.oid AND d.deptype = 'i') \
     UNION ALL SELECT 'aggregate', aggfnoid::regprocedure::text FROM pg_aggregate o WHERE aggfnoid >= 16384 AND 'internal'::regtype IN (aggtranstype, aggmtranstype) \
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = aggfnoid AND d.deptype = 'e') \
     UNION ALL SELECT DISTINCT 'default privileges of', pg_get_userbyid(defaclrole) FROM pg_default_acl WHERE NOT pg_has_role(defaclrole, 'USAGE') \
     ORDER BY 1, 2";

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    /// Our role.
    pub(crate) role: String,
    /// Whether it may make everything.
    pub(crate) is_superuser: bool,
    /// Whether it owns the schema `public`.
    pub(crate) owns_public: bool,
    /// The schema `public` that a restore finds.
    pub(crate) public: Option<Public>,
    /// All roles, and whether ours may own things in their name.
    roles: BTreeMap<String, bool>,
    extensions: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    there: BTreeSet<(String, String)>,
}

impl Rights {
    /// Asks, in the database that the set goes to or one of the same server.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn read(session: &mut Session, server: &Server) -> Result<Self> {
        let membership = if server.major >= 16 { "SET" } else { "MEMBER" };
        let query = format!("SELECT rolname::text, pg_has_role(current_user, oid, '{membership}') FROM pg_roles");
        let roles = session.rows(&query, "list the roles")?.iter().map(|row| (row.get(0), row.get(1))).collect();
        let row = session.row(
            "SELECT rolsuper, coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public'), true) \
             FROM pg_roles WHERE rolname = current_user",
            "ask what the role may do",
        )?;
        let extensions = "SELECT e.name::text FROM pg_available_extensions e JOIN pg_available_extension_versions v \
             ON v.name = e.name AND v.version = e.default_version WHERE v.trusted OR NOT v.superuser";
        let extensions = session.rows(extensions, "list the extensions that everybody may make")?;
        let tablespaces = session.rows("SELECT spcname::text FROM pg_tablespace", "list the tablespaces")?;
        Ok(Self {
            role: server.role.clone(),
            is_superuser: row.get(0),
            owns_public: row.get(1),
            public: Public::read(session)?,
            roles,
            extensions: extensions.iter().map(|row| row.get(0)).collect(),
            tablespaces: tablespaces.iter().map(|row| row.get(0)).collect(),
            there: BTreeSet::new(),
        })
    }

    /// The same, where what is there already stays as it is: the set goes into the database that the session is in, and not into a new one.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn beside_what_is_there(mut self, session: &mut Session) -> Result<Self> {
        let rows = session.rows(&of_the_user(THERE), "list what a restore leaves as it is")?;
        self.there = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(self)
    }

    /// Those that a restore has on a road: of the superuser of the server's pod, where the side database is of its making.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn of_restore(session: &mut Session, server: &Server, road: Road, address: &Address, finder: Finder<'_>) -> Result<Self> {
        let mut rights = Self::read(session, server)?;
        if road == Road::InPlace {
            return rights.beside_what_is_there(session);
        }
        if look::may_swap(session, &address.database)? {
            let (public, is_ours) = Public::of_new(session, server.major)?;
            (rights.public, rights.owns_public) = (Some(public), is_ours);
            return Ok(rights);
        }
        Ok(match finder.superuser(address)? {
            AtHand::Named(name) => rights.of_superuser(name),
            AtHand::Nobody | AtHand::Unknown(_) => rights,
        })
    }

    /// Those of the superuser, on the same server.
    fn of_superuser(mut self, name: String) -> Self {
        self.roles.values_mut().for_each(|may_be| *may_be = true);
        Self { role: name, is_superuser: true, owns_public: true, ..self }
    }

    /// What is live and this role could not bring back, as far as the catalogue tells it without a dump.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn problems(&self, session: &mut Session, owner: &str) -> Result<Vec<Problem>> {
        if self.is_superuser {
            return Ok(Vec::new());
        }
        let mut problems: Vec<_> = Public::read(session)?.and_then(|public| public.problem(self)).into_iter().collect();
        let rows = session.rows(SUPERUSERS, "look at what only a superuser makes")?;
        let found = rows.iter().map(|row| -> (&str, &str) { (row.get(0), row.get(1)) });
        let found = found.filter(|(kind, name)| *kind != "extension" || !self.may_make_extension(name));
        let names: Vec<String> = found.map(|(kind, name)| format!("{kind} {name}")).collect();
        if !names.is_empty() {
            let text =
                format!("role {:?} may not make {}: a restore by it leaves them out", self.role, some(names.iter().map(String::as_str)));
            let way_out = "Restore with the address of a superuser, or let one make them afterwards.";
            problems.push(Problem::new(Severity::Degrades, text).way_out(way_out));
        }
        if !self.may_be(owner) {
            // A role for backups only: another one restores.
            problems.iter_mut().for_each(|problem| problem.severity = Severity::Note);
        }
        Ok(problems)
    }

    /// Adds an extension that turned out to be one that the role may make (the superusers of hosted servers are none by name).
    pub(crate) fn allow_extension(&mut self, name: &str) {
        self.extensions.insert(name.to_owned());
    }

    /// Whether there is such a role.
    pub(crate) fn knows(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }

    /// Whether something can be made in the name of a role.
    pub(crate) fn may_be(&self, role: &str) -> bool {
        self.roles.get(role).copied().unwrap_or(false)
    }

    /// Whether an extension can be made.
    pub(crate) fn may_make_extension(&self, name: &str) -> bool {
        self.is_superuser || self.extensions.contains(name)
    }

    /// Whether there is such a tablespace.
    pub(crate) fn has_tablespace(&self, name: &str) -> bool {
        self.tablespaces.contains(name)
    }

    /// Whether an object of that kind and name is there already and stays.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.there.contains(&(kind.to_owned(), name.to_owned()))
    }

    /// How many of a kind stay.
    pub(crate) fn staying(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.there.iter().filter(move |(of, _)| of == kind).map(|(_, name)| name.as_str())
    }
}

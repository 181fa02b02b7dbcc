//! What belongs to the database itself and stays outside of a `pg_dump` without `--create`: owner, encoding, locale, settings, grants, comment.
//! Kept with the dump as `<database>.database.json`, not in the evidence: a setting may hold a secret.

use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::mark;
use crate::session::Session;
use crate::sql::{identifier, literal};

/// Settings whose value is a list of quoted names (`GUC_LIST_QUOTE` in guc_tables.c): as one constant it would become one name.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The properties of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Properties {
    /// Role that owns it.
    pub(crate) owner: String,
    /// `UTF8`.
    pub(crate) encoding: String,
    collate: String,
    ctype: String,
    /// `c` libc, `i` ICU, `b` builtin (17 and later).
    provider: String,
    /// Locale of the provider, when it is not libc.
    locale: Option<String>,
    icu_rules: Option<String>,
    tablespace: String,
    connection_limit: i32,
    /// `None`: the default grants.
    grants: Option<Vec<Grant>>,
    /// Its own comment.
    pub(crate) comment: Option<String>,
    settings: Vec<Setting>,
}

/// One privilege on the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Grant {
    /// `None`: everybody.
    role: Option<String>,
    privilege: String,
    grantable: bool,
}

/// One `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    role: Option<String>,
    name: String,
    value: String,
}

impl Setting {
    fn target(&self) -> String {
        self.role.as_ref().map_or_else(|| self.name.clone(), |role| format!("{} of role {role}", self.name))
    }
}

impl Properties {
    /// Reads them; `None` when there is no such database. The session may be in any database of the server.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn read(session: &mut Session, database: &str, major: u32) -> Result<Option<Self>> {
        let (provider, locale, rules) = match major {
            ..15 => ("'c'", "NULL::text", "NULL::text"),
            15 => ("datlocprovider::text", "daticulocale::text", "NULL::text"),
            16 => ("datlocprovider::text", "daticulocale::text", "daticurules::text"),
            _ => ("datlocprovider::text", "datlocale::text", "daticurules::text"),
        };
        let name = literal(database);
        let query = format!(
            "SELECT pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text, {provider}, {locale}, {rules}, \
                    t.spcname::text, datconnlimit, shobj_description(d.oid, 'pg_database'), datacl IS NULL \
             FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = {name}"
        );
        let rows = session.rows(&query, "read the database's properties")?;
        let Some(row) = rows.first() else { return Ok(None) };
        let grants = if row.get::<_, bool>(10) { None } else { Some(grants(session, &name)?) };
        Ok(Some(Self {
            owner: row.get(0),
            encoding: row.get(1),
            collate: row.get(2),
            ctype: row.get(3),
            provider: row.get(4),
            locale: row.get(5),
            icu_rules: row.get(6),
            tablespace: row.get(7),
            connection_limit: row.get(8),
            comment: mark::own_comment(row.get(9)),
            grants,
            settings: settings(session, &name)?,
        }))
    }

    /// The properties of a staged database, and what of them differs from the live one's: those of the set, for it is what goes back, whatever stands in its place now. The
    /// live one's owner when the set's is none here, and its locale when both have one encoding, for the server may not know the set's. Values are not told: a
    /// setting may be a secret.
    pub(crate) fn staged(live: Option<Self>, set: Self, may_own: impl Fn(&str) -> bool) -> (Self, Vec<String>) {
        let Some(live) = live else { return (set, Vec::new()) };
        let mut staged = set;
        if !may_own(&staged.owner) {
            staged.owner.clone_from(&live.owner);
        }
        if live.encoding == staged.encoding {
            (staged.collate, staged.ctype, staged.provider) = (live.collate.clone(), live.ctype.clone(), live.provider.clone());
            (staged.locale, staged.icu_rules) = (live.locale.clone(), live.icu_rules.clone());
        }
        let differences = staged.differences(&live);
        (staged, differences)
    }

    /// What differs from another one's, by name.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.owner != other.owner {
            differences.push(format!("owner ({} instead of {})", self.owner, other.owner));
        }
        if self.connection_limit != other.connection_limit {
            differences.push(format!("connection limit ({} instead of {})", self.connection_limit, other.connection_limit));
        }
        for (name, is_other) in [
            ("encoding", self.encoding != other.encoding),
            ("tablespace", self.tablespace != other.tablespace),
            ("rights on the database", self.grants != other.grants),
            ("comment", self.comment != other.comment),
        ] {
            differences.extend(is_other.then(|| name.to_owned()));
        }
        let one_sided =
            |these: &[Setting], those: &[Setting]| these.iter().filter(|one| !those.contains(one)).map(Setting::target).collect();
        let mut settings: std::collections::BTreeSet<String> = one_sided(&self.settings, &other.settings);
        settings.extend(one_sided(&other.settings, &self.settings));
        differences.extend(settings.into_iter().map(|name| format!("setting {name}")));
        differences
    }

    /// `CREATE DATABASE`, for a server of a major version; without the owner when the role cannot give databases away.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the server is too old for the locale provider.
    pub(crate) fn create(&self, database: &str, major: u32, owner: bool) -> Result<String> {
        let mut text = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            identifier(database),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype)
        );
        // Named, even the default one asks for a privilege on it.
        if self.tablespace != "pg_default" {
            text.push_str(&format!(" TABLESPACE {}", identifier(&self.tablespace)));
        }
        let locale = literal(self.locale.as_deref().unwrap_or("C"));
        match self.provider.as_str() {
            "i" if major >= 15 => text.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {locale}")),
            "b" if major >= 17 => text.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}")),
            "c" if major >= 15 => text.push_str(" LOCALE_PROVIDER libc"),
            "c" => {}
            provider => {
                return Err(Error::refused(format!(
                    "PostgreSQL {major} has no locale provider {provider:?}, which the set's database uses"
                ))
                .hint("Restore into the version that the set comes from, or a newer one."));
            }
        }
        if let Some(rules) = self.icu_rules.as_ref().filter(|_| major >= 16) {
            text.push_str(&format!(" ICU_RULES {}", literal(rules)));
        }
        if owner {
            text.push_str(&format!(" OWNER {}", identifier(&self.owner)));
        }
        Ok(text)
    }

    /// The statements that give a loaded database the rest: after the load, which some settings (`default_transaction_read_only`) would disturb. The comment
    /// waits in the mark ([`crate::mark::Tag`]) until it is live.
    pub(crate) fn finishing(&self, database: &str) -> Vec<String> {
        let name = identifier(database);
        let mut statements = Vec::new();
        if let Some(grants) = &self.grants {
            statements.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
            statements.extend(grants.iter().map(|grant| {
                let role = grant.role.as_deref().map_or_else(|| "PUBLIC".to_owned(), identifier);
                let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
                format!("GRANT {} ON DATABASE {name} TO {role}{option}", grant.privilege)
            }));
        }
        statements.extend(self.settings.iter().map(|setting| {
            let target = match &setting.role {
                None => format!("DATABASE {name}"),
                Some(role) => format!("ROLE {} IN DATABASE {name}", identifier(role)),
            };
            let value = if LISTS.contains(&setting.name.as_str()) && !setting.value.is_empty() {
                setting.value.clone()
            } else {
                literal(&setting.value)
            };
            let parameter: Vec<_> = setting.name.split('.').map(identifier).collect();
            format!("ALTER {target} SET {} TO {value}", parameter.join("."))
        }));
        if self.connection_limit != -1 {
            statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {}", self.connection_limit));
        }
        statements
    }
}

fn grants(session: &mut Session, name: &str) -> Result<Vec<Grant>> {
    let query = format!(
        "SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type::text, a.is_grantable \
         FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a WHERE d.datname = {name} AND a.grantee <> d.datdba ORDER BY 1 NULLS FIRST, 2, 3"
    );
    let rows = session.rows(&query, "read the grants on the database")?;
    Ok(rows.iter().map(|row| Grant { role: row.get(0), privilege: row.get(1), grantable: row.get(2) }).collect())
}

fn settings(session: &mut Session, name: &str) -> Result<Vec<Setting>> {
    let query = format!(
        "SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_get_userbyid(s.setrole)::text END, \
                split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) \
         FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN LATERAL unnest(s.setconfig) WITH ORDINALITY AS u(c, place) \
         WHERE d.datname = {name} ORDER BY 1 NULLS FIRST, place"
    );
    let rows = session.rows(&query, "read the settings of the database")?;
    Ok(rows.iter().map(|row| Setting { role: row.get(0), name: row.get(1), value: row.get(2) }).collect())
}

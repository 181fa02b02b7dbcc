//! The schema `public`: who may what there, whose it is, its comment. Before version 15 it is the server's superuser's, and a role that owns the database may change nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use plan::Result;
use plan::ports::{Problem, Severity};
use serde::{Deserialize, Serialize};

use crate::rights::Rights;
use crate::session::Session;
use crate::sql::{identifier, literal};

/// Whom it belongs to in a new database: the first superuser, whatever his name, or whoever owns the database.
const IS_OF_THE_SERVER: &str = "nspowner = 10 OR pg_get_userbyid(nspowner) = 'pg_database_owner'";

/// One privilege there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Right {
    /// `None`: everybody.
    role: Option<String>,
    privilege: String,
    grantable: bool,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Public {
    /// `None`: as in a new database.
    owner: Option<String>,
    comment: Option<String>,
    /// But its owner's.
    rights: BTreeSet<Right>,
}

impl Public {
    /// That of the database that a session is in; `None` when it has none.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn read(session: &mut Session) -> Result<Option<Self>> {
        let query = format!(
            "SELECT CASE WHEN {IS_OF_THE_SERVER} THEN NULL ELSE pg_get_userbyid(nspowner)::text END, obj_description(oid, 'pg_namespace') \
             FROM pg_namespace WHERE nspname = 'public'"
        );
        let rows = session.rows(&query, "look at the schema public")?;
        let Some(row) = rows.first() else { return Ok(None) };
        let query = "SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type::text, bool_or(a.is_grantable) \
             FROM pg_namespace n CROSS JOIN LATERAL aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a \
             WHERE nspname = 'public' AND a.grantee <> nspowner GROUP BY 1, 2";
        let rights = session.rows(query, "read the rights on the schema public")?;
        let rights = rights.iter().map(|row| Right { role: row.get(0), privilege: row.get(1), grantable: row.get(2) }).collect();
        Ok(Some(Self { owner: row.get(0), comment: row.get(1), rights }))
    }

    /// That of a new database, and whether our role may change it (release notes of version 15).
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn of_new(session: &mut Session, major: u32) -> Result<(Self, bool)> {
        let everybody = |privilege: &str| Right { role: None, privilege: privilege.to_owned(), grantable: false };
        let mut rights = BTreeSet::from([everybody("USAGE")]);
        let comment = Some("standard public schema".to_owned());
        if major >= 15 {
            return Ok((Self { owner: None, comment, rights }, true));
        }
        rights.insert(everybody("CREATE"));
        let is_ours = session.row("SELECT pg_has_role(current_user, 10::oid, 'USAGE')", "ask whose the schema public will be")?.get(0);
        Ok((Self { owner: None, comment, rights }, is_ours))
    }

    fn everybody_may_create(&self) -> bool {
        self.rights.iter().any(|right| right.role.is_none() && right.privilege == "CREATE")
    }

    /// What makes another one of it, and what that changes.
    fn difference(&self, there: &Self) -> (Vec<&'static str>, Vec<String>) {
        let (mut what, mut statements) = (Vec::new(), Vec::new());
        if let Some(owner) = self.owner.as_ref().filter(|_| self.owner != there.owner) {
            what.push("owner");
            statements.push(format!("ALTER SCHEMA public OWNER TO {}", identifier(owner)));
        }
        let before = statements.len();
        let (want, have) = (self.by_role(), there.by_role());
        let roles: BTreeSet<_> = want.keys().chain(have.keys()).copied().collect();
        for role in roles.into_iter().filter(|role| want.get(role) != have.get(role) && (role.is_none() || *role != self.owner.as_ref())) {
            let name = role.map_or_else(|| "PUBLIC".to_owned(), |role| identifier(role));
            if have.contains_key(&role) {
                statements.push(format!("REVOKE ALL ON SCHEMA public FROM {name}"));
            }
            statements.extend(want.get(&role).into_iter().flatten().map(|right| {
                let option = if right.grantable { " WITH GRANT OPTION" } else { "" };
                format!("GRANT {} ON SCHEMA public TO {name}{option}", right.privilege)
            }));
        }
        if statements.len() > before {
            what.push("rights");
        }
        if self.comment != there.comment {
            what.push("comment");
            let comment = self.comment.as_deref().map_or_else(|| "NULL".to_owned(), literal);
            statements.push(format!("COMMENT ON SCHEMA public IS {comment}"));
        }
        (what, statements)
    }

    fn by_role(&self) -> BTreeMap<Option<&String>, Vec<&Right>> {
        let mut roles = BTreeMap::<_, Vec<_>>::new();
        self.rights.iter().for_each(|right| roles.entry(right.role.as_ref()).or_default().push(right));
        roles
    }

    /// What of it a role does not bring back.
    pub(crate) fn problem(&self, rights: &Rights) -> Option<Problem> {
        self.problem_in(rights.public.as_ref()?, rights)
    }

    /// The same, where another one is found.
    pub(crate) fn problem_in(&self, there: &Self, rights: &Rights) -> Option<Problem> {
        if rights.is_superuser || rights.owns_public {
            return None;
        }
        let (what, statements) = self.difference(there);
        if statements.is_empty() {
            return None;
        }
        let open = if there.everybody_may_create() && !self.everybody_may_create() { ", and everybody may create there" } else { "" };
        let text = format!(
            "role {:?} may not change the schema public: a restore by it does not bring back its {}{open}",
            rights.role,
            what.join(" and ")
        );
        let way_out = format!("After the restore, as a superuser in the database: {};", statements.join("; "));
        Some(Problem::new(Severity::Degrades, text).way_out(way_out))
    }
}

/// Of a set that does not say it, for a role that does not change it.
pub(crate) fn unknown(rights: &Rights) -> Option<Problem> {
    let there = rights.public.as_ref().filter(|_| !rights.is_superuser && !rights.owns_public)?;
    let open = if there.everybody_may_create() { "; here everybody may create in it" } else { "" };
    let text = format!(
        "the release that took the set did not note who may what in the schema public, and role {:?} may not change that{open}",
        rights.role
    );
    Some(Problem::new(Severity::Degrades, text).way_out("After the restore, compare it with the source: psql -c '\\dn+ public'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(role: Option<&str>, privilege: &str, grantable: bool) -> Right {
        Right { role: role.map(str::to_owned), privilege: privilege.to_owned(), grantable }
    }

    #[test]
    fn only_what_differs_is_stated_and_nothing_where_nothing_does() {
        let there = Public {
            owner: None,
            comment: Some("standard public schema".to_owned()),
            rights: [right(None, "CREATE", false), right(None, "USAGE", false), right(Some("r"), "USAGE", false)].into(),
        };
        assert_eq!(there.difference(&there), (Vec::new(), Vec::new()));
        let wanted = Public {
            owner: Some("o\"d".to_owned()),
            comment: None,
            rights: [right(Some("r"), "USAGE", false), right(Some("s"), "USAGE", true)].into(),
        };
        let (what, statements) = wanted.difference(&there);
        assert_eq!(what, ["owner", "rights", "comment"]);
        assert_eq!(
            statements,
            [
                "ALTER SCHEMA public OWNER TO \"o\"\"d\"",
                "REVOKE ALL ON SCHEMA public FROM PUBLIC",
                "GRANT USAGE ON SCHEMA public TO \"s\" WITH GRANT OPTION",
                "COMMENT ON SCHEMA public IS NULL"
            ]
        );
    }
}

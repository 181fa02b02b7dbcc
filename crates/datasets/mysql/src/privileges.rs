//! What the user may do, from `SHOW GRANTS`. Changes nothing.

use std::collections::BTreeSet;

use plan::Result;

use crate::quote;
use crate::server::{Kind, Server, Version};
use crate::session::Session;

/// To give others what one has.
pub(crate) const GRANT_OPTION: &str = "GRANT OPTION";

/// Privileges on everything and on schemas.
pub(crate) struct Grants {
    lines: Vec<Grant>,
    /// What partial revokes (MySQL 8.0.16) take away again.
    revoked: Vec<Grant>,
    /// Of the server.
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    /// With partial revokes, `_` and `%` in a schema's name are themselves.
    literal: bool,
    /// `'user'@'host'`, for statements that people run.
    pub(crate) user: String,
}

struct Grant {
    privileges: BTreeSet<String>,
    /// Pattern of the schema; `None` for everything.
    schema: Option<String>,
}

impl Grants {
    /// Asks the server about the current user, with its active roles.
    pub(crate) fn ask(session: &mut Session, server: &Server) -> Result<Self> {
        let (kind, version) = (server.kind, server.version);
        let user = session.value("read the user's name", "SELECT CURRENT_USER()")?.unwrap_or_default();
        let user = quote::account(&user);
        let roles = session.rows_if_possible("read the roles", "SELECT CURRENT_ROLE()")?;
        let roles = roles.and_then(|rows| rows.first().and_then(|record| record.maybe(0).ok().flatten())).filter(|roles| roles != "NONE");
        let sql = match roles {
            Some(roles) if kind == Kind::Mysql => format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"),
            _ => "SHOW GRANTS".to_owned(),
        };
        let literal = session.variable("GLOBAL.partial_revokes")?.as_deref() == Some("1");
        let (mut lines, mut revoked) = (Vec::new(), Vec::new());
        for record in session.rows("read the privileges", &sql)? {
            let line = record.text(0)?;
            lines.extend(parse(&line, "GRANT ", " TO "));
            revoked.extend(parse(&line, "REVOKE ", " FROM "));
        }
        Ok(Self { lines, revoked, kind, version, literal, user })
    }

    /// Whether a privilege is there for everything.
    pub(crate) fn everywhere(&self, privilege: &str) -> bool {
        self.lines.iter().any(|line| line.schema.is_none() && line.has(privilege))
    }

    /// Whether a privilege is there for a whole schema.
    pub(crate) fn on(&self, privilege: &str, schema: &str) -> bool {
        let names = |line: &Grant| {
            line.schema.as_ref().is_some_and(|pattern| if self.literal { pattern == schema } else { matches(pattern, schema) })
        };
        let on_schema = self.lines.iter().any(|line| names(line) && line.has(privilege));
        on_schema || self.everywhere(privilege) && !self.revoked.iter().any(|line| names(line) && line.has(privilege))
    }

    /// Whether a pattern in the name of a schema means more than one schema.
    pub(crate) const fn knows_patterns(&self) -> bool {
        !self.literal
    }

    /// Those of several privileges that are missing on a schema.
    pub(crate) fn missing<'a>(&self, privileges: &[&'a str], schema: &str) -> Vec<&'a str> {
        privileges.iter().filter(|privilege| !self.on(privilege, schema)).copied().collect()
    }
}

impl Grant {
    fn has(&self, privilege: &str) -> bool {
        // What ALL does not hold.
        if privilege == GRANT_OPTION {
            return self.privileges.contains(privilege);
        }
        // ALL on a schema holds all that can be given on a schema; the dynamic privileges of MySQL are listed one by one.
        self.privileges.contains(privilege)
            || self.privileges.contains("ALL PRIVILEGES")
            || (privilege != "SUPER" && self.privileges.contains("ALL"))
    }
}

/// `GRANT SELECT, INSERT (a, b) ON `x`.* TO …`, or `REVOKE … FROM …`; lines about single tables, routines, roles and proxies give nothing for a whole schema.
fn parse(line: &str, verb: &str, whom: &str) -> Option<Grant> {
    let rest = line.strip_prefix(verb)?;
    let (privileges, rest) = rest.split_once(" ON ")?;
    let (object, _) = rest.split_once(whom)?;
    let schema = match object {
        "*.*" => None,
        _ => Some(object.strip_suffix(".*")?.trim_matches('`').replace("``", "`")),
    };
    let mut depth = 0_i32;
    // MySQL writes no space between its dynamic privileges; commas in parentheses are between columns.
    let each = privileges.split(|character| {
        depth += i32::from(character == '(') - i32::from(character == ')');
        character == ',' && depth == 0
    });
    // Column privileges are not privileges on the whole.
    let whole = each.filter(|privilege| !privilege.contains('('));
    let option = line.ends_with(" WITH GRANT OPTION").then(|| GRANT_OPTION.to_owned());
    Some(Grant { privileges: whole.map(|privilege| privilege.trim().to_uppercase()).chain(option).collect(), schema })
}

/// `LIKE` as `GRANT` knows it: `_`, `%`, and `\` before either.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('%') => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| matches(pattern_rest.as_str(), text.get(at..).unwrap_or_default())),
        Some(wanted) => {
            let mut text_rest = text.chars();
            let Some(found) = text_rest.next() else { return false };
            let (literal, any) = match wanted {
                '_' => (wanted, true),
                '\\' => (pattern_rest.next().unwrap_or('\\'), false),
                other => (other, false),
            };
            (any || found == literal) && matches(pattern_rest.as_str(), text_rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn patterns_of_schemas_are_understood() {
        assert!(matches("system\\_\\_%", "system__stage_1"));
        assert!(!matches("system\\_\\_%", "systemxx"));
        assert!(matches("sys_em", "system") && matches("%", "") && !matches("a", "ab"));
    }

    #[test]
    fn a_grant_on_a_table_is_not_one_on_the_schema() {
        assert!(parse("GRANT SELECT ON `a`.`b` TO `u`@`%`", "GRANT ", " TO ").is_none());
        let grant = parse("GRANT SELECT, INSERT (`x`, `y`), LOCK TABLES ON `a`.* TO `u`@`%`", "GRANT ", " TO ").unwrap();
        assert!(grant.has("SELECT") && grant.has("LOCK TABLES") && !grant.has("INSERT"));
        let dynamic = parse("GRANT SHOW_ROUTINE,SYSTEM_USER ON *.* TO `u`@`%`", "GRANT ", " TO ").unwrap();
        assert!(dynamic.has("SHOW_ROUTINE") && dynamic.has("SYSTEM_USER") && !dynamic.has("SUPER"));
        assert!(parse("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*X'", "GRANT ", " TO ").unwrap().has("SUPER"));
    }
}

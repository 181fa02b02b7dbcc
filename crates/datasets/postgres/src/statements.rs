//! What `pg_dump` writes about roles: grants and policies, read as far as needed to leave one role out and nothing else.
//!
//! Forms: `buildACLCommands` and `buildDefaultACLCommands` of `dumputils.c`, `dumpPolicy` of `pg_dump.c`. Each grant is a statement of its own and ends with its one grantee.

/// The statements of a text, each with its `;` and what follows it up to the next. Quoted names and constants are not looked into.
fn split(text: &str) -> Vec<&str> {
    let (mut statements, mut from, mut quote) = (Vec::new(), 0, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, ';') => {
                statements.extend(text.get(from..=at));
                from = at + 1;
            }
            _ => {}
        }
    }
    statements.extend(text.get(from..).filter(|rest| !rest.is_empty()));
    statements
}

/// The first name of a text, without its quotes, and what follows it.
fn first_name(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(|character: char| !(character.is_alphanumeric() || matches!(character, '_' | '$'))).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

/// Where a word stands outside of quotes and parentheses.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0_usize);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && text[at..].starts_with(word) => return Some(at),
            _ => {}
        }
    }
    None
}

/// What becomes of a text when roles are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Without {
    /// What is left.
    pub(crate) text: String,
    /// The roles that were left out.
    pub(crate) roles: Vec<String>,
    /// The roles whose grants are now made by the owner.
    pub(crate) grantors: Vec<String>,
}

/// Grants without those to roles that are not there; those of a grantor that this session cannot be are made by the owner: the right itself is kept.
pub(crate) fn grants(text: &str, is_there: impl Fn(&str) -> bool, may_be: impl Fn(&str) -> bool) -> Without {
    let mut without = Without::default();
    let mut is_grantor_gone = false;
    for statement in split(text) {
        let bare = statement.trim().trim_end_matches(';');
        if let Some(grantor) = bare.strip_prefix("SET SESSION AUTHORIZATION ") {
            let grantor = first_name(grantor).map(|(name, _)| name).unwrap_or_default();
            is_grantor_gone = !may_be(&grantor);
            if is_grantor_gone {
                without.grantors.push(grantor);
                continue;
            }
        } else if bare.starts_with("RESET SESSION AUTHORIZATION") {
            if std::mem::take(&mut is_grantor_gone) {
                continue;
            }
        } else if let Some(role) = grantee(bare).filter(|role| !is_there(role)) {
            without.roles.push(role);
            continue;
        }
        without.text.push_str(statement);
    }
    without.roles.sort();
    without.roles.dedup();
    without
}

/// The one role that a grant is given to; `None` when it is everybody.
fn grantee(statement: &str) -> Option<String> {
    let bare = statement.strip_suffix(" WITH GRANT OPTION").unwrap_or(statement);
    let at = [" TO ", " FROM "].into_iter().filter_map(|word| last_word(bare, word).map(|at| at + word.len())).max()?;
    let rest = bare.get(at..)?;
    let rest = rest.strip_prefix("GROUP ").unwrap_or(rest);
    (rest != "PUBLIC").then(|| first_name(rest).map(|(name, _)| name)).flatten()
}

fn last_word(text: &str, word: &str) -> Option<usize> {
    let (mut last, mut from) = (None, 0);
    while let Some(at) = find_word(text.get(from..)?, word) {
        last = Some(from + at);
        from += at + 1;
    }
    last
}

/// A policy without the roles that are not there; no text when it is for nobody else.
pub(crate) fn policy(text: &str, is_there: impl Fn(&str) -> bool) -> Without {
    let unchanged = || Without { text: text.to_owned(), ..Without::default() };
    let Some(at) = find_word(text, " TO ").map(|at| at + " TO ".len()) else { return unchanged() };
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    let mut rest = text.get(at..).unwrap_or_default();
    let end = loop {
        let Some((name, after)) = first_name(rest) else { return unchanged() };
        let shown = rest.trim_start().get(..rest.trim_start().len() - after.len()).unwrap_or_default();
        // Keywords are not quoted, roles of their names are.
        if is_there(&name) || matches!(shown, "PUBLIC" | "CURRENT_USER" | "SESSION_USER") {
            kept.push(shown)
        } else {
            gone.push(name)
        }
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => break after,
        }
    };
    if gone.is_empty() {
        return unchanged();
    }
    let text = if kept.is_empty() { String::new() } else { format!("{}{}{end}", text.get(..at).unwrap_or_default(), kept.join(", ")) };
    Without { text, roles: gone, grantors: Vec::new() }
}

/// The role of a user mapping.
pub(crate) fn mapped_role(text: &str) -> Option<String> {
    first_name(text.trim_start().strip_prefix("CREATE USER MAPPING FOR ")?).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn nobody(_: &str) -> bool {
        false
    }

    #[test]
    fn one_role_is_left_out_of_grants_and_nothing_else() {
        let text = "REVOKE ALL ON TABLE public.t FROM zync;\nGRANT ALL ON TABLE public.t TO zync;\nGRANT SELECT ON TABLE public.\"a TO \"\"b;\" TO \"odd TO x\" WITH GRANT OPTION;\n\
                    SET SESSION AUTHORIZATION \"odd TO x\";\nGRANT SELECT(id) ON TABLE public.t TO reader;\nRESET SESSION AUTHORIZATION;\nGRANT SELECT ON TABLE public.t TO PUBLIC;\n";
        let without = grants(text, |role| role != "reader", |_| true);
        assert_eq!(without.text, text.replace("\nGRANT SELECT(id) ON TABLE public.t TO reader;", ""));
        assert_eq!(without.roles, ["reader"]);
        let without = grants(text, |role| role != "odd TO x", nobody);
        assert!(!without.text.contains("SESSION") && !without.text.contains("odd"), "{}", without.text);
        assert!(without.text.contains("TO reader") && without.text.contains("TO PUBLIC"), "{}", without.text);
        assert_eq!((without.roles, without.grantors), (vec!["odd TO x".to_owned()], vec!["odd TO x".to_owned()]));
        assert_eq!(grants(text, |_| true, |_| true).text, text);
        let default = "ALTER DEFAULT PRIVILEGES FOR ROLE zync IN SCHEMA public GRANT SELECT ON TABLES  TO reader;\n";
        assert_eq!(grants(default, |role| role == "zync", nobody).roles, ["reader"]);
    }

    #[test]
    fn one_role_is_left_out_of_a_policy_and_nothing_else() {
        let text = "CREATE POLICY own ON public.\"t TO u\" AS RESTRICTIVE FOR SELECT TO reader, \"Odd, one\", zync USING ((a = ' TO reader'::text));\n";
        let there = |gone: &'static str| move |role: &str| role != gone;
        assert_eq!(policy(text, |_| true).text, text);
        assert_eq!(policy(text, there("reader")).text, text.replacen(" TO reader, \"", " TO \"", 1));
        assert_eq!(policy(text, there("Odd, one")).text, text.replacen(", \"Odd, one\"", "", 1));
        assert_eq!(policy(text, there("zync")).text, text.replacen(", zync", "", 1));
        assert_eq!(policy(text, nobody), Without { roles: vec!["reader".into(), "Odd, one".into(), "zync".into()], ..Without::default() });
        let everybody = "CREATE POLICY own ON public.t USING ((a = 1));\n";
        assert_eq!(policy(everybody, nobody).text, everybody);
        assert_eq!(mapped_role("CREATE USER MAPPING FOR \"a\"\"b\" SERVER s OPTIONS (\n").as_deref(), Some("a\"b"));
    }
}

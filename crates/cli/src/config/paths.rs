//! Paths as they are meant: `~` is the home folder, and a relative one begins where it was given.

use std::path::{Path, PathBuf};

use plan::{Error, Result};

/// The absolute path. `what` names the value in errors.
pub(super) fn absolute(what: &str, text: &str, base: &Path) -> Result<PathBuf> {
    absolute_at_home(what, text, base, std::env::home_dir().filter(|home| home.is_absolute()))
}

fn absolute_at_home(what: &str, text: &str, base: &Path, home: Option<PathBuf>) -> Result<PathBuf> {
    if text.starts_with('$') || text.contains("${") {
        return Err(Error::refused(format!("{what} names a variable, and none is filled in")).hint("Write the path itself."));
    }
    if text.trim() != text || text.contains(char::is_control) {
        return Err(Error::refused(format!("{what} has white space around it or a control character in it")));
    }
    let whole = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home.ok_or_else(|| {
                Error::refused(format!("{what} begins with ~, and there is no home folder")).hint("Write the whole path.")
            })?;
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) => {
            return Err(Error::refused(format!("{what} begins with another user's ~"))
                .hint("Write the whole path, or ./~… for a folder of that name."));
        }
        None => base.join(text),
    };
    // `./x` and `x/.` are `x`; `..` stays, it may lead through a link.
    Ok(whole.components().collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_path_is_made_absolute_where_it_was_given() {
        let of = |text: &str| absolute_at_home("x", text, Path::new("/etc/3scale/."), Some("/home/me".into()));
        assert_eq!(of("/a/b").unwrap(), Path::new("/a/b"));
        assert_eq!(of("sets").unwrap(), Path::new("/etc/3scale/sets"));
        assert_eq!(of("./sets/").unwrap(), Path::new("/etc/3scale/sets"));
        assert_eq!(of("~/sets").unwrap(), Path::new("/home/me/sets"));
        assert_eq!(of("~").unwrap(), Path::new("/home/me"));
        for wrong in ["~you/x", "$HOME/x", "${HOME}/x", " /x", "/x\n"] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
        assert!(absolute_at_home("x", "~/a", Path::new("/"), None).is_err());
    }
}

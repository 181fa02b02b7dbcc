//! `protect`, `unprotect`: a set that no rule of retention removes, with a note that says why.

use jiff::Timestamp;
use plan::ids::SetId;
use plan::needs::{self, Protection};
use plan::{Error, Result};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::whose::Wanted;

#[derive(Serialize)]
struct ProtectDocument<'a> {
    set: &'a SetId,
    protected: bool,
    note: Option<&'a str>,
}

pub(crate) fn protect(app: &App, args: &args::Protect) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let set = app.find_set(&config, repository.as_ref(), &Wanted::new("protect", &args.set, true))?.0.manifest.set;
    let protection = Protection { since: Timestamp::now(), note: args.note.clone().unwrap_or_default() };
    needs::protect(repository.as_ref(), &set, &protection)?;
    // A `forget` elsewhere may have been quicker.
    app.find_set(&config, repository.as_ref(), &Wanted::new("protect", set.as_str(), true))?;
    app.output.line(&format!("set {set} is protected: `forget` keeps it until `unprotect {set}`"))?;
    app.output.document(&ProtectDocument { set: &set, protected: true, note: args.note.as_deref() })
}

pub(crate) fn unprotect(app: &App, args: &args::Unprotect) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let protected = needs::protections(repository.as_ref())?;
    // Not by the sets: one that is gone may have left its protection.
    let fitting: Vec<_> = protected.keys().filter(|set| set.as_str().starts_with(&args.set.to_lowercase())).collect();
    let set = match fitting.as_slice() {
        [set] => (*set).clone(),
        // `latest`, too.
        [] => {
            let set = app.find_set(&config, repository.as_ref(), &Wanted::new("unprotect", &args.set, true))?.0.manifest.set;
            if !protected.contains_key(&set) {
                return Err(Error::refused(format!("set {set} is not protected")).hint("`threescale-backup list` shows which sets are."));
            }
            set
        }
        several => {
            return Err(Error::refused(format!("{} protected sets begin with {}", several.len(), args.set)).hint("Give more of the id."));
        }
    };
    needs::unprotect(repository.as_ref(), &set)?;
    app.output.line(&format!("set {set} is not protected any more"))?;
    app.output.document(&ProtectDocument { set: &set, protected: false, note: None })
}

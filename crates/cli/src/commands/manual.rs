//! `completions` and `man`: made from the command line's own description.

use clap::CommandFactory;
use plan::Result;
use plan::error::During;

use crate::args::Cli;
use crate::output::write_raw;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "threescale-backup", &mut script);
    write_raw(&script)
}

/// The manual page: the program, then each command.
pub(crate) fn man() -> Result<()> {
    let what = || "failed to write the manual page".to_owned();
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).during(what)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = clap_mangen::Man::new(sub.clone().display_name(format!("threescale-backup {}", sub.get_name())));
        man.render_name_section(&mut page).during(what)?;
        man.render_synopsis_section(&mut page).during(what)?;
        man.render_options_section(&mut page).during(what)?;
    }
    write_raw(&page)
}

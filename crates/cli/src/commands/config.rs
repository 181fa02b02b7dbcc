//! `config show`, `config check`, `config example`: what is configured, whether it makes sense, and what could be.

use clap::parser::ValueSource;
use plan::ids::DataSetName;
use plan::{Error, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::{self, ConfigCommand, command_line};
use crate::config::{Config, Platform, Shown, ShownOrigin, check_name, example, example_document};
use crate::join;
use crate::notify;
use crate::output::error_text;

/// Options that are values of the configuration: option, section, key.
const FLAGS: [(&str, &str, &str); 3] =
    [("state_folder", "state", "folder"), ("workers", "options", "workers"), ("installation", "installation", "name")];
/// Options about the cluster, which have no key.
const OF_CLUSTER: [(&str, &str); 4] = [("namespace", "namespace"), ("context", "context"), ("kubeconfig", "kubeconfig"), ("act_as", "as")];

pub(crate) fn config(app: &App, command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Show => show(app),
        ConfigCommand::Check => check(app),
        ConfigCommand::Example => {
            app.output.line(&example())?;
            app.output.document(&example_document())
        }
    }
}

#[derive(Serialize)]
struct ShowDocument {
    /// The file that was read.
    file: Option<String>,
    platform: &'static str,
    values: Vec<Shown>,
}

fn show(app: &App) -> Result<()> {
    let config = app.config()?;
    let mut values = config.shown();
    lay_options_over(&mut values);
    let document =
        ShowDocument { file: config.file().map(|path| path.display().to_string()), platform: platform_word(config.platform()?), values };
    app.output.line(&print(&document))?;
    app.output.document(&document)
}

const fn platform_word(platform: Platform) -> &'static str {
    match platform {
        Platform::Kubernetes => "kubernetes",
        Platform::Direct => "direct",
    }
}

/// Options go before all else; they are shown as what they are.
fn lay_options_over(values: &mut Vec<Shown>) {
    let matches = args::matches();
    let mut deepest = matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    let given = |id: &str| {
        // Not every option is one of every version of the command line.
        let source = deepest.try_contains_id(id).ok().filter(|is_there| *is_there).and_then(|_| deepest.value_source(id))?;
        let value = deepest.get_raw(id)?.next()?.to_string_lossy().into_owned();
        let command = command_line();
        let arg = command.get_arguments().find(|arg| arg.get_id().as_str() == id)?;
        let origin = match source {
            ValueSource::CommandLine => ShownOrigin::Flag { flag: format!("--{}", arg.get_long().unwrap_or_default()) },
            ValueSource::EnvVariable => ShownOrigin::Environment { variable: arg.get_env()?.to_string_lossy().into_owned() },
            _ => return None,
        };
        Some((toml::Value::String(value).to_string(), origin))
    };
    for (id, section, key) in FLAGS {
        let Some((value, origin)) = given(id) else { continue };
        values.retain(|shown| shown.section != section || shown.key != key);
        values.push(Shown { section: section.to_owned(), key: key.to_owned(), value: Some(value), hidden: false, origin });
    }
    for (id, key) in OF_CLUSTER {
        let Some((value, origin)) = given(id) else { continue };
        values.push(Shown { section: "kubernetes (options)".to_owned(), key: key.to_owned(), value: Some(value), hidden: false, origin });
    }
}

fn print(document: &ShowDocument) -> String {
    let file = document.file.as_deref().unwrap_or("none");
    let mut lines = vec![format!("# file: {file}"), format!("# platform: {}", document.platform)];
    let mut headers: Vec<&str> = Vec::new();
    for shown in &document.values {
        if !headers.contains(&shown.section.as_str()) {
            headers.push(&shown.section);
        }
    }
    for header in headers {
        lines.push(String::new());
        lines.push(format!("[{header}]"));
        for shown in document.values.iter().filter(|shown| shown.section == header) {
            let value = shown.value.as_deref().unwrap_or("(hidden)");
            lines.push(format!("{} = {value}    # {}", shown.key, shown.origin));
        }
    }
    lines.join("\n")
}

#[derive(Serialize)]
struct CheckDocument {
    file: Option<String>,
    platform: Option<&'static str>,
    fine: bool,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Data sets without an address, on the platform `direct`.
    not_configured: Vec<DataSetName>,
    absent: Vec<DataSetName>,
}

#[derive(Serialize)]
struct Problem {
    problem: String,
    hints: Vec<String>,
}

fn check(app: &App) -> Result<()> {
    let (config, mut errors) = app.config_with_errors()?;
    if errors.is_empty() {
        errors.extend(unusable(&config));
    }
    let platform = config.platform().ok();
    let document = CheckDocument {
        file: config.file().map(|path| path.display().to_string()),
        platform: platform.map(platform_word),
        fine: errors.is_empty(),
        problems: errors.iter().map(|error| Problem { problem: error.chain(), hints: error.hints().to_vec() }).collect(),
        warnings: config.warnings().to_vec(),
        not_configured: join::not_configured(&config),
        absent: config.absent(),
    };
    for error in &errors {
        app.output.line(&error_text(error))?;
    }
    if let Some(missing) = join::told_missing(&config) {
        app.output.line(&format!("note: {missing}"))?;
    }
    if errors.is_empty() {
        app.output.line("the configuration is fine; no server was asked")?;
    }
    app.output.document(&document)?;
    match errors.len() {
        0 => Ok(()),
        1 => Err(Error::refused("one thing is wrong with the configuration").hint("It is told above.")),
        more => Err(Error::refused(format!("{more} things are wrong with the configuration")).hint("They are told above.")),
    }
}

/// What cannot be used as it is configured: everything is made as for a run, and no server is asked.
fn unusable(config: &Config) -> Vec<Error> {
    let mut errors: Vec<Error> = Vec::new();
    errors.extend(join::repository(config, &plan::ports::StopFlag::default()).err());
    errors.extend(config.copies().into_iter().filter_map(|name| join::copy(config, name, &plan::ports::StopFlag::default()).err()));
    errors.extend(config.writers().err());
    errors.extend(config.options().err());
    errors.extend(config.state_folder().err());
    errors.extend(config.installation_name().and_then(|name| check_name(&name).err()));
    if config.platform().ok() == Some(Platform::Direct) && config.data_sets().is_empty() {
        errors.push(join::nothing_configured());
    }
    for name in config.data_sets() {
        errors.extend(join::check_address(config, name).err());
    }
    errors.extend(notify::unusable(config));
    errors.into_iter().map(|error| error.in_class(plan::Class::Refused)).collect()
}

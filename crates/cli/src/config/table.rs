//! What a configuration may say: sections, keys, their kinds. One table ([`super::keys`]) from which everything else is made: what is parsed and refused, the
//! variables of the environment, `config show` and `config example`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use plan::ids::DataSetName;

use super::keys;

/// What the names of the sections of copies begin with: `[copies.NAME]`.
pub(crate) const COPIES: &str = "copies";

/// A section.
#[derive(Debug)]
pub(crate) struct Section {
    pub name: &'static str,
    pub help: &'static str,
    pub keys: &'static [Key],
    /// Tables of keys in it: `[repository.s3]`, `tls = { … }`.
    pub tables: &'static [SubTable],
}

/// Keys of a section that stand together in a table of their own.
#[derive(Debug)]
pub(crate) struct SubTable {
    pub name: &'static str,
    pub help: &'static str,
    pub keys: &'static [Key],
}

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// A value as it is written in the file.
    pub example: &'static str,
    pub help: &'static str,
    /// What holds without it, for people.
    pub default: Option<&'static str>,
    /// Whether the section means nothing without it.
    pub is_required: bool,
    /// A second, shorter variable for it, without what all have in common.
    pub short_variable: Option<&'static str>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A command for `sh -c`.
    Command,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number, from the one to the other.
    Number(i64, i64),
    Truth,
    /// A path; a relative one begins where the value was given.
    Path,
    /// A path, or the address of a bucket.
    Place,
    /// Addresses, separated by commas, which may hold passwords.
    Addresses,
    /// An address, which may hold a password. May be given as a file or a command too.
    SecretAddress,
    /// May be given as a file or a command too.
    Secret,
}

impl Kind {
    /// Whether it may be given as a file or a command.
    pub(crate) const fn is_secret(self) -> bool {
        matches!(self, Self::SecretAddress | Self::Secret)
    }

    /// Which values it takes, for people: words, or numbers from one to the other.
    pub(crate) fn accepts(self) -> Option<String> {
        match self {
            Self::Word(words) => Some(words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(", ")),
            Self::Number(least, most) => Some(format!("{least} to {most}")),
            _ => None,
        }
    }

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Command => "command",
            Self::Word(_) => "word",
            Self::Number(..) => "number",
            Self::Truth => "true or false",
            Self::Path => "path",
            Self::Place => "path or address",
            Self::Addresses => "addresses",
            Self::SecretAddress => "address",
            Self::Secret => "secret",
        }
    }
}

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, example: &'static str, help: &'static str) -> Self {
        Self { name, kind, example, help, default: None, is_required: false, short_variable: None }
    }

    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    pub(super) const fn short(mut self, variable: &'static str) -> Self {
        self.short_variable = Some(variable);
        self
    }
}

/// How a value is given: as itself, or as the file or the command that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Itself,
    File,
    Command,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Itself, Self::File, Self::Command];

    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Itself => "",
            Self::File => "-file",
            Self::Command => "-command",
        }
    }
}

/// Where a value stands: a key of a section or of a table in it, in one of its forms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub section: &'static Section,
    pub table: Option<&'static SubTable>,
    pub key: &'static Key,
    pub form: Form,
}

impl Place {
    /// `system-database`, `repository.s3`.
    pub(crate) fn header(&self) -> String {
        self.table.map_or_else(|| self.section.name.to_owned(), |table| format!("{}.{}", self.section.name, table.name))
    }

    /// The key as it is written: `password-file`.
    pub(crate) fn written(&self) -> String {
        format!("{}{}", self.key.name, self.form.suffix())
    }

    /// The name of its variable.
    pub(crate) fn variable(&self) -> String {
        let dashed = format!("{}-{}", self.header().replace('.', "-"), self.written());
        format!("{}{}", children::PREFIX, as_variable(&dashed))
    }

    /// All names by which the environment may give it.
    pub(crate) fn variables(&self) -> Vec<String> {
        let short = self.key.short_variable.filter(|_| self.form == Form::Itself).map(|name| format!("{}{name}", children::PREFIX));
        std::iter::once(self.variable()).chain(short).collect()
    }

    /// Whether what stands there, as it stands there, must not be shown.
    pub(crate) fn is_hidden(&self) -> bool {
        match self.form {
            Form::Itself => self.key.kind == Kind::Secret,
            Form::File => false,
            // A command can have the secret in it.
            Form::Command => true,
        }
    }

    /// What the value must be.
    pub(crate) fn kind(&self) -> Kind {
        match self.form {
            Form::Itself => self.key.kind,
            Form::File => Kind::Path,
            Form::Command => Kind::Command,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.header() == other.header() && self.written() == other.written()
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

/// `[repository.s3] region`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.header(), self.written())
    }
}

impl Section {
    /// The section of a name.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        keys::SECTIONS.iter().find(|section| section.name == name)
    }

    /// The section of a copy, by its name: as the one in the table, but for its name.
    ///
    /// A section lives as long as the program, as those in the table do: each name is made once.
    pub(crate) fn of_copy(copy: &str) -> &'static Self {
        static MADE: Mutex<BTreeMap<String, &'static Section>> = Mutex::new(BTreeMap::new());
        let name = format!("{COPIES}.{copy}");
        if let Some(known) = Self::of(&name) {
            return known;
        }
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(name.clone()).or_insert_with(|| {
            let (help, keys, tables) = Self::of(keys::COPY_EXAMPLE).map_or(("", &[][..], &[][..]), |of| (of.help, of.keys, of.tables));
            Box::leak(Box::new(Self { name: Box::leak(name.into_boxed_str()), help, keys, tables }))
        })
    }

    /// The name of the copy that it is about.
    pub(crate) fn copy(&self) -> Option<&'static str> {
        self.name.strip_prefix(COPIES)?.strip_prefix('.')
    }

    pub(crate) fn table(&self, name: &str) -> Option<&'static SubTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The data set that it is about.
    pub(crate) fn data_set(&self) -> Option<DataSetName> {
        DataSetName::ALL.into_iter().find(|name| name.as_str() == self.name)
    }

    /// Whether a value of it may hold a secret.
    pub(crate) fn has_secrets(&self) -> bool {
        let own = self.keys.iter().chain(self.tables.iter().flat_map(|table| table.keys));
        own.into_iter().any(|key| key.kind.is_secret())
    }

    /// Every place in it, in the order of the table.
    pub(crate) fn places(&'static self) -> impl Iterator<Item = Place> {
        let own = self.keys.iter().map(|key| (None, key));
        let deeper = self.tables.iter().flat_map(|table| table.keys.iter().map(move |key| (Some(table), key)));
        own.chain(deeper).flat_map(move |(table, key)| {
            let forms = if key.kind.is_secret() { &Form::ALL[..] } else { &Form::ALL[..1] };
            forms.iter().map(move |form| Place { section: self, table, key, form: *form })
        })
    }

    /// The place of a key as it is written.
    pub(crate) fn place(&'static self, table: Option<&'static SubTable>, written: &str) -> Option<Place> {
        let name = table.map(|table| table.name);
        self.places().find(|place| place.table.map(|table| table.name) == name && place.written() == written)
    }
}

/// A name as a part of a variable's.
pub(crate) fn as_variable(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

/// Every place that there is.
pub(crate) fn places() -> impl Iterator<Item = Place> {
    keys::SECTIONS.iter().flat_map(Section::places)
}

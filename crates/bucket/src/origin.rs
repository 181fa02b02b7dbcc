//! Where the settings of a service were read, and what they are called there: hints name what a person can change.

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A section of the configuration: `[repository.s3]`.
    Section(String),
    /// A Secret of 3scale's, with the names that porta reads; what it has no name for stands in `[system-storage.s3]`.
    Secret(String),
}

impl Origin {
    pub(crate) fn keys(&self) -> String {
        self.named("access-key-id and secret-access-key", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    }

    pub(crate) fn region(&self) -> String {
        self.named("region and endpoint", "AWS_REGION and AWS_HOSTNAME")
    }

    pub(crate) fn host(&self) -> String {
        self.named("endpoint and path-style", "AWS_HOSTNAME and AWS_PATH_STYLE")
    }

    pub(crate) fn endpoint(&self) -> String {
        self.named("endpoint", "AWS_HOSTNAME and AWS_PROTOCOL")
    }

    pub(crate) fn ca_file(&self) -> String {
        match self {
            Self::Section(header) => format!("ca-file in {header}"),
            Self::Secret(_) => "ca-file in [system-storage.s3]".to_owned(),
        }
    }

    fn named(&self, in_section: &str, in_secret: &str) -> String {
        match self {
            Self::Section(header) => format!("{in_section} in {header}"),
            Self::Secret(name) => format!("{in_secret} in Secret {name}"),
        }
    }
}

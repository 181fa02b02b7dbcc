//! A throw-away certificate authority, made with `openssl`, and the options that start servers with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use plan::Result;
use plan::error::During;

use crate::programs::find;
use crate::template::run;

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A certificate of the CA for `localhost` and `127.0.0.1`.
    Right,
    /// Of the CA, for another host.
    OtherHost,
    /// Of the CA, and no longer valid.
    Expired,
    /// Signed by itself.
    SelfSigned,
    /// Of another CA of the same name.
    OtherCa,
    /// Of the CA, for `127.0.0.1` by its common name alone, of X.509 version 1: as PostgreSQL's manual makes them.
    Version1,
    /// The same of version 3.
    CommonName,
    /// Of the CA, and says that it is a CA.
    SaysCa,
}

/// A client's mode, whether it is given the CA, and which servers it must take; all others it must refuse.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `require`, `verify-ca`, `verify-full`.
    pub mode: &'static str,
    /// Whether it has the CA's file.
    pub has_ca: bool,
    /// The servers that it takes.
    pub takes: &'static [Shown],
}

/// Every mode with and without a CA file, the same for every store.
pub const CASES: [Case; 6] = [
    Case { mode: "require", has_ca: false, takes: &Shown::ALL },
    Case { mode: "require", has_ca: true, takes: &Shown::OF_CA },
    Case { mode: "verify-ca", has_ca: true, takes: &Shown::OF_CA },
    Case { mode: "verify-full", has_ca: true, takes: &Shown::OF_HOST },
    // The public web's CAs signed none of them.
    Case { mode: "verify-ca", has_ca: false, takes: &[] },
    Case { mode: "verify-full", has_ca: false, takes: &[] },
];

impl Shown {
    const fn file(self) -> &'static str {
        match self {
            Self::Right => "server",
            Self::OtherHost => "other-host",
            Self::Expired => "expired",
            Self::SelfSigned => "self-signed",
            Self::OtherCa => "of-other-ca",
            Self::Version1 => "version-1",
            Self::CommonName => "common-name",
            Self::SaysCa => "says-ca",
        }
    }

    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Right, Self::OtherHost, Self::Expired, Self::SelfSigned, Self::OtherCa, Self::Version1, Self::CommonName, Self::SaysCa];

    /// Those that come from the CA and are valid today.
    const OF_CA: [Self; 5] = [Self::Right, Self::OtherHost, Self::Version1, Self::CommonName, Self::SaysCa];

    /// Those of them that name the host.
    const OF_HOST: [Self; 4] = [Self::Right, Self::Version1, Self::CommonName, Self::SaysCa];
}

/// Certificates in a folder: `ca.pem`, `server.pem`/`server.key` (for `localhost` and `127.0.0.1`), `client.pem`/`client.key`.
pub struct Tls {
    folder: PathBuf,
    shown: Shown,
}

impl Tls {
    /// Makes them in an existing folder.
    ///
    /// # Errors
    /// When `openssl` is missing or fails.
    pub fn make(folder: &Path) -> Result<Self> {
        let made = Self { folder: folder.to_owned(), shown: Shown::Right };
        made.openssl(
            &["req", "-x509", "-subj", "/CN=lab CA", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
            "ca",
            None,
        )?;
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n";
        made.sign("server", "/CN=localhost", names, "2")?;
        made.sign(
            Shown::OtherHost.file(),
            "/CN=other.example",
            &names.replace("localhost", "other.example").replace("127.0.0.1", "127.9.9.9"),
            "2",
        )?;
        made.sign(Shown::Expired.file(), "/CN=localhost", names, "-1")?;
        let own = ["req", "-x509", "-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        made.openssl(&own, Shown::SelfSigned.file(), None)?;
        made.openssl(&["req", "-x509", "-subj", "/CN=lab CA", "-days", "2"], "other-ca", None)?;
        made.sign_by("other-ca", Shown::OtherCa.file(), "/CN=localhost", names, "2")?;
        made.sign(Shown::Version1.file(), "/CN=127.0.0.1", "", "2")?;
        made.sign(Shown::CommonName.file(), "/CN=127.0.0.1", "basicConstraints=critical,CA:FALSE\n", "2")?;
        made.sign(Shown::SaysCa.file(), "/CN=localhost", &names.replace("CA:FALSE", "CA:TRUE"), "2")?;
        made.sign("client", "/CN=lab client", "extendedKeyUsage=clientAuth\nbasicConstraints=critical,CA:FALSE\n", "2")?;
        Ok(made)
    }

    fn openssl(&self, args: &[&str], name: &str, extension: Option<&str>) -> Result<()> {
        let (key, out) = (self.folder.join(format!("{name}.key")), self.folder.join(format!("{name}.{}", extension.unwrap_or("pem"))));
        let mut command = children::command(find("openssl")?);
        command
            .args(args)
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(out);
        run(&mut command)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).during(|| format!("chmod {}", key.display()))
    }

    /// The same files, for a server that shows another certificate.
    #[must_use]
    pub fn showing(&self, shown: Shown) -> Self {
        Self { folder: self.folder.clone(), shown }
    }

    fn sign(&self, name: &str, subject: &str, extensions: &str, days: &str) -> Result<()> {
        self.sign_by("ca", name, subject, extensions, days)
    }

    fn sign_by(&self, ca: &str, name: &str, subject: &str, extensions: &str, days: &str) -> Result<()> {
        self.openssl(&["req", "-subj", subject], name, Some("csr"))?;
        let file = self.folder.join(format!("{name}.ext"));
        fs::write(&file, extensions).during(|| format!("write {}", file.display()))?;
        let mut command = children::command(find("openssl")?);
        command.args(["x509", "-req", "-days", days, "-CAcreateserial", "-extfile"]).arg(&file);
        command.arg("-in").arg(self.folder.join(format!("{name}.csr"))).arg("-CA").arg(self.folder.join(format!("{ca}.pem")));
        command.arg("-CAkey").arg(self.folder.join(format!("{ca}.key"))).arg("-out").arg(self.folder.join(format!("{name}.pem")));
        run(&mut command)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Certificate and key of the server.
    #[must_use]
    pub fn server(&self) -> (PathBuf, PathBuf) {
        let name = self.shown.file();
        (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")))
    }

    /// Certificate and key of a client.
    #[must_use]
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("client.pem"), self.folder.join("client.key"))
    }

    /// Options for [`crate::Mysql::start`]; add `--require-secure-transport=ON` to refuse the rest.
    #[must_use]
    pub fn mysql_options(&self) -> Vec<String> {
        let (certificate, key) = self.server();
        vec![
            format!("--ssl-ca={}", self.ca().display()),
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
        ]
    }

    /// Options for [`crate::Postgres::start`], which copies the key to where its account reads it.
    #[must_use]
    pub fn postgres_options(&self) -> Vec<String> {
        let (certificate, key) = self.server();
        let set = |name: &str, file: &Path| ["-c".to_owned(), format!("{name}={}", file.display())];
        [
            ["-c".to_owned(), "ssl=on".to_owned()],
            set("ssl_ca_file", &self.ca()),
            set("ssl_cert_file", &certificate),
            set("ssl_key_file", &key),
        ]
        .concat()
    }

    /// Options for [`crate::Redis::start`]: TLS only; a client certificate is asked for when `--tls-auth-clients yes` is added
    /// (here: `optional`).
    #[must_use]
    pub fn redis_options(&self) -> Vec<String> {
        let (certificate, key) = self.server();
        let set = |name: &str, value: String| [name.to_owned(), value];
        [
            set("--tls-port", "1".to_owned()),
            set("--tls-ca-cert-file", self.ca().display().to_string()),
            set("--tls-cert-file", certificate.display().to_string()),
            set("--tls-key-file", key.display().to_string()),
            set("--tls-auth-clients", "optional".to_owned()),
        ]
        .concat()
    }
}

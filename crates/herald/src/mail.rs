//! A short text to mailboxes, through one SMTP server. What stands in its address may be a secret, and is in no error.

mod guarded;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Category, Detail};
use percent_encoding::percent_decode_str;
use plan::error::During as _;
use plan::words::printable;
use plan::{Error, Result};
use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tls::{Tls, TlsMode};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use guarded::Guarded;

/// How long all of it may take: servers of mail let strangers wait.
pub const MAIL_SECONDS_MAX: u64 = if cfg!(test) { 1 } else { 30 };

/// How long a server is waited for that has taken the mail.
const FAREWELL: Duration = Duration::from_secs(2);

const FORM: &str = "Write smtp://user@host:587 (STARTTLS), smtps://user@host (TLS from the beginning), or smtp+plain://localhost (no TLS, on this machine only).";

/// How the connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// `smtps://`
    Implicit,
    /// `smtp://`: without STARTTLS nothing is sent.
    StartTls,
    /// `smtp+plain://`
    Plain,
}

/// The same with all that it takes.
enum Security {
    None,
    Implicit(Arc<ClientConfig>, ServerName<'static>),
    StartTls(Box<TlsParameters>),
}

/// Why a mail was not taken.
struct Trouble {
    told: String,
    /// Others may get it all the same.
    is_about_a_mailbox: bool,
}

/// Who gets mail, through whom.
#[derive(Debug, Clone)]
pub struct Mail {
    scheme: Scheme,
    host: String,
    port: u16,
    login: Option<(String, SecretString)>,
    ca_file: Option<PathBuf>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mail {
    /// `server`: `smtps://host` (TLS from the beginning), `smtp://host` (STARTTLS, without which nothing is sent) or `smtp+plain://localhost` (no TLS, and so no
    /// login, and only on this machine), with a port and a user if need be. `password`: in place of the one in the address. `to`: mailboxes, separated by
    /// commas. `ca_file`: as of [`Address`](crate::Address).
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when one of them is not what it should be.
    pub fn parse(server: &SecretString, password: Option<SecretString>, from: &str, to: &str, ca_file: Option<PathBuf>) -> Result<Self> {
        let wrong = || Error::refused("the server's address is not one of SMTP").hint(FORM);
        let url = Url::parse(server.expose_secret()).map_err(|_| wrong())?;
        let (scheme, port) = match url.scheme() {
            "smtps" => (Scheme::Implicit, 465),
            "smtp" => (Scheme::StartTls, 587),
            "smtp+plain" => (Scheme::Plain, 25),
            _ => return Err(wrong()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| wrong());
        let password = match password {
            Some(password) => Some(password),
            None => url.password().map(|text| decoded(text).map(SecretString::from)).transpose()?,
        };
        let login = match (decoded(url.username())?, password) {
            (user, None) if user.is_empty() => None,
            (user, Some(password)) if !user.is_empty() => Some((user, password)),
            (user, _) => {
                let lacks = if user.is_empty() { "a password and no user" } else { "a user and no password" };
                return Err(Error::refused(format!("the login at the mail server has {lacks}"))
                    .hint("Write the user into the address (url = \"smtp://user@host\"), and password-file = \"FILE\" beside it."));
            }
        };
        if scheme == Scheme::Plain && (login.is_some() || !is_of_this_machine(&host)) {
            let what = if login.is_some() { "a login" } else { "mail" };
            return Err(Error::refused(format!("smtp+plain:// would send {what} over a connection without TLS")).hint(FORM));
        }
        let mailbox = |text: &str| {
            let wrong = || Error::refused(format!("{:?} is no mailbox", printable(text.trim())));
            let mailbox =
                text.trim().parse::<Mailbox>().map_err(|_| wrong().hint("Write ops@example.com, or Operations <ops@example.com>."))?;
            // Not every server takes others (RFC 6531), and one that does not takes the mail for nobody.
            let is_plain = mailbox.email.to_string().is_ascii();
            is_plain.then_some(mailbox).ok_or_else(|| {
                Error::refused(format!("{:?} has letters that not every mail server takes", printable(text.trim())))
                    .hint("Write the domain as servers know it (xn--…), and a mailbox of plain letters.")
            })
        };
        let to = to.split(',').map(mailbox).collect::<Result<Vec<_>>>()?;
        Ok(Self { scheme, host, port: url.port().unwrap_or(port), login, ca_file, from: mailbox(from)?, to })
    }

    /// Whether the file with the CAs can be used.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when not.
    pub fn check(&self) -> Result<()> {
        tls::check_files(&self.tls())
    }

    fn tls(&self) -> Tls {
        Tls { ca_file: self.ca_file.clone(), ..Tls::of_mode(TlsMode::VerifyFull) }
    }

    /// The server, without secrets.
    #[must_use]
    pub fn origin(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// Sends one message to all. Where the server refuses one of several mailboxes, the others get it all the same.
    ///
    /// # Errors
    /// When the server cannot be reached, cannot be trusted, does not answer in time, says more than it may, or refuses one of the mailboxes, the login or the message.
    pub fn send(&self, subject: &str, text: &str) -> Result<()> {
        let (message, security) = (self.message(subject, text)?, self.security()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::failed(format!("no client for {} could be started", self.origin())).because(error))?;
        let limit = Duration::from_secs(MAIL_SECONDS_MAX);
        let sent = runtime.block_on(async { tokio::time::timeout(limit, self.hand_over(&message, &security)).await });
        // A name server that is silent is asked by a thread that cannot be ended: it is not waited for.
        runtime.shutdown_background();
        sent.unwrap_or_else(|_| Err(Error::transient(format!("{} did not take the mail within {MAIL_SECONDS_MAX} s", self.origin()))))
    }

    /// As it stands in the mail; with a number of its own (RFC 5322, section 3.6.4), and as what no machine answers to (RFC 3834).
    fn message(&self, subject: &str, text: &str) -> Result<Vec<u8>> {
        let unwritable = || Error::failed("the mail could not be written");
        let mut number = [0; 16];
        getrandom::fill(&mut number).map_err(|error| unwritable().because(error))?;
        let number = format!("<{}@{}>", hex::encode(number), self.from.email.domain());
        let addressed =
            Message::builder().from(self.from.clone()).subject(subject).header(ContentType::TEXT_PLAIN).message_id(Some(number));
        let addressed = self.to.iter().cloned().fold(addressed.date_now(), |message, to| message.to(to));
        let mut message = addressed.body(text.to_owned()).map_err(|error| unwritable().because(error))?;
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message.formatted())
    }

    /// How the connection is secured: by the CAs of the file alone, else the public web's.
    fn security(&self) -> Result<Security> {
        match self.scheme {
            Scheme::Plain => Ok(Security::None),
            Scheme::Implicit => Ok(Security::Implicit(tls::client_config(&self.tls())?, tls::server_name(&self.host)?)),
            Scheme::StartTls => {
                let unusable = |error| Error::refused("TLS cannot be prepared").because(error);
                let made = TlsParameters::builder(self.host.clone());
                let made = match &self.ca_file {
                    None => made.certificate_store(CertificateStore::WebpkiRoots),
                    Some(file) => {
                        let pem = std::fs::read(file).during(|| format!("read {}", file.display()))?;
                        made.certificate_store(CertificateStore::None).add_root_certificate(Certificate::from_pem(&pem).map_err(unusable)?)
                    }
                };
                Ok(Security::StartTls(Box::new(made.build_rustls().map_err(unusable)?)))
            }
        }
    }

    async fn hand_over(&self, message: &[u8], security: &Security) -> Result<()> {
        let all: Vec<_> = self.to.iter().map(|to| to.email.clone()).collect();
        let Err(trouble) = self.deliver(&all, message, security).await else { return Ok(()) };
        if !trouble.is_about_a_mailbox || all.len() == 1 {
            return Err(Error::transient(format!("{} did not take the mail: {}", self.origin(), trouble.told)));
        }
        // Who is refused is in nobody else's way.
        let mut refused = Vec::new();
        for to in &all {
            if let Err(trouble) = self.deliver(std::slice::from_ref(to), message, security).await {
                refused.push(format!("{to}: {}", trouble.told));
            }
        }
        match refused.len() {
            0 => Ok(()),
            count => {
                let some = if count == all.len() { "the mail" } else { "the mail for some" };
                Err(Error::transient(format!("{} did not take {some}: {}", self.origin(), refused.join("; "))))
            }
        }
    }

    /// One message over one connection.
    async fn deliver(&self, to: &[Address], message: &[u8], security: &Security) -> std::result::Result<(), Trouble> {
        let smtp = |error: SmtpError| Trouble { told: self.told(&error), is_about_a_mailbox: is_about_a_mailbox(&error) };
        let other = |told: String| Trouble { told, is_about_a_mailbox: false };
        let envelope = Envelope::new(Some(self.from.email.clone()), to.to_vec()).map_err(|error| other(error.to_string()))?;
        let unreachable = |error: std::io::Error| other(format!("connection error: {}", tls::causes(&error)));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        let (peer, hello) = (stream.peer_addr().map_err(unreachable)?, ClientId::default());
        let stream: Box<dyn AsyncTokioStream> = match security {
            Security::Implicit(config, name) => {
                let secured = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await.map_err(unreachable)?;
                Box::new(Guarded::new(secured, peer))
            }
            Security::StartTls(_) | Security::None => Box::new(Guarded::new(stream, peer)),
        };
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(smtp)?;
        if let Security::StartTls(parameters) = security {
            connection.starttls(TlsParameters::clone(parameters), &hello).await.map_err(smtp)?;
        }
        if let Some((user, password)) = &self.login {
            let login = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &login).await.map_err(smtp)?;
        }
        connection.send(&envelope, message).await.map_err(smtp)?;
        // It has the mail; whether it says goodbye is of no matter.
        tokio::time::timeout(FAREWELL, connection.quit()).await.ok();
        Ok(())
    }

    /// What went wrong, in the server's words; a server that says the password again is not quoted, nor one that says what AUTH sent (RFC 4616, LOGIN).
    fn told(&self, error: &SmtpError) -> String {
        // The library says so twice where TLS does not begin.
        let told = printable(&error.to_string().replace("Connection error: Connection error: ", "connection error: ")).into_owned();
        let is_secret = |(user, password): &(String, SecretString)| {
            let password = password.expose_secret();
            let sent = [format!("\0{user}\0{password}"), password.to_owned()].map(|text| BASE64_STANDARD.encode(text));
            told.contains(password) || sent.iter().any(|sent| told.contains(sent.trim_end_matches('=')))
        };
        if self.login.as_ref().is_some_and(is_secret) { "its answer has the password in it".to_owned() } else { told }
    }
}

/// Of the class "mail system" (RFC 5321, section 4.2.1), but not of a login (454: RFC 4954, section 6).
fn is_about_a_mailbox(error: &SmtpError) -> bool {
    let is_of_login = error.is_transient() && error.status().is_some_and(|code| code.detail == Detail::Four);
    !is_of_login && error.status().is_some_and(|code| code.category == Category::MailSystem)
}

fn is_of_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn mail(url: &str, password: Option<&str>) -> Result<Mail> {
        Mail::parse(&SecretString::from(url), password.map(SecretString::from), "a@example.com", "b@example.com, C <c@example.com>", None)
    }

    #[test]
    fn an_address_says_how_it_is_secured_and_who_logs_in() {
        let of = |url: &str, password: Option<&str>| {
            let mail = mail(url, password).unwrap();
            (mail.scheme, mail.origin(), mail.login.map(|(user, password)| format!("{user}:{}", password.expose_secret())))
        };
        assert_eq!(of("smtps://h", None), (Scheme::Implicit, "h:465".to_owned(), None));
        assert_eq!(of("smtp://u%40x:p%3A@h/", None), (Scheme::StartTls, "h:587".to_owned(), Some("u@x:p:".to_owned())));
        assert_eq!(of("smtp://u:other@h:25", Some("p")).2, Some("u:p".to_owned()));
        assert_eq!(of("smtp+plain://[::1]:2525", None), (Scheme::Plain, "[::1]:2525".to_owned(), None));
        assert_eq!(mail("smtps://h", None).unwrap().to.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_refused_and_tells_no_secret() {
        let wrong = [
            "",
            "h",
            "http://wabash@h",
            "smtp://",
            "smtp://u:wabash@h/path",
            "smtp://wabash@h",
            "smtp://:wabash@h",
            "smtp+plain://u:wabash@localhost",
            "smtp+plain://mail.example.com",
            "smtp+plain://127.0.0.1.example.com",
        ];
        for url in wrong {
            let error = mail(url, None).unwrap_err();
            assert!(!format!("{error:?}{}{}", error.chain(), error.hints().join("")).contains("wabash"), "{url}: {error:?}");
        }
        assert!(!format!("{:?}", mail("smtp://u:wabash@h", None).unwrap()).contains("wabash"));
        let of = |to: &str| Mail::parse(&SecretString::from("smtp://h"), None, "a@example.com", to, None);
        assert!(of("ä@example.com").is_err() && of("a@exämple.com").is_err() && of("Jürgen <a@xn--exmple-cua.com>").is_ok());
        assert!(of("ops").is_err() && of("").is_err() && of("a@example.com\nBcc: b@example.com").is_err());
    }

    #[test]
    fn a_server_that_says_nothing_is_not_waited_for() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp+plain://127.0.0.1:{}", silent.local_addr().unwrap().port());
        let begun = std::time::Instant::now();
        let error = mail(&url, None).unwrap().send("a", "b").unwrap_err();
        assert!(error.chain().contains("did not take the mail") && error.class() == plan::Class::Transient, "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

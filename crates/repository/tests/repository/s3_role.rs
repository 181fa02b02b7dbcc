//! A repository in a bucket for one who has no keys, but a role that the cluster gives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use bucket::Credentials;
use lab::{Tls, TlsFront};
use plan::Class;
use repository::{Location, RusticRepository};

use crate::s3::Service;
use crate::scene::*;

/// A security token service: gives the keys of the test's bucket to who shows the token. Keeps what it was asked.
struct Tokens {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

fn tokens() -> Tokens {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut reader = BufReader::new(socket);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let request = format!("{head}\n{}", String::from_utf8(body).unwrap());
            let knows = request.contains("a-projected-token") && request.contains("role%2Fbackup");
            kept.lock().unwrap().push(request);
            let (status, body) = if knows {
                let keys = "<AccessKeyId>AKIATEST</AccessKeyId><SecretAccessKey>s3-secret-key</SecretAccessKey><SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>";
                (
                    "200 OK",
                    format!(
                        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>{keys}</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                    ),
                )
            } else {
                ("403 Forbidden", "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>".to_owned())
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            drop(reader.into_inner().write_all(answer.as_bytes()));
        }
    });
    Tokens { port, asked }
}

fn with(service: &Service, front: &TlsFront, files: &Tls, variables: &[(&str, &str)]) -> Location {
    let Location::S3(mut s3) = service.location() else { unreachable!() };
    s3.service.endpoint = Some(format!("https://localhost:{}", front.port()));
    s3.service.ca_file = Some(files.ca());
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    s3.service.credentials = Credentials::of_environment(&variables, "[repository.s3]").unwrap();
    Location::S3(s3)
}

#[test]
fn the_role_of_a_service_account_opens_the_bucket_and_a_wrong_token_is_refused_at_once() {
    let (service, sts) = (Service::start(), tokens());
    let folder = tempfile::tempdir().unwrap();
    let files = Tls::make(folder.path()).unwrap();
    // Tokens are given over TLS only.
    let (bucket, tokens) = (TlsFront::before(service.port(), &files).unwrap(), TlsFront::before(sts.port, &files).unwrap());
    let url = format!("https://localhost:{}", tokens.port());
    let with = |variables: &[(&str, &str)]| with(&service, &bucket, &files, variables);
    let token = folder.path().join("token");
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/backup"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
    ];
    std::fs::write(&token, "a-projected-token").unwrap();
    RusticRepository::init(&with(&variables), &password()).unwrap();
    RusticRepository::open(&with(&variables), &password()).unwrap();
    assert!(sts.asked.lock().unwrap().iter().all(|request| request.contains("AssumeRoleWithWebIdentity")));

    std::fs::write(&token, "of-somebody-else").unwrap();
    let began = std::time::Instant::now();
    let error = RusticRepository::open(&with(&variables), &password()).unwrap_err();
    assert!(began.elapsed().as_secs() < 40, "{error:?}");
    assert_eq!(error.class(), Class::Refused, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("role")), "{error:?}");
    assert!(!error_text(&error).contains("of-somebody-else"), "{error:?}");
}

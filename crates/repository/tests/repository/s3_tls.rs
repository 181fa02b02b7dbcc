//! S3 behind TLS, and answers that will be the same at every other try.

use std::io::{Read, Write};
use std::net::TcpListener;

use bucket::Credentials;
use lab::{Shown, Tls, TlsFront};
use plan::Class;
use plan::ports::Repository as _;
use repository::{Location, RusticRepository, S3};

use crate::s3::Service;
use crate::scene::*;

fn keys(id: &str, secret: &str) -> Credentials {
    Credentials::Keys { id: id.into(), secret: secret.into() }
}

fn at(service: &Service, change: impl FnOnce(&mut S3)) -> Location {
    let Location::S3(mut s3) = service.location() else { unreachable!() };
    s3.retry_seconds = 90;
    change(&mut s3);
    Location::S3(s3)
}

#[test]
fn a_service_is_taken_with_its_ca_and_refused_at_once_without() {
    let folder = tempfile::tempdir().unwrap();
    let files = Tls::make(folder.path()).unwrap();
    let service = Service::start();
    // What OpenSSL's clients take beyond the web's rules (version 1, names in the subject) this one's service cannot even show.
    for shown in [Shown::Right, Shown::OtherHost, Shown::Expired, Shown::SelfSigned, Shown::OtherCa] {
        let front = TlsFront::before(service.port(), &files.showing(shown)).unwrap();
        let location = |ca: bool| {
            at(&service, |s3| {
                s3.service.endpoint = Some(format!("https://localhost:{}", front.port()));
                s3.service.ca_file = ca.then(|| files.ca());
            })
        };
        for has_ca in [false, true] {
            let _ = front.connections();
            let opened = RusticRepository::open(&location(has_ca), &password());
            if has_ca && shown == Shown::Right {
                assert_eq!(opened.unwrap_err().class(), Class::NoRepository);
                continue;
            }
            let error = opened.unwrap_err();
            assert_eq!(error.class(), Class::Refused, "{shown:?}: {error:?}");
            assert!(error.hints().iter().any(|hint| hint.contains("ca-file")), "{error:?}");
            assert!(front.connections() <= 2, "it was tried again and again");
        }
    }
    let front = TlsFront::before(service.port(), &files).unwrap();
    let location = at(&service, |s3| {
        s3.service.endpoint = Some(format!("https://127.0.0.1:{}", front.port()));
        s3.service.ca_file = Some(files.ca());
    });
    RusticRepository::init(&location, &password()).unwrap();
    let repository = RusticRepository::open(&location, &password()).unwrap();
    let kept = take(&repository, "one", parts(1, 3, 1 << 20));
    assert!(contents(&repository, &kept).unwrap() == expected(parts(1, 3, 1 << 20)));
    assert_eq!(repository.manifests().unwrap().len(), 1);
}

#[test]
fn a_ca_file_that_cannot_be_used_is_refused_by_its_name() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.pem");
    std::fs::write(&garbage, "no certificate").unwrap();
    for (file, endpoint) in [
        (garbage.clone(), "https://localhost:1"),
        (folder.path().join("absent.pem"), "https://localhost:1"),
        (garbage, "http://localhost:1"),
    ] {
        let location = at(&service, |s3| {
            s3.service.endpoint = Some(endpoint.to_owned());
            s3.service.ca_file = Some(file.clone());
        });
        let error = RusticRepository::open(&location, &password()).unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{error:?}");
        assert!(endpoint.starts_with("http:") || error_text(&error).contains(&file.display().to_string()), "{error:?}");
    }
}

#[test]
fn what_cannot_get_better_is_refused_at_once_with_a_way_out() {
    let service = Service::start();
    let plain = Service::start();
    let cases: [(&str, &str, Location); 5] = [
        ("another secret key", "secret-access-key", at(&service, |s3| s3.service.credentials = keys("AKIATEST", "other"))),
        ("another access key", "access-key-id", at(&service, |s3| s3.service.credentials = keys("AKIAOTHER", "s3-secret-key"))),
        ("no such bucket", "bucket", at(&service, |s3| s3.bucket = "absent".into())),
        ("no TLS there", "http://", at(&service, |s3| s3.service.endpoint = Some(format!("https://127.0.0.1:{}", plain.port())))),
        ("no such host", "endpoint", at(&service, |s3| s3.service.endpoint = Some("http://no-such-host.invalid:9000".into()))),
    ];
    for (what, word, location) in cases {
        let requests = service.requests();
        let error = RusticRepository::open(&location, &password()).unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{what}: {error:?}");
        assert!(error.hints().iter().any(|hint| hint.contains(word)), "{what}: {error:?}");
        assert!(service.requests() - requests <= 2, "{what}: it was tried again and again");
        assert!(!error_text(&error).contains("s3-secret-key"));
    }
}

#[test]
fn a_bucket_in_another_region_is_refused_with_a_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut buffer = [0; 8192];
            drop(client.read(&mut buffer));
            drop(client.write_all(
                b"HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ));
        }
    });
    let service = Service::start();
    let error = RusticRepository::open(&at(&service, |s3| s3.service.endpoint = Some(format!("http://127.0.0.1:{port}"))), &password())
        .unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("region")), "{error:?}");
}

#[test]
fn a_signal_ends_the_wait_for_a_service_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = Service::start();
    let stop = plan::ports::StopFlag::default();
    let location = at(&service, |s3| {
        s3.service.endpoint = Some(format!("http://127.0.0.1:{port}"));
        s3.stop = stop.clone();
    });
    stop.raise();
    let error = RusticRepository::open(&location, &password()).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted, "{error:?}");
    drop(listener);
}

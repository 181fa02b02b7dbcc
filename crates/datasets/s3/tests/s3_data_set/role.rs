//! A bucket for one who has no keys, but a role that is given for a token: over TLS with a CA of one's own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bucket::{Credentials, Token, TokenFile, Tokens};
use lab::{Shown, Tls, TlsFront};
use plan::ports::{DataSet as _, Discard};
use plan::{Class, Error, Result};
use s3_data_set::{Options, S3Store};

use crate::scene::{NAME, Scene};

const ROLE: &str = "arn:aws:iam::1:role/files";
const HOUR: u32 = 3600;

struct World {
    scene: Scene,
    files: Tls,
    front: TlsFront,
}

impl World {
    fn new() -> Self {
        let scene = Scene::new();
        scene.fill();
        let files = Tls::make(scene.folder.path()).unwrap();
        let front = TlsFront::before(scene.s3.port(), &files).unwrap();
        Self { scene, files, front }
    }

    fn store(&self, token: Token) -> S3Store {
        let url = format!("https://localhost:{}", self.front.port());
        let mut bucket = self.scene.address();
        bucket.service.endpoint = Some(url.clone());
        bucket.service.ca_file = Some(self.files.ca());
        bucket.service.credentials = Credentials::Role { arn: ROLE.to_owned(), session: None, sts: Some(url), token };
        S3Store::new(NAME, &bucket, Options::default()).unwrap()
    }

    fn token_file(&self) -> PathBuf {
        self.scene.folder.path().join("token")
    }
}

#[test]
fn keys_that_have_ended_are_made_anew_in_the_middle_of_a_run() {
    let world = World::new();
    let scene = &world.scene;
    std::fs::write(world.token_file(), "a-token").unwrap();
    scene.s3.give_role(ROLE, "a-token", HOUR);
    let store = world.store(Token::File(world.token_file()));
    let kept = scene.keep(&store, None).unwrap();
    assert_eq!(scene.s3.keys_given(), 1, "keys are kept as long as they are good");
    let before = scene.live();
    scene.s3.put("acme/invoices/1/pdfs/original/invoice.pdf", b"damaged".to_vec(), &[]);
    scene.s3.end_keys();
    let place = scene.stage(&store, "run-1", &kept).unwrap();
    scene.s3.end_keys();
    scene.prove(&store, "run-1", &place, &kept);
    scene.s3.end_keys();
    let context = scene.context("run-1");
    store.cut_over(&context, &place).unwrap();
    assert_eq!(scene.live(), before);
    scene.s3.end_keys();
    store.discard(&context, &place, Discard::Previous).unwrap();
    assert!(scene.left().is_empty());
    assert_eq!(scene.s3.keys_given(), 5, "once for all requests at the time");
}

#[test]
fn the_file_of_the_token_is_read_again_and_a_token_that_is_not_taken_is_told() {
    let world = World::new();
    let scene = &world.scene;
    // So short that keys are asked for again and again.
    scene.s3.give_role(ROLE, "one", 60);
    std::fs::write(world.token_file(), "one").unwrap();
    let store = world.store(Token::File(world.token_file()));
    let context = scene.context("look");
    store.look(&context).unwrap();
    scene.s3.give_role(ROLE, "two", 60);
    scene.s3.end_keys();
    let refused = |word: &str| {
        let error = store.look(&context).unwrap_err();
        let text = format!("{error:?}");
        assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains(word)), "{text}");
        assert!(!text.contains("WebIdentityToken") && !text.contains("one"), "{text}");
    };
    refused("trust policy");
    std::fs::write(world.token_file(), "two").unwrap();
    store.look(&context).unwrap();
    std::fs::remove_file(world.token_file()).unwrap();
    scene.s3.end_keys();
    refused("mounts the token");
}

/// Tokens that are numbered, each in a file of its own.
struct Numbered {
    folder: PathBuf,
    held: Mutex<(u32, Result<TokenFile>)>,
}

impl Numbered {
    fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, held: Mutex::new((0, Err(Error::refused("there is none yet").hint("Add to a Role: …")))) })
    }

    fn next(&self) -> String {
        let mut held = self.held.lock().unwrap();
        held.0 += 1;
        let (token, path) = (format!("token-{}", held.0), self.folder.join(format!("token-{}", held.0)));
        std::fs::write(&path, &token).unwrap();
        held.1 = Ok(TokenFile::new(path, Arc::new(held.0)));
        token
    }
}

impl Tokens for Numbered {
    fn file(&self) -> Result<TokenFile> {
        match &self.held.lock().unwrap().1 {
            Ok(file) => Ok(file.clone()),
            Err(error) => Err(error.hints().iter().fold(Error::new(error.class(), error.to_string()), |error, hint| error.hint(hint))),
        }
    }
}

#[test]
fn a_token_that_is_asked_for_is_changed_for_the_next_and_its_refusal_is_told() {
    let world = World::new();
    let scene = &world.scene;
    let tokens = Numbered::new(scene.folder.path().to_owned());
    let store = world.store(Token::Asked(Arc::clone(&tokens) as Arc<dyn Tokens>));
    let context = scene.context("look");
    let error = store.look(&context).unwrap_err();
    assert!(error.class() == Class::Refused && error.hints() == ["Add to a Role: …"], "{error:?}");
    for given in 1..=2 {
        scene.s3.give_role(ROLE, &tokens.next(), HOUR);
        store.look(&context).unwrap();
        store.look(&context).unwrap();
        assert_eq!(scene.s3.keys_given(), given, "one for each token");
    }
}

#[test]
fn a_forwarded_port_is_dialled_by_the_name_that_the_certificate_has() {
    let scene = Scene::new();
    scene.fill();
    let files = Tls::make(scene.folder.path()).unwrap().showing(Shown::OtherHost);
    let front = TlsFront::before(scene.s3.port(), &files).unwrap();
    let context = scene.context("look");
    let look = |host: &str, dial: Option<&str>| {
        let mut bucket = scene.address();
        bucket.service.endpoint = Some(format!("https://{host}:{}", front.port()));
        bucket.service.dial = dial.map(|address| address.parse().unwrap());
        bucket.service.ca_file = Some(files.ca());
        S3Store::new(NAME, &bucket, Options::default()).unwrap().look(&context)
    };
    assert_eq!(look("other.example", Some("127.0.0.1")).unwrap().count, Some(4));
    let error = look("127.0.0.1", None).unwrap_err();
    assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains("certificate")), "{error:?}");
}

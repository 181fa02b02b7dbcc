//! What S3 keeps with an object besides its bytes: as headers, and as attributes of an entry in a set.
//!
//! The attributes begin with `s3.`, which is no name space of any file system: a folder that a set of a bucket goes into leaves them out, and so do restic and tar.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, HeaderValue};
use plan::ports::Meta;
use plan::{Error, Result};

use crate::client::Ask;

/// What all attributes of a bucket begin with.
const OWN: &str = "s3.";
/// The ETag.
const E_TAG: &str = "s3.etag";
/// The key, where it is not the path.
const KEY: &str = "s3.key";
/// The XXH3-128 of the content, where it was known when the entry was kept.
const DIGEST: &str = "s3.xxh3";
/// That it was read within the second of its change, in which its properties may change again: there, or not.
const FRESH: &str = "s3.fresh";
/// Headers that are kept (API reference, "PutObject"), besides the user's own metadata.
const HEADERS: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];
/// What the names of the user's own metadata begin with.
const USER: &str = "x-amz-meta-";

/// Headers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties(BTreeMap<String, String>);

/// What an entry of a set says of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) e_tag: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) digest: Option<u128>,
    pub(crate) is_fresh: bool,
    pub(crate) properties: Properties,
}

impl Properties {
    /// Those of an answer.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let is_kept = |name: &str| HEADERS.contains(&name) || name.starts_with(USER);
        let kept = headers.iter().filter(|(name, _)| is_kept(name.as_str()));
        Self(kept.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect())
    }

    /// Those that porta's uploads have: the type that the name's ending says (porta's `config/initializers/paperclip.rb` does not look into files).
    pub(crate) fn of_name(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        Self(BTreeMap::from([("content-type".to_owned(), content_type(&ending).to_owned())]))
    }

    /// The fields of the collection `objects` of an evidence.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
    }

    /// On a request.
    pub(crate) fn on<'a>(&'a self, ask: Ask<'a>) -> Result<Ask<'a>> {
        self.0.iter().try_fold(ask, |ask, (name, value)| {
            let unclear = |error| Error::failed(format!("the property {name} of an object cannot be sent")).because(error);
            Ok(ask.header(name, HeaderValue::from_str(value).map_err(unclear)?))
        })
    }
}

impl Noted {
    /// What an entry says.
    pub(crate) fn of(meta: &Meta) -> Self {
        let mut noted = Self::default();
        for (name, value) in &meta.xattrs {
            let value = String::from_utf8_lossy(value).into_owned();
            match name.as_str() {
                E_TAG => noted.e_tag = Some(value),
                KEY => noted.key = Some(value),
                FRESH => noted.is_fresh = true,
                DIGEST => noted.digest = u128::from_str_radix(&value, 16).ok(),
                other => {
                    if let Some(name) = other.strip_prefix(OWN).filter(|name| HEADERS.contains(name) || name.starts_with(USER)) {
                        noted.properties.0.insert(name.to_owned(), value);
                    }
                }
            }
        }
        noted
    }

    /// As attributes, sorted.
    pub(crate) fn xattrs(&self) -> Vec<(String, Vec<u8>)> {
        let digest = self.digest.map(|digest| format!("{digest:032x}"));
        let own = [(E_TAG, self.e_tag.clone()), (KEY, self.key.clone()), (DIGEST, digest), (FRESH, self.is_fresh.then(|| "1".to_owned()))];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into_bytes())));
        let properties = self.properties.0.iter().map(|(name, value)| (format!("{OWN}{name}"), value.clone().into_bytes()));
        let mut all: Vec<_> = own.chain(properties).collect();
        all.sort();
        all
    }
}

fn content_type(ending: &str) -> &'static str {
    match ending {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" | "mjs" => "application/javascript",
        "json" => "application/json",
        "xml" => "application/xml",
        "txt" | "log" => "text/plain",
        "csv" => "text/csv",
        "md" | "markdown" => "text/markdown",
        "yaml" | "yml" => "application/x-yaml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "ico" => "image/vnd.microsoft.icon",
        "webp" => "image/webp",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "eot" => "application/vnd.ms-fontobject",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_an_object_survives_its_way_into_an_entry() {
        let properties = Properties(BTreeMap::from([
            ("content-type".to_owned(), "text/css".to_owned()),
            ("x-amz-meta-a".to_owned(), "=?UTF-8?B?w6Q=?=".to_owned()),
        ]));
        let noted = Noted { e_tag: Some("abc-2".to_owned()), key: Some("/a".to_owned()), digest: Some(7), properties, is_fresh: false };
        let meta = Meta { xattrs: noted.xattrs(), ..Meta::default() };
        assert_eq!(Noted::of(&meta), noted);
        let of_a_folder = Meta { xattrs: vec![("user.a".to_owned(), b"1".to_vec())], ..Meta::default() };
        assert_eq!(Noted::of(&of_a_folder), Noted::default());
    }

    #[test]
    fn the_type_is_that_of_the_endings() {
        let of = |name: &str| Properties::of_name(Path::new(name)).0.remove("content-type");
        assert_eq!(of("a/b/LOGO.PNG").as_deref(), Some("image/png"));
        assert_eq!(of("a.b/c").as_deref(), Some("application/octet-stream"));
    }
}

//! The answers of S3 that are XML (API reference, "ListObjectsV2", "CompleteMultipartUpload", "Error responses").

use plan::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `<Error>`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Said {
    pub(super) code: String,
    pub(super) message: String,
}

/// What an answer says is wrong; `None` when it is no error.
pub(super) fn error(body: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(body).ok()?;
    let begin = text.trim_start().trim_start_matches(|c| c != '<');
    let begin = if begin.starts_with("<?xml") { begin.split_once("?>")?.1.trim_start() } else { begin };
    if !begin.starts_with("<Error") {
        return None;
    }
    quick_xml::de::from_str(text).ok()
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
    pub(super) encoding_type: Option<String>,
    #[serde(default)]
    pub(super) contents: Vec<Content>,
    #[serde(default)]
    pub(super) common_prefixes: Vec<CommonPrefix>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CommonPrefix {
    pub(super) prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    pub(super) key: String,
    pub(super) last_modified: String,
    #[serde(rename = "ETag", default)]
    pub(super) e_tag: String,
    pub(super) size: u64,
}

/// The beginning of an upload in parts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Begun {
    pub(super) upload_id: String,
}

/// The end of an upload in parts, of a copy, and of the copy of a part.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    #[serde(rename = "ETag")]
    pub(super) e_tag: String,
}

/// Uploads in parts that nobody has ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Uploads {
    #[serde(default)]
    pub(super) upload: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
}

/// Whether versions are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Versioning {
    pub(super) status: Option<String>,
}

/// What holds objects so that nobody can remove them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ObjectLock {
    pub(super) object_lock_enabled: Option<String>,
}

/// Reads an answer.
///
/// # Errors
/// When it is not what was asked for: cut off, or of something that is no S3 service.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], from: &str, what: &str) -> Result<T> {
    let unclear = || Error::failed(format!("the answer of {from} to {what} cannot be understood"));
    let text = std::str::from_utf8(body).map_err(|error| unclear().because(error))?;
    quick_xml::de::from_str(text).map_err(|error| unclear().because(error).hint("See whether the endpoint is that of an S3 service."))
}

/// `"abc"` as `abc`.
pub(super) fn unquoted(e_tag: &str) -> String {
    e_tag.trim().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_error_is_seen_inside_of_any_answer() {
        let body = b"<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>later</Message></Error>";
        assert_eq!(error(body).unwrap().code, "InternalError");
        assert_eq!(error(b"  \n <Error><Code>SlowDown</Code></Error>").unwrap().code, "SlowDown");
        assert!(error(b"<CopyObjectResult><ETag>\"a\"</ETag></CopyObjectResult>").is_none());
        assert!(error(b"").is_none() && error(b"plain").is_none());
    }

    #[test]
    fn a_page_that_is_cut_off_is_an_error() {
        let whole = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><LastModified>2026-01-01T00:00:00Z</LastModified>\
                     <ETag>&quot;x&quot;</ETag><Size>1</Size></Contents></ListBucketResult>";
        let page: Page = read(whole.as_bytes(), "s3", "list").unwrap();
        assert_eq!((page.contents.len(), unquoted(&page.contents[0].e_tag).as_str()), (1, "x"));
        assert!(read::<Page>(&whole.as_bytes()[..80], "s3", "list").is_err());
        assert!(read::<Page>(b"<html></html>", "s3", "list").is_err());
    }
}

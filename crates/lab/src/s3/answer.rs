//! The answers of S3 (API reference).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::http::{Request, Response, decoded};
use super::objects::{Bucket, S3Object, Upload, e_tag, http_date};
use super::versions::S3Lock;

/// Headers that are kept with an object, besides `x-amz-meta-`.
const KEPT: [&str; 6] = ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

/// An error.
pub(super) fn error(status: u16, code: &str) -> Response {
    let answer = xml(status, format!("<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"));
    if code != "SlowDown" {
        return answer;
    }
    let headers = [answer.headers.clone(), vec![("retry-after".to_owned(), "1".to_owned())]].concat();
    Response { headers, ..answer }
}

fn xml(status: u16, body: String) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}").into_bytes();
    Response { status, headers: vec![("content-type".to_owned(), "application/xml".to_owned())], body, ..Response::default() }
}

fn key_of(request: &Request, bucket: &str) -> Option<String> {
    let path = decoded(request.path());
    let rest = path.strip_prefix(&format!("/{bucket}"))?;
    // The bucket itself is named with a slash or without.
    if rest.is_empty() { Some(String::new()) } else { rest.strip_prefix('/').map(str::to_owned) }
}

/// The right that a request needs.
pub(super) fn right(request: &Request, bucket: &str) -> &'static str {
    let is_of_object = key_of(request, bucket).is_some_and(|key| !key.is_empty());
    let has = |name: &str| request.query(name).is_some();
    match (request.method.as_str(), is_of_object) {
        ("GET", false) if has("versioning") => "s3:GetBucketVersioning",
        ("GET", false) if has("object-lock") => "s3:GetBucketObjectLockConfiguration",
        ("GET", false) if has("uploads") => "s3:ListBucketMultipartUploads",
        ("GET", false) => "s3:ListBucket",
        ("DELETE", true) if has("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", true) if has("versionId") => "s3:DeleteObjectVersion",
        ("POST", false) if has("delete") => "s3:DeleteObject",
        ("DELETE", true) => "s3:DeleteObject",
        ("PUT", true) if has("retention") => "s3:PutObjectRetention",
        ("GET", true) if has("retention") => "s3:GetObjectRetention",
        ("PUT" | "POST", true) => "s3:PutObject",
        _ => "s3:GetObject",
    }
}

/// The answer to a request that is signed and allowed.
pub(super) fn answer(bucket: &mut Bucket, name: &str, request: &Request) -> Response {
    let Some(key) = key_of(request, name) else { return error(404, "NoSuchBucket") };
    if key.len() > 1024 {
        return error(400, "KeyTooLongError");
    }
    if request.header("x-amz-acl").is_some() {
        return error(400, "AccessControlListNotSupported");
    }
    let is_about_lock = request.query("retention").is_some();
    match (request.method.as_str(), key.as_str()) {
        ("GET", "") => of_bucket(bucket, request),
        ("POST", "") if request.query("delete").is_some() => delete_many(bucket, request),
        ("GET", _) if is_about_lock => lock_of(bucket, &key, request),
        ("PUT", _) if is_about_lock => lock(bucket, &key, request),
        ("GET" | "HEAD", _) => get(bucket, &key, request),
        ("PUT", _) => put(bucket, name, &key, request),
        ("POST", _) => post(bucket, &key, request),
        ("DELETE", _) => delete(bucket, &key, request),
        _ => error(405, "MethodNotAllowed"),
    }
}

fn of_bucket(bucket: &Bucket, request: &Request) -> Response {
    if request.query("versioning").is_some() {
        let status = if bucket.says_versions { "<Status>Enabled</Status>" } else { "" };
        return xml(200, format!("<VersioningConfiguration>{status}</VersioningConfiguration>"));
    }
    if request.query("object-lock").is_some() {
        if !bucket.says_locks {
            return error(404, "ObjectLockConfigurationNotFoundError");
        }
        return xml(200, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>".to_owned());
    }
    let prefix = request.query("prefix").unwrap_or_default();
    if request.query("uploads").is_some() {
        let found = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
        let list: String =
            found.map(|(id, upload)| format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", escaped(&upload.key))).collect();
        return xml(200, format!("<ListMultipartUploadsResult>{list}</ListMultipartUploadsResult>"));
    }
    list(bucket, request, &prefix)
}

fn list(bucket: &Bucket, request: &Request, prefix: &str) -> Response {
    let after = request.query("continuation-token").unwrap_or_default();
    let delimiter = request.query("delimiter");
    let (mut contents, mut folders) = (String::new(), BTreeMap::new());
    let mut last = None;
    let mut count = 0;
    for (key, object) in bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix) && **key > after) {
        let inside = key.get(prefix.len()..).unwrap_or_default();
        let folder = delimiter.as_deref().and_then(|delimiter| inside.split_once(delimiter)).map(|(name, _)| format!("{prefix}{name}/"));
        if folder.as_ref().is_some_and(|folder| folders.contains_key(folder)) {
            last = Some(key);
            continue;
        }
        if count == bucket.page {
            let mut next = last.map_or("", String::as_str);
            let nth = |number: usize| bucket.objects.keys().nth(number - 1);
            if bucket.goes_round && nth(3 * bucket.page).is_some_and(|key| key == next) {
                next = nth(bucket.page).map_or("", String::as_str);
            }
            return page(&contents, &folders, Some(next));
        }
        count += 1;
        last = Some(key);
        match folder {
            Some(folder) => drop(folders.insert(folder, ())),
            None => contents.push_str(&content(key, object)),
        }
    }
    page(&contents, &folders, None)
}

fn content(key: &str, object: &S3Object) -> String {
    format!(
        "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>",
        encoded(key),
        object.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        object.e_tag,
        object.bytes.len()
    )
}

fn page(contents: &str, folders: &BTreeMap<String, ()>, next: Option<&str>) -> Response {
    let folders: String =
        folders.keys().map(|folder| format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encoded(folder))).collect();
    let next = next.map(|next| format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(next)));
    let is_truncated = next.is_some();
    xml(
        200,
        format!(
            "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{is_truncated}</IsTruncated>{}{contents}{folders}</ListBucketResult>",
            next.unwrap_or_default()
        ),
    )
}

/// As Amazon encodes keys in listings: a space is a plus sign.
fn encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*/".contains(&byte);
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn get(bucket: &Bucket, key: &str, request: &Request) -> Response {
    let Some(object) = bucket.objects.get(key) else { return error(404, "NoSuchKey") };
    let is_it = |wanted: &str| wanted.trim_matches('"') == object.e_tag;
    if request.header("if-match").is_some_and(|wanted| !is_it(wanted)) {
        return error(412, "PreconditionFailed");
    }
    let mut headers: Vec<_> = object.headers.clone().into_iter().collect();
    headers.push(("etag".to_owned(), format!("\"{}\"", object.e_tag)));
    headers.push(("last-modified".to_owned(), http_date(object.modified)));
    if request.method == "HEAD" {
        return Response { status: 200, headers, length: Some(object.bytes.len() as u64), ..Response::default() };
    }
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let from = range.and_then(|(from, _)| from.parse::<usize>().ok());
    let Some(from) = from else {
        return Response { status: 200, headers, object: Some((Arc::clone(&object.bytes), 0)), ..Response::default() };
    };
    let length = object.bytes.len();
    let end = range.and_then(|(_, to)| to.parse::<usize>().ok()).map_or(length, |to| length.min(to.saturating_add(1)));
    headers.push(("content-range".to_owned(), format!("bytes {from}-{}/{length}", end.saturating_sub(1))));
    if end == length {
        return Response { status: 206, headers, object: Some((Arc::clone(&object.bytes), from)), ..Response::default() };
    }
    Response { status: 206, headers, body: object.bytes.get(from..end).unwrap_or_default().to_vec(), ..Response::default() }
}

/// Whether a body comes with a digest, and is what that says.
fn has_digest(request: &Request) -> Result<bool, &'static str> {
    let (md5, sha256) = (request.header("content-md5"), request.header("x-amz-checksum-sha256"));
    let is_other = |said: Option<&str>, digest: String| said.is_some_and(|said| said != digest);
    if is_other(md5, BASE64_STANDARD.encode(Md5::digest(&request.body)))
        || is_other(sha256, BASE64_STANDARD.encode(sha2::Sha256::digest(&request.body)))
    {
        return Err("BadDigest");
    }
    Ok(md5.is_some() || sha256.is_some())
}

/// The lock that an object is put with.
fn lock_to_put(bucket: &Bucket, request: &Request) -> Result<Option<S3Lock>, (u16, &'static str)> {
    let header = |name: &str| request.header(&format!("x-amz-object-lock-{name}"));
    match (header("mode"), header("retain-until-date")) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => {
            let until = until.parse().map_err(|_| (400, "InvalidArgument"))?;
            let lock = S3Lock { mode: mode.to_owned(), until };
            bucket.may_lock(&lock)?;
            Ok(Some(lock))
        }
        _ => Err((400, "InvalidArgument")),
    }
}

fn lock_of(bucket: &mut Bucket, key: &str, request: &Request) -> Response {
    match bucket.lock_of(key, request.query("versionId").as_deref()) {
        Ok(S3Lock { mode, until }) => xml(
            200,
            format!(
                "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
            ),
        ),
        Err((status, code)) => error(status, code),
    }
}

fn lock(bucket: &mut Bucket, key: &str, request: &Request) -> Response {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let inside = |name: &str| Some(body.split_once(&format!("<{name}>"))?.1.split_once(&format!("</{name}>"))?.0.to_owned());
    let until = inside("RetainUntilDate").and_then(|text| text.parse().ok());
    let Some((mode, until)) = inside("Mode").zip(until) else { return error(400, "MalformedXML") };
    match has_digest(request) {
        Err(code) => return error(400, code),
        Ok(false) => return error(400, "InvalidRequest"),
        Ok(true) => {}
    }
    match bucket.lock(key, request.query("versionId").as_deref(), S3Lock { mode, until }) {
        Ok(()) => Response { status: 200, ..Response::default() },
        Err((status, code)) => error(status, code),
    }
}

fn kept(request: &Request) -> BTreeMap<String, String> {
    let is_kept = |name: &str| KEPT.contains(&name) || name.starts_with("x-amz-meta-");
    request.headers.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn put(bucket: &mut Bucket, name: &str, key: &str, request: &Request) -> Response {
    let source = match request.header("x-amz-copy-source").map(decoded) {
        None => None,
        Some(source) => {
            let from = source.strip_prefix(&format!("/{name}/")).and_then(|from| bucket.objects.get(from)).cloned();
            let Some(from) = from else { return error(404, "NoSuchKey") };
            Some(from)
        }
    };
    if request.body.len() > bucket.largest_bytes {
        return error(400, "EntityTooLarge");
    }
    let lock = match lock_to_put(bucket, request) {
        Ok(lock) => lock,
        Err((status, code)) => return error(status, code),
    };
    if source.is_none() {
        match has_digest(request) {
            Err(code) => return error(400, code),
            Ok(false) if bucket.locks_what_is_written || lock.is_some() => return error(400, "InvalidRequest"),
            Ok(_) => {}
        }
    }
    if request.header("if-none-match") == Some("*") && bucket.objects.contains_key(key) {
        return error(412, "PreconditionFailed");
    }
    let part = request.query("partNumber").and_then(|number| number.parse().ok()).zip(request.query("uploadId"));
    let Some((number, upload)) = part else {
        let e_tag = match source {
            Some(from) if from.bytes.len() > bucket.largest_bytes => return error(400, "InvalidRequest"),
            Some(from) => {
                let e_tag = bucket.put_as(key, from.bytes, from.headers, from.e_tag);
                return xml(200, format!("<CopyObjectResult><ETag>&quot;{e_tag}&quot;</ETag></CopyObjectResult>"));
            }
            None => bucket.put(key, Arc::new(request.body.clone()), kept(request)),
        };
        if let Some(Err((status, code))) = lock.map(|lock| bucket.lock(key, None, lock)) {
            return error(status, code);
        }
        return Response { status: 200, headers: vec![("etag".to_owned(), format!("\"{e_tag}\""))], ..Response::default() };
    };
    let bytes: Vec<u8> = match &source {
        None => request.body.clone(),
        Some(from) => {
            let range = request.header("x-amz-copy-source-range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
            let ends = range.and_then(|(from, to)| Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?)));
            ends.and_then(|(begin, end)| from.bytes.get(begin..=end)).unwrap_or_default().to_vec()
        }
    };
    if bytes.len() > bucket.largest_bytes {
        return error(400, "EntityTooLarge");
    }
    let tag = e_tag(&bytes);
    let Some(upload) = bucket.uploads.get_mut(&upload).filter(|upload| upload.key == key) else { return error(404, "NoSuchUpload") };
    upload.parts.insert(number, Arc::new(bytes));
    if source.is_some() {
        return xml(200, format!("<CopyPartResult><ETag>&quot;{tag}&quot;</ETag></CopyPartResult>"));
    }
    Response { status: 200, headers: vec![("etag".to_owned(), format!("\"{tag}\""))], ..Response::default() }
}

fn post(bucket: &mut Bucket, key: &str, request: &Request) -> Response {
    if request.query("uploads").is_some() {
        bucket.begun += 1;
        let id = format!("upload-{}", bucket.begun);
        bucket.uploads.insert(id.clone(), Upload { key: key.to_owned(), headers: kept(request), parts: BTreeMap::new() });
        return xml(200, format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"));
    }
    let Some(upload) = request.query("uploadId").and_then(|id| bucket.uploads.remove(&id)) else { return error(404, "NoSuchUpload") };
    let named = String::from_utf8_lossy(&request.body).matches("<Part>").count();
    if named != upload.parts.len() {
        return error(400, "InvalidPart");
    }
    let bytes: Vec<u8> = upload.parts.values().flat_map(|part| part.iter().copied()).collect();
    let tag = format!("{}-{named}", e_tag(&bytes));
    let tag = bucket.put_as(key, Arc::new(bytes), upload.headers, tag);
    xml(200, format!("<CompleteMultipartUploadResult><ETag>&quot;{tag}&quot;</ETag></CompleteMultipartUploadResult>"))
}

fn delete(bucket: &mut Bucket, key: &str, request: &Request) -> Response {
    if let Some(id) = request.query("uploadId") {
        bucket.uploads.remove(&id);
    } else if let Some(id) = request.query("versionId") {
        if let Err((status, code)) = bucket.remove_version(key, &id) {
            return error(status, code);
        }
    } else {
        bucket.remove(key);
    }
    Response { status: 204, ..Response::default() }
}

fn delete_many(bucket: &mut Bucket, request: &Request) -> Response {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key);
    let deleted: String = keys
        .map(|key| {
            bucket.remove(key);
            format!("<Deleted><Key>{key}</Key></Deleted>")
        })
        .collect();
    xml(200, format!("<DeleteResult>{deleted}</DeleteResult>"))
}

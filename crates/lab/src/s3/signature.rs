//! Whether a request is signed as Signature Version 4 wants it (AWS General Reference, "Create a signed AWS API request"): over what came, byte for byte.

use sha2::{Digest as _, Sha256};

use super::http::Request;

fn field<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let header = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The id of the key that a request says it is signed with.
pub(super) fn key_id(request: &Request) -> Option<&str> {
    field(request, "Credential")?.split_once('/').map(|(id, _)| id)
}

/// Checks a request.
///
/// # Errors
/// The code of S3's answer.
pub(super) fn check(request: &Request, secret: &str) -> Result<(), &'static str> {
    let field = |name: &str| field(request, name).ok_or("AccessDenied");
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let (_, scope) = credential.split_once('/').ok_or("AccessDenied")?;
    let digest = request.header("x-amz-content-sha256").unwrap_or_default();
    if digest != hexadecimal(&Sha256::digest(&request.body)) {
        return Err("XAmzContentSHA256Mismatch");
    }
    let mut query = request.raw_query();
    query.sort_unstable();
    let query: Vec<_> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default())).collect();
    let canonical = format!("{}\n{}\n{}\n{headers}\n{signed}\n{digest}", request.method, request.path(), query.join("&"));
    let time = request.header("x-amz-date").unwrap_or_default();
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hexadecimal(&Sha256::digest(canonical)));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    if hexadecimal(&hmac(&key, to_sign.as_bytes())) == signature { Ok(()) } else { Err("SignatureDoesNotMatch") }
}

/// RFC 2104, with SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    let short = if key.len() > block.len() { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block.iter_mut().zip(short).for_each(|(to, from)| *to = from);
    let inner: Vec<u8> = block.iter().map(|byte| byte ^ 0x36).chain(text.iter().copied()).collect();
    let outer: Vec<u8> = block.iter().map(|byte| byte ^ 0x5c).chain(Sha256::digest(inner)).collect();
    Sha256::digest(outer).to_vec()
}

/// In hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

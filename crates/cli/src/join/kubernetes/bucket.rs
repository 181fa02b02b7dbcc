//! Files of System in a bucket: not copied yet, and never silently left out.

use plan::Error;
use platforms::kubernetes::find::BucketAt;

/// Says so, with the way out.
pub(super) fn refused(bucket: &BucketAt) -> Error {
    let secret = bucket.secret.as_deref().map(|name| format!(" (Secret {name})")).unwrap_or_default();
    Error::refused(format!("the file storage of this installation is an S3 bucket{secret}, which this program does not copy yet"))
        .hint("Protect the bucket by its own versioning or replication.")
        .hint("Leave it out: --only kubernetes-objects,system-database,zync-database,backend-redis,system-redis.")
        .hint("Or mount a copy of it, and set [system-storage] path.")
}

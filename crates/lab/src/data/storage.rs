//! System's files: those that rows name (CMS files, invoices, logos), and oddities that every tree has one day.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use plan::Result;
use plan::error::During;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};

use super::calendar::NOW;
use super::random::Random;
use super::shape::Shape;

/// A file of `cms_files`.
pub(crate) struct CmsFile {
    pub(crate) provider: u64,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) size_bytes: u64,
    mode: u32,
    day: u64,
}

impl CmsFile {
    /// paperclip's `:url_root/YYYY/MM/DD/<basename>-<random_secret>.<ext>`.
    pub(crate) fn path(&self) -> String {
        let (stem, extension) = self.name.rsplit_once('.').unwrap_or((&self.name, "bin"));
        format!("provider-{}/2026/01/{:02}/{stem}-{}.{extension}", self.provider, self.day, self.secret)
    }
}

/// The file of row n of `cms_files`.
pub(crate) fn cms_file(shape: &Shape, n: u64) -> CmsFile {
    let mut random = shape.random("cms_files", n);
    let (name, size_bytes, mode) = match n {
        1 => ("5MB.bin".to_owned(), 5 << 20, 0o644),
        2 => ("with space ü.txt".to_owned(), 17, 0o644),
        3 => ("empty.css".to_owned(), 0, 0o644),
        4 => ("private.key".to_owned(), 1704, 0o640),
        5 => ("script 'quoted' $HOME `x`.js".to_owned(), 4096, 0o755),
        _ => {
            let magnitude = 8 + random.below(10);
            (format!("image {n}.png"), 200 + random.below(1 << magnitude), 0o644)
        }
    };
    CmsFile { provider: 2 + n % shape.providers, name, secret: random.hex(16), size_bytes, mode, day: 1 + random.below(28) }
}

/// The PDF of an invoice.
pub(crate) struct Pdf {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
}

/// Every sixteenth invoice has one.
pub(crate) fn invoice_pdf(shape: &Shape, n: u64) -> Option<Pdf> {
    if !n.is_multiple_of(16) && n != 1 {
        return None;
    }
    let name = format!("invoice-2025-12-{n:08}.pdf");
    let path =
        format!("provider-{}/invoices/{n}/pdfs/original/{name}", shape.provider_of_buyer(shape.random("invoices", n).below(shape.buyers)));
    Some(Pdf { path, name, size_bytes: 6000 + n % 9000 })
}

/// Name and size of an account's logo.
pub(crate) fn logo(account: u64) -> (String, u64) {
    (format!("logo-{account}.png"), 2000 + account)
}

/// Writes all files below `root`, which exists.
pub(crate) fn fill(root: &Path, shape: &Shape, watch: &dyn Watch) -> Result<()> {
    let write = |path: &str, size: u64, mode: u32| {
        write_file(&root.join(path), size, mode, shape.random("content", size))?;
        watch.see(Event::Advance { data_set: DataSetName::SystemStorage, verb: Verb::Stage, bytes: size, items: 1 });
        Ok::<_, plan::Error>(())
    };
    for n in 1..=shape.cms_files {
        let file = cms_file(shape, n);
        write(&file.path(), file.size_bytes, file.mode)?;
    }
    for pdf in (1..=shape.invoices).filter_map(|n| invoice_pdf(shape, n)) {
        write(&pdf.path, pdf.size_bytes, 0o644)?;
    }
    for account in 2..2 + shape.providers {
        let (name, size) = logo(account);
        write(&format!("provider-{account}/{account}/profiles/logos/original/{name}"), size, 0o644)?;
    }
    odd_entries(root).during(|| format!("make odd entries in {}", root.display()))
}

/// Half of it compressible, as documents and pictures together are.
fn write_file(path: &Path, size: u64, mode: u32, mut random: Random) -> Result<()> {
    let mut attempt = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(path)?;
        let mut block = [0_u8; 8192];
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let length = left.min(block.len());
            random.fill(&mut block[..4096]);
            block[4096..].fill(b'.');
            file.write_all(&block[..length])?;
            left -= length;
        }
        finish(&file, mode)
    };
    attempt().during(|| format!("write {}", path.display()))
}

fn finish(file: &File, mode: u32) -> std::io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    // A time with nanoseconds: what loses them is found.
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(NOW.cast_unsigned(), 123_456_789))
}

fn odd_entries(root: &Path) -> std::io::Result<()> {
    let folder = root.join("provider-2/odd names");
    fs::create_dir_all(folder.join("empty folder"))?;
    fs::set_permissions(folder.join("empty folder"), fs::Permissions::from_mode(0o750))?;
    let small = |path: &Path, text: &[u8], mode| -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(text)?;
        finish(&file, mode)
    };
    small(&root.join(".hidden"), b"hidden\n", 0o600)?;
    small(&folder.join("new\nline"), b"a newline in its name\n", 0o644)?;
    small(&folder.join("Größe „ß“ 日本語 🚀"), b"names of many bytes\n", 0o644)?;
    small(&folder.join(OsStr::from_bytes(b"not utf-8 \xff\xfe")), b"no text at all\n", 0o644)?;
    small(&folder.join("-rf"), b"looks like an option\n", 0o644)?;
    small(&folder.join("one name"), b"two names\n", 0o644)?;
    fs::hard_link(folder.join("one name"), folder.join("another name"))?;
    symlink("one name", folder.join("latest link"))?;
    symlink("/nowhere/at/all", folder.join("dangling link"))?;
    let mut sparse = File::create(folder.join("sparse"))?;
    sparse.seek(SeekFrom::Start(24 << 20))?;
    sparse.write_all(b"after a hole")?;
    sparse.set_len(32 << 20)?;
    finish(&sparse, 0o644)
}

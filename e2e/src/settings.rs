//! The parameters of the suite: all of them environment variables, so that any cluster can be used.

use std::path::{Path, PathBuf};

/// Where things are. `docs/e2e.md` has the table.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `KUBECONFIG`: administrator of the cluster.
    pub kubeconfig: PathBuf,
    /// `KUBECTL`, else the one beside the kubeconfig's cluster, else the one in `PATH`.
    pub kubectl: PathBuf,
    /// `E2E_PROGRAM`: the binary under test.
    pub program: PathBuf,
    /// `E2E_NAMESPACE`: how the names of the namespaces begin.
    pub prefix: String,
    /// `E2E_DEPLOY`: a shell command that makes an installation; `--era ERA --namespace NAME` are added.
    pub deploy: Option<String>,
    /// `E2E_NODE`: a shell command that runs its arguments on the cluster's node; for the case that ends the API server.
    pub node: Option<String>,
    /// `E2E_IMAGE`: the program as an image that the cluster has, for the case that runs it there.
    pub image: Option<String>,
    /// `E2E_S3_IMAGE`: the test cluster's S3 server as an image that the cluster has, for the case with a repository behind https.
    pub s3_image: Option<String>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Panics
    /// When there is no cluster.
    #[must_use]
    pub fn read() -> Self {
        let kubeconfig = PathBuf::from(std::env::var_os("KUBECONFIG").expect_set("KUBECONFIG", "make e2e"));
        let beside = kubeconfig.parent().unwrap_or(Path::new("/")).join("root/usr/bin/kubectl");
        let kubectl = match std::env::var_os("KUBECTL") {
            Some(path) => path.into(),
            None if beside.exists() => beside,
            None => "kubectl".into(),
        };
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            kubeconfig,
            kubectl,
            program: PathBuf::from(std::env::var_os("E2E_PROGRAM").expect_set("E2E_PROGRAM", "make e2e")),
            prefix: text("E2E_NAMESPACE").unwrap_or_else(|| "e2e".to_owned()),
            deploy: text("E2E_DEPLOY"),
            node: text("E2E_NODE"),
            image: text("E2E_IMAGE"),
            s3_image: text("E2E_S3_IMAGE"),
        }
    }
}

trait ExpectSet<T> {
    fn expect_set(self, name: &str, way: &str) -> T;
}

impl<T> ExpectSet<T> for Option<T> {
    fn expect_set(self, name: &str, way: &str) -> T {
        match self {
            Some(value) => value,
            None => panic!("{name} is not set: these cases need a cluster, `{way}` runs them"),
        }
    }
}

//! The client of the API's connections, which send what they have at once.
//!
//! The client that the library makes leaves Nagle's algorithm on (RFC 896): of two small messages in a row the second waits until the first is acknowledged,
//! and the peer's kernel delays that by 40 ms (RFC 1122, 4.2.3.2). Everything that passes a forwarded port is such small messages: each handshake and every other
//! statement of a cut-over waited.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use tower::{BoxError, ServiceBuilder};

/// A client with this configuration. Must be called inside of the runtime that it is used in.
///
/// # Errors
/// When certificates, keys or logins of the configuration cannot be read.
pub(super) fn client(config: Config) -> kube::Result<kube::Client> {
    // The ways through proxies are the library's own.
    if config.proxy_url.is_some() {
        return kube::Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = hyper_timeout::TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

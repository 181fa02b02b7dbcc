//! `serve`: what `status` and `report` say, and metrics, by HTTP. A thread looks at intervals; who asks gets what the last look found.

mod http;
mod looks;
mod request;
mod shown;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::{Error, Result};
use serde::Serialize;

use crate::app::App;
use crate::args;
use looks::Looks;
use shown::Shown;

/// How long a look that is under way when the program is asked to end may take to notice.
const LAST_LOOK: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct ServedDocument {
    address: String,
    looks: u64,
    failed_looks: u64,
}

pub(crate) fn serve(app: &App, args: &args::Serve) -> Result<()> {
    // What is wrong with the configuration is told here, not by each look.
    app.location(&app.config()?)?;
    let listener = listen(args.listen)?;
    let address = listener.local_addr().map_err(|error| Error::failed("failed to ask for the address").because(error))?;
    let shown = Arc::new(Shown::nothing_yet());
    let looks = Looks::new(app, args, Arc::clone(&shown))?;
    let counts = looks.counts();
    let looking = std::thread::Builder::new().name("looks".to_owned()).spawn(move || looks.go_on());
    let looking = looking.map_err(|error| Error::failed("failed to start the thread that looks").because(error))?;
    app.output.note(&format!("listening on http://{address}/ (/metrics, /status.json, /healthz)"));
    let is_over = || app.was_interrupted() || looking.is_finished();
    http::serve(&listener, &is_over, &shown)?;
    if !app.was_interrupted() {
        return Err(Error::failed("the thread that looks has ended by itself"));
    }
    // A look only reads, and is left where it is when it does not end.
    let end = Instant::now() + LAST_LOOK;
    while !looking.is_finished() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (looks, failed_looks) = counts.get();
    app.output.document(&ServedDocument { address: address.to_string(), looks, failed_looks })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let failed = |error: std::io::Error| {
        let port = if address.port() < 9464 { 9464 } else { address.port().wrapping_add(1).max(9464) };
        let other = SocketAddr::new(address.ip(), port);
        Error::refused(format!("cannot listen on {address}"))
            .because(error)
            .hint(format!("Choose an address of this machine and a port that is free: `threescale-backup serve --listen {other}`."))
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

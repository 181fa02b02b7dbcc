//! The road by file, where a set cannot go back by `RESTORE` but the server's data folder can be reached: one RDB is built out of the set, placed
//! there, and loaded by one restart of the server with its stock configuration.
//!
//! With the AOF on the RDB goes under the name of the append-only file: servers since Redis 4 know it by its first bytes and load it whole;
//! measured on 5.0, 6.2 and 7.0. The sequence of the manual procedure (switch the AOF off, copy to `dump.rdb`, switch it on again) is not
//! offered, because it loses data: measured, it ends with an empty server on 5.0 and 6.2 and with the old data on 7.0. With the AOF on and no
//! append-only file a server starts empty, whatever `dump.rdb` holds; and since 6.2 a server without `save` lines still saves when it is stopped,
//! and so overwrites the file that was just copied.
//!
//! | in the data folder | means |
//! |---|---|
//! | `threescale-backup-<run>.rdb.part` | the RDB, on its way |
//! | `threescale-backup-<run>-previous/` | the files of the server as they were |
//! | … with `noted` in it | what the server loaded is there by a second name, or (`none`) there was nothing: what it loads next may be this run's |
//! | … with `whole` in it | all of them are there: what is outside is this run's |
//!
//! A server that starts at any moment in between, as after a crash of its node, loads the old data or the new, never nothing: what it loads is replaced by one rename.
//! Since Redis 7.0 a manifest in the folder of the append-only files goes before a file of their name (`loadAppendOnlyFiles` in `src/aof.c`), so that folder goes last.
//!
//! The RDB itself holds a marker in each database of the set: who finds it live knows that the server has loaded it, and whether it was the set or the safety
//! copy. Before the files are moved the live databases get the mark `half-loaded`, which is not in the RDB and so ends with the restart.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::ports::{Context, Discard, Event, Program, Remote};
use plan::{Class, Error, Result};

use super::claim::refuse_others;
use super::mark::{HALF, Role};
use super::place::Placed;
use super::{RedisStore, ServerAt};
use crate::connection::{Connection, Limits, Reply};
use crate::pass::PROBE_KEY;
use crate::rdb::source::from_io;
use crate::server::Server;

/// How long a server may take to come back, and to load without getting on.
const LOAD_LIMIT: Duration = Duration::from_secs(600);
const GLANCE: Duration = Duration::from_millis(200);

/// Ends a server cleanly (SIGTERM), starts it again, and returns when it is ready.
pub type Restart = Arc<dyn Fn(&Context) -> Result<()> + Send + Sync>;

/// The files of a server, and how it is restarted. One server only.
#[derive(Clone)]
pub struct FileRoad {
    /// The container that mounts the server's data folder; found anew at each start of a program, because a restart replaces its pod.
    pub remote: Arc<dyn Remote>,
    /// The data folder as seen from there: `/var/lib/redis/data`.
    pub data_folder: String,
    /// How the server is restarted.
    pub restart: Restart,
}

impl fmt::Debug for FileRoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRoad({} {})", self.remote.place(), self.data_folder)
    }
}

const INSTALL: &str = include_str!("file_road/install.sh");
const PUT_BACK: &str = include_str!("file_road/put_back.sh");
/// What of the run is in the data folder.
const THERE: &str = r#"cd "$1" || exit 1; for name in "$2" "$3"; do [ ! -e "$name" ] || echo "$name"; done"#;
const FORGET: &str = r#"cd "$1" && rm -rf "$3" "$2" && sync"#;
const LEFT: &str = r#"
cd "$1" || exit 1
for name in threescale-backup-*-previous threescale-backup-*.rdb.part; do
  [ ! -e "$name" ] || echo "$(cat "$name" "$name"/* "$name"/*/* 2>/dev/null | wc -c) $name"
done
"#;
const REMOVE_LEFT: &str = r#"cd "$1" && rm -rf "./$2" && sync"#;
const KEPT_BYTES: &str = r#"cd "$1" || exit 1; cat "$3"/* "$3"/*/* 2>/dev/null | wc -c"#;

/// Names in the data folder, as the server is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    aof: String,
    aof_folder: String,
    rdb: String,
    uses_aof: bool,
}

impl Names {
    /// Asks the server; where `CONFIG` is forbidden, 3scale's own names are taken.
    fn ask(connection: &mut Connection, server: &Server) -> Result<Self> {
        let uses_aof = server.number("aof_enabled") == 1;
        let mut name = |setting: &str, default: &str| -> Result<String> {
            Ok(setting_of(connection, setting)?.filter(|name| !name.is_empty()).unwrap_or_else(|| default.to_owned()))
        };
        let (aof, rdb) = (name("appendfilename", "appendonly.aof")?, name("dbfilename", "dump.rdb")?);
        Ok(Self { aof, aof_folder: name("appenddirname", "appendonlydir")?, rdb, uses_aof })
    }

    /// What the server loads when it starts.
    fn target(&self) -> &str {
        if self.uses_aof { &self.aof } else { &self.rdb }
    }
}

fn setting_of(connection: &mut Connection, name: &str) -> Result<Option<String>> {
    Ok(connection.ask(&[b"CONFIG", b"GET", name.as_bytes()])?.list().get(1).map(Reply::text))
}

/// Why the road by file is closed here; `None` when it is open. Changes nothing.
pub(crate) fn closed(road: &FileRoad, at: &ServerAt, connection: &mut Connection, server: &Server) -> Result<Option<String>> {
    if !server.at_least(4, 0) {
        return Ok(Some(format!("{server} does not load an RDB under the name of its append-only file (Redis 4 and later do)")));
    }
    if server.number("aof_enabled") != 1 && connection.ask(&[b"CONFIG", b"GET", b"save"])?.list().is_empty() {
        return Ok(Some(
            "it has no AOF, and CONFIG is not allowed: when it is stopped it would save its old data over the new file".to_owned(),
        ));
    }
    if let Some(dir) = setting_of(connection, "dir")?
        && dir.trim_end_matches('/') != road.data_folder.trim_end_matches('/')
    {
        return Ok(Some(format!("its data folder is {dir}, not {}", road.data_folder)));
    }
    for number in (0..1024).filter(|number| at.databases.iter().all(|named| named.database != *number)) {
        let keys = server.keys(number).0;
        if keys == 0 {
            continue;
        }
        connection.select(number)?;
        if keys > 1 || connection.call(&[b"EXISTS", PROBE_KEY.as_bytes()])?.number() != Some(1) {
            return Ok(Some(format!("database {number} of the same server has keys that are not of the set and would be lost")));
        }
    }
    Ok(None)
}

impl Placed {
    /// In a database that was loaded by file.
    pub(crate) fn by_file(&self) -> String {
        format!("threescale-backup:file:{}", self.run)
    }

    /// What is found under it.
    pub(crate) const fn by_file_value(is_put_back: bool) -> &'static str {
        if is_put_back { "put-back" } else { "loaded" }
    }

    pub(crate) fn part_file(&self) -> String {
        format!("threescale-backup-{}.rdb.part", self.run)
    }

    fn previous_folder(&self) -> String {
        format!("threescale-backup-{}-previous", self.run)
    }
}

impl RedisStore {
    /// The road by file and the one server that it leads to.
    pub(crate) fn file_road(&self) -> Result<(&FileRoad, &ServerAt)> {
        match (&self.options.file_road, self.servers.as_slice()) {
            (Some(road), [at]) => Ok((road, at)),
            _ => Err(Error::needs_person(format!("the run restores {} by file, but its server's files cannot be reached now", self.name))
                .hint("Use the same installation and configuration as when the run began, then resume.")),
        }
    }

    /// Puts the uploaded RDB in the place of the server's files and restarts the server; returns when it has loaded it.
    pub(crate) fn install(&self, context: &Context, placed: &Placed) -> Result<()> {
        let (road, at) = self.file_road()?;
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        if let Some(why) = closed(road, at, &mut connection, &server)? {
            return Err(Error::refused(format!("{} cannot be restored by file: {why}", at.address.endpoint())));
        }
        let names = Names::ask(&mut connection, &server)?;
        let quiet = connection.ask(&[b"CONFIG", b"SET", b"save", b""])?;
        if !names.uses_aof {
            quiet.ok().map_err(|error| error.during("failed to keep the server from saving its old data when it is stopped"))?;
        }
        // A rewrite of the AOF would take the name of the file that is placed now.
        drop(connection.ask(&[b"CONFIG", b"SET", b"auto-aof-rewrite-percentage", b"0"])?);
        wait_for_writes(context, &mut connection)?;
        let marks = self.marks(context, placed);
        for spot in placed.servers.iter().flatten() {
            refuse_others(&mut connection, at, &marks, spot)?;
            let mark = marks.text(spot, Role::InPlace)?;
            connection.call(&[b"SET", HALF.as_bytes(), mark.as_bytes()])?;
        }
        self.script(context, placed, &names, INSTALL, "put the RDB in the place of the server's files")?;
        (road.restart)(context).map_err(|error| {
            error.during(format!("failed to restart {}", at.address.endpoint())).hint(format!(
                "Its previous files are in {}/{}.",
                road.data_folder,
                placed.previous_folder()
            ))
        })?;
        self.wait_until_loaded(context, at, placed, server.field("run_id"))
    }

    fn wait_until_loaded(&self, context: &Context, at: &ServerAt, placed: &Placed, before: &str) -> Result<()> {
        let mut since = (Instant::now(), String::new());
        // A server that is coming back refuses connections and commands: these are not the failures that tests pretend.
        let limits = Limits { crash: None, ..self.limits(context) };
        loop {
            context.stop.check()?;
            match Connection::open(&at.address, &limits).and_then(|mut connection| Ok((Server::ask(&mut connection)?, connection))) {
                Ok((server, mut connection)) if server.field("loading") != "1" && server.field("run_id") != before => {
                    return check_loaded(&mut connection, placed, at);
                }
                Ok((server, _)) if server.field("loading_loaded_bytes") != since.1 => {
                    since = (Instant::now(), server.field("loading_loaded_bytes").to_owned());
                }
                Err(error) if !matches!(error.class(), Class::Transient | Class::Failed) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            if since.0.elapsed() > LOAD_LIMIT {
                return Err(Error::failed(format!("{} did not load the RDB", at.address.endpoint()))
                    .hint("Look at its log: either it was not restarted, or it does not take the file."));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Takes away what the run left. Where the server has not loaded what was placed, its own files are put back first.
    pub(crate) fn check_discard_files(&self, context: &Context, placed: &Placed, what: Discard) -> Result<()> {
        let (_, at) = self.file_road()?;
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        let names = Names::ask(&mut connection, &server)?;
        self.found_files(context, placed, &names, &mut connection, what).map(drop)
    }

    /// What was loaded by the run, and whether it left files; refuses what is not what is to go.
    fn found_files(
        &self,
        context: &Context,
        placed: &Placed,
        names: &Names,
        connection: &mut Connection,
        what: Discard,
    ) -> Result<(Option<String>, bool)> {
        let ((road, at), run) = (self.file_road()?, &placed.run);
        let loaded = loaded(connection, placed, at)?;
        let has_left = loaded.is_some() || !self.script(context, placed, names, THERE, "look for the server's previous files")?.is_empty();
        match (loaded.as_deref(), what) {
            (None, Discard::Previous) if has_left => {
                Err(Error::needs_person(format!("{} has not loaded the set of run {run}", at.address.endpoint()))
                    .hint(format!("Its previous files are in {}/{}: nothing was dropped.", road.data_folder, placed.previous_folder()))
                    .hint(format!("`resume {run}` goes on, `undo {run}` takes it back.")))
            }
            (Some("loaded"), Discard::Staged) => {
                Err(Error::needs_person(format!("what {} serves is what run {run} restored", at.address.endpoint())).hint(format!(
                    "Its previous files in {}/{} stay. `undo {run}` takes it back, `settle {run}` drops them.",
                    road.data_folder,
                    placed.previous_folder()
                )))
            }
            _ => Ok((loaded, has_left)),
        }
    }

    pub(crate) fn discard_files(&self, context: &Context, placed: &Placed, what: Discard) -> Result<()> {
        let (_, at) = self.file_road()?;
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        let names = Names::ask(&mut connection, &server)?;
        match self.found_files(context, placed, &names, &mut connection, what)? {
            (None, false) => Ok(()),
            (None, true) => {
                self.forget_half(context, placed, &mut connection)?;
                let note = format!("{}: save points may be off until the server's next restart", at.address.endpoint());
                context.watch.see(Event::Note(&note));
                self.script(context, placed, &names, PUT_BACK, "put the server's files back").map(drop)
            }
            (Some(_), _) => self.forget_files(context, placed, &names, &mut connection, at),
        }
    }

    /// After an undo the previous files are of no more use: the safety copy is live.
    pub(crate) fn tidy_files(&self, context: &Context, placed: &Placed) -> Result<()> {
        let (_, at) = self.file_road()?;
        let mut connection = self.connect(context, at)?;
        if loaded(&mut connection, placed, at)?.as_deref() != Some(Placed::by_file_value(true)) {
            return Ok(());
        }
        let server = Server::ask(&mut connection)?;
        let names = Names::ask(&mut connection, &server)?;
        self.forget_files(context, placed, &names, &mut connection, at)
    }

    fn forget_files(&self, context: &Context, placed: &Placed, names: &Names, connection: &mut Connection, at: &ServerAt) -> Result<()> {
        self.script(context, placed, names, FORGET, "remove the server's previous files")?;
        for named in &at.databases {
            connection.select(named.database)?;
            connection.call(&[b"DEL", placed.by_file().as_bytes(), placed.left_out().as_bytes()])?;
        }
        Ok(())
    }

    fn forget_half(&self, context: &Context, placed: &Placed, connection: &mut Connection) -> Result<()> {
        let marks = self.marks(context, placed);
        for spot in placed.servers.iter().flatten() {
            if marks.half(connection, spot)?.is_some() {
                connection.call(&[b"DEL", HALF.as_bytes()])?;
            }
        }
        Ok(())
    }

    pub(crate) fn previous_bytes(&self, context: &Context, placed: &Placed) -> Result<u64> {
        let (_, at) = self.file_road()?;
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        let names = Names::ask(&mut connection, &server)?;
        let said = self.script(context, placed, &names, KEPT_BYTES, "measure the server's previous files")?;
        Ok(said.trim().parse().unwrap_or(0))
    }

    /// What runs left in the data folder, with its bytes: where that can be reached.
    pub(crate) fn files_left(&self, context: &Context) -> Result<Vec<(String, u64)>> {
        let Ok((road, _)) = self.file_road() else { return Ok(Vec::new()) };
        let said = say(road, context, &Program::script(LEFT, &[&road.data_folder]), "look for what runs left")?;
        let line = |line: &str| line.split_once(' ').map(|(bytes, name)| (name.to_owned(), bytes.parse().unwrap_or(0)));
        Ok(said.lines().filter_map(line).collect())
    }

    /// Removes one of these.
    pub(crate) fn remove_file_left(&self, context: &Context, name: &str) -> Result<()> {
        let (road, _) = self.file_road()?;
        say(road, context, &Program::script(REMOVE_LEFT, &[&road.data_folder, name]), "remove what a run left").map(drop)
    }

    /// Runs a script over there, with the names that all of them take; gives what it wrote.
    fn script(&self, context: &Context, placed: &Placed, names: &Names, script: &str, what: &str) -> Result<String> {
        let (road, _) = self.file_road()?;
        let (part, previous) = (placed.part_file(), placed.previous_folder());
        let arguments = [&road.data_folder, &part, &previous, names.target(), &names.aof, &names.aof_folder, &names.rdb];
        say(road, context, &Program::script(script, &arguments), what)
    }
}

/// A save or a rewrite that is under way would put its own file over the one that is placed.
fn wait_for_writes(context: &Context, connection: &mut Connection) -> Result<()> {
    let since = Instant::now();
    loop {
        context.stop.check()?;
        let server = Server::ask(connection)?;
        let busy = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
            .into_iter()
            .find(|name| server.number(name) == 1);
        let Some(busy) = busy else { return Ok(()) };
        if since.elapsed() > LOAD_LIMIT {
            return Err(Error::failed(format!("{} does not end what it writes ({busy} is 1)", connection.peer()))
                .hint("Look at its log and its disk, then resume."));
        }
        std::thread::sleep(GLANCE);
    }
}

/// Runs a program over there; gives what it wrote.
fn say(road: &FileRoad, context: &Context, program: &Program, what: &str) -> Result<String> {
    let mut process = road.remote.start(context, program)?;
    let mut said = String::new();
    if let Some(mut output) = process.output() {
        output.read_to_string(&mut said).map_err(from_io)?;
    }
    process.finish()?.success(format!("could not {what} in {}", road.remote.place()))?;
    Ok(said)
}

/// What the server has loaded of this run, the set or its safety copy; `None` when a database has no marker.
fn loaded(connection: &mut Connection, placed: &Placed, at: &ServerAt) -> Result<Option<String>> {
    let mut found = None;
    for named in &at.databases {
        connection.select(named.database)?;
        match connection.call(&[b"GET", placed.by_file().as_bytes()])? {
            Reply::Bytes(text) => found = Some(String::from_utf8_lossy(&text).into_owned()),
            _ => return Ok(None),
        }
    }
    Ok(found)
}

/// Refuses when the server has not loaded the RDB of this run.
pub(crate) fn check_loaded(connection: &mut Connection, placed: &Placed, at: &ServerAt) -> Result<()> {
    match loaded(connection, placed, at)? {
        Some(_) => Ok(()),
        None => Err(Error::failed(format!("{} has not loaded the set", at.address.endpoint())).hint("Stage it again.")),
    }
}

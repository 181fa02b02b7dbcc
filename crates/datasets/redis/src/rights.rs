//! The commands that this program sends to a server, and what each is for: one list.
//!
//! A command that is not in it is not sent ([`crate::connection::Connection::push`] asks [`is_listed`]); `doctor` and `plan` try what is in it
//! ([`trial`]); `docs/privileges.md` has it as a table. Tests run every road as a user who has what the list says and nothing else.

pub(crate) mod lacking;
pub(crate) mod trial;

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum For {
    /// Every backup and every restore.
    All,
    /// To read one moment, by replication.
    View,
    /// To read where replication is forbidden, key by key.
    Scan,
    /// To load, and to clear what was loaded.
    Restore,
    /// To load beside the live data, to swap, and to swap back.
    Beside,
    /// Function libraries.
    Functions,
    /// To load some jobs of a queue.
    Jobs,
    /// To set single keys right beside what is loaded, and to hold the clock.
    Live,
    /// To rewrite the configuration in Backend from System's rows.
    Rewrite,
    /// To set keys of the live configuration right, and to put them back.
    Repair,
    /// To put keys of some classes into the live data.
    Merge,
    /// To answer what the command of `restore --then` asks of the staged copy. They read a few keys; none that looks at all keys at once is among them: the live databases
    /// are on the same server.
    Look,
    /// To restore by the server's files, where `RESTORE` is forbidden.
    File,
    /// Runs that version 0.1.0 began.
    OldRuns,
    /// Sentinels, with their own user.
    Sentinels,
    /// Used where it is allowed.
    WhereAllowed,
    /// Of connections that have not logged in: no ACL gives it.
    Login,
}

impl For {
    /// As the documentation has it.
    #[cfg(test)]
    pub(crate) const EACH: [(Self, &str); 16] = [
        (Self::All, "every backup, every restore"),
        (Self::View, "backup and proof, of one moment"),
        (Self::Scan, "backup and proof where replication is forbidden, key by key; restore with `--large-values during-stop`"),
        (Self::Restore, "restore, `undo`, `settle`"),
        (Self::Beside, "restore beside the live data: in addition"),
        (Self::Functions, "sets with function libraries: in addition (Redis 7.0 and later)"),
        (Self::Jobs, "restore with `--queues safe` or `only=…`: in addition"),
        (Self::Live, "restore of the system database or of Backend's Redis, and `hold`: in addition"),
        (Self::Rewrite, "restore of the system database together with Backend's Redis, unless `--rewrite` says otherwise: in addition"),
        (Self::Repair, "`verify --repair`, and its `resume` and `undo`: in addition to what `--rewrite` needs"),
        (Self::Merge, "restore with `--classes`: in addition"),
        (Self::Look, "restore with `--then`: what its command asks"),
        (Self::File, "restore by the server's files"),
        (Self::OldRuns, "`resume`, `undo`, `settle` of runs that version 0.1.0 began"),
        (Self::Sentinels, "at sentinels"),
        (Self::WhereAllowed, "used where it is allowed"),
    ];
}

/// Which keys a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// Keys of this program (`threescale-backup:…`).
    Own,
    All,
}

/// Which servers it is for. The others do not know it, or know something better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Every,
    /// Redis 7.0 and later, Valkey.
    From7,
    Before7,
}

/// How one learns whether it is allowed, without changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    /// With these arguments it only reads, does nothing, or cannot work. `KEY` stands for a key that nobody has.
    With(&'static [&'static str]),
    /// As the last of all: a server may go on as if it spoke to a replica.
    Last(&'static [&'static str]),
    /// It is tried when it is used.
    Not,
}

/// A command.
#[derive(Debug)]
pub(crate) struct Right {
    pub(crate) of: For,
    /// As an ACL has it: `get`, `function|load`.
    pub(crate) command: &'static str,
    pub(crate) keys: Keys,
    pub(crate) on: On,
    pub(crate) probe: Try,
}

const fn right(of: For, command: &'static str, keys: Keys, probe: Try) -> Right {
    Right { of, command, keys, on: On::Every, probe }
}

const fn right_on(of: For, on: On, command: &'static str, keys: Keys, probe: Try) -> Right {
    Right { of, command, keys, on, probe }
}

use Try::{Last, Not, With};

/// All of them; those that are sent most often come first.
#[rustfmt::skip]
pub(crate) const RIGHTS: &[Right] = &[
    right(For::Restore, "restore", Keys::All, With(&["RESTORE", "KEY", "-1", "x"])),
    right(For::Scan, "dump", Keys::All, With(&["DUMP", "KEY"])),
    right_on(For::Scan, On::From7, "pexpiretime", Keys::All, With(&["PEXPIRETIME", "KEY"])),
    right_on(For::Scan, On::Before7, "pttl", Keys::All, With(&["PTTL", "KEY"])),
    right(For::Scan, "scan", Keys::None, With(&["SCAN", "0", "COUNT", "1"])),
    right(For::Scan, "randomkey", Keys::None, With(&["RANDOMKEY"])),
    right(For::All, "info", Keys::None, With(&["INFO", "server"])),
    right(For::All, "select", Keys::None, With(&["SELECT", "0"])),
    right(For::All, "get", Keys::Own, With(&["GET", "KEY"])),
    right(For::All, "time", Keys::None, With(&["TIME"])),
    right(For::View, "replconf", Keys::None, With(&["REPLCONF", "capa", "eof"])),
    right(For::View, "psync", Keys::None, Last(&["PSYNC", "x", "x"])),
    right(For::Restore, "set", Keys::Own, With(&["SET", "KEY", "x", "XX", "NX"])),
    right(For::Restore, "del", Keys::Own, With(&["DEL", "KEY"])),
    right(For::Restore, "dbsize", Keys::None, With(&["DBSIZE"])),
    right(For::Restore, "randomkey", Keys::None, With(&["RANDOMKEY"])),
    right(For::Restore, "flushdb", Keys::None, With(&["FLUSHDB", "x"])),
    right(For::Restore, "watch", Keys::Own, With(&["WATCH", "KEY"])),
    right(For::Restore, "unwatch", Keys::None, With(&["UNWATCH"])),
    right(For::Restore, "exec", Keys::None, With(&["EXEC"])),
    right(For::Restore, "discard", Keys::None, With(&["DISCARD"])),
    right(For::Restore, "multi", Keys::None, Last(&["MULTI"])),
    right(For::Beside, "swapdb", Keys::None, With(&["SWAPDB", "x", "x"])),
    right(For::Beside, "move", Keys::Own, With(&["MOVE", "KEY", "x"])),
    right(For::Beside, "rename", Keys::Own, With(&["RENAME", "KEY", "KEY"])),
    right_on(For::Functions, On::From7, "function|list", Keys::None, With(&["FUNCTION", "LIST"])),
    right_on(For::Functions, On::From7, "function|load", Keys::None, With(&["FUNCTION", "LOAD", "x"])),
    right_on(For::Functions, On::From7, "function|delete", Keys::None, With(&["FUNCTION", "DELETE", "threescale-backup:probe"])),
    right(For::Jobs, "rpushx", Keys::All, With(&["RPUSHX", "KEY", "x"])),
    right(For::Jobs, "zadd", Keys::All, With(&["ZADD", "KEY", "x", "x"])),
    right(For::Live, "zrange", Keys::All, With(&["ZRANGE", "KEY", "0", "0"])),
    right(For::Live, "zadd", Keys::All, With(&["ZADD", "KEY", "x", "x"])),
    right(For::Live, "zrem", Keys::All, With(&["ZREM", "KEY", "x"])),
    right(For::Live, "hget", Keys::All, With(&["HGET", "KEY", "x"])),
    right(For::Live, "get", Keys::All, With(&["GET", "KEY"])),
    right(For::Live, "incrby", Keys::All, With(&["INCRBY", "KEY", "x"])),
    right(For::Live, "del", Keys::All, With(&["DEL", "KEY"])),
    right(For::Live, "sscan", Keys::All, With(&["SSCAN", "KEY", "0"])),
    right(For::Live, "srem", Keys::All, With(&["SREM", "KEY", "x"])),
    right(For::Live, "watch", Keys::All, With(&["WATCH", "KEY"])),
    right(For::Live, "unwatch", Keys::None, With(&["UNWATCH"])),
    right(For::Live, "exec", Keys::None, With(&["EXEC"])),
    right(For::Live, "discard", Keys::None, With(&["DISCARD"])),
    right(For::Live, "multi", Keys::None, Last(&["MULTI"])),
    right(For::Rewrite, "set", Keys::All, With(&["SET", "KEY", "x", "XX", "NX"])),
    right(For::Rewrite, "del", Keys::All, With(&["DEL", "KEY"])),
    right(For::Rewrite, "sadd", Keys::All, Not),
    right(For::Rewrite, "srem", Keys::All, With(&["SREM", "KEY", "x"])),
    right(For::Rewrite, "hset", Keys::All, With(&["HSET", "KEY", "x", "x", "x"])),
    right(For::Repair, "restore", Keys::All, With(&["RESTORE", "KEY", "-1", "x"])),
    right(For::Repair, "dump", Keys::All, With(&["DUMP", "KEY"])),
    right_on(For::Repair, On::From7, "pexpiretime", Keys::All, With(&["PEXPIRETIME", "KEY"])),
    right_on(For::Repair, On::Before7, "pttl", Keys::All, With(&["PTTL", "KEY"])),
    right(For::Repair, "del", Keys::All, With(&["DEL", "KEY"])),
    right(For::Repair, "watch", Keys::All, With(&["WATCH", "KEY"])),
    right(For::Repair, "unwatch", Keys::None, With(&["UNWATCH"])),
    right(For::Repair, "exec", Keys::None, With(&["EXEC"])),
    right(For::Repair, "discard", Keys::None, With(&["DISCARD"])),
    right(For::Repair, "multi", Keys::None, Last(&["MULTI"])),
    right(For::Merge, "get", Keys::All, With(&["GET", "KEY"])),
    right(For::Merge, "exists", Keys::All, With(&["EXISTS", "KEY"])),
    right(For::Merge, "pttl", Keys::All, With(&["PTTL", "KEY"])),
    right(For::Merge, "set", Keys::All, With(&["SET", "KEY", "x", "XX", "NX"])),
    right(For::Merge, "incrby", Keys::All, With(&["INCRBY", "KEY", "x"])),
    right(For::Merge, "del", Keys::All, With(&["DEL", "KEY"])),
    right(For::Merge, "pexpireat", Keys::All, With(&["PEXPIREAT", "KEY", "x"])),
    right(For::Merge, "persist", Keys::All, With(&["PERSIST", "KEY"])),
    right(For::Merge, "sismember", Keys::All, With(&["SISMEMBER", "KEY", "x"])),
    right(For::Merge, "sadd", Keys::All, Not),
    right(For::Merge, "srem", Keys::All, With(&["SREM", "KEY", "x"])),
    right(For::Merge, "sscan", Keys::All, With(&["SSCAN", "KEY", "0"])),
    right(For::Merge, "zadd", Keys::All, With(&["ZADD", "KEY", "x", "x"])),
    right(For::Merge, "zscore", Keys::All, With(&["ZSCORE", "KEY", "x"])),
    right(For::Merge, "zcount", Keys::All, With(&["ZCOUNT", "KEY", "0", "0"])),
    right(For::Merge, "zrem", Keys::All, With(&["ZREM", "KEY", "x"])),
    right(For::Merge, "llen", Keys::All, With(&["LLEN", "KEY"])),
    right(For::Merge, "lrange", Keys::All, With(&["LRANGE", "KEY", "0", "0"])),
    right(For::Merge, "lpush", Keys::All, Not),
    right(For::Merge, "rpush", Keys::All, Not),
    right(For::Merge, "lrem", Keys::All, With(&["LREM", "KEY", "0", "x"])),
    right(For::Merge, "watch", Keys::All, With(&["WATCH", "KEY"])),
    right(For::Merge, "scan", Keys::None, With(&["SCAN", "0", "COUNT", "1"])),
    right(For::Look, "bitcount", Keys::All, Not),
    right(For::Look, "bitpos", Keys::All, Not),
    right(For::Look, "dbsize", Keys::None, Not),
    right(For::Look, "dump", Keys::All, Not),
    right(For::Look, "exists", Keys::All, Not),
    right(For::Look, "expiretime", Keys::All, Not),
    right(For::Look, "get", Keys::All, Not),
    right(For::Look, "getbit", Keys::All, Not),
    right(For::Look, "getrange", Keys::All, Not),
    right(For::Look, "hexists", Keys::All, Not),
    right(For::Look, "hget", Keys::All, Not),
    right(For::Look, "hgetall", Keys::All, Not),
    right(For::Look, "hkeys", Keys::All, Not),
    right(For::Look, "hlen", Keys::All, Not),
    right(For::Look, "hmget", Keys::All, Not),
    right(For::Look, "hscan", Keys::All, Not),
    right(For::Look, "hstrlen", Keys::All, Not),
    right(For::Look, "hvals", Keys::All, Not),
    right(For::Look, "lindex", Keys::All, Not),
    right(For::Look, "llen", Keys::All, Not),
    right(For::Look, "lpos", Keys::All, Not),
    right(For::Look, "lrange", Keys::All, Not),
    right(For::Look, "mget", Keys::All, Not),
    right(For::Look, "pexpiretime", Keys::All, Not),
    right(For::Look, "pttl", Keys::All, Not),
    right(For::Look, "randomkey", Keys::None, Not),
    right(For::Look, "scan", Keys::None, Not),
    right(For::Look, "scard", Keys::All, Not),
    right(For::Look, "sismember", Keys::All, Not),
    right(For::Look, "smembers", Keys::All, Not),
    right(For::Look, "smismember", Keys::All, Not),
    right(For::Look, "srandmember", Keys::All, Not),
    right(For::Look, "sscan", Keys::All, Not),
    right(For::Look, "strlen", Keys::All, Not),
    right(For::Look, "ttl", Keys::All, Not),
    right(For::Look, "type", Keys::All, Not),
    right(For::Look, "xinfo", Keys::All, Not),
    right(For::Look, "xlen", Keys::All, Not),
    right(For::Look, "xpending", Keys::All, Not),
    right(For::Look, "xrange", Keys::All, Not),
    right(For::Look, "xrevrange", Keys::All, Not),
    right(For::Look, "zcard", Keys::All, Not),
    right(For::Look, "zcount", Keys::All, Not),
    right(For::Look, "zlexcount", Keys::All, Not),
    right(For::Look, "zmscore", Keys::All, Not),
    right(For::Look, "zrange", Keys::All, Not),
    right(For::Look, "zrangebylex", Keys::All, Not),
    right(For::Look, "zrangebyscore", Keys::All, Not),
    right(For::Look, "zrank", Keys::All, Not),
    right(For::Look, "zrevrange", Keys::All, Not),
    right(For::Look, "zrevrank", Keys::All, Not),
    right(For::Look, "zscan", Keys::All, Not),
    right(For::Look, "zscore", Keys::All, Not),
    right(For::File, "config|get", Keys::None, With(&["CONFIG", "GET", "dir"])),
    right(For::File, "config|set", Keys::None, With(&["CONFIG", "SET", "threescale-backup:probe", "x"])),
    right(For::OldRuns, "exists", Keys::Own, With(&["EXISTS", "KEY"])),
    right(For::OldRuns, "lrange", Keys::Own, With(&["LRANGE", "KEY", "0", "0"])),
    right(For::OldRuns, "smembers", Keys::Own, With(&["SMEMBERS", "KEY"])),
    right(For::Sentinels, "sentinel", Keys::None, Not),
    right(For::WhereAllowed, "client|setname", Keys::None, Not),
    right(For::WhereAllowed, "client|list", Keys::None, Not),
    right(For::WhereAllowed, "acl|whoami", Keys::None, Not),
    right(For::WhereAllowed, "role", Keys::None, Not),
    right(For::WhereAllowed, "memory|usage", Keys::All, Not),
    right(For::WhereAllowed, "llen", Keys::All, Not),
    right(For::WhereAllowed, "mset", Keys::All, Not),
    right(For::WhereAllowed, "unlink", Keys::All, Not),
    right(For::WhereAllowed, "set", Keys::All, Not),
    right(For::WhereAllowed, "rpush", Keys::All, Not),
    right(For::WhereAllowed, "sadd", Keys::All, Not),
    right(For::WhereAllowed, "zadd", Keys::All, Not),
    right(For::WhereAllowed, "hset", Keys::All, Not),
    right(For::WhereAllowed, "pexpireat", Keys::All, Not),
    right(For::WhereAllowed, "bgsave", Keys::None, Not),
    right_on(For::WhereAllowed, On::From7, "waitaof", Keys::None, Not),
    right(For::Login, "auth", Keys::None, Not),
];

impl On {
    /// Whether a server of that kind has it.
    pub(crate) const fn fits(self, is_7: bool) -> bool {
        match self {
            Self::Every => true,
            Self::From7 => is_7,
            Self::Before7 => !is_7,
        }
    }
}

/// What commands of these kinds there are for a server.
pub(crate) fn rights_of(of: &[For], is_7: bool) -> impl Iterator<Item = &'static Right> {
    RIGHTS.iter().filter(move |right| of.contains(&right.of) && right.on.fits(is_7))
}

/// Whether the list has a command, given by its first two words.
pub(crate) fn is_listed(name: &[u8], second: Option<&[u8]>) -> bool {
    RIGHTS.iter().any(|right| match right.command.split_once('|') {
        None => right.command.as_bytes().eq_ignore_ascii_case(name),
        Some((command, sub)) => {
            command.as_bytes().eq_ignore_ascii_case(name) && second.is_some_and(|second| sub.as_bytes().eq_ignore_ascii_case(second))
        }
    })
}

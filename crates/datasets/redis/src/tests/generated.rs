//! Random keys of every type, around every threshold at which servers change their encoding: there, back, and into newer servers. What they hold is read from
//! outside, by `redis-cli` and a script that the server runs. The seed is printed; `THREESCALE_BACKUP_SEED` gives another one.

use lab::{Redis, RedisKind};
use plan::ports::{DataSet, Discard, Road};

use super::scene::*;
use crate::Options;
use crate::connection::Connection;

const FIRST_SEED: u64 = 20_261_129;
const ROUNDS: u64 = 2;
/// Keys of a round.
const KEYS: u64 = 70;

/// Random numbers, the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) const fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    fn pick(&mut self, from: &[u64]) -> u64 {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let length = usize::try_from(length).unwrap();
        match self.below(4) {
            0 => vec![b'x'; length],
            1 => noise(length, self.number()),
            2 => b"abc\0\r\n*$".iter().copied().cycle().take(length).collect(),
            _ => (0..length).map(|at| b'a' + u8::try_from((at as u64 * 7 + self.0) % 26).unwrap()).collect(),
        }
    }

    /// A length around those at which a string is kept in another way: embedded, compressed, in a packed node, in a node of its own.
    fn length(&mut self) -> u64 {
        match self.below(30) {
            0 => self.pick(&[8191, 8192, 8193, 20_000, 70_000]),
            1..=4 => self.pick(&[511, 512, 513, 4095, 4096, 4097]),
            _ => self.pick(&[0, 1, 11, 12, 19, 20, 21, 43, 44, 45, 63, 64, 65, 66, 127, 128]),
        }
    }

    /// How many elements: around the limits of packed nodes.
    fn count(&mut self) -> u64 {
        match self.below(8) {
            0 => self.pick(&[511, 512, 513, 600]),
            1 => self.pick(&[127, 128, 129]),
            _ => 1 + self.below(20),
        }
    }

    /// An integer around the sizes in which packed nodes keep them, or bytes.
    fn element(&mut self, number: u64) -> Vec<u8> {
        if self.below(2) == 0 {
            let bits = self.pick(&[0, 3, 7, 8, 12, 13, 15, 16, 23, 24, 31, 32, 62]);
            let at = i64::try_from(1u64 << bits).unwrap() + i64::try_from(number).unwrap() - 2;
            return (if self.below(2) == 0 { at } else { -at }).to_string().into_bytes();
        }
        let length = if number > 100 { self.pick(&[1, 11, 63, 64, 65]) } else { self.length() };
        [number.to_string().into_bytes(), self.bytes(length)].concat()
    }
}

/// Sends all, and wants no refusal.
fn all(connection: &mut Connection, commands: &[Vec<Vec<u8>>]) {
    for some in commands.chunks(500) {
        for words in some {
            connection.push(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        connection.flush().unwrap();
        for _ in some {
            connection.reply().unwrap().ok().unwrap();
        }
    }
}

fn words(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// One key of a random type.
fn key(dice: &mut Dice, kind: RedisKind, number: u64, commands: &mut Vec<Vec<Vec<u8>>>) {
    let length = dice.below(40);
    let name = [format!("{number}:").into_bytes(), dice.bytes(length)].concat();
    let command = |verb: &str, rest: &[Vec<u8>]| [&[verb.as_bytes().to_vec(), name.clone()][..], rest].concat();
    let count = dice.count();
    match dice.below(6) {
        0 => {
            let value = if dice.below(2) == 0 {
                dice.element(number)
            } else {
                let length = dice.length();
                dice.bytes(length)
            };
            commands.push(command("SET", &[value]));
        }
        1 => commands.extend((0..count).map(|at| command("RPUSH", &[dice.element(at)]))),
        2 => {
            let integers = dice.below(2) == 0;
            commands.extend((0..count).map(|at| {
                let member = if integers { at.pow(3).to_string().into_bytes() } else { dice.element(at) };
                command("SADD", &[member])
            }));
        }
        3 => commands.extend((0..count).map(|at| {
            let score = match dice.below(5) {
                0 => "inf".to_owned(),
                1 => "-0".to_owned(),
                2 => format!("{}", (dice.below(2000) as f64 - 1000.0) / 7.0),
                3 => format!("{}", i64::try_from(dice.below(1 << 40)).unwrap()),
                _ => "1e-300".to_owned(),
            };
            command("ZADD", &[score.into_bytes(), dice.element(at)])
        })),
        4 => {
            for at in 0..count {
                let field = dice.element(at);
                commands.push(command("HSET", &[field.clone(), dice.element(at)]));
                if matches!(kind, RedisKind::NewestRedis | RedisKind::Valkey) && dice.below(3) == 0 {
                    let after = (600_000 + dice.below(1 << 34)).to_string().into_bytes();
                    commands.push(command("HPEXPIRE", &[after, b"FIELDS".to_vec(), b"1".to_vec(), field]));
                }
            }
        }
        _ => {
            for at in 0..count {
                let fields = 1 + dice.below(3);
                let mut rest = vec![format!("{}-{at}", at / 5 + 1).into_bytes()];
                for field in 0..fields {
                    let length = dice.length();
                    rest.extend([format!("field{field}").into_bytes(), dice.bytes(length)]);
                }
                commands.push(command("XADD", &rest));
            }
            for _ in 0..dice.below(3) {
                commands.push(command("XDEL", &[format!("{}-{}", dice.below(count) / 5 + 1, dice.below(count)).into_bytes()]));
            }
            for group in 0..dice.below(3) {
                let group = format!("group{group}").into_bytes();
                commands.push([words("XGROUP CREATE"), vec![name.clone(), group.clone(), b"0".to_vec()]].concat());
                for consumer in 0..dice.below(3) {
                    let take = (1 + dice.below(120)).to_string();
                    let read =
                        words(&format!("XREADGROUP GROUP {} consumer{consumer} COUNT {take} STREAMS", String::from_utf8_lossy(&group)));
                    commands.push([read, vec![name.clone(), b">".to_vec()]].concat());
                    commands.push(command(
                        "XACK",
                        &[group.clone(), format!("{}-{}", dice.below(count) / 5 + 1, dice.below(count)).into_bytes()],
                    ));
                }
            }
        }
    }
    if dice.below(4) == 0 {
        commands.push(command("PEXPIRE", &[(600_000 + dice.below(1 << 36)).to_string().into_bytes()]));
    }
}

pub(super) fn fill(server: &Redis, kind: RedisKind, dice: &mut Dice, keys: u64) {
    let mut commands = Vec::new();
    (0..keys).for_each(|number| key(dice, kind, number, &mut commands));
    all(&mut connect(server, 0), &commands);
}

/// What a database holds, as the server itself tells its own client.
pub(super) fn held(server: &Redis, database: u32, older: bool) -> Vec<String> {
    let mut client = server.client();
    client.args(["-n", &database.to_string(), "--raw", "EVAL", include_str!("oracle.lua"), "0", if older { "older" } else { "" }]);
    let output = client.output().unwrap();
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(lines.iter().all(|line| line.split(' ').count() == 4), "{lines:?} {}", String::from_utf8_lossy(&output.stderr));
    lines
}

#[test]
fn random_keys_go_there_and_back_on_every_server() {
    let given = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let rounds = if given.is_some() { 1 } else { ROUNDS };
    for seed in (given.unwrap_or(FIRST_SEED)..).take(usize::try_from(rounds).unwrap()) {
        // A panic names its thread.
        let thread = std::thread::Builder::new().name(format!("THREESCALE_BACKUP_SEED={seed}"));
        std::thread::scope(|scope| thread.spawn_scoped(scope, || one_round(seed)).unwrap().join().unwrap());
    }
}

fn one_round(seed: u64) {
    let servers = RedisKind::ALL.map(|kind| (kind, Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap()));
    let mut dice = Dice::new(seed);
    for (at, (kind, server)) in servers.iter().enumerate() {
        fill(server, *kind, &mut dice, KEYS);
        say(&mut connect(server, 1), "RPUSH resque:queue:priority a b");
        let (whole, first) = (digest(server), held(server, 0, false));
        assert_eq!(first.len(), usize::try_from(KEYS).unwrap());
        let store = store(server);
        let set = backup(&store).unwrap();
        damage(server);
        let damaged = held(server, 0, false);

        // Beside the live data all that can be goes in pieces, in place nothing does.
        let in_pieces = |server: &Redis| store_with(server, Options { pieces_from: 1, ..Options::default() });
        let place = restore(&in_pieces(server), &set, "random", Road::SideCopy);
        assert_eq!(held(server, 0, false), first, "{seed} {kind:?}");
        store.undo(&context("random"), &place).unwrap();
        assert_eq!(held(server, 0, false), damaged, "{seed} {kind:?}");
        store.cut_over(&context("random"), &place).unwrap();
        store.discard(&context("random"), &place, Discard::Previous).unwrap();
        assert_eq!((digest(server), held(server, 0, false)), (whole.clone(), first.clone()), "{seed} {kind:?}");
        damage(server);
        let place = restore(&store, &set, "random-place", Road::InPlace);
        store.discard(&context("random-place"), &place, Discard::Previous).unwrap();
        assert_eq!((digest(server), held(server, 0, false)), (whole, first.clone()), "{seed} {kind:?} in place");

        // Into each newer server that takes it.
        let older = held(server, 0, *kind == RedisKind::Redis6);
        for (newer, target) in servers.iter().skip(at + 1).filter(|_| at < 2) {
            let place = restore(&in_pieces(target), &set, "upgrade", Road::SideCopy);
            assert_eq!(held(target, 0, *kind == RedisKind::Redis6), older, "{seed} {kind:?} into {newer:?}");
            self::store(target).undo(&context("upgrade"), &place).unwrap();
            self::store(target).discard(&context("upgrade"), &place, Discard::Staged).unwrap();
        }
    }
}

//! Random schemas and rows: dumped, changed, restored, undone. What `pg_dump` writes before and after is the judge.

use plan::ports::Discard;

use super::*;

/// A generator that needs no crate. Its seed is in every message.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len())]
    }
}

const TYPES: [&str; 12] =
    ["int", "bigint", "text", "varchar(40)", "numeric(20, 5)", "bool", "timestamptz", "jsonb", "bytea", "uuid", "text[]", "float8"];
const NAMES: [&str; 6] = ["plain", "\"Odd one\"", "\"sel\"\"ect\"", "ünï", "\"a.b\"", "\"user\""];

/// A value of each type, of a row's number.
const VALUES: [&str; 12] = [
    "n",
    "n * 4294967296",
    "repeat(chr(97 + n % 26), n % 60)",
    "'v' || n",
    "n / 7.0",
    "n % 2 = 0",
    "'2001-01-01Z'::timestamptz + n * interval '1 s'",
    "jsonb_build_object('n', n, 'x', NULL)",
    "decode(md5(n::text), 'hex')",
    "md5(n::text)::uuid",
    "ARRAY[n::text, NULL, 'a,b']",
    "1 / (n + 0.3)",
];

/// Statements of one random database.
fn schema(dice: &mut Dice) -> String {
    let mut text = "SET ROLE zync; CREATE SCHEMA more; CREATE TYPE public.state AS ENUM ('a', 'b'); ".to_owned();
    for number in 0..3 + dice.roll(5) {
        let place = dice.of(&["public", "more"]);
        let name = format!("{place}.{}_{number}", dice.of(&NAMES))
            .replace("\"_", &format!("_{number}\""))
            .replace(&format!("{number}\"{number}"), &format!("{number}\""));
        let columns: Vec<usize> = (0..1 + dice.roll(6)).map(|_| dice.roll(TYPES.len())).collect();
        let logged = dice.of(&["", "", "UNLOGGED"]);
        let listed: String = columns.iter().enumerate().map(|(at, kind)| format!(", \"c {at}\" {}", TYPES[*kind])).collect();
        let values: Vec<_> = columns.iter().map(|kind| VALUES[*kind]).collect();
        let names: Vec<_> = (0..columns.len()).map(|at| format!("\"c {at}\"")).collect();
        let (names, values, rows) = (names.join(", "), values.join(", "), dice.roll(300));
        text += &format!("CREATE {logged} TABLE {name} (id serial PRIMARY KEY{listed}); ");
        text += &format!("INSERT INTO {name} ({names}) SELECT {values} FROM generate_series(1, {rows}) n; ");
        text += &match dice.roll(8) {
            0 => format!("CREATE INDEX ON {name} (\"c 0\"); COMMENT ON TABLE {name} IS 'it''s'; "),
            1 => format!("CREATE VIEW {place}.v{number} AS SELECT id FROM {name}; GRANT SELECT ON {place}.v{number} TO reader; "),
            2 => format!(
                "CREATE FUNCTION {place}.f{number}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
                 CREATE TRIGGER x BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION {place}.f{number}(); "
            ),
            3 => format!(
                "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {name} TO reader USING (id > 1); \
                 GRANT ALL ON {name} TO reader WITH GRANT OPTION; "
            ),
            4 => format!(
                "ALTER TABLE {name} ADD parent int REFERENCES {name}, ADD s public.state DEFAULT 'a', \
                 ADD twice int GENERATED ALWAYS AS (id * 2) STORED; "
            ),
            5 => format!(
                "CREATE MATERIALIZED VIEW {place}.m{number} AS SELECT count(*) FROM {name}; \
                 ALTER DEFAULT PRIVILEGES IN SCHEMA {place} GRANT SELECT ON TABLES TO reader; "
            ),
            6 => format!("SELECT lo_from_bytea({}, 'bytes'); CREATE DOMAIN {place}.d{number} AS int CHECK (VALUE > 0); ", 1000 + number),
            _ => format!(
                "CREATE SEQUENCE {place}.q{number} START 7; SELECT nextval('{place}.q{number}'); \
                 CREATE STATISTICS {place}.s{number} ON id, \"c 0\" FROM {name}; "
            ),
        };
    }
    text
}

/// What somebody does to it meanwhile.
fn change(dice: &mut Dice) -> String {
    let all = [
        "DROP SCHEMA more CASCADE",
        "CREATE TABLE public.intruder (a int); INSERT INTO public.intruder VALUES (1)",
        "ALTER TYPE public.state ADD VALUE 'c'",
        "SELECT lo_from_bytea(77, 'more')",
        "CREATE SCHEMA third; CREATE TABLE third.t (a int)",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO reader",
        "GRANT CREATE ON SCHEMA public TO reader; COMMENT ON SCHEMA public IS 'changed'",
    ];
    (0..1 + dice.roll(3))
        .map(|_| format!("SET ROLE zync; {};", all[dice.roll(all.len())]))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[test]
fn random_databases_come_back_as_they_were_forth_and_back() {
    // Without a seed always the same, so that a change is judged by itself.
    let seed: u64 = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_129);
    let mut dice = Dice(seed.max(1));
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE ROLE reader");
    let end = Instant::now() + Duration::from_secs(25);
    let mut round = 0;
    while round < 2 || round < 12 && Instant::now() < end {
        round += 1;
        let road = if round % 2 == 0 { Road::SideCopy } else { Road::InPlace };
        let at = format!("THREESCALE_BACKUP_SEED={seed}, round {round}, {road:?}");
        psql(&server, "postgres", "DROP DATABASE IF EXISTS zync; CREATE DATABASE zync OWNER zync");
        psql(&server, "zync", &schema(&mut dice));
        let url = if road == Road::SideCopy { server.url("zync") } else { server.url_as("zync", "zync", "zync") };
        let store = store_at(&url);
        let wanted = text(&server, "zync");
        let set = take(&store);
        assert_eq!(set.1.problems, [], "{at}");
        psql(&server, "zync", &change(&mut dice));
        let before = text(&server, "zync");
        let (context, _) = context(&format!("01jd00000000000000{round:02}"));
        let check = |want: &str, what: &str| {
            let have = text(&server, "zync");
            assert!(have == want, "{at}: {what}: {:?}", have.lines().zip(want.lines()).find(|(one, other)| one != other));
        };
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        store.undo(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Staged).unwrap();
        check(&before, "after the undo");
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Previous).unwrap();
        check(&wanted, "after settle");
    }
}

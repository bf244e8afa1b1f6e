//! One definition has the same ids in Rust, in SQL, and in the page's own code in Node.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sqlx::Row;

use crate::test_api::TestApi;

/// A small generator of random numbers, which are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_of(&mut self, texts: &[&str]) -> String {
        let n = self.below(texts.len() as u64);
        usize::try_from(n).ok().and_then(|n| texts.get(n)).copied().unwrap_or_default().to_owned()
    }

    /// A random spelling of a number that is still finite when it is read as a float.
    fn number(&mut self) -> String {
        match self.below(8) {
            0 => self.below(1_000).to_string(),
            1 => format!("-{}", self.below(1_000_000)),
            2 => self.next().to_string(),
            3 => format!("{}.{}", self.below(100), self.next()),
            4 => format!("{}.{}e-{}", self.below(10), self.next(), self.below(320)),
            5 => format!("{}E+{}", self.below(10_000), self.below(300)),
            6 => self.one_of(&["0.0", "-0", "1e21", "1e-7", "123456789012345680000", "5e-324", "9.289462907329555e-8"]),
            _ => {
                let double = f64::from_bits(self.next());
                if double.is_finite() { format!("{double:e}") } else { "1.5".to_owned() }
            }
        }
    }

    /// A quoted text with characters of every plane, some of them escaped.
    fn text(&mut self) -> String {
        let mut out = "\"".to_owned();
        for _ in 0..self.below(8) {
            let point = match self.below(6) {
                0 => 0x20 + self.below(0x5f),
                1 => 1 + self.below(0x1f),
                2 => 0x7f + self.below(0x800),
                3 => 0x2020 + self.below(0x20),
                4 => 0xe000 + self.below(0x1ffe),
                _ => 0x1_0000 + self.below(0x10_0000),
            };
            let c = char::from_u32(u32::try_from(point).unwrap()).unwrap_or('x');
            let is_escaped = c < ' ' || c == '"' || c == '\\' || self.below(4) == 0;
            if is_escaped {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| write!(out, "\\u{unit:04x}").unwrap());
            } else {
                out.push(c);
            }
        }
        out + "\""
    }

    fn value(&mut self, depth: u64) -> String {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => self.number(),
            1 | 2 => self.text(),
            3 => self.one_of(&["true", "false", "null"]),
            4 => format!("[{}]", (0..self.below(4)).map(|_| self.value(depth - 1)).collect::<Vec<_>>().join(" ,")),
            _ => self.object(depth - 1, Self::value),
        }
    }

    /// An object with keys in any order. No key comes twice, because each ends in another number.
    fn object(&mut self, depth: u64, value: fn(&mut Self, u64) -> String) -> String {
        let n = self.below(5);
        let start = self.next() % 100;
        let members = (0..n).map(|i| {
            let key = self.text();
            let key = format!("{}{}\"", &key[..key.len() - 1], (start + i * 7) % 100);
            format!("{key}: {}", value(self, depth))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    fn reference(&mut self, _: u64) -> String {
        let hash = ["", ",\"hash\":\"0\"", ",\"hash\":null,\"more\":1", ",\"more\":[null]"];
        let hash = hash[usize::try_from(self.below(4)).unwrap()];
        match self.below(6) {
            0 => format!("{{\"value\":\"https://x/presignedurl/{}\",\"type\":\"url\"{hash}}}", self.next()),
            1 => format!("{{\"value\":{},\"type\":\"json\"{hash}}}", self.value(2)),
            2 => format!("{{\"type\":{},\"value\":{}{hash}}}", self.one_of(&["null", "\"utf8\"", "\"url\"", "0"]), self.value(1)),
            3 => self.one_of(&["null", "[]", "\"x\"", "{}", "{\"hash\":\"h\"}"]),
            _ => format!("{{\"value\":{}{hash}}}", self.text()),
        }
    }

    /// An object with some of these names as keys, each at most once. Some of the names are members of a definition, some are not.
    fn members(&mut self, names: &[&str], value: fn(&mut Self) -> String) -> String {
        let chosen: Vec<&&str> = names.iter().filter(|_| self.0.rotate_left(7) & 3 != 0 && self.below(3) > 0).collect();
        format!("{{{}}}", chosen.into_iter().map(|name| format!("\"{name}\":{}", value(self))).collect::<Vec<_>>().join(","))
    }

    /// An unusual value of a member: missing, empty, or of another type.
    fn or_odd(&mut self, value: String) -> String {
        match self.below(8) {
            0 => "null".to_owned(),
            1 => "{}".to_owned(),
            2 => self.one_of(&["[]", "\"\"", "0", "false", "{\"more\":{}}"]),
            _ => value,
        }
    }

    fn scalar(&mut self) -> String {
        self.value(0)
    }

    fn env(&mut self) -> String {
        if self.below(2) == 0 {
            return self.object(0, Self::value);
        }
        let names = [
            "mp-",
            "mp_x",
            "mpx",
            "MP-x",
            "channel",
            "CHANNEL",
            "Channel",
            "readonly",
            "edit",
            "parent-metapage-id",
            "fs-path",
            "A",
        ];
        self.members(&names, Self::scalar)
    }

    fn files(&mut self) -> String {
        self.object(0, Self::reference)
    }

    fn definition(&mut self) -> String {
        if self.below(6) == 0 {
            // Only members that count by both rules.
            return format!("{{\"command\":{},\"image\":{},\"v\":{}}}", self.text(), self.text(), self.number());
        }
        let plain = |name: &str, text: String| format!("\"{name}\":{text}");
        let mut members = Vec::new();
        for name in
            ["image", "command", "entrypoint", "workdir", "shmSize", "maxDuration", "v", "tags", "secrets", "x", "channel"]
        {
            if self.below(3) > 0 {
                let value = self.value(2);
                members.push(plain(name, self.or_odd(value)));
            }
        }
        let build = ["context", "buildContext", "filename", "target", "dockerfile", "buildArgs", "platform", "more", "\u{1f600}"];
        let build = self.members(&build, Self::scalar);
        let requirements = self.members(&["cpus", "gpus", "memory", "maxDuration", "more"], Self::scalar);
        let (env, inputs, config_files) = (self.env(), self.files(), self.files());
        let maps =
            [("build", build), ("requirements", requirements), ("env", env), ("inputs", inputs), ("configFiles", config_files)];
        for (name, map) in maps {
            if self.below(4) > 0 {
                members.push(plain(name, self.or_odd(map)));
            }
        }
        let first = usize::try_from(self.below(members.len().max(1) as u64)).unwrap();
        members.rotate_left(first);
        format!("{{{}}}", members.join(","))
    }
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("web")
}

/// Both ids of each definition, computed by the page's code. `None` if the page's packages are not installed.
fn of_page(definitions: &[String]) -> Option<Vec<String>> {
    let bundler = web().join("node_modules/.bin/rolldown");
    if !bundler.exists() {
        eprintln!("NOT CHECKED: the page's ids, for web/node_modules is not there");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("canonical.mjs");
    let source = web().join("src/definition/canonical.ts");
    let bundled = Command::new(bundler).arg(source).arg("-o").arg(&bundle).args(["-f", "esm"]).stdout(Stdio::null()).status();
    assert!(bundled.unwrap().success());
    let lines = folder.path().join("definitions.json");
    std::fs::write(
        &lines,
        format!("[{}]", definitions.iter().map(|d| Value::from(d.as_str()).to_string()).collect::<Vec<_>>().join(",")),
    )
    .unwrap();
    let script = "const { jobIdOf, oldJobIdOf } = await import(process.argv[1]); const { readFileSync } = await import('node:fs'); \
        for (const text of JSON.parse(readFileSync(process.argv[2], 'utf8'))) { const d = JSON.parse(text); console.log(jobIdOf(d) + ' ' + oldJobIdOf(d)) }";
    let node = Command::new("node").args(["--input-type=module", "-e", script]).arg(&bundle).arg(&lines).output().unwrap();
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    Some(String::from_utf8(node.stdout).unwrap().lines().map(str::to_owned).collect())
}

async fn agree(n: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let definitions: Vec<String> = (0..n).map(|_| random.definition()).collect();
    let of_rust: Vec<String> = definitions
        .iter()
        .map(|text| {
            let definition = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} {text}"));
            format!("{} {}", protocol::job_id_of(&definition), protocol::old_job_id_of(&definition))
        })
        .collect();
    let api = TestApi::new().await;
    let mut db = api.database().await;
    let sql = "select asman.job_id(d::jsonb) || ' ' || asman.old_job_id(d::jsonb) from unnest($1::text[]) with ordinality as u (d, n) order by n";
    for (texts, ids) in definitions.chunks(500).zip(of_rust.chunks(500)) {
        let rows = sqlx::query(sql).bind(texts).fetch_all(&mut db).await.unwrap();
        for ((row, id), text) in rows.iter().zip(ids).zip(texts) {
            assert_eq!(row.get::<String, _>(0), *id, "SQL and Rust: {text}");
        }
    }
    let n_same = of_rust.iter().filter(|ids| ids.split_once(' ').is_some_and(|(id, old)| id == old)).count();
    assert!(n_same > n / 50 && n_same < n, "some definitions have one id and some have two: {n_same} of {n}");
    for ((page, id), text) in of_page(&definitions).iter().flatten().zip(&of_rust).zip(&definitions) {
        assert_eq!(page, id, "the page and Rust: {text}");
    }
}

#[tokio::test]
async fn three_hundred_random_definitions_have_the_same_ids_in_rust_in_sql_and_on_the_page() {
    agree(300).await;
}

/// This test takes some minutes; `just ids` runs it.
#[tokio::test]
#[ignore = "ten thousand take some minutes"]
async fn ten_thousand_random_definitions_have_the_same_ids_in_rust_in_sql_and_on_the_page() {
    agree(10_000).await;
}

#[tokio::test]
async fn half_a_surrogate_pair_has_no_id_anywhere() {
    let api = TestApi::new().await;
    for text in [r#"{"image":"a\ud800"}"#, r#"{"image":"a","env":{"\udc00":"x"}}"#] {
        assert!(serde_json::from_str::<Value>(text).is_err());
        let mut db = api.database().await;
        assert!(sqlx::query("select asman.job_id($1::jsonb)").bind(text).fetch_one(&mut db).await.is_err(), "{text}");
        assert_eq!(api.post_text("/q/q", format!(r#"{{"definition":{text}}}"#)).await.0, 400);
    }
}

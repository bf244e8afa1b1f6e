//! One definition has one id, whoever computes it: Rust, SQL, and the page's own code in Node.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sqlx::Row;

use crate::test_api::TestApi;

/// A small generator, the same in every run.
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

    /// A number as somebody may write it; none that is infinite when it is read.
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

    /// A text in quotes, with characters of every plane, some of them escaped.
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

    /// Keys in any order, each once: the number at the end of each tells them apart.
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
        let hash = if self.below(2) == 0 { ",\"hash\":\"0\"" } else { "" };
        match self.below(3) {
            0 => format!("{{\"value\":\"https://x/presignedurl/{}\",\"type\":\"url\"{hash}}}", self.next()),
            1 => format!("{{\"value\":{},\"type\":\"json\"{hash}}}", self.value(2)),
            _ => format!("{{\"value\":{}{hash}}}", self.text()),
        }
    }

    fn definition(&mut self) -> String {
        let mut members = vec![format!("\"image\":{}", self.text()), format!("\"v\":{}", self.number())];
        members.push(format!("\"env\":{}", self.object(0, Self::value)));
        members.push(format!("\"inputs\":{}", self.object(0, Self::reference)));
        members.push(format!("\"configFiles\":{}", self.object(0, Self::reference)));
        members.push(format!("\"requirements\":{{\"cpus\":{}}}", self.number()));
        members.push(format!("\"x\":{}", self.value(3)));
        members.push(format!("\"channel\":{}", self.value(1)));
        let first = usize::try_from(self.below(8)).unwrap();
        members.rotate_left(first);
        format!("{{{}}}", members.join(","))
    }
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("web")
}

/// The ids that the page computes; none where its packages are not installed.
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
    let script = "const { jobIdOf } = await import(process.argv[1]); const { readFileSync } = await import('node:fs'); \
        for (const text of JSON.parse(readFileSync(process.argv[2], 'utf8'))) console.log(jobIdOf(JSON.parse(text)))";
    let node = Command::new("node").args(["--input-type=module", "-e", script]).arg(&bundle).arg(&lines).output().unwrap();
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    Some(String::from_utf8(node.stdout).unwrap().lines().map(str::to_owned).collect())
}

async fn agree(n: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let definitions: Vec<String> = (0..n).map(|_| random.definition()).collect();
    let of_rust: Vec<String> = definitions
        .iter()
        .map(|text| protocol::job_id_of(&serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} {text}"))))
        .collect();
    let api = TestApi::new().await;
    let mut db = api.database().await;
    let sql = "select asman.job_id(d::jsonb) from unnest($1::text[]) with ordinality as u (d, n) order by n";
    for (texts, ids) in definitions.chunks(500).zip(of_rust.chunks(500)) {
        let rows = sqlx::query(sql).bind(texts).fetch_all(&mut db).await.unwrap();
        for ((row, id), text) in rows.iter().zip(ids).zip(texts) {
            assert_eq!(row.get::<String, _>(0), *id, "SQL and Rust: {text}");
        }
    }
    for ((page, id), text) in of_page(&definitions).iter().flatten().zip(&of_rust).zip(&definitions) {
        assert_eq!(page, id, "the page and Rust: {text}");
    }
}

#[tokio::test]
async fn three_hundred_random_definitions_have_one_id_in_rust_in_sql_and_on_the_page() {
    agree(300).await;
}

/// Some minutes: `just ids`.
#[tokio::test]
#[ignore = "ten thousand take some minutes"]
async fn ten_thousand_random_definitions_have_one_id_in_rust_in_sql_and_on_the_page() {
    agree(10_000).await;
}

#[tokio::test]
async fn half_a_surrogate_pair_has_no_id_at_any_door() {
    let api = TestApi::new().await;
    for text in [r#"{"image":"a\ud800"}"#, r#"{"image":"a","env":{"\udc00":"x"}}"#] {
        assert!(serde_json::from_str::<Value>(text).is_err());
        let mut db = api.database().await;
        assert!(sqlx::query("select asman.job_id($1::jsonb)").bind(text).fetch_one(&mut db).await.is_err(), "{text}");
        assert_eq!(api.post_text("/q/q", format!(r#"{{"definition":{text}}}"#)).await.0, 400);
    }
}

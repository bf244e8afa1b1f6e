//! Compiles the program of the worker's own image (`helper/`), which stands alone and so needs no target of its own.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "helper/main.rs";

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=helper");
    let setting = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let target = Path::new(&setting("OUT_DIR")?).join("helper");
    let is_written_for_it = setting("CARGO_CFG_TARGET_OS")? == "linux"
        && setting("CARGO_CFG_TARGET_POINTER_WIDTH")? == "64"
        && ["x86_64", "aarch64"].contains(&setting("CARGO_CFG_TARGET_ARCH")?.as_str());
    if !is_written_for_it {
        return std::fs::write(&target, "").map_err(|error| error.to_string());
    }
    let mut rustc = Command::new(setting("RUSTC")?);
    rustc.args([SOURCE, "--edition=2024", "--crate-name=helper", "--crate-type=bin", "--target", &setting("TARGET")?]);
    for option in ["panic=abort", "opt-level=s", "relocation-model=static", "strip=symbols", "debuginfo=0"] {
        rustc.args(["-C", option]);
    }
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack"] {
        rustc.args(["-C", &format!("link-arg={argument}")]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.arg("-o").arg(&target).status().map_err(|error| format!("rustc: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("rustc could not compile {SOURCE}: {status}")) }
}

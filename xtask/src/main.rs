//! What does the tree owe itself?
//!
//! Two chores that a person would forget, run as `cargo xtask CHORE`:
//!
//! ```text
//! cargo xtask codegen [--botocore DIR] [--check]   the published service models → crates/api/src/generated/
//! cargo xtask tidy                                 the invariants of ARCHITECTURE.md that a tree can show
//! ```
//!
//! Invariant: nothing here ends up in the program; no crate depends on this one.

mod codegen;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str =
    "usage: cargo xtask codegen [--botocore DIR] [--check]\n       cargo xtask tidy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let root = workspace_root()?;
    match arguments.split_first() {
        Some((chore, rest)) if chore == "codegen" => {
            let options = codegen::Options::parse(rest)?;
            codegen::run(&root, &options)
        }

        Some((chore, [])) if chore == "tidy" => tidy_tree(&root),
        _ => bail!("{USAGE}"),
    }
}

fn tidy_tree(root: &Path) -> Result<ExitCode> {
    let violations = tidy::check(root)?;
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} violations", violations.len());
    Ok(ExitCode::FAILURE)
}

/// The folder above this crate: `cargo xtask` may be called from any folder of the workspace. Asked
/// at run time: in a build folder that checkouts share, the program may have been built in another.
fn workspace_root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run me with `cargo xtask`")?;
    Ok(Path::new(&here).parent().context("the xtask crate lies in the workspace")?.to_path_buf())
}

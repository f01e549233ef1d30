//! Writes `crates/api/src/generated/` from the service models that AWS publishes in botocore.
//!
//! ```text
//! botocore/data/cloudtrail/2013-11-01/service-2.json[.gz]       ─┐  model ─▶ rust ─▶ rustfmt ─▶ files
//! botocore/data/cloudtrail-data/2021-08-11/service-2.json[.gz]  ─┘  (facts only; documentation text is left out)
//! ```
//!
//! The files are checked in, so building Cairn needs neither Python nor botocore. `--check` says
//! whether they are what the installed model gives; the line that names the botocore release does
//! not count, because botocore is released daily and these models hardly ever change.

mod errors;
mod model;
mod names;
mod operations;
mod pattern;
mod shapes;
mod structures;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use model::Model;

const GENERATED: &str = "crates/api/src/generated";
const RELEASE_LINE: &str = "// Release: botocore ";

/// One service whose model is read: its module in `api`, and its place below `botocore/data`.
struct Service {
    module: &'static str,
    model_path: &'static str,
}

const SERVICES: [Service; 2] = [
    Service { module: "cloudtrail", model_path: "cloudtrail/2013-11-01/service-2.json" },
    Service { module: "cloudtrail_data", model_path: "cloudtrail-data/2021-08-11/service-2.json" },
];

/// What was asked on the command line.
#[derive(Debug, Default)]
pub struct Options {
    botocore: Option<PathBuf>,
    check: bool,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--check" => options.check = true,
                "--botocore" => {
                    let folder = rest.next().context("--botocore needs a folder")?;
                    options.botocore = Some(PathBuf::from(folder));
                }
                unknown => bail!("codegen does not know {unknown}"),
            }
        }
        Ok(options)
    }
}

pub fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    let botocore = match &options.botocore {
        Some(folder) => folder.clone(),
        None => installed_botocore()?,
    };
    let files = generate(root, &botocore)?;
    let folder = root.join(GENERATED);
    if options.check {
        return check(&folder, &files);
    }
    std::fs::create_dir_all(&folder)?;
    for stale in file_names(&folder)?.iter().filter(|name| !files.contains_key(*name)) {
        std::fs::remove_file(folder.join(stale))?;
    }
    for (name, text) in &files {
        std::fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    }
    println!("{} files in {GENERATED}", files.len());
    Ok(ExitCode::SUCCESS)
}

fn check(folder: &Path, files: &BTreeMap<String, String>) -> Result<ExitCode> {
    let different = different(folder, files)?;
    if different.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("not what the model gives: {}. Remedy: cargo xtask codegen", different.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The names of the files in `folder` that are changed, missing or left over.
fn different(folder: &Path, files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for (name, text) in files {
        let written = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        if without_release(&written) != without_release(text) {
            names.push(name.clone());
        }
    }
    names.extend(file_names(folder)?.into_iter().filter(|name| !files.contains_key(name)));
    Ok(names)
}

fn without_release(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with(RELEASE_LINE)).collect::<Vec<_>>().join("\n")
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if !folder.exists() {
        return Ok(names);
    }
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// File name → formatted text, for every file of the generated folder.
fn generate(root: &Path, botocore: &Path) -> Result<BTreeMap<String, String>> {
    let release = botocore_release(botocore)?;
    let mut models = Vec::new();
    for service in &SERVICES {
        models.push((service, Model::read(&botocore.join("data").join(service.model_path))?));
    }

    let mut bodies = BTreeMap::new();
    let mut modules = String::new();
    for (service, model) in &models {
        for (part, body) in [
            ("operations", operations::write(model, service.module)?),
            ("structures", structures::write(model)?),
            ("shapes", shapes::write(model)?),
            ("values", shapes::write_values(model)),
        ] {
            if body.is_empty() {
                continue;
            }
            let name = format!("{}_{part}", service.module);
            modules.push_str(&format!("pub mod {name};\n"));
            bodies.insert(format!("{name}.rs"), (body, vec![(*service, model)]));
        }
    }
    modules.push_str("pub mod errors;\n");
    let all: Vec<_> = models.iter().map(|(service, model)| (*service, model)).collect();
    let error_models: Vec<&Model> = models.iter().map(|(_, model)| model).collect();
    bodies.insert("errors.rs".into(), (errors::write(&error_models)?, all.clone()));
    bodies.insert("mod.rs".into(), (modules, all));

    let mut files = BTreeMap::new();
    for (name, (body, sources)) in bodies {
        let text = format!("{}{body}", header(&release, &sources));
        let formatted = rustfmt(root, &text).with_context(|| format!("rustfmt {name}"))?;
        files.insert(name, formatted);
    }
    Ok(files)
}

fn header(release: &str, sources: &[(&Service, &Model)]) -> String {
    let mut text = String::from("// Generated by `cargo xtask codegen`; do not edit.\n");
    for (service, model) in sources {
        text.push_str(&format!(
            "// Model: {} ({}, API version {}).\n",
            service.model_path, model.metadata.service_id, model.metadata.api_version
        ));
    }
    text.push_str(&format!("{RELEASE_LINE}{release}\n\n"));
    text
}

/// `__version__ = '1.44.5'` in the package's `__init__.py`.
fn botocore_release(botocore: &Path) -> Result<String> {
    let path = botocore.join("__init__.py");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} is not a botocore package", botocore.display()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("__version__ = "))
        .context("botocore's __init__.py names its version")?;
    Ok(line.trim().trim_matches(['\'', '"']).to_owned())
}

fn installed_botocore() -> Result<PathBuf> {
    let output = Command::new("python3")
        .args(["-c", "import botocore, os; print(os.path.dirname(botocore.__file__))"])
        .output()
        .context("run python3 to find botocore (or give --botocore DIR)")?;
    ensure!(output.status.success(), "python3 has no botocore; give --botocore DIR");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn rustfmt(root: &Path, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt reads its standard input")?;
    let input = text.to_owned();
    // Fed from its own thread: rustfmt may fill the output pipe before it has read everything.
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    feeder.join().map_err(|_| anyhow::anyhow!("the thread that feeds rustfmt panicked"))??;
    ensure!(output.status.success(), "rustfmt refused the text");
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_missing_and_left_over_files_differ_but_a_new_release_does_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let text = |release: &str, body: &str| format!("{RELEASE_LINE}{release}\n{body}\n");
        let files = BTreeMap::from([
            ("changed.rs".to_owned(), text("1.0", "a")),
            ("missing.rs".to_owned(), text("1.0", "a")),
            ("same.rs".to_owned(), text("1.0", "a")),
        ]);
        for (name, written) in [
            ("changed.rs", text("1.0", "b")),
            ("left_over.rs", text("1.0", "a")),
            ("same.rs", text("1.1", "a")),
        ] {
            std::fs::write(folder.path().join(name), written).unwrap();
        }
        assert_eq!(
            different(folder.path(), &files).unwrap(),
            ["changed.rs", "missing.rs", "left_over.rs"]
        );
    }

    #[test]
    fn a_model_without_documentation_becomes_structs_tables_and_errors() {
        let model: Model = serde_json::from_str(
            r#"{"metadata": {"apiVersion": "1", "serviceId": "Tiny"},
                "operations": {"PutThing": {"input": {"shape": "PutThingRequest"},
                    "output": {"shape": "PutThingResponse"}, "errors": [{"shape": "NoThing"}]}},
                "shapes": {
                    "PutThingRequest": {"type": "structure", "required": ["Z"], "documentation": "secret",
                        "members": {"Z": {"shape": "Name"}, "A": {"shape": "Name"}}},
                    "PutThingResponse": {"type": "structure", "required": ["Z"],
                        "members": {"Z": {"shape": "Name"}}},
                    "Name": {"type": "string", "min": 1, "enum": ["x"]},
                    "NoThing": {"type": "structure", "members": {}, "exception": true,
                        "error": {"code": "Gone", "httpStatusCode": 404}}}}"#,
        )
        .unwrap();
        let structs = structures::write(&model).unwrap();
        // Members keep the model's order; required is plain in outputs alone.
        assert!(structs.find("pub z: Option<String>") < structs.find("pub a: Option<String>"));
        assert!(structs.contains("pub z: String"));
        assert!(!structs.contains("secret"));
        let tables = shapes::write(&model).unwrap();
        assert!(tables.contains(r#"name: "Z", required: true"#));
        assert!(!tables.contains("PUT_THING_RESPONSE"));
        assert!(shapes::write_values(&model).contains(r#"pub const X: &str = "x";"#));
        let errors = errors::write(&[&model]).unwrap();
        assert!(errors.contains("Self::Gone => 404"));
        assert!(operations::write(&model, "tiny").unwrap().contains("&[ErrorCode::Gone]"));
    }
}

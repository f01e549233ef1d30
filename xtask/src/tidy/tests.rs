use super::*;
use tempfile::TempDir;

const DOCS: &str = "//! What does this crate do? It stands in for a real one in these tests.\n";

/// A small workspace that breaks no rule, with `files` (path, text) added or replaced.
fn workspace(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    let lib = format!("{DOCS}pub fn nothing() {{}}\n");
    let mut all: Vec<(String, String)> = vec![(
        "Cargo.toml".into(),
        "[workspace.dependencies]\nevent = { path = \"crates/event\" }\nserde = \"1\" # shapes\n"
            .into(),
    )];
    for name in ["event", "server", "journal", "durable", "lake"] {
        all.push((format!("crates/{name}/Cargo.toml"), manifest(name, "")));
        all.push((format!("crates/{name}/src/lib.rs"), lib.clone()));
    }
    all.extend(files.iter().map(|(path, text)| ((*path).into(), (*text).into())));
    for (path, text) in all {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn manifest(name: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}\n")
}

/// The violations of the small workspace with `files` in it, as `place rule`.
fn check_with(files: &[(&str, &str)]) -> Vec<String> {
    let root = workspace(files);
    let violations = check(root.path()).unwrap();
    violations.iter().map(|found| format!("{} {:?}", found.place, found.rule)).collect()
}

/// Code after the docs in `crates/{name}/src/lib.rs`; its first line is line 2.
fn check_code(name: &str, code: &str) -> Vec<String> {
    check_with(&[(&format!("crates/{name}/src/lib.rs"), &format!("{DOCS}{code}\n"))])
}

/// A dependency of `name`, used so that only the rule in question can complain.
fn check_dependency(name: &str, dependency: &str) -> Vec<String> {
    let code = format!("{DOCS}use {};\n", dependency.replace('-', "_"));
    check_with(&[
        (&format!("crates/{name}/Cargo.toml"), &manifest(name, &format!("{dependency} = \"1\""))),
        (&format!("crates/{name}/src/lib.rs"), &code),
    ])
}

#[test]
fn a_tidy_tree_has_no_violation() {
    assert_eq!(check_with(&[]), [""; 0]);
}

#[test]
fn only_the_lake_may_name_the_heavy_crates() {
    for heavy in ["datafusion", "arrow-array", "parquet", "deltalake", "datafusion-expr"] {
        assert_eq!(check_dependency("server", heavy), ["crates/server/Cargo.toml LakeAlone"]);
        assert_eq!(check_dependency("lake", heavy), [""; 0]);
    }
}

#[test]
fn the_server_does_not_depend_on_the_lake() {
    assert_eq!(check_dependency("server", "lake"), ["crates/server/Cargo.toml ServerWithoutLake"]);
}

#[test]
fn feature_crates_do_not_depend_on_each_other() {
    assert_eq!(check_dependency("journal", "lake"), ["crates/journal/Cargo.toml FeaturesApart"]);
    assert_eq!(check_dependency("journal", "durable"), [""; 0]);
    let dev = "[package]\nname = \"lake\"\n[dev-dependencies]\njournal = \"1\"\n";
    let test = "use journal::Journal;\n";
    assert_eq!(
        check_with(&[("crates/lake/Cargo.toml", dev), ("crates/lake/tests/a.rs", test)]),
        ["crates/lake/Cargo.toml FeaturesApart"]
    );
}

#[test]
fn pure_rooms_do_no_io() {
    for code in ["use std::fs;", "let x = std::net::TcpStream::connect(a);", "tokio::spawn(x);"] {
        assert_eq!(check_code("event", code), ["crates/event/src/lib.rs:2 PureRooms"], "{code}");
        assert_eq!(check_code("server", code), [""; 0], "{code}");
    }
    assert_eq!(check_dependency("event", "tokio"), ["crates/event/Cargo.toml PureRooms"]);
}

#[test]
fn only_durable_opens_files_for_writing() {
    for code in ["File::create(path)", "std::fs::write(path, b)", "OpenOptions::new()"] {
        assert_eq!(
            check_code("server", code),
            ["crates/server/src/lib.rs:2 OnlyDurableWrites"],
            "{code}"
        );
        assert_eq!(check_code("durable", code), [""; 0], "{code}");
    }
}

#[test]
fn only_the_clock_seam_reads_the_clock() {
    for code in ["jiff::Timestamp::now()", "SystemTime::now()"] {
        assert_eq!(
            check_code("journal", code),
            ["crates/journal/src/lib.rs:2 OnlyClockReadsTime"],
            "{code}"
        );
        assert_eq!(check_with(&[("crates/server/src/clock.rs", code)]), [""; 0], "{code}");
    }
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let root = "[workspace.dependencies]\nserde = \"1\"\nhex = \"1\" # hashes\nx = \"1\" #\n[profile.dev]\na = 1\n";
    assert_eq!(
        check_with(&[("Cargo.toml", root)]),
        ["Cargo.toml:2 DependencyReason", "Cargo.toml:4 DependencyReason"]
    );
}

#[test]
fn a_file_of_more_than_900_lines_is_too_long() {
    let exactly = "\n".repeat(900);
    let more = "\n".repeat(901);
    assert_eq!(check_with(&[("crates/lake/src/a.rs", &exactly)]), [""; 0]);
    assert_eq!(check_with(&[("crates/lake/src/a.rs", &more)]), ["crates/lake/src/a.rs FileLength"]);
}

#[test]
fn unfinished_code_is_found() {
    for name in [concat!("to", "do"), concat!("unimple", "mented"), concat!("db", "g")] {
        let code = format!("{name}!()");
        assert_eq!(check_code("lake", &code), ["crates/lake/src/lib.rs:2 Unfinished"], "{code}");
    }
}

#[test]
fn a_dependency_nobody_uses_is_found() {
    let manifest = manifest("lake", "md-5 = \"1\"");
    let path = "crates/lake/Cargo.toml";
    assert_eq!(check_with(&[(path, &manifest)]), ["crates/lake/Cargo.toml UnusedDependency"]);
    let longer_name = "use md_5x::Y;";
    assert_eq!(
        check_with(&[(path, &manifest), ("crates/lake/src/a.rs", longer_name)]),
        ["crates/lake/Cargo.toml UnusedDependency"]
    );
}

#[test]
fn a_crate_that_tells_nothing_is_found() {
    assert_eq!(check_with(&[("crates/lake/src/lib.rs", "//! lake\n")]), ["crates/lake CrateDocs"]);
}

#[test]
fn comments_and_tests_do_not_count() {
    let inline = "fn a() {} // File::create\n#[cfg(test)]\nmod tests {\n    File::create(x);\n}";
    assert_eq!(check_code("server", inline), [""; 0]);
    let outside = "#[cfg(test)]\nmod tests;\nFile::create(x);";
    assert_eq!(check_code("server", outside), ["crates/server/src/lib.rs:4 OnlyDurableWrites"]);
    for path in ["src/x/tests.rs", "tests/all.rs", "benches/b.rs"] {
        let path = format!("crates/server/{path}");
        assert_eq!(check_with(&[(&path, "File::create(x); SystemTime::now();")]), [""; 0]);
    }
    let after_url = "let a = (\"http://x\", File::create(x));";
    assert_eq!(check_code("server", after_url).len(), 1);
}

#[test]
fn exceptions_hold_for_their_rule_and_path_only() {
    let long = "\n".repeat(901);
    let root = [("crates/api/src/generated/a.rs", long.as_str())];
    let api = manifest("api", "");
    let lib = format!("{DOCS}fn a() {{}}\n");
    let base = [("crates/api/Cargo.toml", api.as_str()), ("crates/api/src/lib.rs", lib.as_str())];
    assert_eq!(check_with(&[base[0], base[1], root[0]]), [""; 0]);
    let clock = ("crates/api/src/generated/a.rs", "Timestamp::now()");
    assert_eq!(
        check_with(&[base[0], base[1], clock]),
        ["crates/api/src/generated/a.rs:1 OnlyClockReadsTime"]
    );
}

#[test]
fn every_violation_says_its_remedy() {
    let root = workspace(&[("crates/lake/src/a.rs", "fn a() { SystemTime::now() }")]);
    let shown = check(root.path()).unwrap()[0].to_string();
    assert_eq!(
        shown,
        "crates/lake/src/a.rs:1: lake uses SystemTime::now [OnlyClockReadsTime]. \
         Remedy: take `now` from the clock seam (crates/server/src/clock.rs)"
    );
}

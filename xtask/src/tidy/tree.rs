//! The workspace as the rules see it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub struct Tree {
    /// The root manifest's text.
    pub manifest: String,
    pub crates: Vec<Crate>,
}

pub struct Crate {
    /// From the root, such as `crates/journal`.
    pub folder: String,
    pub name: String,
    /// Names as in the manifest, of all kinds (normal, dev, build, per target).
    pub dependencies: Vec<String>,
    pub files: Vec<RustFile>,
}

pub struct RustFile {
    /// From the root.
    pub path: String,
    pub text: String,
    /// Line number (from 1) and text without comments, for the lines that are no test code.
    pub code: Vec<(usize, String)>,
}

impl Tree {
    pub fn read(root: &Path) -> Result<Self> {
        let manifest = std::fs::read_to_string(root.join("Cargo.toml"))
            .with_context(|| format!("{} is no workspace", root.display()))?;
        let mut folders = vec![root.join("xtask"), root.join("bench")];
        if root.join("crates").exists() {
            folders.extend(entries(&root.join("crates"))?);
        }
        folders.sort();
        let mut crates = Vec::new();
        for folder in folders.iter().filter(|folder| folder.join("Cargo.toml").exists()) {
            crates.push(Crate::read(root, folder)?);
        }
        Ok(Self { manifest, crates })
    }

    pub fn files(&self) -> impl Iterator<Item = (&Crate, &RustFile)> {
        self.crates.iter().flat_map(|krate| krate.files.iter().map(move |file| (krate, file)))
    }
}

impl Crate {
    fn read(root: &Path, folder: &Path) -> Result<Self> {
        let manifest_path = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest_path)?;
        let manifest: toml::Table =
            toml::from_str(&text).with_context(|| manifest_path.display().to_string())?;
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name")?.as_str())
            .with_context(|| format!("{} names no package", manifest_path.display()))?;

        let mut dependencies = dependencies_in(&manifest);
        if let Some(targets) = manifest.get("target").and_then(|targets| targets.as_table()) {
            for target in targets.values().filter_map(|target| target.as_table()) {
                dependencies.extend(dependencies_in(target));
            }
        }
        dependencies.sort();
        dependencies.dedup();

        let mut files = Vec::new();
        read_rust_files(root, folder, &mut files)?;
        Ok(Self { folder: relative(root, folder), name: name.to_owned(), dependencies, files })
    }

    pub fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

fn dependencies_in(table: &toml::Table) -> Vec<String> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|kind| table.get(*kind)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

fn read_rust_files(root: &Path, folder: &Path, files: &mut Vec<RustFile>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') && !name.starts_with("target") && name != "node_modules" {
                read_rust_files(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let path = relative(root, &path);
            let code = if is_test_path(&path) { Vec::new() } else { code_of(&text) };
            files.push(RustFile { path, text, code });
        }
    }
    Ok(())
}

fn is_test_path(path: &str) -> bool {
    let mut folders = path.split('/');
    let file = folders.next_back().unwrap_or_default();
    file == "tests.rs" || folders.any(|folder| ["tests", "benches", "examples"].contains(&folder))
}

/// The lines before the inline test module, without comments.
fn code_of(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut code = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let next =
            lines[i + 1..].iter().map(|line| line.trim()).find(|line| !line.starts_with("#["));
        let opens_module = next.is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        if line.trim() == "#[cfg(test)]" && opens_module {
            break;
        }
        code.push((i + 1, without_comment(line).to_owned()));
    }
    code
}

/// Cuts at `//`, unless it follows a colon (a URL within a string).
fn without_comment(line: &str) -> &str {
    let mut from = 0;
    while let Some(at) = line[from..].find("//").map(|at| at + from) {
        if !line[..at].ends_with(':') {
            return &line[..at];
        }
        from = at + 2;
    }
    line
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

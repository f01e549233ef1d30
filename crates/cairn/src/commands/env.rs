//! `cairn env`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use server::credentials::{credentials_path, parse, read_node_file};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  eval \"$(cairn env)\"\n  aws sts get-caller-identity")]
pub struct Env {
    /// The server's data folder
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR", default_value = "./cairn-data")]
    data: PathBuf,
}

pub fn run(arguments: &Env) -> Result<ExitCode> {
    let data = std::path::absolute(&arguments.data)?;
    let Some(node) = read_node_file(&data)? else {
        bail!(
            "no server has been started on {}; run `cairn serve --data {}` first, or name another folder with --data",
            data.display(),
            arguments.data.display()
        );
    };
    let path = credentials_path(&data);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let credentials = parse(&text, &path)?;
    print!("{}", lines(&node.endpoint, &node.region, &data, credentials.ingest_token.reveal()));
    Ok(ExitCode::SUCCESS)
}

/// The lines, for a POSIX shell.
pub fn lines(endpoint: &str, region: &str, data: &Path, ingest_token: &str) -> String {
    let credentials = quoted(&credentials_path(data).display().to_string());
    format!(
        "export AWS_ENDPOINT_URL={endpoint}\n\
         export AWS_SHARED_CREDENTIALS_FILE={credentials}\n\
         export AWS_REGION={region} AWS_DEFAULT_REGION={region}\n\
         export CAIRN_INGEST_TOKEN={ingest_token}\n\
         unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN\n"
    )
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_quoted_for_the_shell() {
        assert_eq!(quoted("/a/b-c_d.e"), "/a/b-c_d.e");
        assert_eq!(quoted("/my data/it's"), r"'/my data/it'\''s'");
    }
}

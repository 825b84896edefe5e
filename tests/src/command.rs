//! Helper commands that run to their end: `ip`, `nft`, `apt-get`, `cargo`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{Failure, Result};

/// Runs `program` with `args`, giving it `input` on standard input, and returns its standard output.
///
/// # Errors
/// When it cannot be started (with the package to install, where known) or ends with anything but 0
/// (with all it wrote to standard error).
pub fn run(program: &str, args: &[&str], input: &str) -> Result<String> {
    let told = format!("{program} {}", args.join(" "));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Failure::new(format!("cannot start `{told}`: {error}{}", hint(program)))
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading tells more by its exit code than this error would.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| Failure::io(format!("waiting for `{told}`"), error))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "`{told}` failed ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
            if input.is_empty() {
                String::new()
            } else {
                format!("\nits input was:\n{input}")
            },
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn hint(program: &str) -> &'static str {
    match program {
        "ip" => " (install the package iproute2)",
        "nft" => " (install the package nftables)",
        _ => "",
    }
}

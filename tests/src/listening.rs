//! When a program listens, seen from outside.

use std::{fs, net::IpAddr};

use crate::{Failure, Program, Result, eventually, patience};

/// Waits until `program`, once it is the process called `comm`, has bound UDP `port` and joined `group`.
///
/// # Errors
/// When it ends before that, or takes too long.
pub fn wait_until_listening(
    program: &mut Program,
    comm: &str,
    port: u16,
    group: &str,
) -> Result<()> {
    wait_until_bound(program, comm, port)?;
    wait_for(program, |pid| joined(pid, group))
}

/// Waits until `program`, once it is the process called `comm`, has bound UDP `port`.
///
/// # Errors
/// When it ends before that, or takes too long.
pub fn wait_until_bound(program: &mut Program, comm: &str, port: u16) -> Result<()> {
    wait_for(program, |pid| bound(pid, comm, port))
}

fn wait_for(
    program: &mut Program,
    condition: impl Fn(i32) -> std::result::Result<(), String>,
) -> Result<()> {
    let name = program.name().to_owned();
    eventually(&format!("{name} to listen"), patience(), || {
        if let Some(exit) = program.try_wait() {
            // Not worth waiting any longer, so this is not an error of the condition.
            return Ok(Err(Failure::new(format!(
                "{name} ended before it listened ({exit:?}), saying:\n{}",
                program.output()
            ))));
        }
        condition(program.pid()).map(Ok)
    })?
}

fn read(pid: i32, file: &str) -> std::result::Result<String, String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

fn bound(pid: i32, comm: &str, port: u16) -> std::result::Result<(), String> {
    // Before the program replaces `ip`, the process may still be in the machine's own namespace.
    if read(pid, "comm")?.trim_end() != comm {
        return Err("it is not running yet".to_owned());
    }
    let local = format!(":{port:04X} ");
    if !read(pid, "net/udp")?.contains(&local) && !read(pid, "net/udp6")?.contains(&local) {
        return Err(format!("UDP port {port} is not bound"));
    }
    Ok(())
}

fn joined(pid: i32, group: &str) -> std::result::Result<(), String> {
    let group: IpAddr = group
        .parse()
        .map_err(|error| format!("group {group}: {error}"))?;
    let (file, shown) = match group {
        IpAddr::V4(group) => (
            "net/igmp",
            format!("{:08X}", u32::from_ne_bytes(group.octets())),
        ),
        IpAddr::V6(group) => (
            "net/igmp6",
            group
                .octets()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ),
    };
    if read(pid, file)?.contains(&shown) {
        Ok(())
    } else {
        Err(format!("group {group} is not joined"))
    }
}

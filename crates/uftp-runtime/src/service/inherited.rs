//! Descriptors that whoever started this program left open.

use nix::fcntl::OFlag;
use nix::unistd;

/// Closes them, so that no script gets them and nobody waits for their end. Lists, keys and logs may be
/// among them (`-S <(COMMAND)` of a shell): to be called when they are read.
///
/// What this program opens itself closes itself when another is executed, and so can be told from that.
pub(super) fn close() {
    let Ok(open) = std::fs::read_dir("/proc/self/fdinfo") else {
        return; // no such place: nothing can be known
    };
    let numbers: Vec<i32> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|n| *n > 2 && is_inherited(*n)) {
        let _ = unistd::close(number);
    }
}

/// Whether a descriptor stays open when another program is executed (proc(5), `fdinfo`).
fn is_inherited(number: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlag::O_CLOEXEC.bits() == 0)
}

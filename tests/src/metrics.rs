//! What daemons serve to Prometheus, read as a monitor would.

use std::path::Path;

use crate::{Failure, HostId, Result, World, eventually, patience, run_apart};

/// The option that has a daemon serve what [`World::metrics`] reads.
pub const METRICS: [&str; 2] = ["--metrics", "9999"];

impl World {
    /// What a daemon with [`METRICS`] on `host` serves, once all of `lines` are in it.
    ///
    /// # Errors
    /// When that does not come, or an answer does not end.
    pub fn metrics(&self, host: HostId, lines: &[&str]) -> Result<String> {
        let dir = self.make_dir("metrics")?;
        // In the namespace of the host, with what every shell there is can do.
        let [_, port] = METRICS;
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; \
             printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; exec cat <&3"
        );
        let get = || {
            let mut command = self.command(host, Path::new("bash"));
            command.args(["-c", &script]);
            run_apart("the monitor", command, &dir, patience())
        };
        eventually("the counts", patience(), || {
            let text = get().map_err(|failure| failure.to_string())?.out;
            let missing = lines.iter().any(|line| !text.contains(line));
            if missing { Err(text) } else { Ok(text) }
        })
        .map_err(|failure| Failure::new(format!("metrics of host {host}: {failure}")))
    }
}

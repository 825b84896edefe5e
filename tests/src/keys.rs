//! Keys for programs, and what takes algorithms that are not made any more.

use std::{fs, path::PathBuf, process::Command};

use crate::{Failure, Result, Suite, World};

impl World {
    /// Makes a key, called like `rsa:2048` or `ec:prime256v1`, in the file `name` of this world: its path,
    /// as options want it, and its fingerprint.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_key(&self, name: &str, spec: &str) -> Result<(String, String)> {
        let path = self.dir().join(name).to_string_lossy().into_owned();
        let made = Command::new(Suite::Ours.program("uftp_keymgt")?)
            .args(["-g", spec, &path])
            .output()
            .map_err(|error| Failure::io("cannot start uftp_keymgt", error))?;
        let told = String::from_utf8_lossy(&made.stderr);
        // "PATH: KIND, fingerprint: AA:BB:…"
        let words = told.split_whitespace();
        let print = words.skip_while(|word| *word != "fingerprint:").nth(1);
        match print {
            Some(print) if made.status.success() => Ok((path, print.to_owned())),
            _ => Err(Failure::new(format!("uftp_keymgt -g {spec} said {told}"))),
        }
    }

    /// A configuration of OpenSSL (`OPENSSL_CONF`) without which it has no DES.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn openssl_with_des(&self) -> Result<PathBuf> {
        let path = self.dir().join("openssl.cnf");
        let text = "openssl_conf = init\n[init]\nproviders = providers\n\
                    [providers]\ndefault = on\nlegacy = on\n[on]\nactivate = 1\n";
        fs::write(&path, text)?;
        Ok(path)
    }
}

//! Options of `uftpd` about where received files go (cli §3.1).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Args;
use uftp_proto::wire::FileType;

use super::values;
use crate::exit::Failure;
use crate::store::{Fsync, StoreConfig};

/// Where files go without `-D`.
const DEFAULT_DEST: &str = "/tmp";

/// Options about received files.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Files")]
pub(crate) struct FileArgs {
    /// Directories to receive into, comma separated: relative names go into the first, absolute
    /// ones must lie in one of them [default: /tmp]
    #[arg(short = 'D', long, value_name = "DIRS", action = clap::ArgAction::Append)]
    pub dest_dir: Vec<OsString>,

    /// Directories for backups, comma separated, one for each of -D: what is replaced or deleted
    /// is kept there as YYYYMMDD/HHMMSS/FULL-NAME
    #[arg(short = 'A', long, value_name = "DIRS", action = clap::ArgAction::Append)]
    pub backup_dir: Vec<OsString>,

    /// Keep a file that is replaced until its successor has come, even if the disk has no room for
    /// both. Files are always received into a temporary name, beside their own or in -T
    #[arg(short = 't', long)]
    pub temp_file: bool,

    /// Keep files in this directory until their session is over; needed to resume interrupted
    /// sessions
    #[arg(short = 'T', long, value_name = "DIR")]
    pub temp_dir: Option<OsString>,

    /// Move file by file out of -T, keeping what else is in the directories at the destination
    #[arg(short = 'i', long)]
    pub move_individually: bool,

    /// Wait until files are on the disk: file, each one's content before it gets its name, and
    /// names at the end of a session; session, all at its end; none, never. A power cut may
    /// otherwise leave a short file under a name
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "file",
        hide_possible_values = false
    )]
    pub fsync: Fsync,

    /// Reject symbolic links
    #[arg(long)]
    pub no_links: bool,

    /// Reject deletions: files and directories that senders want gone stay. They may be replaced
    #[arg(long)]
    pub no_delete: bool,

    /// Run this program, given by its absolute path, as PROGRAM -I GROUP-ID PATH for each file received;
    /// with -T once for all of a session
    #[arg(short = 's', long, value_name = "PROGRAM")]
    pub post_receive: Option<OsString>,
}

impl FileArgs {
    /// What is meant. The directories themselves are looked at when they are opened.
    ///
    /// # Errors
    /// Options that exclude each other, or a script with a relative path.
    pub(crate) fn validate(&self) -> Result<StoreConfig, Failure> {
        let temp_dir = given(self.temp_dir.as_deref());
        if self.temp_file && temp_dir.is_some() {
            return Err(Failure::command_line(
                "Cannot specify both -t and -T: a file is received beside its place or elsewhere",
            ));
        }
        let post_receive = given(self.post_receive.as_deref());
        if let Some(script) = post_receive.as_ref().filter(|path| !path.is_absolute()) {
            return Err(Failure::command_line(format!(
                "must specify absolute pathname for postreceive script, not {} (option -s)",
                script.display()
            )));
        }
        let mut dest_dirs = list(&self.dest_dir);
        if dest_dirs.is_empty() {
            dest_dirs.push(DEFAULT_DEST.into());
        }
        Ok(StoreConfig {
            dest_dirs,
            backup_dirs: list(&self.backup_dir),
            temp_file: self.temp_file,
            temp_dir,
            move_individually: self.move_individually,
            post_receive,
            fsync: self.fsync,
            rejected: self.rejected(),
        })
    }

    fn rejected(&self) -> Vec<FileType> {
        let links = self.no_links.then_some(FileType::SYMLINK);
        let deletions = self.no_delete.then_some(FileType::DELETE);
        links.into_iter().chain(deletions).collect()
    }
}

/// An empty value is as good as none.
fn given(value: Option<&OsStr>) -> Option<PathBuf> {
    value.filter(|v| !v.is_empty()).map(|v| Path::new(v).into())
}

fn list(values: &[OsString]) -> Vec<PathBuf> {
    values::paths(values).map(Path::to_owned).collect()
}

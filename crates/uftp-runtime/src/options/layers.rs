//! Options from elsewhere than the command line (cli §10).
//!
//! From the weakest to the strongest: what is built in, `/etc/uftp/PROGRAM.toml`, the file of
//! `--config`, variables `UFTP_*` of the environment, the command line. What sets an option takes
//! the place of all that weaker layers say of it, lists included. All layers become words of the
//! command line, so that values are read by the same rules wherever they stand.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{explain, is_settable};
use crate::exit::Failure;

/// The option that names a file of options.
const CONFIG: &str = "config";
/// Begins the name of a variable for an option.
const PREFIX: &str = "UFTP_";

/// What a program finds around it.
pub(super) struct Surroundings {
    /// Directory of the system's files.
    pub(super) system: PathBuf,
    /// The environment.
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn real() -> Self {
        Surroundings {
            system: "/etc/uftp".into(),
            environment: std::env::vars_os().collect(),
        }
    }

    /// The protocol that the environment asks for.
    pub(super) fn protocol(&self) -> Option<&OsStr> {
        self.variable("UFTP_PROTOCOL").map(OsString::as_os_str)
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        let mut all = self.environment.iter();
        all.find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// What one layer says: words by option.
struct Layer {
    /// What the layer is called in complaints.
    name: String,
    settings: BTreeMap<String, Vec<OsString>>,
}

/// `args`, of which `typed` was read, with the words of the weaker layers before its own.
///
/// # Errors
/// A sentence that names layer, option and what was expected.
pub(super) fn with_weaker(
    command: &Command,
    mut args: Vec<OsString>,
    typed: &ArgMatches,
    around: &Surroundings,
) -> Result<Vec<OsString>, Failure> {
    // Not every program has files of options.
    if !command.get_arguments().any(|arg| arg.get_id() == CONFIG) {
        return Ok(args);
    }
    let mut layers = vec![environment(command, around)?];
    let named = typed.get_one::<OsString>(CONFIG).cloned();
    let variable = around.variable("UFTP_CONFIG").cloned();
    if let Some(path) = named.or(variable).filter(|path| !path.is_empty()) {
        let layer = file(command, Path::new(&path))?;
        layers.push(layer.ok_or_else(|| {
            let path = path.to_string_lossy();
            Failure::command_line(format!("can't read {path}: it is not there (--config)"))
        })?);
    }
    let system = around.system.join(format!("{}.toml", command.get_name()));
    layers.extend(file(command, &system)?);

    let mut said: HashSet<String> = HashSet::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if typed.value_source(id) == Some(ValueSource::CommandLine) {
            said.insert(id.to_owned());
        }
    }
    let mut words = Vec::new();
    for layer in layers {
        try_out(command, &layer)?;
        for (id, setting) in layer.settings {
            if said.insert(id) {
                words.extend(setting);
            }
        }
    }
    let program = args.len().min(1);
    args.splice(program..program, words);
    Ok(args)
}

/// Complains of a layer by its name, not of a command line nobody typed.
fn try_out(command: &Command, layer: &Layer) -> Result<(), Failure> {
    let words = layer.settings.values().flatten().cloned();
    let words = std::iter::once(command.get_name().into()).chain(words);
    match command.clone().try_get_matches_from(words) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = explain(command, &error);
            Err(Failure::command_line(format!("{}: {text}", layer.name)))
        }
    }
}

/// The variables that name options. Others that begin like them are somebody else's.
fn environment(command: &Command, around: &Surroundings) -> Result<Layer, Failure> {
    let mut settings = BTreeMap::new();
    for arg in command.get_arguments().filter(|arg| is_settable(arg)) {
        let long = arg.get_long().unwrap_or_default();
        let name = format!("{PREFIX}{}", long.to_uppercase().replace('-', "_"));
        let Some(value) = around.variable(&name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let words = if takes_value(arg) {
            vec![word(long, value.as_bytes())]
        } else {
            match value.as_bytes() {
                b"1" | b"true" | b"yes" | b"on" => vec![format!("--{long}").into()],
                b"0" | b"false" | b"no" | b"off" => Vec::new(),
                _ => {
                    return Err(Failure::command_line(format!(
                        "environment: {name} is '{}': expected true or false",
                        value.to_string_lossy()
                    )));
                }
            }
        };
        settings.insert(arg.get_id().to_string(), words);
    }
    Ok(Layer {
        name: "environment".to_owned(),
        settings,
    })
}

/// The options in a file. `None` if there is none.
fn file(command: &Command, path: &Path) -> Result<Option<Layer>, Failure> {
    let name = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::command_line(format!(
                "can't read {name}: {error} (--config)"
            )));
        }
    };
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        Failure::command_line(format!("{name}: {}", error.to_string().trim_end()))
    })?;
    let mut settings = BTreeMap::new();
    for (key, value) in table {
        let arg = find(command, &key).ok_or_else(|| {
            Failure::command_line(format!(
                "{name}: unknown option '{key}': expected a long name without its dashes"
            ))
        })?;
        let words = words(arg, &value).map_err(|expected| {
            Failure::command_line(format!("{name}: '{key}' is {value}: expected {expected}"))
        })?;
        settings.insert(arg.get_id().to_string(), words);
    }
    Ok(Some(Layer { name, settings }))
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let is_called = |arg: &&Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(key) || aliases.contains(&key)
    };
    let mut all = command.get_arguments().filter(|arg| is_settable(arg));
    all.find(is_called)
}

/// The words of one setting, or what was expected.
fn words(arg: &Arg, value: &toml::Value) -> Result<Vec<OsString>, &'static str> {
    let long = arg.get_long().unwrap_or_default();
    if !takes_value(arg) {
        return match value {
            toml::Value::Boolean(true) => Ok(vec![format!("--{long}").into()]),
            toml::Value::Boolean(false) => Ok(Vec::new()),
            _ => Err("true or false"),
        };
    }
    match value {
        toml::Value::Array(list) if matches!(arg.get_action(), ArgAction::Append) => list
            .iter()
            .map(|element| Ok(word(long, scalar(element)?.as_bytes())))
            .collect(),
        value => Ok(vec![word(long, scalar(value)?.as_bytes())]),
    }
}

fn scalar(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        _ => Err("a text or a number, or a list of them where an option may be repeated"),
    }
}

fn word(long: &str, value: &[u8]) -> OsString {
    let mut word = OsString::from(format!("--{long}="));
    word.push(OsStr::from_bytes(value));
    word
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::super::{Order, Parsed, parse_within, uftp, uftpd};
    use super::*;

    /// A directory of system files, an environment and a way to read command lines there.
    struct Place {
        dir: tempfile::TempDir,
        environment: Vec<(OsString, OsString)>,
    }

    impl Place {
        fn new(environment: &[(&str, &str)]) -> Place {
            Place {
                dir: tempfile::tempdir().unwrap(),
                environment: environment
                    .iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
            }
        }

        fn write(&self, name: &str, text: &str) -> String {
            let path = self.dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        }

        fn read<T: super::super::Program>(&self, line: &str) -> Result<T, String> {
            let around = Surroundings {
                system: self.dir.path().to_owned(),
                environment: self.environment.clone(),
            };
            let args = line.split(' ').map(OsString::from);
            match parse_within::<T>(args, Order::Permute, &around) {
                Ok(Parsed::Run(args)) => Ok(args),
                Ok(Parsed::Show(text)) => panic!("{text}"),
                Err(failure) => Err(failure.to_string()),
            }
        }
    }

    #[test]
    fn each_layer_beats_the_weaker_ones() {
        let place = Place::new(&[("UFTP_TTL", "3"), ("UFTP_PORT", "3"), ("UFTP_SYNC", "no")]);
        let system = "ttl = 1\nport = 1\nblock-size = 1111\nrobust = 11\nsync = true\n";
        place.write("uftp.toml", system);
        let named = place.write("more.toml", "ttl = 2\nport = 2\nblock-size = 2222\n");
        let args: uftp::Args = place
            .read(&format!("uftp --config {named} -t 4 file"))
            .unwrap();
        assert_eq!(
            (args.ttl, args.port, args.block_size, args.robust),
            (4, 3, Some(2222), Some(11))
        );
        assert!(!args.sync, "a stronger layer takes a flag back");
        // The same by the environment.
        let mut place = place;
        place
            .environment
            .push(("UFTP_CONFIG".into(), named.clone().into()));
        let again: uftp::Args = place.read("uftp -t 4 file").unwrap();
        assert_eq!((again.port, again.block_size), (3, Some(2222)));
    }

    #[test]
    fn a_list_takes_the_place_of_a_weaker_one() {
        let place = Place::new(&[]);
        place.write(
            "uftpd.toml",
            "interface = ['a', 'b']\npublic-address = '230.1.1.1,230.1.1.2'\nforeground = true",
        );
        let args: uftpd::Args = place.read("uftpd -I c -I d").unwrap();
        assert_eq!(args.interface, ["c", "d"]);
        assert_eq!(args.public_address, ["230.1.1.1", "230.1.1.2"]);
        assert!(args.process.foreground);
        let args: uftpd::Args = place.read("uftpd").unwrap();
        assert_eq!(args.interface, ["a", "b"]);
    }

    #[test]
    fn complaints_name_the_layer() {
        for (text, words) in [
            ("ttl = 300", "uftp.toml: Invalid ttl"),
            ("nonsense = 1", "uftp.toml: unknown option 'nonsense'"),
            ("t = 1", "unknown option 't'"),
            ("help = true", "unknown option 'help'"),
            ("config = 'x'", "unknown option 'config'"),
            ("files = ['x']", "unknown option 'files'"),
            ("sync = 'yes'", "'sync' is \"yes\": expected true or false"),
            ("ttl = [1, 2]", "expected a text or a number"),
            ("ttl = true", "expected a text or a number"),
            ("ttl =", "uftp.toml: TOML parse error"),
        ] {
            let place = Place::new(&[]);
            place.write("uftp.toml", text);
            let complaint = place.read::<uftp::Args>("uftp file").unwrap_err();
            assert!(complaint.contains(words), "{text}: {complaint}");
        }
        let place = Place::new(&[("UFTP_SYNC", "perhaps")]);
        let complaint = place.read::<uftp::Args>("uftp file").unwrap_err();
        assert!(complaint.contains("environment: UFTP_SYNC"), "{complaint}");
        let place = Place::new(&[("UFTP_TTL", "0")]);
        let complaint = place.read::<uftp::Args>("uftp file").unwrap_err();
        assert!(
            complaint.contains("environment: Invalid ttl"),
            "{complaint}"
        );
        let complaint = place.read::<uftp::Args>("uftp --config /no/such f");
        assert!(complaint.is_err());
    }

    #[test]
    fn values_may_begin_with_a_dash_and_empty_variables_count_for_nothing() {
        let place = Place::new(&[("UFTP_TTL", ""), ("UFTP_OTHER", "x")]);
        place.write("uftpd.toml", "priority = -5\n");
        let args: uftpd::Args = place.read("uftpd").unwrap();
        assert_eq!(args.process.priority, -5);
    }
}

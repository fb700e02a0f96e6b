//! The configuration file: the service's flags by name, one table, in TOML.
//!
//! What it says becomes the default of the flags, so that flags and variables go before it by themselves, and there is
//! one place that says what a setting means.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Args;
use crate::error::Error;

/// Commands whose flags the file may set.
const COMMANDS: [&str; 6] = ["server", "worker", "dev", "history", "migrate", "doctor"];
/// Flags that say what one call does, not how the service is set up.
const NOT_SETTINGS: [&str; 5] = ["config", "help", "version", "url", "output"];
/// Bytes of a configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the command line over the configuration file, if one is named. Ends the process as clap does for help,
/// versions and mistakes of the command line.
pub(crate) fn parse() -> Result<Args, Error> {
    let line: Vec<OsString> = std::env::args_os().collect();
    let mut command = Args::command();
    if let Some(file) = named_file(&line) {
        let size = std::fs::metadata(&file).map(|found| found.len());
        let text = match size {
            Ok(size) if size > MAX_BYTES => {
                return Err(Error::Usage(format!(
                    "{} is larger than {MAX_BYTES} bytes",
                    file.display()
                )));
            }
            _ => std::fs::read_to_string(&file),
        };
        let text = text.map_err(|error| {
            Error::Usage(format!(
                "cannot read the configuration file {}: {error}",
                file.display()
            ))
        })?;
        command = apply(command, &text).map_err(|problem| Error::Usage(format!("{}: {problem}", file.display())))?;
    }
    let matches = command.get_matches_from(line);
    Ok(Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

/// The file that the command line or the environment names, found before either is parsed.
fn named_file(line: &[OsString]) -> Option<PathBuf> {
    let mut words = line.iter().skip(1);
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            break;
        }
        if text == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(file) = text.strip_prefix("--config=") {
            return Some(PathBuf::from(file));
        }
    }
    std::env::var_os("WEIR_CONFIG")
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
}

/// Makes what the file says the defaults of the flags.
fn apply(mut command: clap::Command, text: &str) -> Result<clap::Command, String> {
    let mut values = values(text)?;
    let known = settings(&command);
    for key in values.keys() {
        if !known.contains(key) {
            return Err(unknown(key, &known));
        }
    }
    let global: Vec<String> = flags(&command).filter(|flag| values.contains_key(flag)).collect();
    for flag in global {
        if let Some(value) = values.remove(&flag) {
            command = set_default(command, &flag, value);
        }
    }
    for name in COMMANDS {
        let values = values.clone();
        command = command.mut_subcommand(name, move |mut sub| {
            let here: Vec<String> = flags(&sub).filter(|flag| values.contains_key(flag)).collect();
            for flag in here {
                sub = set_default(sub, &flag, values[&flag].clone());
            }
            sub
        });
    }
    Ok(command)
}

fn set_default(command: clap::Command, flag: &str, value: String) -> clap::Command {
    let id = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(flag))
        .map(|arg| arg.get_id().clone());
    match id {
        // clap keeps defaults for as long as the process lives; there are few, and they are set once.
        Some(id) => command.mut_arg(id, |arg| arg.default_value(&*value.leak())),
        None => command,
    }
}

fn flags(command: &clap::Command) -> impl Iterator<Item = String> + '_ {
    command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .filter(|flag| !NOT_SETTINGS.contains(flag))
        .map(str::to_owned)
}

fn settings(command: &clap::Command) -> BTreeSet<String> {
    let subcommands = command
        .get_subcommands()
        .filter(|sub| COMMANDS.contains(&sub.get_name()));
    subcommands.chain([command]).flat_map(flags).collect()
}

/// The file's keys, as flags are written, with their values as text.
fn values(text: &str) -> Result<BTreeMap<String, String>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            other => {
                return Err(format!(
                    "`{key}` must be a string, a number or a boolean, not a {}",
                    other.type_str()
                ));
            }
        };
        values.insert(key.replace('_', "-"), value);
    }
    Ok(values)
}

fn unknown(key: &str, known: &BTreeSet<String>) -> String {
    let near = known
        .iter()
        .map(|flag| (strsim::jaro_winkler(key, flag), flag))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, flag)) => format!("there is no setting `{key}`; did you mean `{flag}`?"),
        None => format!("there is no setting `{key}`; `weir server --help` and `weir worker --help` list them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command;

    fn listen(text: &str, line: &[&str]) -> Result<String, String> {
        let matches = apply(Args::command(), text)?
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        let args = Args::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        match args.command {
            Command::Server(server) => Ok(format!(
                "{} {} {:?}",
                server.listen, server.migrate, server.database.database_url
            )),
            _ => Err("not a server".to_owned()),
        }
    }

    #[test]
    fn flags_go_before_the_file() {
        let file = "listen = '127.0.0.1:1'\nmigrate = true\ndatabase_url = 'sqlite:x'\nhealth-listen = '127.0.0.1:3'\n";
        let server = listen(file, &["weir", "server"]).unwrap();
        assert_eq!(server, "127.0.0.1:1 true Some(\"sqlite:x\")");
        let server = listen(file, &["weir", "server", "--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(server, "127.0.0.1:2 true Some(\"sqlite:x\")");
    }

    /// Settings that the stack on AWS has no use for, and why.
    const NOT_ON_AWS: [(&str, &str); 8] = [
        ("WEIR_ALLOW_LOCAL_FILES", "files of a container are nobody's"),
        ("WEIR_CONFIG", "each setting is a variable"),
        ("WEIR_DRAIN_MS", "as long as Fargate lets a task drain"),
        ("WEIR_LOG", "by `server_environment`, to look into something"),
        ("WEIR_S3_PATH_STYLE", "for other object storages than S3"),
        ("WEIR_TLS_CERT", "the load balancer has the certificate"),
        ("WEIR_TLS_KEY", "the load balancer has the certificate"),
        ("WEIR_VISIBILITY_MS", "as the queue of the stack has it"),
    ];

    #[test]
    fn the_stack_on_aws_has_every_setting() {
        let stack = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../terraform");
        let files = [
            "main.tf",
            "service.tf",
            "modules/control_plane/main.tf",
            "modules/workers/main.tf",
        ];
        let text: String = files
            .map(|file| std::fs::read_to_string(stack.join(file)).unwrap())
            .concat();
        let set = |name: &str| {
            text.split(|c: char| !c.is_ascii_uppercase() && c != '_' && !c.is_ascii_digit())
                .any(|word| word == name)
        };
        let command = Args::command();
        let commands = ["server", "worker"].map(|name| command.find_subcommand(name).unwrap());
        let arguments = commands
            .into_iter()
            .chain([&command])
            .flat_map(clap::Command::get_arguments);
        let variables: BTreeSet<String> = arguments
            .filter_map(|argument| argument.get_env())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        for name in &variables {
            let is_left_out = NOT_ON_AWS.iter().any(|(left_out, _)| left_out == name);
            assert_ne!(
                set(name),
                is_left_out,
                "{name} must be an input of the stack, or be left out for a reason"
            );
        }
        for (name, _) in NOT_ON_AWS {
            assert!(variables.contains(name), "{name} is no setting");
        }
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let error = |text: &str| listen(text, &["weir", "server"]).unwrap_err();
        assert!(
            error("task_queu = 'x'").contains("did you mean `task-queue`"),
            "{}",
            error("task_queu = 'x'")
        );
        assert!(error("colour = 'x'").contains("no setting `colour`"));
        assert!(error("listen = ['a']").contains("`listen` must be a string"));
        assert!(error("listen = ").contains("TOML parse error"));
        assert!(error("listen = 'nowhere'").contains("--listen"));
    }
}

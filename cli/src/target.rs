//! Which service a command talks to: a server, or the data folder of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use weir_model::Namespace;

use crate::args::TargetArgs;
use crate::client::Client;
use crate::error::Error;

/// `~/.config/weir/config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Profiles {
    /// The profile that is meant when none is named.
    default_profile: Option<String>,
    profiles: BTreeMap<String, Profile>,
}

/// One server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    /// Its address.
    endpoint: String,
    /// Its API key.
    api_key: Option<String>,
    /// The namespace that is meant there.
    namespace: Option<Namespace>,
}

/// The server that the arguments, the environment or the profiles name; `None` for the data folder of this machine.
pub(crate) fn client(args: &TargetArgs) -> Result<Option<Client>, Error> {
    let file = profile_file();
    let profiles = match &file {
        Some(file) => match std::fs::read_to_string(file) {
            Ok(text) => toml::from_str::<Profiles>(&text)
                .map_err(|error| Error::Usage(format!("{}: {error}", file.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Profiles::default(),
            Err(error) => return Err(Error::io(format!("read {}", file.display()))(error)),
        },
        None => Profiles::default(),
    };
    choose(args, &profiles)?
        .map(|chosen| Client::new(&chosen.endpoint, chosen.api_key.as_deref(), chosen.namespace.as_ref()))
        .transpose()
}

/// As [`client`], for commands that need a server.
pub(crate) fn required(args: &TargetArgs) -> Result<Client, Error> {
    client(args)?.ok_or_else(|| {
        Error::Usage(
            "which server? Give --endpoint URL, set WEIR_ENDPOINT, or name one in ~/.config/weir/config.toml; \
             `weir run FILE` needs none"
                .to_owned(),
        )
    })
}

fn choose(args: &TargetArgs, profiles: &Profiles) -> Result<Option<Profile>, Error> {
    let profile = match (
        &args.endpoint,
        args.profile.as_ref().or(profiles.default_profile.as_ref()),
    ) {
        (Some(endpoint), _) => Some(Profile {
            endpoint: endpoint.clone(),
            api_key: None,
            namespace: None,
        }),
        (None, Some(name)) => match profiles.profiles.get(name) {
            Some(profile) => Some(profile.clone()),
            None => {
                let known: Vec<&str> = profiles.profiles.keys().map(String::as_str).collect();
                return Err(Error::Usage(format!(
                    "there is no profile `{name}` in ~/.config/weir/config.toml; it has: {}",
                    if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    }
                )));
            }
        },
        (None, None) => None,
    };
    Ok(profile.map(|profile| Profile {
        api_key: args.api_key.clone().or(profile.api_key),
        namespace: args.namespace.clone().or(profile.namespace),
        ..profile
    }))
}

fn profile_file() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|folder| folder.join("weir/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "default_profile = 'a'\n[profiles.a]\nendpoint = 'http://a'\napi_key = 'k'\n[profiles.b]\nendpoint = 'http://b'\n";

    fn chosen(endpoint: Option<&str>, profile: Option<&str>, key: Option<&str>, file: &str) -> Result<String, String> {
        let args = TargetArgs {
            endpoint: endpoint.map(str::to_owned),
            profile: profile.map(str::to_owned),
            api_key: key.map(str::to_owned),
            namespace: None,
        };
        let profiles: Profiles = toml::from_str(file).map_err(|error| error.to_string())?;
        match choose(&args, &profiles) {
            Ok(Some(profile)) => Ok(format!("{} {:?}", profile.endpoint, profile.api_key)),
            Ok(None) => Ok("here".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn arguments_go_before_profiles() {
        assert_eq!(chosen(None, None, None, "").unwrap(), "here");
        assert_eq!(chosen(None, None, None, FILE).unwrap(), "http://a Some(\"k\")");
        assert_eq!(
            chosen(None, Some("b"), Some("x"), FILE).unwrap(),
            "http://b Some(\"x\")"
        );
        // A key goes to no other server than that of its profile.
        assert_eq!(chosen(Some("http://c"), None, None, FILE).unwrap(), "http://c None");
        assert!(
            chosen(None, Some("c"), None, FILE)
                .unwrap_err()
                .contains("it has: a, b")
        );
        assert!(
            chosen(None, None, None, "endpoints = 1")
                .unwrap_err()
                .contains("endpoints")
        );
    }
}

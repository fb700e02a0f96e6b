//! `weir namespaces`, `weir keys`, `weir sessions`, `weir audit` and `weir whoami`.

use std::io::{self, Write};

use reqwest::Method;
use serde::Serialize;
use weir_control_plane::http::resources::{
    AuditEntry, AuditPage, CreatedKey, EndedSessions, Key, KeyPage, KeyRequest, ListedSession, Namespace,
    NamespacePage, NamespaceRequest, NamespaceSettings, Session, SessionPage, Time,
};
use weir_control_plane::store::AuditOutcome;
use weir_platform::clock;

use crate::args::{AskArgs, AuditArgs, KeysCommand, NamespacesCommand, OutputFormat, SessionsCommand};
use crate::error::Error;
use crate::summary::{print_json, table, trim};
use crate::{format, target};

/// Things that a server lists at once.
const PAGE: u32 = 200;
/// Namespaces, keys and sessions that are listed at most.
const MOST: usize = 10_000;

pub(super) async fn namespaces(command: NamespacesCommand) -> Result<(), Error> {
    match command {
        NamespacesCommand::List { ask } => {
            let client = target::required(&ask.target)?;
            let mut items: Vec<Namespace> = Vec::new();
            let mut cursor = None;
            loop {
                let page: NamespacePage = client.get("/api/v1/namespaces", &page(PAGE, cursor)).await?;
                items.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() || items.len() >= MOST {
                    return print_namespaces(&items, ask.output);
                }
            }
        }
        NamespacesCommand::Get { name, ask } => {
            let client = target::required(&ask.target)?;
            let found: Namespace = client
                .get(&format!("/api/v1/namespaces/{}", segment(&name)?), &[])
                .await?;
            print_one(&found, ask.output, |found| {
                print_namespaces(std::slice::from_ref(found), ask.output)
            })
        }
        NamespacesCommand::Create {
            name,
            display_name,
            allowed_locations,
            ask,
        } => {
            let client = target::required(&ask.target)?;
            let request = NamespaceRequest {
                name,
                display_name,
                allowed_locations: (!allowed_locations.is_empty()).then_some(allowed_locations),
            };
            let made: Namespace = client.create("/api/v1/namespaces", &request).await?;
            print_one(&made, ask.output, |made| {
                print_namespaces(std::slice::from_ref(made), ask.output)
            })
        }
        NamespacesCommand::Set {
            name,
            display_name,
            allowed_locations,
            allow_all_locations,
            ask,
        } => {
            let client = target::required(&ask.target)?;
            let path = format!("/api/v1/namespaces/{}", segment(&name)?);
            let found: Namespace = client.get(&path, &[]).await?;
            let settings = NamespaceSettings {
                display_name: display_name.unwrap_or(found.display_name),
                allowed_locations: match (allow_all_locations, allowed_locations.is_empty()) {
                    (true, _) => None,
                    (false, true) => found.allowed_locations,
                    (false, false) => Some(allowed_locations),
                },
            };
            let changed: Namespace = client.json(client.request(Method::PUT, &path)?.json(&settings)).await?;
            print_one(&changed, ask.output, |changed| {
                print_namespaces(std::slice::from_ref(changed), ask.output)
            })
        }
        NamespacesCommand::Delete { name, target } => {
            let client = target::required(&target)?;
            let path = format!("/api/v1/namespaces/{}", segment(&name)?);
            client.delete::<serde_json::Value>(&path).await?;
            eprintln!("deleted the namespace {name}");
            Ok(())
        }
    }
}

pub(super) async fn keys(command: KeysCommand) -> Result<(), Error> {
    match command {
        KeysCommand::List { ask, all } => {
            let client = target::required(&ask.target)?;
            let mut items: Vec<Key> = Vec::new();
            let mut cursor = None;
            loop {
                let mut query = page(PAGE, cursor);
                query.push(("scope", scope(all)));
                let page: KeyPage = client.get("/api/v1/keys", &query).await?;
                items.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() || items.len() >= MOST {
                    return print_keys(&items, ask.output);
                }
            }
        }
        KeysCommand::Create {
            name,
            role,
            whole_service,
            expires_in,
            ask,
        } => {
            let client = target::required(&ask.target)?;
            let end =
                |time: std::time::Duration| clock::now().plus_ms(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            let request = KeyRequest {
                name,
                role,
                whole_service,
                expires_at: expires_in.0.map(|time| Time(end(time))),
            };
            let created: CreatedKey = client.create("/api/v1/keys", &request).await?;
            print_one(&created, ask.output, |created| {
                eprintln!("key {}; this is its secret, which is not shown again:", created.key.id);
                writeln!(io::stdout(), "{}", created.secret).map_err(Error::io("print the key"))
            })
        }
        KeysCommand::Revoke { key, ask } => {
            let client = target::required(&ask.target)?;
            let path = format!("/api/v1/keys/{}", segment(&key)?);
            let revoked: Key = client
                .delete(&path)
                .await?
                .ok_or_else(|| Error::Refused("no answer".to_owned()))?;
            print_one(&revoked, ask.output, |key| {
                print_keys(std::slice::from_ref(key), ask.output)
            })
        }
    }
}

pub(super) async fn sessions(command: SessionsCommand) -> Result<(), Error> {
    match command {
        SessionsCommand::List { ask, all, principal } => {
            let client = target::required(&ask.target)?;
            let mut items: Vec<ListedSession> = Vec::new();
            let mut cursor = None;
            loop {
                let mut query = page(PAGE, cursor);
                if all || principal.is_some() {
                    query.push(("scope", "service".to_owned()));
                }
                query.extend(principal.clone().map(|name| ("principal", name)));
                let page: SessionPage = client.get("/api/v1/sessions", &query).await?;
                items.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() || items.len() >= MOST {
                    return print_sessions(&items, ask.output);
                }
            }
        }
        SessionsCommand::End {
            session: Some(session),
            ask,
            ..
        } => {
            let client = target::required(&ask.target)?;
            let path = format!("/api/v1/sessions/{}", segment(&session)?);
            client.delete::<serde_json::Value>(&path).await?;
            print_ended(&EndedSessions { ended: 1 }, ask.output)
        }
        SessionsCommand::End { principal, ask, .. } => {
            let client = target::required(&ask.target)?;
            let query: Vec<_> = principal.iter().map(|name| ("principal", name)).collect();
            let request = client.request(Method::DELETE, "/api/v1/sessions")?.query(&query);
            let ended: EndedSessions = client.json(request).await?;
            print_ended(&ended, ask.output)
        }
    }
}

pub(super) async fn audit(args: AuditArgs) -> Result<(), Error> {
    let client = target::required(&args.ask.target)?;
    let mut items: Vec<AuditEntry> = Vec::new();
    let mut cursor = None;
    loop {
        let left = args
            .limit
            .saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let mut query = page(left.min(PAGE), cursor);
        query.push(("scope", scope(args.all)));
        query.extend(args.principal.clone().map(|name| ("principal", name)));
        query.extend(args.action.clone().map(|name| ("action", name)));
        query.extend(args.denied.then(|| ("outcome", "denied".to_owned())));
        let page: AuditPage = client.get("/api/v1/audit", &query).await?;
        items.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() || items.len() >= args.limit as usize {
            return print_audit(&items, args.ask.output);
        }
    }
}

pub(super) async fn whoami(ask: AskArgs) -> Result<(), Error> {
    let session: Session = target::required(&ask.target)?.get("/api/v1/session", &[]).await?;
    print_one(&session, ask.output, |session| {
        let mut out = io::stdout().lock();
        let names = session
            .namespaces
            .iter()
            .map(|access| format!("{} ({})", access.name, access.role));
        let service = if session.whole_service {
            ", admin of the whole service"
        } else {
            ""
        };
        writeln!(out, "principal   {}", session.principal)
            .and_then(|()| writeln!(out, "namespace   {}", session.namespace))
            .and_then(|()| writeln!(out, "role        {}{service}", session.role))
            .and_then(|()| writeln!(out, "namespaces  {}", names.collect::<Vec<_>>().join(", ")))
            .map_err(Error::io("print who you are"))
    })
}

fn page(limit: u32, cursor: Option<String>) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    query
}

fn scope(all: bool) -> String {
    if all { "service" } else { "namespace" }.to_owned()
}

/// A name that is one part of a path and nothing else.
fn segment(name: &str) -> Result<&str, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !name.is_empty() && name.bytes().all(plain) {
        return Ok(name);
    }
    Err(Error::NotFound(format!("there is none of the name `{name}`")))
}

/// Prints one thing: as JSON, or as a person reads it.
fn print_one<T: Serialize>(
    value: &T,
    output: OutputFormat,
    person: impl FnOnce(&T) -> Result<(), Error>,
) -> Result<(), Error> {
    match output {
        OutputFormat::Table => person(value),
        _ => print_json(&mut io::stdout().lock(), value, output == OutputFormat::Json).map_err(Error::io("print it")),
    }
}

/// Prints a list: as one JSON document, as one a line, or as a table.
fn print_list<T: Serialize, const N: usize>(
    items: &[T],
    output: OutputFormat,
    header: [&str; N],
    row: impl Fn(&T) -> [String; N],
) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => print_json(&mut out, &items, true),
        OutputFormat::Jsonl => items.iter().try_for_each(|item| print_json(&mut out, item, false)),
        OutputFormat::Table => {
            let mut table = table(header, &[]);
            for item in items {
                table.add_row(row(item));
            }
            writeln!(out, "{}", trim(&table))
        }
    };
    printed.map_err(Error::io("print the list"))
}

fn print_namespaces(items: &[Namespace], output: OutputFormat) -> Result<(), Error> {
    let header = ["namespace", "name", "locations", "created", "by"];
    print_list(items, output, header, |namespace| {
        let locations = match namespace.allowed_locations.as_deref() {
            None => "all".to_owned(),
            Some([]) => "none".to_owned(),
            Some(places) => places.join("\n"),
        };
        [
            namespace.name.clone(),
            or_dash(&namespace.display_name),
            locations,
            format::time(namespace.created_at.0),
            namespace.created_by.clone(),
        ]
    })
}

fn print_keys(items: &[Key], output: OutputFormat) -> Result<(), Error> {
    let header = [
        "key",
        "name",
        "namespace",
        "role",
        "state",
        "prefix",
        "expires",
        "last used",
    ];
    print_list(items, output, header, |key| {
        let state = match serde_json::to_value(key.state) {
            Ok(serde_json::Value::String(word)) => word,
            _ => "-".to_owned(),
        };
        [
            key.id.clone(),
            key.name.clone(),
            key.namespace.clone().unwrap_or_else(|| "*".to_owned()),
            key.role.to_string(),
            state,
            key.prefix.clone(),
            key.expires_at.map_or("never".to_owned(), |end| format::time(end.0)),
            key.last_used_at.map_or("-".to_owned(), |at| format::time(at.0)),
        ]
    })
}

fn print_sessions(items: &[ListedSession], output: OutputFormat) -> Result<(), Error> {
    let header = ["session", "principal", "began", "last used", "ends"];
    print_list(items, output, header, |session| {
        [
            session.id.clone(),
            session.principal.clone(),
            format::time(session.created_at.0),
            format::time(session.last_used_at.0),
            format::time(session.expires_at.0),
        ]
    })
}

fn print_ended(ended: &EndedSessions, output: OutputFormat) -> Result<(), Error> {
    print_one(ended, output, |EndedSessions { ended }| {
        let sessions = if *ended == 1 { "session" } else { "sessions" };
        eprintln!("ended {ended} {sessions}");
        Ok(())
    })
}

fn print_audit(items: &[AuditEntry], output: OutputFormat) -> Result<(), Error> {
    let header = [
        "at",
        "principal",
        "namespace",
        "action",
        "target",
        "outcome",
        "status",
        "source",
    ];
    print_list(items, output, header, |entry| {
        let outcome = match entry.outcome {
            AuditOutcome::Allowed => "allowed",
            AuditOutcome::Denied => "denied",
        };
        [
            format::time(entry.at.0),
            entry.principal.clone(),
            entry.namespace.clone().unwrap_or_else(|| "-".to_owned()),
            entry.action.clone(),
            or_dash(&entry.target),
            outcome.to_owned(),
            entry.status.to_string(),
            entry.source.clone(),
        ]
    })
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

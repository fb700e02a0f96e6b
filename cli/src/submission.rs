//! Files on this machine to a complete submission.

use std::collections::BTreeMap;
use std::path::Path;

use weir_model::spec::{self, Pipeline};
use weir_model::{CoalesceSettings, Digest, Job, RunSettings, SpeculationSettings, Submission, layout};
use weir_platform::Storage;

use crate::args::{EmbeddedArgs, ParamArgs};
use crate::client::Client;
use crate::error::Error;

/// Reads and checks a pipeline file; gives its text as well.
pub(crate) fn read_pipeline(file: &Path, params: &BTreeMap<String, String>) -> Result<(String, Pipeline), Error> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::Usage(format!("cannot read the pipeline {}: {error}", file.display())))?;
    let pipeline = spec::parse(&file.display().to_string(), &text, params).map_err(Error::Pipeline)?;
    Ok((text, pipeline))
}

/// A pipeline file as a submission; its modules are put into `storage`.
pub(crate) async fn pipeline(
    storage: &Storage,
    file: &Path,
    params: &ParamArgs,
    settings: RunSettings,
) -> Result<Submission, Error> {
    let params: BTreeMap<String, String> = params.params.iter().cloned().collect();
    let (yaml, pipeline) = read_pipeline(file, &params)?;
    let paths: Vec<String> = pipeline
        .module_paths()
        .into_iter()
        .map(|path| path.to_string())
        .collect();
    let folder = file.parent().unwrap_or(Path::new(""));
    Ok(Submission {
        namespace: Default::default(),
        name: job_name(file),
        modules: upload_modules(storage, folder, paths).await?,
        job: Job::Pipeline {
            yaml,
            file: file.display().to_string(),
            params,
        },
        base: current_folder()?,
        metadata: Default::default(),
        settings,
    })
}

/// The name of the job of a file. `pipeline.yaml` says little, so a file of that name is called after its folder.
pub(crate) fn job_name(file: &Path) -> String {
    let stem = file
        .file_stem()
        .map_or_else(|| "pipeline".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let folder = file
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    match folder {
        Some(folder) if stem == "pipeline" => folder,
        _ => stem,
    }
}

/// The bytes of a Wasm component.
pub(crate) async fn read_module(file: &Path) -> Result<Vec<u8>, Error> {
    tokio::fs::read(file).await.map_err(|error| {
        Error::Usage(format!(
            "cannot read the Wasm component {}: {error}; `weir build DIR` makes one from a guest crate",
            file.display()
        ))
    })
}

/// Puts Wasm components into storage by content; gives their digests by the path that the job uses.
pub(crate) async fn upload_modules(
    storage: &Storage,
    folder: &Path,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Digest>, Error> {
    let mut modules = BTreeMap::new();
    for path in paths {
        let bytes = read_module(&folder.join(&path)).await?;
        let digest = Digest::of(&bytes);
        let key = layout::module_key(&Default::default(), &digest);
        if !storage
            .exists(&key)
            .await
            .map_err(Error::platform("look for the component in storage"))?
        {
            storage
                .put(&key, bytes.into())
                .await
                .map_err(Error::platform("put the component into storage"))?;
        }
        modules.insert(path, digest);
    }
    Ok(modules)
}

/// Puts Wasm components onto a server; gives their digests by the path that the job uses.
pub(crate) async fn upload_to(
    client: &Client,
    folder: &Path,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Digest>, Error> {
    let mut modules = BTreeMap::new();
    for path in paths {
        let bytes = read_module(&folder.join(&path)).await?;
        let digest = Digest::of(&bytes);
        client.upload(digest, bytes).await?;
        modules.insert(path, digest);
    }
    Ok(modules)
}

/// The folder that relative paths start from.
pub(crate) fn current_folder() -> Result<String, Error> {
    let folder = std::env::current_dir().map_err(Error::io("find the current folder"))?;
    folder.into_os_string().into_string().map_err(|folder| {
        Error::Usage(format!(
            "the current folder {} has a name that is not UTF-8",
            folder.to_string_lossy()
        ))
    })
}

/// Settings for runs on this machine.
pub(crate) fn settings(args: &EmbeddedArgs) -> RunSettings {
    let parallelism = args.workers * slots(args);
    RunSettings {
        target_partitions: args.target_partitions.unwrap_or(parallelism),
        coalesce: CoalesceSettings {
            parallelism,
            ..Default::default()
        },
        // On one machine a copy only takes processors from the attempt that it copies.
        speculation: SpeculationSettings {
            enabled: false,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Tasks that each worker runs at once.
pub(crate) fn slots(args: &EmbeddedArgs) -> u32 {
    args.slots.unwrap_or_else(|| (processors() / args.workers).max(1))
}

/// Processors of this machine, as far as this process may use them.
pub(crate) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(4, |n| n.get() as u32)
}

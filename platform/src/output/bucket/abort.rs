//! Undoing what an unfinished commit did.

use std::collections::HashSet;

use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use weir_model::{OutputManifest, SinkInfo};

use super::{Error, Journal, Place, Placed, all, below};
use crate::s3::S3;

pub(in crate::output) async fn abort(s3: &S3, sink: &SinkInfo) -> Result<(), Error> {
    let place = Place::new(s3, sink)?;
    if let Some(journal) = place.read_json::<Journal>(&place.journal()).await? {
        undo(&place, &journal).await?;
    }
    place.remove_staging(&HashSet::new()).await
}

async fn undo(place: &Place, journal: &Journal) -> Result<(), Error> {
    let visible = place.read_json::<OutputManifest>(&place.manifest).await?;
    if visible.is_some_and(|visible| visible.run == journal.manifest.run) {
        place.delete(&place.manifest).await?;
    }
    all(journal.files.iter().map(|file| remove(place, file)).collect()).await?;
    restore_replaced(place).await
}

/// Deletes a file if it is what the commit put there.
async fn remove(place: &Place, file: &Placed) -> Result<(), Error> {
    // A journal is an object in the user's bucket: it may say anything.
    let Ok(path) = Path::parse(&file.path) else {
        return Ok(());
    };
    match place.find(&path).await? {
        Some(found) if found.token.as_ref() == Some(&file.token) => place.delete(&path).await,
        _ => Ok(()),
    }
}

async fn exists(place: &Place, name: &str) -> Result<bool, Error> {
    match below(&place.folder, name) {
        Some(path) => Ok(place.find(&path).await?.is_some()),
        None => Ok(false),
    }
}

/// Makes the output visible again that the commit was replacing, if it is still whole.
async fn restore_replaced(place: &Place) -> Result<(), Error> {
    let Some(replaced) = place.replaced_manifests().await?.pop() else {
        return Ok(());
    };
    let exist = all(replaced.files.iter().map(|name| exists(place, name)).collect()).await?;
    if exist.contains(&false) {
        tracing::warn!(
            folder = %place.folder,
            "an earlier output was replaced in part and cannot be made visible again"
        );
        return Ok(());
    }
    let failed = place.error("restore", &place.manifest);
    let bytes = match serde_json::to_vec_pretty(&replaced) {
        Ok(bytes) => PutPayload::from(bytes),
        Err(error) => return Err(failed(object_store::Error::NotSupported { source: error.into() })),
    };
    let if_absent = PutOptions::from(PutMode::Create);
    match place.store.put_opts(&place.manifest, bytes, if_absent).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

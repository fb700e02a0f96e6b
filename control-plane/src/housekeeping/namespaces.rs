//! What deleted namespaces leave behind.

use weir_model::{Namespace, Timestamp, layout};
use weir_platform::{Storage, StorageError};

use super::Error;
use crate::shared::Shared;

/// How long after its deletion a namespace's name cannot be used again, in milliseconds: longer than any request to
/// another server takes that was let in before.
pub(crate) const LATE_MS: u64 = 300_000;

/// Deletes the objects of a namespace that is deleted: whoever makes one of this name later must find none.
pub(crate) async fn delete_objects(storage: &Storage, namespace: &Namespace) -> Result<(), StorageError> {
    for prefix in layout::namespace_prefixes(namespace) {
        storage.delete_prefix(&prefix).await?;
    }
    Ok(())
}

/// Deletes once more what namespaces have left that were deleted before a time, and lets their names be used again; says
/// of how many.
pub(crate) async fn sweep(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let identities = shared.store.identities();
    let mut swept = 0;
    for namespace in identities.namespaces_deleted(before).await? {
        delete_objects(&shared.storage, &namespace).await?;
        swept += u64::from(identities.namespace_forget(&namespace).await?);
    }
    Ok(swept)
}

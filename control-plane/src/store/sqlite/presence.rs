//! Knowing at once that a process has died, instead of waiting for its leases to run out.
//!
//! Every process that opens an SQLite file holds an exclusive lock on a file of its own beside it, and writes the name
//! of that file into the leases that it takes. The operating system gives the lock up when the process ends, however
//! it ends: whoever can take the lock knows that the leases are nobody's. Where this cannot be known, the process
//! counts as alive and its leases run out in time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_platform::clock;

/// Files of dead processes that are older than this are deleted by whoever opens the database.
const LITTER_AGE: Duration = Duration::from_secs(3_600);

/// The sign of life of this process.
pub(super) struct Presence {
    folder: PathBuf,
    token: String,
    /// Held for its lock.
    _locked: File,
}

impl Presence {
    /// Shows that this process uses the database at `database`, until this is dropped.
    pub(super) fn announce(database: &Path) -> io::Result<Self> {
        let mut folder = database.as_os_str().to_owned();
        folder.push("-owners");
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder)?;
        sweep(&folder);
        let token = clock::new_worker_id().to_string();
        let file = File::create(folder.join(&token))?;
        file.lock()?;
        Ok(Self {
            folder,
            token,
            _locked: file,
        })
    }

    /// The name of this process in its leases.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Whether the process that holds a lease is known to be dead.
    pub(super) fn is_dead(&self, token: &str) -> bool {
        // A token comes from the database: it must not lead out of the folder.
        if token == self.token || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return false;
        }
        is_unlocked(&self.folder.join(token))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // Litter, when it fails.
        let _ = fs::remove_file(self.folder.join(&self.token));
    }
}

fn is_unlocked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|at| at.elapsed());
        if matches!(age, Ok(Ok(age)) if age > LITTER_AGE) && is_unlocked(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_when_its_lock_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("runs.db");
        let (a, b) = (
            Presence::announce(&database).unwrap(),
            Presence::announce(&database).unwrap(),
        );
        assert!(!a.is_dead(b.token()), "it holds its lock");
        assert!(!a.is_dead(a.token()));
        // What `kill -9` leaves: the file, without a lock.
        let left = dir.path().join("runs.db-owners/dead");
        File::create(&left).unwrap();
        assert!(a.is_dead("dead"));
        assert!(!a.is_dead("unknown"), "nothing is known of it");
        assert!(!a.is_dead("../runs"), "it is no token");

        let hours_ago = std::time::SystemTime::now() - 2 * LITTER_AGE;
        File::open(&left).unwrap().set_modified(hours_ago).unwrap();
        let own = b.token().to_owned();
        drop(b);
        let c = Presence::announce(&database).unwrap();
        assert!(!left.exists(), "litter is swept");
        assert!(!c.is_dead(&own), "who left in good order has no leases");
    }
}

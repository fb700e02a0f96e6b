//! Compiled modules on disk. Why they can be trusted is said at [`CacheOptions`].
//!
//! Nothing here fails a load: a file that is missing, damaged, forged or made by another engine is the same as no
//! file, and what cannot be written is compiled again next time.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use weir_model::Digest;

use crate::{CacheOptions, Error};

const EXTENSION: &str = "cwasm";
const TAG_BYTES: usize = 32;
/// Far more than any artefact has; keeps a planted file from filling the memory.
const MAX_ARTEFACT: u64 = 1 << 30;

pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    max_bytes: u64,
    /// What must be equal for an artefact to be usable: wasmtime's version, the target and the configuration.
    engine: String,
}

impl Cache {
    /// Opens or makes the folder and the key.
    ///
    /// # Errors
    /// When either cannot be used as asked for, or the key file is open to other users.
    pub(crate) fn open(options: &CacheOptions, engine: &wasmtime::Engine) -> Result<Self, Error> {
        let error = |path: &Path| {
            let path = path.display().to_string();
            move |source| Error::Cache { path, source }
        };
        fs::create_dir_all(&options.dir).map_err(error(&options.dir))?;
        let key = read_or_make_key(&options.key_file).map_err(error(&options.key_file))?;
        let mut hasher = Blake(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir: options.dir.clone(),
            key,
            max_bytes: options.max_bytes,
            engine: hasher.0.finalize().to_hex().to_string(),
        })
    }

    /// The artefact of a module, if it is there and was made with our key for this module and engine.
    pub(crate) fn get(&self, module: &Digest) -> Option<Vec<u8>> {
        let path = self.path(module);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read a compiled module; compiling it again");
                return None;
            }
        };
        let Some((tag, artefact)) = bytes.split_first_chunk::<TAG_BYTES>() else {
            tracing::warn!(path = %path.display(), "a compiled module is cut short; compiling it again");
            return None;
        };
        // `blake3::Hash` compares in constant time.
        if self.tag(module, artefact) != blake3::Hash::from_bytes(*tag) {
            tracing::warn!(path = %path.display(), "a compiled module is not authentic; compiling it again");
            return None;
        }
        let mut bytes = bytes;
        bytes.drain(..TAG_BYTES);
        Some(bytes)
    }

    /// Keeps an artefact, and deletes the oldest ones when there are too many.
    pub(crate) fn put(&self, module: &Digest, artefact: &[u8]) {
        let path = self.path(module);
        if let Err(error) = self.write(&path, module, artefact) {
            tracing::warn!(path = %path.display(), %error, "cannot keep a compiled module");
            return;
        }
        if let Err(error) = self.evict(&path) {
            tracing::warn!(path = %self.dir.display(), %error, "cannot delete old compiled modules");
        }
    }

    fn path(&self, module: &Digest) -> PathBuf {
        self.dir.join(format!("{module}-{}.{EXTENSION}", &self.engine[..16]))
    }

    /// Covers what the file name says, so that a valid file under another name is not valid.
    fn tag(&self, module: &Digest, artefact: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(self.engine.as_bytes());
        hasher.update(module.as_bytes());
        hasher.update(artefact);
        hasher.finalize()
    }

    fn write(&self, path: &Path, module: &Digest, artefact: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(self.tag(module, artefact).as_bytes())?;
        file.write_all(artefact)?;
        file.persist(path)?;
        Ok(())
    }

    fn evict(&self, keep: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            // Another process may delete files at the same time.
            if let Ok(metadata) = path.metadata() {
                files.push((
                    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    metadata.len(),
                    path,
                ));
            }
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort();
        for (_, bytes, path) in files {
            if total <= self.max_bytes {
                break;
            }
            if path != keep {
                fs::remove_file(path)?;
                total -= bytes;
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_ARTEFACT {
        return Err(io::Error::other("it is no file of a sensible size"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(MAX_ARTEFACT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; 32]> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Written whole under another name first, so that a second process reads all of it or makes none. Temporary files
    // are readable by their owner only.
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => read_key(path),
        Err(error) => Err(error.error),
    }
}

fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    let file = fs::File::open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "other users can read or write it (mode {:o}); delete it, or `chmod 600` it and empty the cache folder",
                mode & 0o777
            )));
        }
    }
    let mut key = Vec::new();
    file.take(33).read_to_end(&mut key)?;
    key.try_into()
        .map_err(|_| io::Error::other("it does not hold 32 bytes; delete it to have a new one made"))
}

struct Blake(blake3::Hasher);

impl Hasher for Blake {
    fn finish(&self) -> u64 {
        u64::from_le_bytes(*self.0.finalize().as_bytes().first_chunk().unwrap())
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> CacheOptions {
        CacheOptions {
            dir: dir.join("cache"),
            key_file: dir.join("private/key"),
            max_bytes: 1_000,
        }
    }

    fn cache(dir: &Path) -> Cache {
        Cache::open(&options(dir), &wasmtime::Engine::default()).unwrap()
    }

    fn only_file(cache: &Cache) -> PathBuf {
        let mut files = fs::read_dir(&cache.dir).unwrap();
        let path = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        path
    }

    #[test]
    fn artefacts_survive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let module = Digest::of(b"m");
        assert_eq!(cache(dir.path()).get(&module), None);
        cache(dir.path()).put(&module, b"artefact");
        assert_eq!(cache(dir.path()).get(&module).unwrap(), b"artefact");
    }

    #[test]
    fn what_was_changed_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let module = Digest::of(b"m");
        cache.put(&module, b"artefact");
        let path = only_file(&cache);
        let good = fs::read(&path).unwrap();
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            fs::write(&path, bad).unwrap();
            assert_eq!(cache.get(&module), None, "byte {position} was changed");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert_eq!(cache.get(&module), None, "cut to {length} bytes");
        }
    }

    #[test]
    fn an_artefact_is_of_one_module_and_one_engine_and_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let (module, other) = (Digest::of(b"m"), Digest::of(b"other"));
        cache.put(&module, b"artefact");
        fs::copy(cache.path(&module), cache.path(&other)).unwrap();
        assert_eq!(cache.get(&other), None);

        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let other_engine = Cache::open(&options(dir.path()), &engine).unwrap();
        assert_eq!(other_engine.get(&module), None);

        fs::remove_file(dir.path().join("private/key")).unwrap();
        assert_eq!(self::cache(dir.path()).get(&module), None);
    }

    #[test]
    #[cfg(unix)]
    fn the_key_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        cache(dir.path());
        let key = dir.path().join("private/key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Cache::open(&options(dir.path()), &wasmtime::Engine::default())
            .err()
            .unwrap();
        assert_eq!(error.code(), "wasm_cache");
        assert!(!error.is_user());
    }

    #[test]
    fn the_folder_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let modules: Vec<Digest> = (0..10u8).map(|i| Digest::of(&[i])).collect();
        for module in &modules {
            cache.put(module, &[0; 300]);
        }
        let kept = modules.iter().filter(|module| cache.get(module).is_some()).count();
        assert_eq!(kept, 3);
        assert!(cache.get(&modules[9]).is_some(), "the newest must stay");
    }
}

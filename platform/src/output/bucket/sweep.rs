//! Finding what dead processes have left in a bucket.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::Utc;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use weir_model::{OutputManifest, RunId, SinkInfo};

use super::{Error, MARKER_SUFFIX, Marker, Place, STAGING_ROOT, abort, parse};
use crate::s3::{OpenUpload, S3, S3Store};

/// How the name of a staging folder begins; the run and the name of the output follow.
const STAGING_PREFIX: &str = "staging-";

/// What a sweep found and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweptOrphans {
    /// Staging folders of runs that are not live.
    pub stagings: u64,
    /// Old uploads that no marker named.
    pub uploads: u64,
}

/// Aborts uploads to files of outputs below `url`, such as `s3://bucket` or `s3://bucket/prefix`, that nobody will
/// complete: those that runs have left that are not live, with their staging folders and with what an unfinished commit
/// had made of them; and those that no marker names and that are older than `age`, which must be longer than the time
/// between the start of an upload and its marker. Uploads that are not named like files of outputs are left alone.
///
/// It looks for uploads, not for objects, so it costs little however full the bucket is. A rule of the bucket that
/// aborts incomplete uploads after some days (lifecycle, `AbortIncompleteMultipartUpload`) is good to have as well, for
/// buckets that nobody sweeps; its days must be more than the longest run takes.
///
/// # Errors
/// When the storage refuses or does not answer; what was removed until then stays removed.
pub async fn sweep_orphans<L: Future<Output = bool> + Send>(
    s3: &S3,
    url: &str,
    age: Duration,
    is_live: impl Fn(RunId) -> L + Send + Sync,
) -> Result<SweptOrphans, Error> {
    let place = parse("", url)?;
    let store = s3.bucket(place.bucket);
    let failed = |source| Error::storage("", "list", url.to_owned(), source);
    let prefix = match place.path.as_ref() {
        "" => String::new(),
        path => format!("{path}/"),
    };
    // First of all the uploads: one that is started after its marker was looked for is not among them.
    let mut folders: BTreeMap<Path, Vec<OpenUpload>> = BTreeMap::new();
    let mut uploads = store.uploads(&prefix);
    while let Some(upload) = uploads.next().await {
        let upload = upload.map_err(failed)?;
        if is_output(&upload.path) {
            folders.entry(parent(&upload.path)).or_default().push(upload);
        }
    }
    let oldest = chrono::Duration::from_std(age)
        .ok()
        .and_then(|age| Utc::now().checked_sub_signed(age));
    let mut swept = SweptOrphans::default();
    for (folder, uploads) in folders {
        let named = sweep_folder(s3, &store, &folder, &is_live, &mut swept).await?;
        let old = |upload: &&OpenUpload| oldest.is_some_and(|oldest| upload.started <= oldest);
        for upload in uploads.iter().filter(old).filter(|upload| !named.contains(&upload.id)) {
            store.upload_abort(&upload.path, &upload.id).await.map_err(failed)?;
            swept.uploads += 1;
        }
    }
    Ok(swept)
}

/// Removes what runs that are not live have staged for the outputs in a folder; gives the ids of all uploads that have,
/// or had, a marker there.
async fn sweep_folder<L: Future<Output = bool> + Send>(
    s3: &S3,
    store: &S3Store,
    folder: &Path,
    is_live: &(impl Fn(RunId) -> L + Send + Sync),
    swept: &mut SweptOrphans,
) -> Result<HashSet<String>, Error> {
    let root = folder.clone().join(STAGING_ROOT);
    let listed: Result<Vec<_>, _> = store.list(Some(&root)).try_collect().await;
    let url = format!("{store}/{root}");
    let mut stagings: BTreeMap<Path, Vec<Path>> = BTreeMap::new();
    for object in listed.map_err(|source| Error::storage("", "list", url, source))? {
        if let Some(staging) = staging_folder(&object.location) {
            stagings.entry(staging).or_default().push(object.location);
        }
    }
    let mut named = HashSet::new();
    for (staging, objects) in stagings {
        let Some((run, sink)) = sink(store.bucket(), &staging) else {
            continue;
        };
        let place = Place::new(s3, &sink)?;
        for marker in objects.iter().filter(|path| path.as_ref().ends_with(MARKER_SUFFIX)) {
            named.extend(place.read_json::<Marker>(marker).await?.map(|marker| marker.id));
        }
        if !is_live(run).await {
            remove(s3, &place, run, &sink).await?;
            swept.stagings += 1;
        }
    }
    Ok(named)
}

fn parent(path: &Path) -> Path {
    let mut parts: Vec<_> = path.parts().collect();
    parts.pop();
    parts.into_iter().collect()
}

/// Removes the staging folder of a run that is not live. If its output is visible, that is all; if not, its commit was
/// never finished.
async fn remove(s3: &S3, place: &Place, run: RunId, sink: &SinkInfo) -> Result<(), Error> {
    let visible = place.read_json::<OutputManifest>(&place.manifest).await?;
    match visible {
        Some(visible) if visible.run == run => place.remove_staging(&HashSet::new()).await,
        _ => abort(s3, sink).await,
    }
}

/// The staging folder that a path is in: `…/_weir/staging-RUN-NAME`.
fn staging_folder(path: &Path) -> Option<Path> {
    let mut parts: Vec<_> = path.parts().collect();
    let root = parts.iter().position(|part| part.as_ref() == STAGING_ROOT)?;
    parts.get(root + 1)?.as_ref().strip_prefix(STAGING_PREFIX)?;
    (parts.len() > root + 2).then(|| {
        parts.truncate(root + 2);
        parts.into_iter().collect()
    })
}

/// The sink whose staging folder it is, as far as the folder tells.
fn sink(bucket: &str, staging: &Path) -> Option<(RunId, SinkInfo)> {
    let (folder, name) = staging.as_ref().rsplit_once('/').unwrap_or(("", staging.as_ref()));
    let (run, output) = name.strip_prefix(STAGING_PREFIX)?.split_once('-')?;
    let outputs = folder.strip_suffix(STAGING_ROOT)?;
    let sink = SinkInfo {
        transform: String::new(),
        target: format!("s3://{bucket}/{outputs}{output}"),
        manifest: format!("s3://{bucket}/{folder}/{output}.json"),
        staging: format!("s3://{bucket}/{staging}"),
        format: String::new(),
        csv: None,
    };
    Some((run.parse().ok()?, sink))
}

/// Whether a path may be that of an output's file: `NAME-SSSSS-of-NNNNN`, and a suffix.
fn is_output(path: &Path) -> bool {
    let digits = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading = |text: &str| {
        let end = text.bytes().take_while(u8::is_ascii_digit).count();
        digits(&text[..end])
    };
    path.filename().is_some_and(|name| {
        name.rmatch_indices("-of-").any(|(at, of)| {
            let shard = name[..at].rsplit('-').next().unwrap_or_default();
            digits(shard) && leading(&name[at + of.len()..])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_outputs_are_known_by_their_names() {
        let check = |name: &str, expect| assert_eq!(is_output(&Path::from(name)), expect, "{name}");
        check("a/b/out-00000-of-00001", true);
        check("out.csv-00012-of-123456.csv.gz", true);
        check("out-0-of-1", false);
        check("out-00000-of-x", false);
        check("a-00000-of-00001/b", false);
        check("backup.tar", false);
    }

    #[test]
    fn a_staging_folder_tells_its_sink() {
        let run = RunId::from_parts(weir_model::Timestamp(1), 2);
        let path = Path::from(format!("a/b/_weir/staging-{run}-out-1.csv/0-x.upload"));
        let staging = staging_folder(&path).unwrap();
        let (found, sink) = sink("bucket", &staging).unwrap();
        assert_eq!(found, run);
        assert_eq!(sink.target, "s3://bucket/a/b/out-1.csv");
        assert_eq!(sink.manifest, "s3://bucket/a/b/_weir/out-1.csv.json");
        assert_eq!(sink.staging, format!("s3://bucket/a/b/_weir/staging-{run}-out-1.csv"));
        for other in ["a/_weir/out.json", "a/b", "_weir/staging-x", "_weir/other/x"] {
            assert_eq!(staging_folder(&Path::from(other)), None, "{other}");
        }
    }
}

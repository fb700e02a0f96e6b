//! Files to partitions.

use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::source::compression;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

/// Bytes below which a piece of a file is not worth a partition of its own.
const MIN_PART_BYTES: u64 = 1 << 20;

/// A file, or a range of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// The path in the store.
    pub path: String,
    /// The file's size in bytes.
    pub size: u64,
    /// The first byte.
    pub start: u64,
    /// One past the last byte. A line belongs to the part in which its first byte is.
    pub end: u64,
}

/// Divides files into at most `target` partitions (at least one) of about as many bytes each.
pub(super) fn split(files: &[ObjectMeta], splittable: bool, target: usize) -> Vec<Vec<FilePart>> {
    let total: u64 = files.iter().map(|file| file.size).sum();
    let share = total.div_ceil(target.max(1) as u64).max(MIN_PART_BYTES);
    let mut partitions: Vec<Vec<FilePart>> = vec![Vec::new()];
    let mut filled = 0;
    for file in files {
        let path = file.location.as_ref();
        let whole = !splittable || compression(path) != FileCompressionType::UNCOMPRESSED;
        let mut start = 0;
        loop {
            if filled >= share && partitions.len() < target {
                partitions.push(Vec::new());
                filled = 0;
            }
            let last = partitions.len() >= target;
            let end = if whole || last {
                file.size
            } else {
                file.size.min(start + (share - filled))
            };
            if let Some(partition) = partitions.last_mut() {
                partition.push(FilePart {
                    path: path.to_owned(),
                    size: file.size,
                    start,
                    end,
                });
            }
            filled += end - start;
            start = end;
            if start >= file.size {
                break;
            }
        }
    }
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn check(files: &[(&str, u64)], splittable: bool, target: usize, expect: &[&str]) {
        let files: Vec<_> = files
            .iter()
            .map(|(path, size)| ObjectMeta {
                location: (*path).into(),
                last_modified: Default::default(),
                size: size * MB,
                e_tag: None,
                version: None,
            })
            .collect();
        let show = |part: &FilePart| format!("{} {}..{}", part.path, part.start / MB, part.end / MB);
        let found: Vec<_> = split(&files, splittable, target)
            .iter()
            .map(|parts| parts.iter().map(show).collect::<Vec<_>>().join(", "))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn parts_cover_the_files_once() {
        check(&[("a", 10)], true, 4, &["a 0..2", "a 2..5", "a 5..7", "a 7..10"]);
        check(&[("a", 3), ("b", 5)], true, 2, &["a 0..3, b 0..1", "b 1..5"]);
        check(&[("a", 3), ("b", 5)], false, 2, &["a 0..3, b 0..5"]);
        check(
            &[("a", 4), ("b", 4), ("c", 4), ("d", 4)],
            false,
            2,
            &["a 0..4, b 0..4", "c 0..4, d 0..4"],
        );
        check(&[("a.gz", 9), ("b", 1)], true, 2, &["a.gz 0..9", "b 0..1"]);
        check(&[("a", 1)], true, 4, &["a 0..1"]);
        check(&[("a", 0)], true, 4, &["a 0..0"]);
    }
}

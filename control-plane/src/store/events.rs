//! Reading whole logs, the same in every database: in pages that are bounded in bytes.

use weir_model::RunId;

use super::encoding::decode_event;
use super::{Error, EventPage};

/// Events of one page, however small they are.
pub(super) const MOST: i64 = 5_000;
/// Bytes of events that take longer to decode than others should wait for.
const LARGE: usize = 256 << 10;

/// The events of a run after a place, with their bytes bounded. Sizes are summed before a payload is read.
pub(super) const PAGE: &str = "SELECT seq, at, payload FROM run_events WHERE run_id = $1 AND seq > $2 AND seq <= (
        SELECT coalesce(max(seq), $2) FROM (
            SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS bytes_before FROM (
                SELECT seq, octet_length(payload) AS bytes FROM run_events WHERE run_id = $1 AND seq > $2
                ORDER BY seq LIMIT $3
            ) AS sizes
        ) AS sums WHERE bytes_before < $4
    ) ORDER BY seq";

/// An event as it was read: its place, its time and its payload.
pub(super) type Encoded = (i64, i64, String);

/// The page that was read with this bound of bytes.
pub(super) async fn page(run: RunId, read: Vec<Encoded>, bytes: u64) -> Result<EventPage, Error> {
    let size: usize = read.iter().map(|(.., payload)| payload.len()).sum();
    let complete = (read.len() as u64) < MOST.unsigned_abs() && (size as u64) < bytes;
    let decode = move || {
        let event = |(seq, at, payload): Encoded| decode_event(run, seq, at, &payload);
        read.into_iter().map(event).collect()
    };
    let records: Result<_, Error> = match size < LARGE {
        true => decode(),
        false => {
            let decoded = tokio::task::spawn_blocking(decode).await;
            decoded.map_err(|source| Error::Database {
                action: "read the events of a run",
                source: source.into(),
            })?
        }
    };
    Ok(EventPage {
        records: records?,
        complete,
    })
}

//! As many rows as fit into an answer.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::super::{Api, Problem};
use super::{Rows, RowsError};

/// Bytes of rows, as JSON, after which an answer has enough of them.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of a row, as JSON.
const ROW_BYTES: usize = 16 << 20;
/// Rows that are decoded at once.
const AT_ONCE: usize = 256;
/// How long rows may be looked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows that are collected.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Collected {
    /// Whether no more are wanted.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.rows.len() >= limit || self.bytes >= PAGE_BYTES
    }

    /// Takes rows until there are `limit` or their bytes are enough; gives how many were taken, and whether there are
    /// more.
    pub(super) async fn take(&mut self, from: &mut dyn Rows, limit: usize) -> Result<(u64, bool), RowsError> {
        let mut taken = 0;
        while !self.is_full(limit) {
            let rows = from.next((limit - self.rows.len()).min(AT_ONCE)).await?;
            if rows.is_empty() {
                return Ok((taken, false));
            }
            let count = rows.len();
            for (at, row) in rows.into_iter().enumerate() {
                let bytes = json_bytes(&row);
                if bytes > ROW_BYTES {
                    let message =
                        format!("a row takes {bytes} bytes as JSON, and {ROW_BYTES} are allowed; get the file");
                    return Err(RowsError::Unreadable { message });
                }
                self.bytes += bytes;
                self.rows.push(row);
                taken += 1;
                if self.bytes >= PAGE_BYTES && at + 1 < count {
                    return Ok((taken, true));
                }
            }
        }
        Ok((taken, !from.next(1).await?.is_empty()))
    }
}

/// Bytes of a row as JSON.
fn json_bytes(row: &[Value]) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut count, row);
    count.0
}

/// Reads within the time for it; ends when the server does.
pub(super) async fn in_time<T>(api: &Api, read: impl Future<Output = Result<T, RowsError>>) -> Result<T, Problem> {
    let late = |detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).retry_after(1);
    tokio::select! {
        read = tokio::time::timeout(PATIENCE, read) => match read {
            Ok(read) => Ok(read?),
            Err(_) => Err(late("the rows were not found in time; ask for fewer, or get the files")),
        },
        () = api.closing() => Err(late("this server is shutting down; send the request again")),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use futures::stream::{self, BoxStream};

    use super::*;
    use crate::http::resources::Column;
    use crate::http::rows::RowFormat;

    /// Rows with one string of so many bytes each.
    struct Strings(std::vec::IntoIter<usize>);

    #[async_trait]
    impl Rows for Strings {
        fn columns(&self) -> Vec<Column> {
            Vec::new()
        }
        async fn next(&mut self, most: usize) -> Result<Vec<Vec<Value>>, RowsError> {
            let next = self.0.by_ref().take(most);
            Ok(next.map(|bytes| vec![Value::from("x".repeat(bytes))]).collect())
        }
        fn encode(self: Box<Self>, _: RowFormat) -> BoxStream<'static, Result<Bytes, RowsError>> {
            stream::empty().boxed()
        }
    }

    use futures::StreamExt;

    async fn take(sizes: &[usize], limit: usize) -> Result<(u64, bool), RowsError> {
        let mut rows = Strings(Vec::from(sizes).into_iter());
        Collected::default().take(&mut rows, limit).await
    }

    #[tokio::test]
    async fn pages_end_where_they_are_large_enough() {
        assert_eq!(take(&[1, 1, 1], 2).await.unwrap(), (2, true));
        assert_eq!(take(&[1, 1], 2).await.unwrap(), (2, false));
        assert_eq!(take(&[1], 2).await.unwrap(), (1, false));
        assert_eq!(take(&[3 << 20, 3 << 20, 1], 10).await.unwrap(), (2, true));
        assert_eq!(take(&[3 << 20, 3 << 20], 10).await.unwrap(), (2, false));
        assert!(take(&[17 << 20], 10).await.is_err(), "a row that no answer can hold");
    }
}

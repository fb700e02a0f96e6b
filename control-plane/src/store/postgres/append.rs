//! Appends to the logs of many runs in one statement.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use weir_model::RunId;

use super::connect::failed;
use crate::store::encoding::{EncodedEvent, to_i64, word};
use crate::store::{Error, Lease, RunSummary};

/// What is appended to the log of a run.
pub(super) struct Append {
    pub(super) lease: Lease,
    pub(super) events: Vec<EncodedEvent>,
    pub(super) summary: Option<RunSummary>,
    pub(super) dispatched_seq: Option<u64>,
    /// The reason of the summary, as it is written.
    pub(super) reason: Option<String>,
}

impl Append {
    /// About as many bytes as it sends.
    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.payload.len() + 64).sum()
    }
}

/// Every part sees the tables as they were before; what refers to `done` happens for the appends that were accepted.
/// The rows are locked in the order in which they are given, mostly: whoever meets a deadlock tries again.
const APPEND: &str = "
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        WITH ORDINALITY AS w (run_id, epoch, expected_seq, last_seq, dispatched_seq, op)
), done AS (
    UPDATE run_leases AS l
    SET last_seq = coalesce(w.last_seq, l.last_seq), dispatched_seq = greatest(l.dispatched_seq, w.dispatched_seq)
    FROM wanted AS w
    WHERE l.run_id = w.run_id AND l.epoch = w.epoch AND l.owner IS NOT NULL
        AND (w.expected_seq IS NULL OR l.last_seq = w.expected_seq)
    RETURNING w.op, w.run_id
), events AS (
    INSERT INTO run_events (run_id, seq, at, payload)
    SELECT done.run_id, e.seq, e.at, e.payload
    FROM unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::text[]) AS e (op, seq, at, payload)
    JOIN done ON done.op = e.op
), summaries AS (
    UPDATE runs AS r
    SET phase = s.phase, outcome = s.outcome, reason = s.reason, finished_at = s.finished_at, stages = s.stages,
        stages_done = s.stages_done, tasks = s.tasks, tasks_done = s.tasks_done, tasks_waiting = s.tasks_waiting,
        tasks_running = s.tasks_running, tasks_sent = s.tasks_sent, expires_at = s.expires_at,
        -- Whoever cancels a run that goes to its end for another reason does not want it to be tried again either.
        restart_at = CASE WHEN r.cancel_requested_by IS NULL THEN s.restart_at END
    FROM unnest($10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[],
            $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[])
        AS s (op, run_id, phase, outcome, reason, finished_at, stages, stages_done, tasks, tasks_done, tasks_waiting,
            tasks_running, tasks_sent, restart_at, expires_at)
    JOIN done ON done.op = s.op
    JOIN runs AS old ON old.id = s.run_id
    WHERE r.id = s.run_id
    RETURNING r.id, old.phase <> s.phase AS moved
), told AS (
    SELECT pg_notify('weir', 'runs ' || string_agg(id, ' ')) FROM summaries WHERE moved HAVING count(*) > 0
)
SELECT op, (SELECT count(*) FROM told) FROM done";

/// Appends, at most one per run. The answers say which were made, or had been made before.
pub(super) async fn append(
    connection: &mut PgConnection,
    appends: &[&Append],
) -> Result<Vec<Result<(), Error>>, Error> {
    let mut made = try_append(connection, appends, false).await?;
    if made.len() < appends.len() {
        let others: Vec<usize> = (0..appends.len()).filter(|op| !made.contains(op)).collect();
        let repeated: Vec<&Append> = others.iter().map(|op| appends[*op]).collect();
        let known = try_append(connection, &repeated, true).await?;
        made.extend(known.into_iter().map(|op| others[op]));
    }
    let answer = |(op, append): (usize, &&Append)| match made.contains(&op) {
        true => Ok(()),
        false => Err(Error::Fenced { run: append.lease.run }),
    };
    Ok(appends.iter().enumerate().map(answer).collect())
}

/// Makes those appends whose lease is current and whose log ends before their first event, or, when they are `repeated`,
/// does without the events and wants the log to end with their last one.
async fn try_append(
    connection: &mut PgConnection,
    appends: &[&Append],
    repeated: bool,
) -> Result<HashSet<usize>, Error> {
    let mut heads = Heads::default();
    let mut events = Events::default();
    let mut summaries = Summaries::default();
    for (op, append) in (1..).zip(appends) {
        heads.push(append, repeated);
        if !repeated {
            events.push(op, &append.events);
        }
        if let Some(summary) = &append.summary {
            summaries.push(op, append.lease.run, summary, append.reason.as_deref());
        }
    }
    let query = sqlx::query(APPEND)
        .bind(heads.runs)
        .bind(heads.epochs)
        .bind(heads.expected)
        .bind(heads.last)
        .bind(heads.dispatched)
        .bind(events.ops)
        .bind(events.seqs)
        .bind(events.ats)
        .bind(events.payloads)
        .bind(summaries.ops)
        .bind(summaries.runs)
        .bind(summaries.phases)
        .bind(summaries.outcomes)
        .bind(summaries.reasons)
        .bind(summaries.finished_at);
    let query = summaries
        .counts
        .into_iter()
        .fold(query, |query, counts| query.bind(counts));
    let query = query.bind(summaries.restart_at).bind(summaries.expires_at);
    let rows = query.fetch_all(connection).await.map_err(failed("append events"))?;
    let op = |row: &sqlx::postgres::PgRow| {
        let op: i64 = row.try_get(0).map_err(failed("append events"))?;
        // Numbered from one.
        Ok(usize::try_from(op).unwrap_or(0).saturating_sub(1))
    };
    rows.iter().map(op).collect()
}

#[derive(Default)]
struct Heads {
    runs: Vec<String>,
    epochs: Vec<i64>,
    expected: Vec<Option<i64>>,
    last: Vec<Option<i64>>,
    dispatched: Vec<Option<i64>>,
}

impl Heads {
    fn push(&mut self, append: &Append, repeated: bool) {
        let (first, last) = (append.events.first(), append.events.last());
        let last = last.map(|event| to_i64(event.seq));
        self.runs.push(append.lease.run.to_string());
        self.epochs.push(to_i64(append.lease.epoch));
        self.expected.push(match repeated {
            true => last,
            // There is no event zero.
            false => first.map(|event| to_i64(event.seq) - 1),
        });
        self.last.push(last);
        self.dispatched.push(append.dispatched_seq.map(to_i64));
    }
}

#[derive(Default)]
struct Events<'a> {
    ops: Vec<i64>,
    seqs: Vec<i64>,
    ats: Vec<i64>,
    payloads: Vec<&'a str>,
}

impl<'a> Events<'a> {
    fn push(&mut self, op: i64, events: &'a [EncodedEvent]) {
        for event in events {
            self.ops.push(op);
            self.seqs.push(to_i64(event.seq));
            self.ats.push(to_i64(event.at.0));
            self.payloads.push(&event.payload);
        }
    }
}

#[derive(Default)]
struct Summaries<'a> {
    ops: Vec<i64>,
    runs: Vec<String>,
    phases: Vec<String>,
    outcomes: Vec<Option<String>>,
    reasons: Vec<Option<&'a str>>,
    finished_at: Vec<Option<i64>>,
    /// Stages, stages done, tasks, tasks done, waiting, running and sent.
    counts: [Vec<i64>; 7],
    restart_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
}

impl<'a> Summaries<'a> {
    fn push(&mut self, op: i64, run: RunId, summary: &RunSummary, reason: Option<&'a str>) {
        self.ops.push(op);
        self.runs.push(run.to_string());
        self.phases.push(word(&summary.phase));
        self.outcomes.push(summary.outcome.as_ref().map(word));
        self.reasons.push(reason);
        self.finished_at.push(summary.finished_at.map(|at| to_i64(at.0)));
        self.restart_at.push(summary.restart_at.map(|at| to_i64(at.0)));
        self.expires_at.push(summary.expires_at.map(|at| to_i64(at.0)));
        let counts = [
            summary.stages,
            summary.stages_done,
            summary.tasks,
            summary.tasks_done,
            summary.tasks_waiting,
            summary.tasks_running,
            summary.tasks_sent,
        ];
        for (column, count) in self.counts.iter_mut().zip(counts) {
            column.push(i64::from(count));
        }
    }
}

/// Whether a statement that appends so many bytes to these runs can make another append: one for each run, and not too
/// much at a time.
pub(super) fn fits(runs: &HashSet<RunId>, bytes: usize, append: &Append) -> bool {
    /// Bytes of events in one statement; a single append may be larger.
    const BYTES: usize = 4 << 20;
    !runs.contains(&append.lease.run) && (runs.is_empty() || bytes + append.bytes() <= BYTES)
}

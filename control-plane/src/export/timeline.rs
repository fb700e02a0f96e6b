//! Attempts over time, by the slots of their workers, as SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::format::{Escaped, millis, word};
use super::length_ms;
use crate::http::resources::Attempt;

/// Slots that are drawn.
const MAX_LANES: usize = 120;
const WIDTH: u64 = 1_000;
const LANE: usize = 14;
const TOP: usize = 20;
/// Colours of stages; they come again when there are more.
pub(super) const COLOURS: u32 = 8;

/// The attempts that a worker ran.
pub(super) fn timeline(attempts: &[Attempt]) -> String {
    let ran = attempts
        .iter()
        .filter(|attempt| attempt.started_at.is_some() && attempt.finished_at.is_some());
    let ran: Vec<&Attempt> = ran.collect();
    let start = ran.iter().filter_map(|attempt| attempt.started_at).min();
    let end = ran.iter().filter_map(|attempt| attempt.finished_at).max();
    let (Some(start), Some(end)) = (start, end) else {
        return "<p class=\"empty\">No worker ran an attempt of it to an end.</p>".to_owned();
    };
    let span = end.0.ms_since(start.0).max(1);
    let place = |ms: u64| (ms as f64 * WIDTH as f64 / span as f64 * 100.0).round() / 100.0;
    let lanes = lanes(&ran);
    let left_out = lanes.len().saturating_sub(MAX_LANES);
    let height = TOP + lanes.len().min(MAX_LANES) * LANE;
    let mut svg = String::new();
    let label = format!("Attempts over {} in {} slots", millis(span), lanes.len());
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<svg class=\"timeline\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\" width=\"100%\" height=\"{height}\">",
        Escaped(&label)
    );
    for tick in 0..=10 {
        let x = tick * WIDTH / 10;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"{height}\"/>"
        );
    }
    for (number, lane) in lanes.iter().take(MAX_LANES).enumerate() {
        let y = TOP + number * LANE;
        for attempt in lane {
            let from = attempt.started_at.map_or(0, |at| at.0.ms_since(start.0));
            let title = format!(
                "task {}.{}, attempt {}: {} after {}, at {}",
                attempt.stage,
                attempt.task,
                attempt.attempt,
                word(&attempt.state),
                millis(length_ms(attempt)),
                millis(from)
            );
            let _ = write!(
                svg,
                "<rect class=\"s{} {}\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                attempt.stage % COLOURS,
                word(&attempt.state).replace(' ', "-"),
                place(from),
                place(length_ms(attempt)).max(0.7),
                LANE - 3,
                Escaped(&title)
            );
        }
    }
    svg.push_str("</svg><ol class=\"ticks\" aria-hidden=\"true\">");
    for tick in 0..=5 {
        let _ = write!(svg, "<li>{}</li>", millis(span * tick / 5));
    }
    svg.push_str("</ol>");
    if left_out > 0 {
        let _ = write!(svg, "<p class=\"note\">{left_out} further slots are not drawn.</p>");
    }
    svg
}

/// Attempts by slots: no two of a slot at once, those of a worker together.
fn lanes<'a>(attempts: &[&'a Attempt]) -> Vec<Vec<&'a Attempt>> {
    let mut workers: BTreeMap<Option<&str>, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        workers.entry(attempt.worker.as_deref()).or_default().push(attempt);
    }
    let mut lanes = Vec::new();
    for of_worker in workers.values_mut() {
        of_worker.sort_by_key(|attempt| attempt.started_at);
        let mut slots: Vec<Vec<&Attempt>> = Vec::new();
        for attempt in of_worker {
            let free = slots
                .iter_mut()
                .find(|slot| slot.last().is_none_or(|last| last.finished_at <= attempt.started_at));
            match free {
                Some(slot) => slot.push(attempt),
                None => slots.push(vec![attempt]),
            }
        }
        lanes.extend(slots);
    }
    lanes
}

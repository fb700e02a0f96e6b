//! `weir run`.

use std::io::{self, Write};

use weir_control_plane::http::resources::Run;
use weir_model::StageOutput;

use crate::args::{OutputFormat, RunArgs};
use crate::drive;
use crate::embedded::Embedded;
use crate::error::Error;
use crate::preview;
use crate::submission;
use crate::summary;

pub(super) async fn execute(args: RunArgs) -> Result<(), Error> {
    let service = Embedded::start(&args.embedded).await?;
    let result = run(&service, &args).await;
    service.shutdown().await;
    result
}

async fn run(service: &Embedded, args: &RunArgs) -> Result<(), Error> {
    let settings = submission::settings(&args.embedded);
    let submission = submission::pipeline(&service.storage, &args.file, &args.params, settings).await?;
    let run = service
        .control_plane
        .submit(submission)
        .await
        .map_err(Error::platform("submit the run"))?;
    let snapshot = drive::to_end(service, run).await?;
    print(service, &snapshot, args.output, args.preview as usize).await?;
    drive::check(&snapshot)
}

/// Prints the summary of a run that is over, with the first rows of its outputs.
pub(super) async fn print(
    service: &Embedded,
    run: &Run,
    output: OutputFormat,
    preview_rows: usize,
) -> Result<(), Error> {
    let shown = service.here.shown(run.id).await?;
    let mut previews = Vec::new();
    if output == OutputFormat::Table && preview_rows > 0 {
        let sinks = shown
            .graph
            .iter()
            .flat_map(|graph| &graph.stages)
            .filter_map(|stage| match &stage.output {
                StageOutput::Sink(sink) => Some(sink),
                _ => None,
            });
        for sink in sinks {
            let Some(written) = run.outputs.iter().find(|written| written.transform == sink.transform) else {
                continue;
            };
            let rows = preview::text(service.storage.s3(), sink, written, preview_rows).await;
            previews.push((&sink.target, rows));
        }
    }
    let mut out = io::stdout().lock();
    summary::print_run(&mut out, run, output).map_err(Error::io("print the summary"))?;
    for (target, rows) in previews {
        writeln!(out, "\nfirst rows of {target}*").map_err(Error::io("print the summary"))?;
        rows.and_then(|rows| out.write_all(&rows))
            .map_err(Error::io(format!("show the first rows of {target}")))?;
    }
    out.flush().map_err(Error::io("print the summary"))?;
    if output == OutputFormat::Table {
        summary::mention_findings(&shown.diagnose());
    }
    Ok(())
}

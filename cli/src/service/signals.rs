//! Being told to stop.

use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Does what a process of the service is for. The token that `work` gets is cancelled by SIGTERM, by Ctrl-C, and, for a
/// worker that was started by a server, when that server is gone; a second Ctrl-C ends the work at once.
pub(crate) async fn serve<F>(work: impl FnOnce(CancellationToken) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let stop = CancellationToken::new();
    if std::env::var("WEIR_EXIT_ON_STDIN_CLOSE").is_ok_and(|value| value == "true") {
        exit_with_parent(stop.clone())?;
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(Error::io("listen for SIGTERM"))?;
    let abandoned = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is under way"),
            _ = tokio::signal::ctrl_c() => tracing::info!("Ctrl-C: finishing what is under way; again to stop at once"),
        }
        stop.cancel();
        match tokio::signal::ctrl_c().await {
            Ok(()) => Err(Error::Interrupted),
            Err(error) => Err(Error::io("listen for Ctrl-C")(error)),
        }
    };
    tokio::select! {
        done = work(stop.clone()) => done,
        abandoned = abandoned => abandoned,
    }
}

/// Cancels `stop` when standard input, a pipe that a parent holds, ends.
fn exit_with_parent(stop: CancellationToken) -> Result<(), Error> {
    // A thread of its own: a blocking read of the runtime would hold up the exit.
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(move || {
            let mut sink = [0; 64];
            let mut stdin = std::io::stdin().lock();
            while std::io::Read::read(&mut stdin, &mut sink).is_ok_and(|read| read > 0) {}
            stop.cancel();
        })
        .map(drop)
        .map_err(Error::io("watch the parent process"))
}

//! Being told to stop.

use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// A token that is cancelled by SIGTERM, by Ctrl-C, and, for a worker that was started by a server, when that server
/// is gone. A second Ctrl-C ends the process at once.
pub(crate) fn stop_token() -> Result<CancellationToken, Error> {
    let stop = CancellationToken::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(Error::io("listen for SIGTERM"))?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is under way"),
            _ = tokio::signal::ctrl_c() => tracing::info!("Ctrl-C: finishing what is under way; again to stop at once"),
        }
        token.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    if std::env::var("WEIR_EXIT_ON_STDIN_CLOSE").is_ok_and(|value| value == "true") {
        exit_with_parent(stop.clone())?;
    }
    Ok(stop)
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

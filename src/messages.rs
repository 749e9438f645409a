//! How the program talks: on stderr, in short lines that begin with its name. stdout is for data.
//!
//! Every line passes [`proto::escape_line`], whoever wrote it, so that nothing a peer, a file or the
//! environment said can move a cursor or turn text around.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write as _};

use proto::escape_line;
#[cfg(feature = "host")]
use proto::escape_whole;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;

#[cfg_attr(unix, path = "messages/unix.rs")]
#[cfg_attr(windows, path = "messages/windows.rs")]
mod platform;

#[cfg(all(windows, feature = "host"))]
pub(crate) use platform::to_log;

const NAME: &str = "secrets-bridge";

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Volume {
    /// `-q`: errors only.
    Quiet,
    /// A few lines that a build log can bear.
    Normal,
    /// `-v`: what was tried, and how it went.
    Verbose,
    /// `-vv`: everything there is.
    Everything,
}

/// Sets up messages for the life of the process.
pub(crate) fn start(volume: Volume) {
    let level = match volume {
        Volume::Quiet => LevelFilter::ERROR,
        Volume::Normal => LevelFilter::INFO,
        Volume::Verbose => LevelFilter::DEBUG,
        Volume::Everything => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(platform::output)
        .event_format(OneLine)
        .finish();
    // A second call (there is none) would leave the first one in force.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// An event as one line: name, level if it matters, message and fields.
struct OneLine;

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = String::new();
        context.field_format().format_fields(Writer::new(&mut message), event)?;
        let prefix = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::INFO => "",
            Level::DEBUG => "debug: ",
            Level::TRACE => "trace: ",
        };
        writeln!(writer, "{NAME}: {prefix}{}", escape_line(&message))
    }
}

/// The one error that ends the program, with its causes and a hint.
pub(crate) fn failure(failure: &Failure) {
    let text = explain(failure);
    for (index, line) in text.lines().enumerate() {
        if index == 0 { say(&format!("{NAME}: {line}")) } else { say(line) }
    }
}

/// An error in words: a line of its own for each thing that it lists, its causes, and a hint.
pub(crate) fn explain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        let shown = error.to_string();
        // An error that already says its cause is not made to say it twice.
        if !text.contains(&shown) {
            text = format!("{text}: {shown}");
        }
        cause = error.source();
    }
    match failure.hint() {
        Some(hint) => format!("{text}\nhint: {hint}"),
        None => text,
    }
}

/// One line on stderr, whatever the volume.
pub(crate) fn say(line: &str) {
    // Where stderr is gone, nobody can be told so.
    let _ = writeln!(platform::output(), "{}", escape_line(line));
}

/// As [`say`], but nothing is cut off: for what somebody is asked to agree to.
#[cfg(feature = "host")]
pub(crate) fn say_whole(line: &str) {
    let _ = writeln!(io::stderr(), "{}", escape_whole(line));
}

/// One line of data on stdout.
///
/// # Errors
/// [`Failure::Io`] if nobody takes it.
pub(crate) fn data(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::io("cannot write to standard output", error))
}

//! Messages on standard error, in short lines that begin with the program's name, and data on standard output.
//!
//! Every line passes [`proto::escape_line`], whatever its source: nothing that came from a peer, a file or the
//! environment can move a cursor or reorder text.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write as _};

use proto::{escape_line, escape_whole};
use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;

#[cfg_attr(unix, path = "messages/unix.rs")]
#[cfg_attr(windows, path = "messages/windows.rs")]
mod platform;

#[cfg(windows)]
pub(crate) use platform::to_log;

const NAME: &str = "secrets-bridge";

/// How much is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verbosity {
    /// `-q`: errors only.
    Quiet,
    /// A few lines, so that a build log stays readable.
    Normal,
    /// `-v`: what is tried, and how it goes.
    Verbose,
    /// `-vv`.
    Everything,
}

/// Sets up messages for the life of the process.
pub(crate) fn start(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Quiet => LevelFilter::ERROR,
        Verbosity::Normal => LevelFilter::INFO,
        Verbosity::Verbose => LevelFilter::DEBUG,
        Verbosity::Everything => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(platform::output)
        // It would report a message that cannot be written by `eprintln`, which panics where stderr is that full disk.
        .log_internal_errors(false)
        .event_format(OneLine)
        .fmt_fields(debug_fn(write_field))
        .finish();
    // It is called once; a second call would have no effect.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// An event as one line: the program's name, the level if it is not INFO, the spans (the connection and session),
/// message and fields.
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
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                message += &format!("{}: ", fields.fields);
            }
        }
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

/// Writes a field's value, with the field's name where it says more: `peer` is an address.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" | "peer" => write!(writer, "{value:?}"),
        "session" => write!(writer, "session {value:?}"),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// Prints the error that ends the program, with its causes and a hint.
pub(crate) fn failure(failure: &Failure) {
    if matches!(failure, Failure::OutputClosed) {
        return;
    }
    let text = explain(failure);
    for (index, line) in text.lines().enumerate() {
        if index == 0 { print(&format!("{NAME}: {line}")) } else { print(line) }
    }
}

/// The error with its causes, and a hint on a line of its own.
pub(crate) fn explain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        let shown = error.to_string();
        // Some errors include their cause in their own text.
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

/// Prints one line on stderr, also under `-q`.
pub(crate) fn print(line: &str) {
    // There is nowhere to report that stderr is closed.
    let _ = writeln!(platform::output(), "{}", escape_line(line));
}

/// As [`print`], but never shortened: for text that a person is asked to approve.
pub(crate) fn print_unabridged(line: &str) {
    let _ = writeln!(io::stderr(), "{}", escape_whole(line));
}

/// Writes one line of data to stdout. It is no error if the reader has closed the pipe, as `head` does: nothing else
/// depends on the line, and the command has an exit code of its own.
///
/// # Errors
/// [`Failure::Io`], such as for a full disk.
pub(crate) fn data(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

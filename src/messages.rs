//! Messages on standard error, in short lines that begin with the program's name, and data on standard output.
//!
//! Every line passes [`proto::escape_line`], whatever its source: nothing that came from a peer, a file or the
//! environment can move a cursor or reorder text.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use proto::{escape_line, escape_whole};
use tracing::callsite::Identifier;
use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;

mod log;

use log::{Limit, Log, Message};

#[cfg_attr(unix, path = "messages/unix.rs")]
#[cfg_attr(windows, path = "messages/windows.rs")]
mod platform;

#[cfg(windows)]
pub(crate) use platform::to_log;

const NAME: &str = "secrets-bridge";

/// For each kind of message: some 300 lines at once, then a line every few seconds.
const LIMIT: Limit = Limit { burst: 32 << 10, refill: 32 };
/// As [`LIMIT`], with `-v` and `-vv`, for a look at what goes wrong.
const VERBOSE_LIMIT: Limit = Limit { burst: 512 << 10, refill: 512 };
/// Most bytes of a message before it is escaped, which cuts it to less: a peer's text must not be copied whole before.
const MAX_MESSAGE: usize = 16 << 10;

static LOG: OnceLock<Mutex<Log<Identifier>>> = OnceLock::new();

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
    let limit = match verbosity {
        Verbosity::Quiet | Verbosity::Normal => LIMIT,
        Verbosity::Verbose | Verbosity::Everything => VERBOSE_LIMIT,
    };
    let _ = LOG.set(Mutex::new(Log::new(limit)));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(platform::log)
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
        let mut message = Capped(String::new());
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(message, "{}: ", fields.fields)?;
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
        let line = format!("{prefix}{}", escape_line(&message.0));
        let mut lines = Vec::new();
        match log_state() {
            Some(mut log) => {
                let metadata = event.metadata();
                let message = Message { place: metadata.callsite(), target: metadata.target(), line };
                log.add(message, Instant::now(), &mut lines);
            }
            None => lines.push(line),
        }
        lines.iter().try_for_each(|line| writeln!(writer, "{NAME}: {line}"))
    }
}

/// Text up to [`MAX_MESSAGE`]; what follows is dropped.
struct Capped(String);

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_MESSAGE.saturating_sub(self.0.len());
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Ok(())
    }
}

fn log_state() -> Option<MutexGuard<'static, Log<Identifier>>> {
    Some(LOG.get()?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Prints how many messages were left out or repeated, if any were. To be called before the process ends or is replaced.
pub(crate) fn finish() {
    let mut lines = Vec::new();
    if let Some(mut log) = log_state() {
        log.finish(&mut lines);
    }
    for line in lines {
        // In one piece: the next write begins a new line.
        let _ = platform::log().write_all(format!("{NAME}: {line}\n").as_bytes());
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
    finish();
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

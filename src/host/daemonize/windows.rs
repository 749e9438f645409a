//! The background process has no console and inherits nothing: `$conf = secrets-bridge serve -d …` would wait for the end of
//! whatever it inherited. So it opens a named pipe of the foreground process, and everything goes through that.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::time::Duration;

use bridge_host::{SecretSpec, Source};
use local_ipc::LocalListener;
use local_ipc::windows::pipe;
use proto::Secret;
use proto::limits::MAX_SECRET;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use winsafe::{STARTUPINFO, co};

use super::{
    COMMAND, MAX_LENGTH, cannot_start, decode_arguments, encode_arguments, handle_answer, read_number,
};
use crate::failure::Failure;
use crate::messages;
use crate::runtime::block_on;

/// Time for the background process to open the pipe. Longer than a virus scanner takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The foreground process: starts the background process with our own arguments, and returns when the bridge is ready.
///
/// # Errors
/// [`Failure::Background`] with the background process's message.
pub(crate) fn start(log: &Path, specs: &[SecretSpec]) -> Result<u32, Failure> {
    // If that fails, the user has to see it here: the background process has nowhere else to write to.
    bridge_host::private_file::append(log)
        .map_err(|error| Failure::io(format!("cannot open {}", log.display()), error))?;
    let mut request = encode_arguments(std::env::args_os()).map_err(cannot_start)?;
    if specs.iter().any(|spec| matches!(spec.source, Source::Stdin)) {
        io::stdin().lock().take(MAX_SECRET + 1).read_to_end(&mut request).map_err(cannot_start)?;
    }
    let request = Secret::new(request);
    let (process, answer) = block_on(start_background(&request))?.map_err(cannot_start)?;
    handle_answer(process, &answer, log)
}

/// Starts the background process and sends it `request` with its length (32 bits, big-endian). Returns its process id and its
/// answer.
async fn start_background(request: &Secret) -> io::Result<(u32, Secret)> {
    let (listener, path) = LocalListener::bind_random("serve")?;
    let process = spawn(&path)?;
    let accepted =
        timeout(CONNECT_TIMEOUT, listener.accept()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut stream = accepted.ok_or(io::ErrorKind::PermissionDenied)?;
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(request.expose()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_LENGTH).read_to_end(&mut answer).await?;
    Ok((process, Secret::new(answer)))
}

fn spawn(pipe: &Path) -> io::Result<u32> {
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    // Neither contains a quote: no path does on Windows.
    let line = format!("\"{program}\" {COMMAND} {}", pipe.display());
    let flags = co::CREATE::DETACHED_PROCESS;
    let mut info = STARTUPINFO::default();
    let process =
        winsafe::CreateProcess(Some(program), Some(&line), None, None, false, flags, &[], None, &mut info);
    match process {
        Ok(process) => Ok(process.dwProcessId),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw().cast_signed())),
    }
}

/// The pipe to the foreground process.
pub(super) struct Foreground(File);

impl Foreground {
    /// The connection, the arguments, and the contents of standard input as far as they are a secret's source.
    pub(super) fn connect(pipe: &str) -> io::Result<(Self, Vec<OsString>, Option<Secret>)> {
        let mut pipe = pipe::open_blocking(pipe.as_ref())?;
        let length = read_number(&mut pipe)?;
        let mut request = (&mut pipe).take(u64::from(length));
        let arguments = decode_arguments(&mut request)?;
        let mut input = Vec::new();
        request.take(MAX_SECRET + 1).read_to_end(&mut input)?;
        Ok((Self(pipe), arguments, Some(Secret::new(input))))
    }

    /// Sends the answer and closes the pipe, because the foreground process reads to its end.
    pub(super) fn answer(mut self, answer: &[u8]) -> io::Result<()> {
        self.0.write_all(answer)
    }
}

pub(super) fn send_messages_to_log(log: Option<&Path>) -> Result<(), Failure> {
    let Some(log) = log else { return Ok(()) };
    let file = bridge_host::private_file::append(log)
        .map_err(|error| Failure::io(format!("cannot open {}", log.display()), error))?;
    messages::to_log(file);
    Ok(())
}

/// Units of UTF-16, big-endian.
pub(super) fn to_bytes(argument: OsString) -> Vec<u8> {
    argument.encode_wide().flat_map(u16::to_be_bytes).collect()
}

pub(super) fn from_bytes(argument: Vec<u8>) -> OsString {
    let units: Vec<u16> = argument.as_chunks().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
    OsString::from_wide(&units)
}

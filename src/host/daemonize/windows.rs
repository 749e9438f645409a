//! The background half has no console and inherits nothing: of what is inherited, `$conf = secrets-bridge serve -d …`
//! would wait for the end. So the pipe is a named one of this user's, and everything travels through it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use bridge_host::{SecretSpec, Source};
use local_ipc::windows::access;
use local_ipc::windows::pipe::{IDENTIFICATION, PrivatePipe, random_name};
use proto::Secret;
use proto::limits::MAX_SECRET;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use winsafe::{STARTUPINFO, co};

use super::{COMMAND, FAILED, MAX_LENGTH, READY, cannot_start, conclude, not_by_hand, read_length};
use crate::failure::Failure;
use crate::host::serve::Serve;
use crate::messages;
use crate::runtime::block_on;

/// Time for the background half to say that it is there. Longer than a virus scanner takes.
const START: Duration = Duration::from_secs(60);

/// The foreground half: starts the other one with our own arguments, and returns when it is ready.
///
/// # Errors
/// [`Failure::Background`] with what the background half says.
pub(crate) fn start(log: &Path, specs: &[SecretSpec]) -> Result<u32, Failure> {
    // Told here, and not by a bridge that never was.
    bridge_host::private_file::append(log)
        .map_err(|error| Failure::io(format!("cannot open {}", log.display()), error))?;
    let mut request = arguments(std::env::args_os()).map_err(cannot_start)?;
    if specs.iter().any(|spec| matches!(spec.source, Source::Stdin)) {
        io::stdin().lock().take(MAX_SECRET + 1).read_to_end(&mut request).map_err(cannot_start)?;
    }
    let request = Secret::new(request);
    let (process, answer) = block_on(converse(&request))?.map_err(cannot_start)?;
    conclude(process, &answer, log)
}

/// Starts the background half, gives it `request`, and returns its process id and its answer.
async fn converse(request: &Secret) -> io::Result<(u32, Secret)> {
    let name = random_name("secrets-bridge-serve");
    let pipe = PrivatePipe::create(&name)?;
    let process = spawn(&name)?;
    let mut connection = timeout(START, pipe.accept()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    connection.write_all(&length.to_be_bytes()).await?;
    connection.write_all(request.expose()).await?;
    let mut answer = Vec::new();
    connection.take(MAX_LENGTH).read_to_end(&mut answer).await?;
    Ok((process, Secret::new(answer)))
}

fn spawn(pipe: &str) -> io::Result<u32> {
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    // Neither holds a quote: no path does on Windows.
    let line = format!("\"{program}\" {COMMAND} {pipe}");
    let flags = co::CREATE::DETACHED_PROCESS;
    let mut info = STARTUPINFO::default();
    let process =
        winsafe::CreateProcess(Some(program), Some(&line), None, None, false, flags, &[], None, &mut info);
    match process {
        Ok(process) => Ok(process.dwProcessId),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw().cast_signed())),
    }
}

/// The background half; the other one listens at `pipe`.
pub(crate) fn run(pipe: &str) -> Result<u32, Failure> {
    let mut pipe = open(pipe).map_err(not_by_hand)?;
    let (arguments, input) = receive(&mut pipe).map_err(not_by_hand)?;
    let mut pipe = Some(pipe);
    let result = serve(arguments, input, &mut pipe);
    // Once it has hung up, only the log is left to tell.
    if let (Err(failure), Some(mut pipe)) = (&result, pipe) {
        let text = [&[FAILED], messages::explain(failure).as_bytes()].concat();
        let _ = pipe.write_all(&text);
    }
    result
}

fn open(pipe: &str) -> io::Result<File> {
    let pipe = OpenOptions::new().read(true).write(true).security_qos_flags(IDENTIFICATION).open(pipe)?;
    if access::is_of_trusted_owner(&pipe)? { Ok(pipe) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn serve(arguments: Vec<OsString>, input: Secret, pipe: &mut Option<File>) -> Result<u32, Failure> {
    let Some(invocation) = crate::cli::parse(arguments)? else { return Ok(0) };
    let Some(serve) = invocation.options_of::<Serve>("serve")? else {
        return Ok(0); // the foreground half is `serve` itself, so there is nothing else to be
    };
    if let Some(log) = serve.log() {
        let file = bridge_host::private_file::append(log);
        messages::to_log(file.map_err(|error| Failure::io(format!("cannot open {}", log.display()), error))?);
    }
    messages::start(invocation.verbosity()?);
    serve.serve(Some(input), |conf| {
        // With it goes the connection, whose end the other half waits for.
        let mut pipe = pipe.take().ok_or(io::ErrorKind::NotConnected)?;
        let answer = Secret::new([&[READY], conf].concat());
        pipe.write_all(answer.expose())
    })
}

/// What the foreground half sends: the number of arguments, then each with its length in units of UTF-16 (32 bits,
/// big-endian); what follows is the input.
fn arguments(arguments: impl Iterator<Item = OsString>) -> io::Result<Vec<u8>> {
    let length = |length: usize| u32::try_from(length).map(u32::to_be_bytes).map_err(io::Error::other);
    let arguments: Vec<Vec<u16>> = arguments.map(|argument| argument.encode_wide().collect()).collect();
    let mut bytes = length(arguments.len())?.to_vec();
    for argument in &arguments {
        bytes.extend(length(argument.len())?);
        bytes.extend(argument.iter().flat_map(|unit| unit.to_be_bytes()));
    }
    Ok(bytes)
}

/// The arguments and the input.
fn receive(pipe: &mut impl Read) -> io::Result<(Vec<OsString>, Secret)> {
    let length = read_length(pipe)?;
    let mut request = pipe.take(u64::from(length));
    let mut left = MAX_LENGTH;
    let mut arguments = Vec::new();
    for _ in 0..read_length(&mut request)? {
        let length = read_length(&mut request)?;
        let size = u64::from(length) * 2;
        left = left.checked_sub(size + 4).ok_or(io::ErrorKind::InvalidData)?;
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        request.read_exact(&mut bytes)?;
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
        arguments.push(OsString::from_wide(&units));
    }
    let mut input = Vec::new();
    request.take(MAX_SECRET + 1).read_to_end(&mut input)?;
    Ok((arguments, Secret::new(input)))
}

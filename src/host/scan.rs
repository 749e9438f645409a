//! `scan`: searches an image for secrets.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bridge_host::{HttpCredentials, NamedFile, SecretStore, Source, child};
use clap::Args;
use image_scan::{Engine, NotUnpacked, Outcome, Progress, Report, scan_path, scan_stream};
use serde::Serialize;
use tracing::info;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::host::inspection::warn_of_encoding;
use crate::host::options::project::ProjectOptions;
use crate::host::options::secret;
use crate::host::settings::Settings;
use crate::host::stdin;
use crate::messages;
use crate::runtime::block_on;
use crate::usage::UsageError;
use crate::values::{self, Format};

mod engine_choice;
mod searched;
mod target;

pub(crate) use searched::Searched;
pub(crate) use target::{ImageName, ScanTarget};

use searched::Leaks;

const FOUND: u32 = 1;
/// The first report of progress; the interval doubles with each, up to [`MAX_PROGRESS_INTERVAL`].
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
const MAX_PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = "\
Every byte of every layer is searched: a file that a later layer deletes is still in the image. Layers may be plain, or
compressed by gzip, zstd, xz or bzip2. If a layer could not be read as an archive of files (it is encrypted, damaged, not
in the archive or of another format), the exit code is 125, and the message names it.

What is compressed in files is searched too, with gzip, zlib (git objects and packs) or zip (wheels, jars). Other formats,
encrypted and corrupt data in files are counted and searched as they are.

Examples:
  docker save app | secrets-bridge scan --secret NPM_TOKEN
  secrets-bridge scan --secret NPM_TOKEN --engine podman app
  secrets-bridge scan --secret-from-file netrc=$HOME/.netrc ./app.tar
  secrets-bridge scan --secret id=token,cmd='pass show token' ./app.tar

Exit codes:
  0    No secret was found
  1    A secret was found
  125  Not everything could be searched")]
pub(crate) struct Scan {
    /// Image to search [default: standard input (-)]
    ///
    /// An archive that `docker save` has written, an OCI archive (both may be compressed), or a directory in the OCI layout or
    /// as `skopeo copy` writes it to `dir:`.
    /// With --engine, it is the name of an image, unless it begins with ./, ../ or /.
    #[arg(value_name = "IMAGE.tar|DIRECTORY|-", default_value = "-", hide_default_value = true)]
    image: OsString,
    /// Search an image that PROGRAM has: docker, podman, nerdctl or buildah
    ///
    /// PROGRAM is a name in PATH, or an absolute path.
    #[arg(long, value_name = "PROGRAM")]
    engine: Option<OsString>,
    /// Search for a secret, spelled as for `serve` (may be repeated)
    ///
    /// Its source is read at the start. `secrets-bridge serve --help` describes SECRET.
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<OsString>,
    /// Search for the contents of FILE (may be repeated)
    ///
    /// Without KEY, the key is FILE as it is written.
    #[arg(long = "secret-from-file", value_name = "[KEY=]FILE")]
    secrets_from_files: Vec<OsString>,
    /// Print findings as text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten, next_help_heading = "Project file")]
    project: ProjectOptions,
}

impl Command for Scan {
    fn run(self) -> Result<u32, Failure> {
        let format = values::format(self.format.as_deref())?;
        let specs = secret::specs(&self.secrets, &self.secrets_from_files)?;
        let given = Settings { secrets: specs, ..Settings::default() };
        let Settings { secrets: specs, http, .. } = match self.project.settings()? {
            Some(file) => given.or(file),
            None => given,
        };
        let from_stdin = self.image == *"-";
        let in_engine = match &self.engine {
            Some(_) if from_stdin => {
                return Err(UsageError::option("--engine", "needs the name of an image").into());
            }
            Some(engine) => Some(ScannedImage::in_engine(ScanTarget::parse(&self.image)?, engine)?),
            None => None,
        };
        if specs.is_empty() && http.is_empty() {
            let problem =
                "no secret to search for: add --secret or --secret-from-file, or use a project file";
            return Err(UsageError::CommandLine(problem.to_owned()).into());
        }
        if from_stdin && specs.iter().any(|spec| matches!(spec.source, Source::Stdin)) {
            let problem = "standard input cannot be both the image and the source of a secret";
            return Err(UsageError::option("--secret", problem).into());
        }
        if from_stdin && io::stdin().is_terminal() {
            let problem =
                "standard input is a terminal: name an archive, or pipe `docker save IMAGE` into this";
            return Err(UsageError::CommandLine(problem.to_owned()).into());
        }
        let store = SecretStore::open_and_inspect(specs, warn_of_encoding)?;
        let http = HttpCredentials::open(http, &store)?;
        let searched = block_on(async {
            Ok::<_, Failure>(Searched::all(store.read_all().await?, http.read_all().await?))
        })??;
        if let Some(image) = in_engine {
            return image.search(&searched, format);
        }
        search(&searched, format, |finder, progress| {
            if from_stdin {
                stdin::widen();
                // Without the lock, which cannot move to another thread; there is no other reader.
                scan_stream(finder, io::stdin(), progress)
            } else {
                scan_path(finder, Path::new(&self.image), progress)
            }
        })
    }
}

/// What `run --scan` or `scan --engine` searches.
pub(crate) enum ScannedImage {
    File(NamedFile),
    InEngine(Engine, ImageName),
}

impl ScannedImage {
    /// What `run` searches after COMMAND. Decides by which program an image is saved before COMMAND runs: a start error is
    /// cheaper than a build.
    ///
    /// # Errors
    /// [`UsageError`] if that is not known, or `--engine` is given and nothing to search.
    pub(crate) fn after_command(
        target: Option<ScanTarget>,
        engine: Option<&OsStr>,
        command: &[OsString],
    ) -> Result<Option<Self>, UsageError> {
        match (target, engine) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(UsageError::option("--engine", "needs --scan")),
            (Some(target), Some(engine)) => Self::in_engine(target, engine).map(Some),
            (Some(ScanTarget::File(file)), None) => Ok(Some(Self::File(file))),
            (Some(ScanTarget::Image(name)), None) => {
                Ok(Some(Self::InEngine(engine_choice::of_command(command)?, name)))
            }
        }
    }

    fn in_engine(target: ScanTarget, engine: &OsStr) -> Result<Self, UsageError> {
        let engine = engine_choice::named(engine)?;
        Ok(match target {
            ScanTarget::File(file) => Self::File(file),
            ScanTarget::Image(name) => Self::InEngine(engine, name),
        })
    }

    /// Returns the exit code of `scan`.
    ///
    /// # Errors
    /// [`Failure::Scan`] if not everything could be searched.
    pub(crate) fn search(&self, searched: &[Searched], format: Format) -> Result<u32, Failure> {
        match self {
            Self::File(file) => {
                file.check_links()
                    .map_err(|error| Failure::io(format!("cannot read {}", file.path().display()), error))?;
                search(searched, format, |finder, progress| scan_path(finder, file.path(), progress))
            }
            Self::InEngine(engine, name) => {
                info!("searching the image {name}, as {} saves it", engine.program().display());
                search(searched, format, |finder, progress| {
                    engine.scan(finder, name.as_str(), progress, child::spawn_helper)
                })
            }
        }
    }
}

fn search(
    searched: &[Searched],
    format: Format,
    scan: impl FnOnce(&Leaks, &Progress) -> Outcome,
) -> Result<u32, Failure> {
    let finder = Leaks::of(searched)?;
    let begun = Instant::now();
    let Outcome { report, failure } = watched(|progress| scan(&finder, progress));
    match format {
        Format::Text => {
            for finding in &report.findings {
                messages::data(&finding.to_string())?;
            }
        }
        Format::Json => messages::data(&as_json(&report, failure.is_none())?)?,
    }
    if !report.not_in_archive.is_empty() {
        info!("not in the archive, so not searched: {}", report.not_in_archive.join(", "));
    }
    if failure.is_none() || !report.is_clean() {
        info!("{}", sentence(&report, begun.elapsed()));
    }
    match failure {
        Some(failure) => Err(failure.into()),
        None if report.is_clean() => Ok(0),
        None => Ok(FOUND),
    }
}

/// Runs `work`, and reports its progress if it takes a while.
fn watched<T>(work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    let (working, done) = channel::<()>();
    thread::scope(|scope| {
        let working = working;
        scope.spawn(|| {
            let done = done;
            let mut interval = PROGRESS_INTERVAL;
            while done.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                match progress.bytes() {
                    // `docker save` writes nothing until it has collected the layers.
                    0 => info!("waiting for the first bytes of the image"),
                    bytes => info!("{} searched so far", megabytes(bytes)),
                }
                interval = (interval * 2).min(MAX_PROGRESS_INTERVAL);
            }
        });
        let outcome = work(&progress);
        drop(working);
        outcome
    })
}

fn sentence(report: &Report, took: Duration) -> String {
    let found = report.findings.len() as u64 + report.more;
    let found = match found {
        0 => "no secret found".to_owned(),
        1 => "1 finding".to_owned(),
        number if report.more > 0 => format!("{number} findings, of which {} are not listed", report.more),
        number => format!("{number} findings"),
    };
    let elsewhere = match report.layers_elsewhere {
        0 => String::new(),
        number => format!("; {number} layers are not in the archive"),
    };
    let (images, layers, size) = (report.images, report.layers, megabytes(report.bytes));
    let took = took.as_secs_f64();
    let attestations = match report.attestations {
        0 => String::new(),
        number => format!(", attestations: {number}"),
    };
    let NotUnpacked { corrupt, encrypted, unsupported } = report.not_unpacked;
    let packed = match corrupt.saturating_add(encrypted).saturating_add(unsupported) {
        0 => String::new(),
        _ => format!(
            "; compressed data inside files that was not unpacked: {unsupported} in other formats, {encrypted} encrypted, \
             {corrupt} corrupt"
        ),
    };
    format!(
        "{found}: images: {images}, layers: {layers}{attestations}, {size} in {took:.1} s{elsewhere}{packed}"
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

fn as_json(report: &Report, complete: bool) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Document<'r> {
        clean: bool,
        /// Everything was searched.
        complete: bool,
        #[serde(flatten)]
        report: &'r Report,
    }
    serde_json::to_string(&Document { clean: complete && report.is_clean(), complete, report })
        .map_err(|error| Failure::io("cannot write JSON", io::Error::other(error)))
}

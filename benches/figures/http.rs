//! HTTP requests by rules, compared with direct access by a build that has the token.

mod client;
mod link;
mod servers;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::measure::{median, pairs};
use crate::programs::{Bridge, Programs, run};
use crate::table::{Table, Value};
use crate::{LOOPBACK, Result, bytes, delay_proxy, megabytes};
use client::Client;
use servers::Servers;

/// The large file.
const LARGE: u64 = 1_000_000_000;
/// How often large things are measured, in pairs.
const RUNS: usize = 5;
/// Requests for one time of a small one.
const REQUESTS: usize = 300;
/// Delay in each direction where round trips are counted.
const FAR: Duration = Duration::from_millis(50);

pub(crate) fn figures(programs: &Programs, table: &mut Table) -> Result<()> {
    let servers = Servers::start()?;
    start(programs, &servers, table)?;
    small_requests(programs, &servers, table)?;
    far_requests(programs, &servers, table)?;
    loopback(programs, &servers, table)?;
    link::over_a_link(programs, table)?;
    package_managers(programs, &servers, table)
}

/// The time from `exec` to COMMAND's first byte of output.
fn start(programs: &Programs, servers: &Servers, table: &mut Table) -> Result<()> {
    let bridge = servers.bridge(programs, &[LOOPBACK, "--secret", "TOKEN=a small secret"])?;
    let first_byte = |mut command: Command| -> Result<Duration> {
        let began = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut byte = [0];
        let stdout = child.stdout.as_mut().ok_or("no standard output")?;
        std::io::Read::read_exact(stdout, &mut byte)?;
        let took = began.elapsed();
        child.wait()?;
        Ok(took)
    };
    let exec = |option: &[&str]| {
        let mut exec = programs.client_with(&bridge.conf, &["exec", "--no-mask", "--leaks=off"]);
        exec.args(option).args(["--", "/bin/echo", "x"]);
        exec
    };
    let mut differences = Vec::new();
    for _ in 0..100 {
        let with = first_byte(exec(&["--http"]))?;
        let without = first_byte(exec(&["-e", "TOKEN"]))?;
        differences.push(with.as_secs_f64() - without.as_secs_f64());
    }
    let more = Duration::from_secs_f64(median(differences.into_iter()).max(0.0));
    table.limited("`exec --http` to COMMAND's start, over `exec -e`", crate::ms(3.0), Value::Time(more));
    Ok(())
}

/// One small GET, on an open connection and on a new one.
fn small_requests(programs: &Programs, servers: &Servers, table: &mut Table) -> Result<()> {
    let bridge = servers.bridge(programs, &[LOOPBACK])?;
    let step = servers.step(programs, &bridge.conf)?;
    let hops = servers::Hops::start(servers)?;
    let target = servers.files();
    let direct = Client::direct(servers, target)?;
    let (ruled, relayed) = (step.client(target)?, hops.client(servers, target)?);

    let compare = |what: &str, open: bool, table: &mut Table| -> Result<()> {
        let (mut rows, mut base) = (Vec::new(), Vec::new());
        let time = |client: &Client| -> Result<f64> {
            let began = Instant::now();
            client.get("/small", REQUESTS, open)?;
            Ok(began.elapsed().as_secs_f64() / REQUESTS as f64)
        };
        time(&ruled)?;
        time(&relayed)?;
        for _ in 0..RUNS {
            rows.push((time(&ruled)?, time(&relayed)?));
            base.push(time(&direct)?);
        }
        let ratio = median(rows.iter().map(|(ruled, relayed)| ruled / relayed));
        let seconds =
            |values: &mut dyn Iterator<Item = f64>| Value::Time(Duration::from_secs_f64(median(values)));
        table.noted(format!("small GET {what}, direct"), seconds(&mut base.into_iter()));
        let ruled = &mut rows.iter().map(|(ruled, _)| *ruled);
        table.noted(format!("small GET {what}, by a rule"), seconds(ruled));
        let figure = format!("small GET {what}: ratio to two `socat`s and a TLS proxy");
        table.limited(figure, Value::Ratio(1.3), Value::Ratio(ratio));
        Ok(())
    };
    compare("on an open connection", true, table)?;
    compare("on a new connection", false, table)
}

/// Round trips between build and bridge for requests on an open connection.
fn far_requests(programs: &Programs, servers: &Servers, table: &mut Table) -> Result<()> {
    let bridge = servers.bridge(programs, &[LOOPBACK])?;
    let far = bridge.conf_at(delay_proxy::listen(bridge.port()?, FAR)?)?;
    let step = servers.step(programs, &far)?;
    let client = step.client(servers.files())?;
    let mut times = Vec::new();
    let mut connection = client.connect()?;
    connection.get("/small")?;
    for _ in 0..15 {
        let began = Instant::now();
        connection.get("/small")?;
        times.push(began.elapsed().as_secs_f64() / (2.0 * FAR.as_secs_f64()));
    }
    let figure = "request on an open connection, 50 ms each way to the bridge: round trips";
    table.limited(figure, Value::RoundTrips(1.0), Value::RoundTrips(median(times.into_iter())));
    let mut times = Vec::new();
    for _ in 0..9 {
        // Time to open the next spare stream.
        std::thread::sleep(FAR * 10);
        let began = Instant::now();
        client.connect()?.get("/small")?;
        times.push(began.elapsed().as_secs_f64() / (2.0 * FAR.as_secs_f64()));
    }
    table.noted("the same on a new connection", Value::RoundTrips(median(times.into_iter())));
    Ok(())
}

/// A large file on loopback: time, processor time and memory.
fn loopback(programs: &Programs, servers: &Servers, table: &mut Table) -> Result<()> {
    servers.large(LARGE)?;
    let bridge = servers.bridge(programs, &[LOOPBACK])?;
    let url = servers.url("files.example", "/large");
    let scratch = TempDir::new()?;
    let report = scratch.path().join("report");
    let small = servers.url("files.example", "/small");
    run(servers.exec(programs, &bridge.conf, &["curl", "-sSf", "-o", "/dev/null", &small]))?;
    let idle = bridge.peak_memory()?;
    let before = bridge.processor_time()?;

    let script = "curl -sSf -o /dev/null \"$1\" && cat /proc/$PPID/stat /proc/$PPID/status > \"$2\"";
    let ruled = || {
        let report = report.to_string_lossy();
        run(servers.exec(programs, &bridge.conf, &["sh", "-c", script, "sh", &url, &report]))
    };
    let times = pairs(RUNS, || run(servers.direct_curl(&url)), ruled)?;
    let direct = median(times.iter().map(|(direct, _)| *direct));
    table.noted("1 GB from nginx on loopback, direct", Value::Time(direct));
    let ratio = times.iter().map(|(direct, ruled)| ruled.as_secs_f64() / direct.as_secs_f64());
    let figure = "1 GB through a rule on loopback: time, ratio to direct";
    table.limited(figure, Value::Ratio(1.0 / 0.3), Value::Ratio(median(ratio)));
    // All runs, and the one before them.
    let bridge_time = (bridge.processor_time()? - before).as_secs_f64() / (RUNS + 1) as f64;
    let text = fs::read_to_string(&report)?;
    let exec_time = crate::programs::processor_time(&text)?.as_secs_f64();
    let per_gb = |seconds: f64| Value::Time(Duration::from_secs_f64(seconds / (LARGE as f64 / 1e9)));
    table.noted("processor time for 1 GB, `exec`", per_gb(exec_time));
    table.noted("processor time for 1 GB, bridge", per_gb(bridge_time));
    let exec = crate::programs::peak(&text)?;
    table.limited("peak memory of `exec` in that", megabytes(12.0), bytes(exec));
    let more = bridge.peak_memory()?.saturating_sub(idle);
    table.limited("peak memory of the bridge in that, over a small request", megabytes(12.0), bytes(more));
    Ok(())
}

/// Real package managers, with fresh caches.
fn package_managers(programs: &Programs, servers: &Servers, table: &mut Table) -> Result<()> {
    let bridge = servers.bridge(programs, &[LOOPBACK])?;
    let scratch = TempDir::new()?;
    let mut compare = |figure: &str, script: &str, direct: &[(&str, String)], runs: usize| -> Result<()> {
        let work = |with_rule: bool| -> Result<()> {
            let directory = scratch.path().join("work");
            let _ = fs::remove_dir_all(&directory);
            servers.project(&directory)?;
            let words = ["sh", "-ec", script];
            let mut command = if with_rule {
                servers.exec(programs, &bridge.conf, &words)
            } else {
                let mut command = servers.named(&words);
                command.envs(direct.iter().map(|(name, value)| (*name, value.as_str())));
                command
            };
            run(environment(&mut command, &directory))
        };
        let times = pairs(runs, || work(false), || work(true))?;
        table
            .noted(format!("{figure}, direct"), Value::Time(median(times.iter().map(|(direct, _)| *direct))));
        let ratio = times.iter().map(|(direct, ruled)| ruled.as_secs_f64() / direct.as_secs_f64());
        table.limited(format!("{figure}: ratio to direct"), Value::Ratio(1.15), Value::Ratio(median(ratio)));
        Ok(())
    };
    let ca = servers.ca();
    let npm = servers.npm();
    compare(
        "`npm ci` of 300 packages from verdaccio",
        &format!("[ -z \"$DIRECT\" ] || echo \"$DIRECT\" >> .npmrc; {npm} ci --cache cache"),
        &[("DIRECT", servers.npmrc()), ("NODE_EXTRA_CA_CERTS", ca.clone())],
        RUNS,
    )?;
    let index = servers.url("pypi.example", "/simple/");
    compare(
        "`pip install` of 40 wheels",
        &format!(
            "{} install --quiet --no-cache-dir --disable-pip-version-check --target t \
             --index-url \"${{DIRECT:-{index}}}\" --requirement requirements.txt",
            servers.pip()
        ),
        &[("DIRECT", servers.pip_url()), ("PIP_CERT", ca.clone())],
        RUNS,
    )?;
    let url = servers.url("git.example", "/org/repo.git");
    compare(
        "clone of a repository of 20,000 objects",
        &format!("git ${{DIRECT:+-c \"$DIRECT\"}} clone --quiet {url} work"),
        &[("DIRECT", servers.git_config()), ("GIT_SSL_CAINFO", ca)],
        RUNS,
    )
}

/// Gives a program a home of its own and PATH.
fn environment(command: &mut Command, directory: &Path) -> Command {
    let mut command = std::mem::replace(command, Command::new("true"));
    command.current_dir(directory).env("HOME", directory).env("TMPDIR", directory);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// A bridge and builds in one place.
pub(crate) fn serve(
    programs: &Programs,
    words: &[std::ffi::OsString],
    token: &str,
    arguments: &[String],
) -> Result<Bridge> {
    Bridge::serve_as(programs, words, &[("TOKEN_OF_HOST".to_owned(), token.to_owned())], arguments)
}

//! `gauntlet`: attacks the release binary, and prints what the attacks cost with their limits.
//!
//! The attackers are a program of their own (benches/programs/load), on another processor than the bridge and its good clients,
//! and for some floods in another network namespace. Every program that this command starts is killed by the kernel when
//! this process ends, however it ends, and the namespaces are those of such programs.

mod archives;
mod bridge;
mod good_clients;
mod holders;
mod hostile_bridge;
mod load;
mod machine;
mod memory;
mod namespace;
mod sessions;
mod strangers;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tempfile::TempDir;

use crate::checkout::Checkout;
use crate::dist;
use crate::failure::{Result, While, failure};
use crate::install::{self, Need};
use crate::run::{Run, step};
use machine::Cpus;
use table::{Limit, Table, Value};

pub(crate) const NEEDS: [Need; 4] = [
    Need { what: "ip", packages: &["iproute2"] },
    Need { what: "prlimit", packages: &["util-linux"] },
    Need { what: "setpriv", packages: &["util-linux"] },
    Need { what: "taskset", packages: &["util-linux"] },
];

/// What to attack, and how long.
#[derive(Default)]
pub(crate) struct Options {
    /// Fewer and shorter attacks; times are printed without a verdict.
    pub(crate) short: bool,
    /// A binary to attack instead of that of this checkout.
    pub(crate) binary: Option<PathBuf>,
    /// A load generator to use instead of that of this checkout.
    pub(crate) load: Option<PathBuf>,
    /// A binary of an earlier state, whose `print` is compared with that of the attacked one.
    pub(crate) before: Option<PathBuf>,
    /// Run only attacks whose name contains one of these; none for all.
    pub(crate) only: Vec<String>,
}

/// What every attack needs.
struct Scene {
    /// The attacked program: bridge and good clients.
    binary: PathBuf,
    /// benches/programs/load.
    load: PathBuf,
    dir: TempDir,
    cpus: Cpus,
    short: bool,
    only: Vec<String>,
}

impl Scene {
    /// Whether the attack `name` was asked for.
    fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part))
    }

    /// `long`, or `short` in the short form.
    fn choose<T>(&self, long: T, short: T) -> T {
        if self.short { short } else { long }
    }
}

pub(crate) fn gauntlet(checkout: &Checkout, options: Options) -> Result<ExitCode> {
    let table = run(checkout, options)?;
    let over = table.over();
    if over == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("xtask: {over} figures are over their limits");
    Ok(ExitCode::FAILURE)
}

/// Runs the attacks, prints the table of all figures, and returns it.
pub(crate) fn run(checkout: &Checkout, options: Options) -> Result<Table> {
    if !cfg!(target_os = "linux") {
        return Err(failure!("the gauntlet needs Linux: it reads /proc and uses network namespaces"));
    }
    install::provide(&NEEDS, false)?;
    let find = |binary: PathBuf| binary.canonicalize().while_doing(format_args!("find {}", binary.display()));
    let before = options.before.map(find).transpose()?;
    let mut table = Table::new(options.short);
    let binary = match options.binary {
        Some(binary) => find(binary)?,
        None => {
            let full = dist::full(checkout)?;
            // The short form is for any machine: sizes depend on its toolchain.
            if !options.short {
                size(&mut table, "static binary", &full, 5_000_000)?;
                size(&mut table, "static binary, client only", &dist::client(checkout)?, 3_800_000)?;
            }
            full
        }
    };
    let load = match options.load {
        Some(load) => find(load)?,
        None => build_load(checkout, options.short)?,
    };
    let cpus = Cpus::divide();
    let dir = tempfile::tempdir_in(checkout.cache_dir("gauntlet")?).while_doing("create a directory")?;
    let scene = Scene { binary, load, dir, cpus, short: options.short, only: options.only };
    scene.cpus.note(&mut table);
    strangers::attack(&scene, &mut table)?;
    holders::attack(&scene, &mut table)?;
    hostile_bridge::attack(&scene, &mut table)?;
    archives::attack(&scene, &mut table)?;
    sessions::measure(&scene, &mut table)?;
    if let Some(before) = before {
        sessions::compare(&scene, &mut table, &before)?;
    }
    println!("\n{}\n\n{table}", machine::describe());
    Ok(table)
}

fn size(table: &mut Table, what: &str, binary: &Path, limit: u64) -> Result<()> {
    let size = binary.metadata().while_doing(format_args!("read the size of {}", binary.display()))?.len();
    table.limited(what, Value::Bytes(size), Limit::AtMost(Value::Bytes(limit)));
    Ok(())
}

/// The load generator. In the long form it is optimised as the bridge is, since rates of both are compared.
fn build_load(checkout: &Checkout, short: bool) -> Result<PathBuf> {
    const NAME: &str = "gauntlet_load";
    step("building the load generator");
    if short {
        checkout
            .cargo()
            .args(["build", "--locked", "--package", "secrets-bridge", "--example", NAME])
            .live()?;
        return Ok(checkout.target.join("debug/examples").join(NAME));
    }
    dist::cargo(checkout, "build")?.args(["--release", "--example", NAME]).live()?;
    Ok(dist::release(checkout).join("examples").join(NAME))
}

/// `program`, which the kernel kills when this process ends, on one processor.
fn guarded(cpu: Option<usize>, program: &Path) -> Run {
    let guard = Run::new("setpriv").args(["--pdeathsig", "KILL"]);
    match cpu {
        Some(cpu) => guard.args(["taskset", "--cpu-list", &cpu.to_string()]).arg(program),
        None => guard.arg(program),
    }
}

//! The layers: what each needs, how it gets it, and what it runs.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::counts::{Counts, Reader};
use super::{BUILDAH, DOCKER, NotRun, Outfitted, WINDOWS};
use crate::docker::{Daemon, Found};
use crate::failure::{Failure, Result, While, failure};
use crate::install::{self, Need};
use crate::places::Places;
use crate::run::{Run, step};
use crate::{base, buildx, dist, docker, registries, windows};

/// The image that the docker tests start from.
const BASE_IMAGE: &str = "secrets-bridge-test-base";

const TO_USE_DOCKER: [Need; 1] = [Need { what: "docker", packages: &["docker-cli", "docker.io"] }];
const TO_START_DOCKER: [Need; 2] =
    [Need { what: "dockerd", packages: &["docker.io"] }, Need { what: "iptables", packages: &["iptables"] }];
const TO_MAKE_A_BASE: [Need; 2] = [
    Need { what: "debootstrap", packages: &["debootstrap"] },
    Need { what: base::KEYRING, packages: &["debian-archive-keyring"] },
];
const TO_USE_BUILDAH: [Need; 1] = [Need { what: "buildah", packages: &["buildah"] }];

/// What the tests of SSH log in with and copy with, each for itself: those that miss something say so.
const TO_LOG_IN: [Need; 5] = [
    Need { what: "/usr/sbin/sshd", packages: &["openssh-server"] },
    Need { what: "ssh", packages: &["openssh-client"] },
    Need { what: "git", packages: &["git"] },
    Need { what: "rsync", packages: &["rsync"] },
    Need { what: "/usr/lib/python3/dist-packages/paramiko", packages: &["python3-paramiko"] },
];

/// What the tests of git over https have for a server, and those of real builds for files too.
const TO_SERVE_GIT: [Need; 2] = [
    Need { what: "/usr/sbin/nginx", packages: &["nginx-light", "nginx"] },
    Need { what: "/usr/sbin/fcgiwrap", packages: &["fcgiwrap"] },
];

/// Everything that cargo alone can run.
pub(super) fn workspace(places: &Places, install: bool) -> Result<Counts, NotRun> {
    for (what, needs) in [("SSH", &TO_LOG_IN[..]), ("git over https", &TO_SERVE_GIT)] {
        if install && let Err(lack) = install::provide(needs, install) {
            step(format_args!("some tests of {what} are going to be skipped: {lack}"));
        }
    }
    step("unit and user-visible tests");
    cargo_test(places, &["--workspace", "--no-fail-fast"], &[])
}

/// The build without the host side keeps compiling, without a warning: one test.
pub(super) fn client_only(places: &Places) -> Result<Counts, NotRun> {
    step("client-only build");
    places
        .cargo()
        .args(["clippy", "--locked", "--package", "secrets-bridge", "--no-default-features"])
        .args(["--features", "client", "--", "-D", "warnings"])
        .live()
        .map_err(NotRun::Broken)?;
    Ok(Counts { passed: 1, ..Counts::default() })
}

/// Real builds by a Docker daemon. What some of them need beside it is told apart: `lacks` are those parts, and why they
/// are not there.
pub(super) fn docker(
    places: &Places,
    install: bool,
    lacks: &mut Vec<(&'static str, Failure)>,
) -> Result<Counts, NotRun> {
    install::provide(&TO_USE_DOCKER, install)?;
    if let Found::Nothing = docker::look() {
        install::provide(&TO_START_DOCKER, install)?;
    }
    install::provide(&TO_MAKE_A_BASE, install)?;
    let daemon = Daemon::find_or_start(places)?;
    let base = base::tar(places)?;
    daemon.import(&base, BASE_IMAGE)?;
    let binary = dist::full(places).map_err(NotRun::Broken)?;

    let mut vars: Vec<(&str, OsString)> = vec![
        ("SECRETS_BRIDGE_TEST_BINARY", binary.into()),
        ("SECRETS_BRIDGE_TEST_BASE", BASE_IMAGE.into()),
        ("DOCKER_HOST", daemon.host.clone().into()),
        ("DOCKER_CONFIG", buildx::docker_config(places)?.into()),
    ];
    match buildx::provide(places, &daemon, install) {
        Ok(()) => vars.push(("SECRETS_BRIDGE_TEST_BUILDX", "1".into())),
        Err(why) => lacks.push(("BuildKit", why)),
    }
    match registries::provide(places, install) {
        Ok(dir) => vars.push(("SECRETS_BRIDGE_TEST_REGISTRIES", dir.into())),
        Err(why) => lacks.push(("package registries", why)),
    }
    let counts = outfitted(places, &DOCKER, &vars)?;
    if !daemon.is_ours() {
        step(format_args!(
            "the image {BASE_IMAGE} stays for the next run; `docker rmi {BASE_IMAGE}` removes it"
        ));
    }
    Ok(counts)
}

/// Real builds by buildah, which needs no daemon and, isolated by chroot, no container runtime.
pub(super) fn buildah(places: &Places, install: bool) -> Result<Counts, NotRun> {
    install::provide(&TO_USE_BUILDAH, install)?;
    install::provide(&TO_MAKE_A_BASE, install)?;
    let base = base::tar(places)?;
    let binary = dist::full(places).map_err(NotRun::Broken)?;

    let storage = BuildahStorage::find(places, &binary)?;
    let mut vars = storage.vars();
    vars.push(("SECRETS_BRIDGE_TEST_BINARY", binary.into()));
    vars.push(("SECRETS_BRIDGE_TEST_BASE_TAR", base.into()));
    outfitted(places, &BUILDAH, &vars)
}

/// The program for Windows, under wine, against a bridge on this machine.
pub(super) fn windows(places: &Places, install: bool) -> Result<Counts, NotRun> {
    if ARCH != "x86_64" {
        return Err(failure!("wine runs programs for x86-64, and this machine is {ARCH}").into());
    }
    install::provide(&windows::TO_BUILD, install)?;
    if install && windows::require_new_enough().is_err() {
        install::from_security(&windows::TO_BUILD)?;
    }
    windows::require_new_enough()?;
    install::provide(&windows::TO_RUN, install)?;
    let exe = windows::quick(places).map_err(NotRun::Broken)?;
    let wine = windows::Wine::prepare(places, &exe)?;

    let mut vars: Vec<(&str, OsString)> =
        windows::SILENT.into_iter().map(|(name, value)| (name, value.into())).collect();
    vars.push(("SECRETS_BRIDGE_TEST_EXE", exe.into()));
    vars.push(("SECRETS_BRIDGE_TEST_WINE", windows::WINE.into()));
    vars.push(("WINEPREFIX", wine.prefix.clone().into()));
    outfitted(places, &WINDOWS, &vars)
}

/// The tests of one layer, one at a time: they share a daemon, a storage or a prefix.
fn outfitted(
    places: &Places,
    layer: &Outfitted,
    vars: &[(&'static str, OsString)],
) -> Result<Counts, NotRun> {
    step(format_args!("{} tests", layer.name));
    let mut args = vec!["--no-fail-fast"];
    args.extend(["--test", layer.target, layer.module, "--", "--test-threads=1"]);
    let counts = cargo_test(places, &args, vars)?;
    if counts.passed + counts.failed == 0 {
        return Err(NotRun::Broken(failure!("there is no test `{}` in {}", layer.module, layer.target)));
    }
    Ok(counts)
}

fn cargo_test(places: &Places, args: &[&str], vars: &[(&'static str, OsString)]) -> Result<Counts, NotRun> {
    let mut reader = Reader::default();
    let status =
        places.cargo().args(["test", "--locked"]).args(args).envs(vars).watch(|line| reader.read(line))?;
    // A target that did not build, or that crashed, prints no result.
    if !status.success() && reader.counts.failed == 0 {
        reader.counts.failed = 1;
    }
    Ok(reader.counts)
}

/// Images and containers of buildah, apart from the user's. Removed when this is dropped.
struct BuildahStorage {
    dir: PathBuf,
    config: PathBuf,
}

impl BuildahStorage {
    /// With the first driver that can build here: overlay is quick, but not every file system carries it.
    fn find(places: &Places, binary: &Path) -> Result<Self> {
        let dir = places.kept("buildah")?;
        let storage = Self { config: dir.join("storage.conf"), dir };
        // What an interrupted run left would be somebody's cache.
        storage.clear();
        let context = storage.dir.join("probe");
        fs::create_dir_all(&context).while_doing(format_args!("make {}", context.display()))?;
        fs::copy(binary, context.join("probe")).while_doing("copy the binary")?;
        fs::write(
            context.join("Dockerfile"),
            "FROM scratch\nCOPY probe /\nRUN [\"/probe\", \"--version\"]\n",
        )
        .while_doing("write a Dockerfile")?;
        let mut probe = Ok(());
        for driver in ["overlay", "vfs"] {
            let (graph, run) = (storage.dir.join(driver), storage.dir.join("run"));
            let config =
                format!("[storage]\ndriver = \"{driver}\"\ngraphroot = {graph:?}\nrunroot = {run:?}\n");
            fs::write(&storage.config, config)
                .while_doing(format_args!("write {}", storage.config.display()))?;
            probe = storage.buildah().args(["build", "--quiet"]).arg(&context).text().map(drop);
            if probe.is_ok() {
                break;
            }
        }
        probe.map(|()| storage)
    }

    fn vars(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("CONTAINERS_STORAGE_CONF", self.config.clone().into()),
            // A runtime would want cgroups and namespaces that a container does not give.
            ("BUILDAH_ISOLATION", "chroot".into()),
        ]
    }

    fn buildah(&self) -> Run {
        Run::new("buildah").envs(&self.vars())
    }

    fn clear(&self) {
        // Without a configuration of ours these two would clear the user's storage.
        if self.config.is_file() {
            self.buildah().args(["rm", "--all"]).succeeds();
            self.buildah().args(["rmi", "--all", "--force"]).succeeds();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Drop for BuildahStorage {
    fn drop(&mut self) {
        self.clear();
    }
}

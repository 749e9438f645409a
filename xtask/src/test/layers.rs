//! The layers: what each needs, how it gets it, and what it runs.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::counts::{Counts, Reader};
use super::skips::{AllowedSkips, SkipFile};
use super::{BUILDAH, DOCKER, Layer, NotRun, Outcome, WINDOWS};
use crate::checkout::Checkout;
use crate::docker::{Daemon, Probe};
use crate::failure::{Failure, Result, While, failure};
use crate::install::{self, Need};
use crate::run::{Run, step};
use crate::{base_image, buildx, dist, docker, registries, windows};

/// The image that the docker tests start from.
const BASE_IMAGE: &str = "secrets-bridge-test-base";

const TO_USE_DOCKER: [Need; 1] = [Need { what: "docker", packages: &["docker-cli", "docker.io"] }];
const TO_START_DOCKER: [Need; 2] =
    [Need { what: "dockerd", packages: &["docker.io"] }, Need { what: "iptables", packages: &["iptables"] }];
const TO_MAKE_A_BASE: [Need; 2] = [
    Need { what: "debootstrap", packages: &["debootstrap"] },
    Need { what: base_image::KEYRING, packages: &["debian-archive-keyring"] },
];
const TO_USE_BUILDAH: [Need; 1] = [Need { what: "buildah", packages: &["buildah"] }];

/// What the user-visible tests need, by topic (tests/support/require.rs).
const FOR_TESTS: [(&str, &[Need]); 3] = [
    (
        "SSH",
        &[
            Need { what: "sshd", packages: &["openssh-server"] },
            Need { what: "ssh", packages: &["openssh-client"] },
            Need { what: "git", packages: &["git"] },
            Need { what: "rsync", packages: &["rsync"] },
            Need { what: "/usr/lib/python3/dist-packages/paramiko", packages: &["python3-paramiko"] },
        ],
    ),
    (
        "git over https",
        &[
            Need { what: "nginx", packages: &["nginx-light", "nginx"] },
            Need { what: "fcgiwrap", packages: &["fcgiwrap"] },
        ],
    ),
    (
        "files and of the protocol's document",
        &[
            Need { what: "python3", packages: &["python3"] },
            Need { what: "pip", packages: &["python3-pip"] },
            Need { what: "openssl", packages: &["openssl"] },
            Need { what: "curl", packages: &["curl"] },
            Need { what: "keytool", packages: &["default-jre-headless"] },
        ],
    ),
];

/// Runs the layers.
pub(super) struct Runner<'a> {
    pub(super) checkout: &'a Checkout,
    /// Whether missing packages are installed.
    pub(super) install: bool,
    pub(super) allowed: &'a AllowedSkips,
}

impl Runner<'_> {
    /// Everything that cargo alone can run.
    pub(super) fn workspace(&self) -> Result<Outcome, NotRun> {
        for (topic, needs) in FOR_TESTS {
            if self.install
                && let Err(missing) = install::provide(needs, true)
            {
                step(format_args!("some tests of {topic} cannot run: {missing}"));
            }
        }
        step("unit and user-visible tests");
        let mut outcome = self.cargo_test(&["--workspace", "--no-fail-fast"], &[])?;
        // What the other layers' targets check without any program: that SECURITY.md names tests that exist.
        let targets = ["--no-fail-fast", "--test", "builders", "--test", "windows", "promises::"];
        let others = self.cargo_test(&targets, &[])?;
        outcome.counts += others.counts;
        outcome.skips.extend(others.skips);
        Ok(outcome)
    }

    /// The build without the host side keeps compiling, without a warning: one test.
    pub(super) fn client_only(&self) -> Result<Outcome, NotRun> {
        step("client-only build");
        self.checkout
            .cargo()
            .args(["clippy", "--locked", "--package", "secrets-bridge", "--no-default-features"])
            .args(["--features", "client", "--", "-D", "warnings"])
            .live()
            .map_err(NotRun::Broken)?;
        Ok(Counts { passed: 1, ..Counts::default() }.into())
    }

    /// Real builds by a Docker daemon. `missing_parts` is what some of them need beside it and do without, and why it is
    /// missing.
    pub(super) fn docker(&self, missing_parts: &mut Vec<(&'static str, Failure)>) -> Result<Outcome, NotRun> {
        let (checkout, install) = (self.checkout, self.install);
        install::provide(&TO_USE_DOCKER, install)?;
        if let Probe::Nothing = docker::probe() {
            install::provide(&TO_START_DOCKER, install)?;
        }
        install::provide(&TO_MAKE_A_BASE, install)?;
        let daemon = Daemon::find_or_start(checkout)?;
        let base = base_image::tar(checkout)?;
        daemon.import(&base, BASE_IMAGE)?;
        let binary = dist::full(checkout).map_err(NotRun::Broken)?;

        let mut vars: Vec<(&str, OsString)> = vec![
            ("SECRETS_BRIDGE_TEST_BINARY", binary.into()),
            ("SECRETS_BRIDGE_TEST_BASE", BASE_IMAGE.into()),
            ("DOCKER_HOST", daemon.host.clone().into()),
            ("DOCKER_CONFIG", buildx::docker_config(checkout)?.into()),
        ];
        let has_buildx = buildx::provide(checkout, &daemon, install);
        vars.push(("SECRETS_BRIDGE_TEST_BUILDX", if has_buildx.is_ok() { "1" } else { "0" }.into()));
        missing_parts.extend(has_buildx.err().map(|why| ("BuildKit", why)));
        match registries::provide(checkout, install) {
            Ok(dir) => vars.push(("SECRETS_BRIDGE_TEST_REGISTRIES", dir.into())),
            Err(why) => step(format_args!("some tests of docker cannot run: {why}")),
        }
        let outcome = self.layer(&DOCKER, &vars)?;
        if !daemon.is_ours() {
            step(format_args!(
                "the image {BASE_IMAGE} stays for the next run; `docker rmi {BASE_IMAGE}` removes it"
            ));
        }
        Ok(outcome)
    }

    /// Real builds by buildah, which needs no daemon and, isolated by chroot, no container runtime.
    pub(super) fn buildah(&self) -> Result<Outcome, NotRun> {
        let (checkout, install) = (self.checkout, self.install);
        install::provide(&TO_USE_BUILDAH, install)?;
        install::provide(&TO_MAKE_A_BASE, install)?;
        let base = base_image::tar(checkout)?;
        let binary = dist::full(checkout).map_err(NotRun::Broken)?;

        let storage = BuildahStorage::find(checkout, &binary)?;
        let mut vars = storage.vars();
        vars.push(("SECRETS_BRIDGE_TEST_BINARY", binary.into()));
        vars.push(("SECRETS_BRIDGE_TEST_BASE_TAR", base.into()));
        self.layer(&BUILDAH, &vars)
    }

    /// The program for Windows, under wine, against a bridge on this machine.
    pub(super) fn windows(&self) -> Result<Outcome, NotRun> {
        let (checkout, install) = (self.checkout, self.install);
        if ARCH != "x86_64" {
            return Err(failure!("wine runs programs for x86-64, and this machine is {ARCH}").into());
        }
        install::provide(&windows::TO_BUILD, install)?;
        if install && windows::require_new_enough().is_err() {
            install::from_security(&windows::TO_BUILD)?;
        }
        windows::require_new_enough()?;
        install::provide(&windows::TO_RUN, install)?;
        let exe = windows::quick(checkout).map_err(NotRun::Broken)?;
        let wine = windows::Wine::prepare(checkout, &exe)?;

        let mut vars: Vec<(&str, OsString)> =
            windows::SILENT.into_iter().map(|(name, value)| (name, value.into())).collect();
        vars.push(("SECRETS_BRIDGE_TEST_EXE", exe.into()));
        vars.push(("SECRETS_BRIDGE_TEST_WINE", windows::WINE.into()));
        vars.push(("WINEPREFIX", wine.prefix.clone().into()));
        self.layer(&WINDOWS, &vars)
    }

    /// The tests of one layer, one at a time: they share a daemon, a storage or a prefix. [`Self::workspace`] ran the check of
    /// promises.
    fn layer(&self, layer: &Layer, vars: &[(&'static str, OsString)]) -> Result<Outcome, NotRun> {
        step(format_args!("{} tests", layer.name));
        let args = [
            "--no-fail-fast",
            "--test",
            layer.target,
            layer.module,
            "--",
            "--test-threads=1",
            "--skip=promises::",
        ];
        let outcome = self.cargo_test(&args, vars)?;
        if outcome.counts == Counts::default() {
            let why = failure!("there is no test `{}` in {}", layer.module, layer.target);
            return Err(NotRun::Broken(why));
        }
        Ok(outcome)
    }

    fn cargo_test(&self, args: &[&str], vars: &[(&'static str, OsString)]) -> Result<Outcome, NotRun> {
        let file = SkipFile::new(self.checkout)?;
        let mut reader = Reader::default();
        let status = self
            .checkout
            .cargo()
            .args(["test", "--locked"])
            .args(args)
            .envs(vars)
            .envs(&file.vars(self.allowed))
            .watch(|line| reader.read(line))?;
        let mut skips = file.read()?;
        // They returned, so libtest takes them for passed.
        let returned = u64::try_from(skips.len()).unwrap_or(u64::MAX);
        let mut counts = Counts {
            passed: reader.passed.saturating_sub(returned),
            failed: reader.failed,
            skipped: returned,
        };
        for ignored in reader.ignored {
            if self.allowed.contains(&ignored.need) {
                counts.skipped += 1;
                skips.push(ignored);
            } else {
                step(format_args!("failed, as it may not be skipped: {ignored}"));
                counts.failed += 1;
            }
        }
        // A target that did not build, or that crashed, prints no result.
        if !status.success() && counts.failed == 0 {
            counts.failed = 1;
        }
        Ok(Outcome { counts, skips })
    }
}

/// Images and containers of buildah, apart from the user's. Removed when this is dropped.
struct BuildahStorage {
    dir: PathBuf,
    config: PathBuf,
}

impl BuildahStorage {
    /// With the first driver that can build here: overlay is quick, but not every file system carries it.
    fn find(checkout: &Checkout, binary: &Path) -> Result<Self> {
        let dir = checkout.cache_dir("buildah")?;
        let storage = Self { config: dir.join("storage.conf"), dir };
        // What an interrupted run left would serve as a cache.
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

//! The layers: the requirements of each, and the tests that it runs.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::counts::{Counts, Reader};
use super::skips::{AllowedSkips, Skip, SkipFile};
use super::{BUILDAH, DOCKER, Layer, NotRun, Outcome, WINDOWS};
use crate::checkout::Checkout;
use crate::docker::{Daemon, Probe};
use crate::failure::{Failure, Result, While, failure};
use crate::install::{self, Need};
use crate::musl::Musl;
use crate::run::{Run, step};
use crate::{base_image, buildx, dist, docker, fuzz, gauntlet, mutations, registries, windows};

/// The image that the docker tests start from.
const BASE_IMAGE: &str = "secrets-bridge-test-base";

const TO_USE_DOCKER: [Need; 1] = [Need { what: "docker", packages: &["docker-cli", "docker.io"] }];
const TO_START_DOCKER: [Need; 2] =
    [Need { what: "dockerd", packages: &["docker.io"] }, Need { what: "iptables", packages: &["iptables"] }];
const TO_CREATE_BASE_IMAGE: [Need; 2] = [
    Need { what: "debootstrap", packages: &["debootstrap"] },
    Need { what: base_image::KEYRING, packages: &["debian-archive-keyring"] },
];
const TO_USE_BUILDAH: [Need; 1] = [Need { what: "buildah", packages: &["buildah"] }];

/// How long each fuzz target runs.
const FUZZ_SECONDS: u64 = 120;

/// Requirements of the workspace's tests, by topic (tests/support/require.rs).
const FOR_TESTS: [(&str, &[Need]); 6] = [
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
            Need { what: "npm", packages: &["npm"] },
            Need { what: "git-lfs", packages: &["git-lfs"] },
        ],
    ),
    (
        "HTTP credentials",
        &[
            Need { what: "nginx", packages: &["nginx-light", "nginx"] },
            Need { what: "fcgiwrap", packages: &["fcgiwrap"] },
            Need { what: "git", packages: &["git"] },
            Need { what: "curl", packages: &["curl"] },
            Need { what: "tcpdump", packages: &["tcpdump"] },
            Need { what: "ip", packages: &["iproute2"] },
        ],
    ),
    (
        "secret files and PROTOCOL.md",
        &[
            Need { what: "python3", packages: &["python3"] },
            Need { what: "pip", packages: &["python3-pip"] },
            Need { what: "openssl", packages: &["openssl"] },
            Need { what: "gpg", packages: &["gpg"] },
            Need { what: "gpg-agent", packages: &["gpg-agent"] },
            Need { what: "curl", packages: &["curl"] },
            Need { what: "keytool", packages: &["default-jre-headless"] },
            Need { what: "javac", packages: &["default-jdk-headless"] },
            Need { what: "sudo", packages: &["sudo"] },
            Need { what: "gosu", packages: &["gosu"] },
            Need { what: "strace", packages: &["strace"] },
        ],
    ),
    (
        "the tools that write secrets",
        &[
            Need { what: "busybox", packages: &["busybox"] },
            Need { what: "zsh", packages: &["zsh"] },
            Need { what: "jq", packages: &["jq"] },
            Need { what: "/usr/bin/python3", packages: &["python3"] },
            Need { what: "/usr/lib/python3/dist-packages/yaml", packages: &["python3-yaml"] },
            Need { what: "node", packages: &["nodejs"] },
            Need { what: "php", packages: &["php-cli"] },
            Need { what: "java", packages: &["default-jdk-headless"] },
            Need { what: "jar", packages: &["default-jdk-headless"] },
            Need { what: "/usr/share/perl5/URI.pm", packages: &["liburi-perl"] },
            Need { what: "xxd", packages: &["xxd"] },
            Need { what: "hexdump", packages: &["bsdextrautils"] },
            Need { what: "bzip2", packages: &["bzip2"] },
            Need { what: "xz", packages: &["xz-utils"] },
            Need { what: "zstd", packages: &["zstd"] },
            Need { what: "zip", packages: &["zip"] },
            Need { what: "wget", packages: &["wget"] },
            Need { what: "xmllint", packages: &["libxml2-utils"] },
        ],
    ),
    (
        "image archives for scan",
        &[
            Need { what: "skopeo", packages: &["skopeo"] },
            Need { what: "buildah", packages: &["buildah"] },
            Need { what: "pzstd", packages: &["zstd"] },
            Need { what: "xz", packages: &["xz-utils"] },
            Need { what: "bzip2", packages: &["bzip2"] },
            Need { what: "pigz", packages: &["pigz"] },
            Need { what: "lz4", packages: &["lz4"] },
        ],
    ),
];

/// Runs the layers.
pub(super) struct Runner<'a> {
    pub(super) checkout: &'a Checkout,
    /// Whether missing packages are installed.
    pub(super) install: bool,
    pub(super) allowed: &'a AllowedSkips,
    /// Whether tests that repeat something do so more often.
    pub(super) long: bool,
}

impl Runner<'_> {
    /// All tests that need neither a builder nor wine.
    pub(super) fn workspace(&self) -> Result<Outcome, NotRun> {
        for (topic, needs) in FOR_TESTS {
            if self.install
                && let Err(missing) = install::provide(needs, true)
            {
                step(format_args!("cannot run some tests of {topic}: {missing}"));
            }
        }
        let registries = match registries::provide(self.checkout, self.install) {
            Ok(dir) => vec![(registries::VARIABLE, dir.into())],
            Err(why) => {
                step(format_args!("cannot run some tests of HTTP credentials: {why}"));
                Vec::new()
            }
        };
        step("unit and user-visible tests");
        let mut outcome = self.cargo_test(&["--workspace", "--no-fail-fast"], &registries)?;
        // The targets of the other layers check that the tests named in SECURITY.md exist. That needs no builder.
        let targets = ["--no-fail-fast", "--test", "builders", "--test", "windows", "promises::"];
        let others = self.cargo_test(&targets, &[])?;
        outcome.counts += others.counts;
        outcome.skips.extend(others.skips);
        Ok(outcome)
    }

    /// Checks that the build without the host side compiles without warnings. It counts as one test.
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

    /// The short form of the gauntlet. Each figure with a limit counts as one test.
    pub(super) fn gauntlet(&self) -> Result<Outcome, NotRun> {
        install::provide(&gauntlet::NEEDS, self.install)?;
        Musl::provide(self.checkout, self.install)?;
        step("gauntlet, short form");
        let options = gauntlet::Options { short: true, ..gauntlet::Options::default() };
        let table = gauntlet::run(self.checkout, options).map_err(NotRun::Broken)?;
        let mut outcome = Outcome::from(Counts { passed: table.within(), failed: table.over(), skipped: 0 });
        for skipped in table.skips() {
            if self.allowed.contains(skipped.need) {
                outcome.counts.skipped += 1;
                outcome.skips.push(Skip {
                    test: format!("gauntlet: {}", skipped.attacks),
                    need: skipped.need.to_owned(),
                    reason: skipped.reason.clone(),
                });
            } else {
                step(format_args!("failed: these may not be skipped: {}", skipped.attacks));
                outcome.counts.failed += 1;
            }
        }
        Ok(outcome)
    }

    /// Builds by a Docker daemon. Optional parts that are missing are added to `missing_parts`, each with the reason.
    pub(super) fn docker(&self, missing_parts: &mut Vec<(&'static str, Failure)>) -> Result<Outcome, NotRun> {
        let (checkout, install) = (self.checkout, self.install);
        install::provide(&TO_USE_DOCKER, install)?;
        if let Probe::Nothing = docker::probe() {
            install::provide(&TO_START_DOCKER, install)?;
        }
        install::provide(&TO_CREATE_BASE_IMAGE, install)?;
        Musl::provide(checkout, install)?;
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
            Ok(dir) => vars.push((registries::VARIABLE, dir.into())),
            Err(why) => step(format_args!("cannot run some docker tests: {why}")),
        }
        let outcome = self.layer(&DOCKER, &vars)?;
        if !daemon.is_ours() {
            step(format_args!(
                "keeping the image {BASE_IMAGE} for the next run; `docker rmi {BASE_IMAGE}` removes it"
            ));
        }
        Ok(outcome)
    }

    /// Builds by buildah, which needs no daemon. With chroot isolation it needs no container runtime either.
    pub(super) fn buildah(&self) -> Result<Outcome, NotRun> {
        let (checkout, install) = (self.checkout, self.install);
        install::provide(&TO_USE_BUILDAH, install)?;
        install::provide(&TO_CREATE_BASE_IMAGE, install)?;
        Musl::provide(checkout, install)?;
        let base = base_image::tar(checkout)?;
        let binary = dist::full(checkout).map_err(NotRun::Broken)?;

        let storage = BuildahStorage::find(checkout, &binary)?;
        let mut vars = storage.vars();
        vars.push(("SECRETS_BRIDGE_TEST_BINARY", binary.into()));
        vars.push(("SECRETS_BRIDGE_TEST_BASE_TAR", base.into()));
        match registries::provide(checkout, install) {
            Ok(dir) => vars.push((registries::VARIABLE, dir.into())),
            Err(why) => step(format_args!("cannot run some buildah tests: {why}")),
        }
        self.layer(&BUILDAH, &vars)
    }

    /// Tests of the Windows program under wine.
    pub(super) fn windows(&self) -> Result<Outcome, NotRun> {
        let (checkout, install) = (self.checkout, self.install);
        if ARCH != "x86_64" {
            return Err(failure!("wine runs programs for x86-64, and this machine is {ARCH}").into());
        }
        windows::provide(install)?;
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

    /// Every fuzz target, one after the other. Each counts as one test.
    pub(super) fn fuzz(&self) -> Result<Outcome, NotRun> {
        let (targets, failed) = fuzz::all(self.checkout, FUZZ_SECONDS, self.install)?;
        Ok(Counts { passed: targets - failed, failed, ..Counts::default() }.into())
    }

    /// Every defence taken out, one after the other. Each counts as one test.
    pub(super) fn mutations(&self) -> Result<Outcome, NotRun> {
        let (all, failed) = mutations::check_all(self.checkout).map_err(NotRun::Broken)?;
        Ok(Counts { passed: all - failed, failed, ..Counts::default() }.into())
    }

    /// The tests of one layer, one at a time: they share a daemon, a storage or a wine prefix. The tests in `promises` are
    /// skipped because [`Self::workspace`] ran them.
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
            let why = failure!("no tests match `{}` in the target {}", layer.module, layer.target);
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
            .env("SECRETS_BRIDGE_TEST_LONG", if self.long { "1" } else { "0" })
            .watch(|line| reader.read(line))?;
        let mut skips = file.read()?;
        // libtest counts these as passed, because their functions returned.
        let skipped = u64::try_from(skips.len()).unwrap_or(u64::MAX);
        let mut counts =
            Counts { passed: reader.passed.saturating_sub(skipped), failed: reader.failed, skipped };
        for ignored in reader.ignored {
            if self.allowed.contains(&ignored.need) {
                counts.skipped += 1;
                skips.push(ignored);
            } else {
                step(format_args!("failed: this test may not be skipped: {ignored}"));
                counts.failed += 1;
            }
        }
        // A target that fails to build, or crashes, prints no result.
        if !status.success() && counts.failed == 0 {
            counts.failed = 1;
        }
        Ok(Outcome { counts, skips })
    }
}

/// A storage for buildah's images and containers, separate from the user's. Dropping it removes it.
struct BuildahStorage {
    dir: PathBuf,
    config: PathBuf,
}

impl BuildahStorage {
    /// Creates a storage with the first driver that can build: overlay is faster, but does not work on every file system.
    fn find(checkout: &Checkout, binary: &Path) -> Result<Self> {
        let dir = checkout.cache_dir("buildah")?;
        let storage = Self { config: dir.join("storage.conf"), dir };
        // Images of an interrupted run would be used as a cache.
        storage.clear();
        let context = storage.dir.join("probe");
        fs::create_dir_all(&context).while_doing(format_args!("create {}", context.display()))?;
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
            // A container runtime needs cgroups and namespaces, which are not available inside containers.
            ("BUILDAH_ISOLATION", "chroot".into()),
        ]
    }

    fn buildah(&self) -> Run {
        Run::new("buildah").envs(&self.vars())
    }

    fn clear(&self) {
        // Without our configuration, these commands would clear the user's storage.
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

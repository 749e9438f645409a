//! HTTP credentials in builds by buildah.

use std::net::Ipv4Addr;

use super::{Buildah, FTP_PROXY};
use crate::context::is_conf_in_history;
use crate::http::search::SearchedBuild;
use crate::http::{Served, assert_built, dockerfile};
use crate::support::registries::REGISTRIES;
use crate::support::require::{HTTPS_SERVER, MOUNT_NAMESPACE, PTRACE, ROOT, TCPDUMP, require};

const LOOPBACK: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn npm_pip_and_git_install_without_a_credential_in_the_build() {
    require!(REGISTRIES, HTTPS_SERVER, MOUNT_NAMESPACE);
    let buildah = Buildah::new();
    let served = Served::start(&buildah.context.token);
    served.npm_files(&buildah.context);
    buildah.dockerfile(&dockerfile(&served.port));
    let run = served.run(&buildah.context, &LOOPBACK, &buildah.build_command("app", &FTP_PROXY));
    assert_built(&run, &served);
    let found = buildah.search("app", [&run]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
}

#[test]
fn the_credential_is_nowhere_in_a_build() {
    require!(REGISTRIES, MOUNT_NAMESPACE, ROOT, PTRACE, TCPDUMP);
    let buildah = Buildah::new();
    let searched = SearchedBuild::start(&buildah.context);
    // Under chroot isolation the step has the network of this machine.
    let loopback = Ipv4Addr::LOCALHOST.into();
    buildah.dockerfile(&searched.dockerfile(&buildah.context, loopback));
    let build = buildah.build_command("app", &FTP_PROXY);
    let run = searched.build(&buildah.context, "lo", &LOOPBACK, &build);
    let found = buildah.search("app", [&run]);
    assert!(found.iter().all(|found| is_conf_in_history(found)), "{found:#?}");
}

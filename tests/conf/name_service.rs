//! Who this user is: from `HOME` and `/etc/passwd`, not by the modules that `/etc/nsswitch.conf` names. In an image they are code
//! of that image. The tests of builders show the same for the static binary, with real modules.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::require::{MOUNT_NAMESPACE, require};
use crate::support::{BINARY, Bridge, Home, Start as _};

/// A module that says when it is loaded.
const MODULE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void loaded(void) {
    FILE *file = fopen(getenv("MODULE_LOADED"), "w");
    if (file) fclose(file);
}
"#;

/// Runs the programs given to it one after the other: their own failures do not matter here.
const SCRIPT: &str = "mount --bind nsswitch.conf /etc/nsswitch.conf && mount --bind passwd /etc/passwd && unset HOME && \
    for command; do eval \"$command\" || true; done";

struct Isolated {
    home: Home,
}

impl Isolated {
    fn new() -> Self {
        let home = Home::new();
        home.file("module.c", MODULE);
        home.file("nsswitch.conf", "passwd: sbtest files\ngroup: sbtest files\nhosts: sbtest files\n");
        home.file("passwd", format!("root:x:0:0::{}:/bin/sh\n", home.path("").display()));
        let output = ["-shared", "-fPIC", "-o", "libnss_sbtest.so.2", "module.c"];
        // The compiler that links Rust programs on this machine.
        Command::new("cc").args(output).current_dir(home.path("")).outcome().succeeds();
        Self { home }
    }

    /// Runs `command` in a shell without `HOME`, and says whether it loaded the module.
    fn loads_module(&self, command: &str, conf: &str) -> bool {
        let marker = self.home.path("loaded");
        let _ = fs::remove_file(&marker);
        self.home
            .program("unshare", ["-rm", "sh", "-ec", SCRIPT, BINARY, command])
            .env("LD_LIBRARY_PATH", self.home.path(""))
            .env("MODULE_LOADED", &marker)
            .env("BRIDGE_CONF", conf)
            .outcome()
            .succeeds();
        Path::new(&marker).exists()
    }
}

#[cfg(target_env = "gnu")]
#[test]
fn no_module_of_the_name_service_says_where_home_is() {
    require!(MOUNT_NAMESPACE);
    let isolated = Isolated::new();
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    // Otherwise the test would pass without a reason.
    assert!(isolated.loads_module("getent passwd root", ""));
    for (command, conf) in [
        // Looks for ~/.bridge-conf.
        ("\"$0\" print TOKEN", ""),
        ("\"$0\" exec --file TOKEN=~/secrets-bridge-test-token -- true", &bridge.conf),
        // Looks for project files up to the home directory, and for approvals in it.
        ("\"$0\" run --listen 127.0.0.1:0 -- true", ""),
        ("\"$0\" allow", ""),
        // Looks for ~/.ssh/known_hosts.
        ("\"$0\" run --listen 127.0.0.1:0 -A --ssh-allow-host nowhere.invalid -- true", ""),
        ("\"$0\" serve --listen 127.0.0.1:0 -w --once --timeout 1s --secret TOKEN=hunter2", ""),
    ] {
        assert!(!isolated.loads_module(command, conf), "{command}");
    }
    // What `/etc/passwd` says is used.
    let report = "\"$0\" exec --file TOKEN=~/token --sh 'test -s token && touch found'";
    assert!(!isolated.loads_module(report, &bridge.conf) && isolated.home.path("found").exists());
}

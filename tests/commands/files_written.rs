//! Promise 11: files that the host side writes are opened without following links that a repository could have made.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Bridge, Home, Start as _, mode};

/// A repository with links to what belongs to the user, as the working directory.
fn repository() -> Home {
    let home = Home::new();
    home.file("bashrc", "own\n");
    fs::create_dir(home.path("ssh")).unwrap();
    symlink("bashrc", home.path("bridge.log")).unwrap();
    symlink(home.path("nothing"), home.path("dangling.log")).unwrap();
    symlink("ssh", home.path("logs")).unwrap();
    fs::hard_link(home.path("bashrc"), home.path("second.log")).unwrap();
    home
}

fn assert_untouched(home: &Home) {
    assert_eq!(home.read("bashrc"), "own\n");
    assert!(!home.path("nothing").exists());
    assert_eq!(fs::read_dir(home.path("ssh")).unwrap().count(), 0);
    for link in ["bridge.log", "dangling.log", "logs"] {
        assert!(fs::symlink_metadata(home.path(link)).unwrap().is_symlink(), "{link}");
    }
}

#[test]
fn no_option_writes_through_a_link_of_a_repository() {
    let home = repository();
    for option in [&["--audit"][..], &["-d"], &["-w", "-f"], &["--ca-key-store"]] {
        for (file, problem) in [
            ("bridge.log", "it is a symbolic link"),
            ("dangling.log", "it is a symbolic link"),
            ("second.log", "it has 2 hard links"),
            ("logs/new", "logs is a symbolic link in a repository"),
            ("logs/../new", "logs is a symbolic link in a repository"),
        ] {
            // The key store is read first, and what it holds is not a store.
            let problem =
                if option == ["--ca-key-store"] && file == "second.log" { "cannot" } else { problem };
            home.serve(["--secret", "A=hunter2"]).args(option).arg(file).outcome().fails().says(problem);
            assert_untouched(&home);
        }
    }
    symlink("nothing", home.path("secrets-bridge.toml")).unwrap();
    home.command(["init"]).outcome().fails();
    assert_untouched(&home);
}

#[test]
fn the_words_of_a_build_do_not_reach_the_users_files() {
    let home = repository();
    // What worked once: the log of a bridge in the background went to the user's shell.
    home.serve(["-d", "bridge.log", "--secret", "A=hunter2"]).outcome().fails().says("symbolic link");
    assert_untouched(&home);
    fs::remove_file(home.path("bridge.log")).unwrap();
    let conf = home.serve(["-d", "bridge.log", "--secret", "A=hunter2"]).outcome().succeeds().text();
    home.command(["kill", "-c", conf.trim()]).outcome().succeeds();
    assert_eq!(mode(home.path("bridge.log")), 0o600);
    // Nothing is lost by a log that is not wanted.
    let conf = home.serve(["-d", "/dev/null", "--secret", "A=hunter2"]).outcome().succeeds().text();
    home.command(["kill", "-c", conf.trim()]).outcome().succeeds();
}

#[test]
fn a_log_that_others_may_write_to_is_mended() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let audit = home.file("audit.jsonl", "");
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o666)).unwrap();
    let bridge = Bridge::serve_in(home, ["--secret", "A=hunter2", "--audit", "audit.jsonl"]);
    assert_eq!(mode(&audit), 0o644);
    bridge.end().succeeds();
}

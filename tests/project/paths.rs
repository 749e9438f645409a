//! What is approved is where each path of a project file leads, and what its known_hosts files hold.
#![cfg(all(feature = "host", feature = "client"))]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::agent::SshAgent;
use crate::support::project::{NAME, Project, Terminal, set_mode};
use crate::support::require::{OPENSSH, require};
use crate::support::{Outcome, Start as _};

const LISTEN: &str = "listen = \"127.0.0.1:0\"\n";

/// A project file with `keys` in `tree/sub` of an unpacked tree, which has no `.git`, beside `own`, which is the user's. The
/// working directory of the project's commands is `home/project`, so that commands there name the file by `--config`.
struct Tree {
    project: Project,
    config: String,
}

impl Tree {
    fn with(keys: &str) -> Self {
        let project = Project::without();
        fs::remove_dir_all(project.home.path("project")).unwrap();
        for directory in ["project/tree/sub", "project/tree/data", "own"] {
            fs::create_dir_all(project.home.path(directory)).unwrap();
        }
        for directory in ["project", "project/tree", "project/tree/sub"] {
            set_mode(project.home.path(directory), 0o755);
        }
        let config = project.home.file(&format!("project/tree/sub/{NAME}"), format!("{LISTEN}{keys}"));
        set_mode(config.clone(), 0o644);
        let config = config.to_str().unwrap().to_owned();
        Self { project, config }
    }

    fn allow(&self) -> String {
        let mut terminal = Terminal::start(self.project.command(["allow", &self.config]));
        terminal.shows("Type yes");
        terminal.types("yes\n");
        let (code, shown) = terminal.ends();
        assert_eq!(code, Some(0), "{shown}");
        shown
    }

    fn run(&self, script: &str) -> Outcome {
        self.project.run(&["--config", &self.config], script).outcome()
    }

    /// Replaces `name`, a path in `home`, by a link to `to`.
    fn becomes_link(&self, name: &str, to: impl AsRef<Path>) {
        let path = self.project.home.path(name);
        if path.symlink_metadata().is_ok() {
            fs::rename(&path, path.with_extension("before")).unwrap();
        }
        symlink(to, path).unwrap();
    }

    fn canonical(&self, name: &str) -> String {
        let home = self.project.home.path("").canonicalize().unwrap();
        home.join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn allow_shows_where_a_link_of_an_unpacked_tree_leads() {
    let tree = Tree::with("[secrets]\nTOKEN = { src = \"../data/token\" }\n");
    tree.project.home.file("own/token", "hunter2");
    tree.becomes_link("project/tree/data", tree.project.home.path("own"));
    let shown = tree.allow();
    let own = tree.canonical("own/token");
    for part in [
        format!("from the file {own}\r\n"),
        format!(
            "secrets.TOKEN.src: ../data/token is {own} (through a symbolic link, outside the repository)\r\n"
        ),
    ] {
        assert!(shown.contains(&part), "no {part:?} in {shown}");
    }
    // What was shown is what is used.
    tree.run("$SB print TOKEN").succeeds().prints("hunter2");
}

#[test]
fn a_path_that_leads_elsewhere_needs_a_new_approval() {
    let keys = "audit = \"../data/audit.jsonl\"\nscan = \"../data/image.tar\"\n\
                [secrets]\nTOKEN = { src = \"../data/token\" }\n\
                [agents]\ndeploy = { keys = [\"../data/key\"] }\nother = { socket = \"../data/agent.sock\" }\n\
                [ssh]\nknown-hosts = [\"../data/known_hosts\"]\n\
                [agent-socket]\ndeploy = \"../data/offered.sock\"\n";
    let names = ["audit.jsonl", "image.tar", "token", "key", "agent.sock", "known_hosts", "offered.sock"];
    let keys_of = [
        "audit",
        "scan",
        "secrets.TOKEN.src",
        "agents.deploy.keys",
        "agents.other.socket",
        "ssh.known-hosts",
        "agent-socket.deploy",
    ];
    for (name, key) in names.into_iter().zip(keys_of) {
        let tree = Tree::with(keys);
        tree.project.home.file("own/secret", "hunter2");
        tree.allow();
        tree.becomes_link(&format!("project/tree/data/{name}"), tree.project.home.path("own/secret"));
        let refused = |outcome: Outcome| {
            outcome
                .fails()
                .says(&format!("{key} (../data/{name}) of the project file"))
                .says("has changed since its approval")
                .says(&format!("approved  {}", tree.canonical(&format!("project/tree/data/{name}"))))
                .says(&format!("now       {}", tree.canonical("own/secret")))
                .says("`secrets-bridge allow`")
                .never_says("hunter2");
        };
        refused(tree.run("touch ran"));
        refused(tree.project.command(["serve", "--config", &tree.config]).outcome());
        assert!(!tree.project.home.path("project/ran").exists());
        assert_eq!(tree.project.home.read("own/secret"), "hunter2");
    }
}

#[test]
fn a_directory_that_becomes_a_link_needs_a_new_approval() {
    let tree = Tree::with("[secrets]\nTOKEN = { src = \"../data/token\" }\n");
    tree.project.home.file("project/tree/data/token", "value");
    tree.project.home.file("own/token", "hunter2");
    tree.allow();
    tree.run("$SB print TOKEN").succeeds().prints("value");
    // A file may be replaced by another file: it is where it was.
    tree.project.home.file("project/tree/data/token", "new value");
    tree.run("$SB print TOKEN").succeeds().prints("new value");
    tree.becomes_link("project/tree/data", "../../own");
    tree.run("$SB print TOKEN").fails().says("has changed since its approval").never_says("hunter2");
    tree.allow();
    tree.run("$SB print TOKEN").succeeds().prints("hunter2");
}

#[test]
fn a_link_outside_the_repository_is_recorded_too() {
    let tree = Tree::with("[secrets]\nTOKEN = { src = \"~/own/current\" }\n");
    tree.project.home.file("own/one", "one");
    tree.project.home.file("own/two", "two");
    tree.becomes_link("own/current", "one");
    tree.allow();
    tree.run("$SB print TOKEN").succeeds().prints("one");
    fs::remove_file(tree.project.home.path("own/current")).unwrap();
    tree.becomes_link("own/current", "two");
    tree.run("$SB print TOKEN")
        .fails()
        .says(&format!("approved  {}", tree.canonical("own/one")))
        .says(&format!("now       {}", tree.canonical("own/two")));
}

#[test]
fn a_changed_known_hosts_file_needs_a_new_approval() {
    const LINE: &str =
        "git.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n";
    let project = Project::with(&format!(
        "{LISTEN}[agents]\ndeploy = {{ keys = [\"key\"] }}\n[ssh]\nallow-host = [\"git.example\"]\nknown-hosts = [\"known_hosts\", \"more\"]\n"
    ));
    let key = project.home.path("project/key");
    let generate = ["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()];
    project.home.program("ssh-keygen", generate).outcome().succeeds();
    project.home.file("project/known_hosts", LINE);
    let sha256 = project.home.program("sha256sum", ["project/known_hosts"]).outcome().text();
    let (sha256, _) = sha256.split_once(' ').unwrap();
    let shown = project.command(["allow"]).outcome().fails().stderr;
    assert!(shown.contains(&format!("known_hosts (SHA-256 {sha256})\n")), "{shown}");
    assert!(shown.contains("more (does not exist)\n"), "{shown}");
    project.allow();
    project.run(&[], "true").outcome().succeeds();

    project.home.file("project/more", LINE);
    let missing = project.run(&[], "true").outcome().fails();
    missing.says("ssh.known-hosts (more)").says("more, which does not exist").says("more, with the SHA-256 ");
    fs::remove_file(project.home.path("project/more")).unwrap();
    project.run(&[], "true").outcome().succeeds();

    // The file and its name are as they were; the key of the host is another.
    project.home.file("project/known_hosts", format!("{LINE}# more\n"));
    project
        .run(&[], "true")
        .outcome()
        .fails()
        .says("ssh.known-hosts (known_hosts) of the project file")
        .says(&format!("known_hosts, with the SHA-256 {sha256}"))
        .says("`secrets-bridge allow`");
    let file_sha256 = project.sha256();
    project
        .run(&["--allow-config", &file_sha256], "true")
        .outcome()
        .fails()
        .says("known_hosts came with the repository, and --allow-config does not cover what it holds");
}

#[test]
fn allow_config_accepts_no_path_through_a_link() {
    let tree = Tree::with("[secrets]\nTOKEN = { src = \"../data/token\" }\n");
    tree.project.home.file("project/tree/data/token", "value");
    tree.project.home.file("own/token", "hunter2");
    let sha256 = tree.project.home.program("sha256sum", [&tree.config]).outcome().text();
    let (sha256, _) = sha256.split_once(' ').unwrap();
    let run = || {
        let options = ["--config", &tree.config, "--allow-config", sha256];
        tree.project.run(&options, "$SB print TOKEN").outcome()
    };
    run().succeeds().prints("value");
    tree.becomes_link("project/tree/data/token", tree.project.home.path("own/token"));
    run()
        .fails()
        .says(&format!("../data/token leads through a symbolic link, to {}", tree.canonical("own/token")))
        .says("with --allow-config no path may")
        .never_says("hunter2");
}

#[test]
fn paths_begin_at_the_project_file_and_scan_too() {
    let tree = Tree::with("scan = \"./image.tar\"\n[secrets]\nTOKEN = { src = \"token\" }\n");
    tree.project.home.file("project/tree/sub/token", "a-long-value-to-find");
    tree.project.home.file("project/image.tar", "in the working directory, not beside the project file");
    let shown = tree.allow();
    let image = tree.canonical("project/tree/sub/image.tar");
    assert!(shown.contains(&format!("search the image in the file {image}\r\n")), "{shown}");
    tree.run("true").fails().says(&image);
}

#[test]
fn a_socket_that_becomes_a_link_is_not_connected_to() {
    require!(OPENSSH);
    let tree = Tree::with("[agents]\ndefault = { socket = \"../data/agent.sock\" }\n");
    let home = &tree.project.home;
    let (named, other) = (home.path("project/tree/data/agent.sock"), home.path("own/agent.sock"));
    let _agent = SshAgent::at(home, named.clone());
    let own = SshAgent::at(home, other.clone());
    let key = home.path("own/key");
    let generate = ["-q", "-t", "ed25519", "-N", "", "-C", "the user's key", "-f", key.to_str().unwrap()];
    home.program("ssh-keygen", generate).outcome().succeeds();
    own.ssh_add(home, &["-q", key.to_str().unwrap()]).succeeds();
    tree.allow();
    // While the bridge lives, as by a `git pull`.
    let script = format!(
        "$SB exec -- ssh-add -l; rm '{0}'; ln -s '{1}' '{0}'; $SB exec -- ssh-add -l",
        named.display(),
        other.display()
    );
    let outcome = tree.run(&script);
    let text = outcome.text();
    assert!(!text.contains("the user's key"), "{text}");
    assert_eq!(text.matches("The agent has no identities").count(), 2, "{text}{}", outcome.stderr);
    outcome.says("a part of its path has become a link since it was approved");
}

#[test]
fn an_approval_of_the_former_format_does_not_count() {
    let project = Project::with(&format!("{LISTEN}[secrets]\nTOKEN = {{ src = \"token\" }}\n"));
    project.home.file("project/token", "value");
    project.allow();
    let records = project.home.path(".local/state/secrets-bridge/allowed");
    let record = fs::read_dir(records).unwrap().next().unwrap().unwrap().path();
    let contents = fs::read_to_string(&record).unwrap();
    let lines: Vec<&str> = contents.lines().collect();
    assert_eq!((lines[0], lines.len()), ("secrets-bridge allowed 2", 4), "{contents}");
    fs::write(&record, format!("secrets-bridge allowed 1\n{}\n{}\n", lines[1], lines[2])).unwrap();
    project.run(&[], "true").outcome().fails().says("is not approved").says("`secrets-bridge allow`");
    // Without the line of its path, neither.
    fs::write(&record, format!("{}\n", lines[..3].join("\n"))).unwrap();
    project.run(&[], "true").outcome().fails().says("is not approved");
    project.allow();
    project.run(&[], "$SB print TOKEN").outcome().succeeds().prints("value");
}

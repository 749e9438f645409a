//! Deploy keys: forges want one for each repository. git uses the right key for every spelling of the URL, configured
//! by environment variables only.
#![cfg(target_os = "linux")]

use std::fs;

use crate::support;
use crate::support::require::require;
use crate::support::ssh::{Key, Repository, SSH_SERVER, Scene, records};
use crate::support::{Bridge, Start as _};

/// The forced command of a deploy key. Like a forge, the server accepts every key, and then finds only the repository
/// that the key belongs to.
const GATE: &str = r#"
case $SSH_ORIGINAL_COMMAND in
    "git-upload-pack '/$2.git'" | "git-upload-pack '/$2'") exec git upload-pack "$1" ;;
    "git-receive-pack '/$2.git'" | "git-receive-pack '/$2'") exec git receive-pack "$1" ;;
esac
echo "ERROR: Repository not found." >&2
exit 1
"#;

/// A forge with three repositories, each with a deploy key of its own. The first has the others as submodules.
struct Forge {
    scene: Scene,
    keys: [Key; 3],
}

impl Forge {
    /// `url` makes the submodules' URLs from their paths.
    fn new(url: impl Fn(&Scene, &str) -> String) -> Self {
        let scene = Scene::new();
        let keys = ["key of app", "key of one", "key of two"].map(|comment| scene.new_key(comment));
        let (one, two) = (scene.repository("one", &[]), scene.repository("two", &[]));
        let (url_of_one, url_of_two) = (url(&scene, "org/one"), url(&scene, "org/two.git"));
        let app = scene.repository("app", &[("one", &one, &url_of_one), ("two", &two, &url_of_two)]);

        fs::write(scene.path("gate"), GATE).unwrap();
        let line = |(key, (name, repository)): (&Key, (&str, &Repository))| {
            let (gate, path) = (scene.path("gate"), &repository.path);
            let command = format!("sh {} {} {name}", gate.display(), path.display());
            format!("restrict,command=\"{command}\" {}", key.public_line())
        };
        let repositories = [("org/app", &app), ("org/one", &one), ("org/two", &two)];
        let lines: String = keys.iter().zip(repositories).map(line).collect();
        scene.accept(&lines);
        // The key of `app`, which is needed first, is added last.
        scene.agent.remove_all_keys();
        keys.iter().rev().for_each(|key| scene.agent.add(key));
        Self { scene, keys }
    }

    /// A bridge with a `--git-key` for each repository; `name` gives the key's fingerprint or comment.
    fn serve(&self, name: impl Fn(&Key) -> String) -> Bridge {
        let port = self.scene.server.port;
        let option = |(key, path): (&Key, &str)| format!("127.0.0.1:{port}/{path}={}", name(key));
        let options: Vec<String> =
            self.keys.iter().zip(["org/app", "org/one.git", "org/two"]).map(option).collect();
        let options: Vec<&str> = options.iter().flat_map(|option| ["--git-key", option]).collect();
        self.scene.serve(&options)
    }

    /// `exec -- git ARGUMENTS`. Deploy keys log in as the user `git`, which this server does not have: ssh takes the
    /// first user that it is given, so `-l` names the user of the test.
    fn git(&self, bridge: &Bridge, arguments: &[&str]) -> support::Outcome {
        let mut exec = self.scene.exec(&bridge.conf, [&["--", "git"], arguments].concat());
        exec.env("GIT_SSH_COMMAND", format!("ssh -l {}", self.scene.user)).outcome()
    }

    /// The clone is complete, each repository was fetched with its own key, and nothing else was written.
    fn is_cloned(&self, bridge: &Bridge) {
        let home = &self.scene.home;
        assert_eq!(home.read("app/file"), "app\n");
        assert_eq!(home.read("app/one/file"), "one\n");
        assert_eq!(home.read("app/two/file"), "two\n");
        self.scene.has_left_only(&["app"]);
        assert_eq!(signers(bridge), ["key of app", "key of one", "key of two"]);
        for config in ["app/.git/config", "app/.git/modules/one/config", "app/.git/modules/two/config"] {
            let text = home.read(config);
            assert!(!text.contains("sb::") && !text.contains("insteadof"), "{text}");
        }
    }
}

/// The comments of all keys that signed, in order. Ends the bridge.
fn signers(bridge: &Bridge) -> Vec<String> {
    let signatures = records(bridge, "agent-signature");
    signatures.iter().map(|record| record["comment"].as_str().unwrap().to_owned()).collect()
}

fn ssh_url(scene: &Scene, path: &str) -> String {
    format!("ssh://git@127.0.0.1:{}/{path}", scene.server.port)
}

fn https_url(_scene: &Scene, path: &str) -> String {
    format!("https://127.0.0.1/{path}")
}

#[test]
fn without_git_keys_the_first_key_opens_the_wrong_repository() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let bridge = forge.scene.serve(&[]);
    let app = ssh_url(&forge.scene, "org/app.git");
    let outcome = forge.git(&bridge, &["clone", &app, "app"]).exits_with(128);
    // This is why there are git keys.
    outcome.says("Repository not found");
    assert_eq!(signers(&bridge), ["key of two"]);
}

#[test]
fn submodules_are_cloned_each_with_its_own_key_by_fingerprint() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let bridge = forge.serve(Key::fingerprint);
    let app = ssh_url(&forge.scene, "org/app.git");
    forge.git(&bridge, &["clone", "--quiet", "--recurse-submodules", &app, "app"]).succeeds();
    forge.is_cloned(&bridge);
}

#[test]
fn submodules_are_cloned_each_with_its_own_key_by_comment() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let bridge = forge.serve(|key| key.comment.clone());
    let app = ssh_url(&forge.scene, "org/app");
    forge.git(&bridge, &["clone", "--quiet", "--recurse-submodules", &app, "app"]).succeeds();
    forge.is_cloned(&bridge);
}

#[test]
fn https_urls_lead_to_the_ssh_server_of_the_git_key() {
    require!(SSH_SERVER);
    let forge = Forge::new(https_url);
    let bridge = forge.serve(Key::fingerprint);
    let app = https_url(&forge.scene, "org/app.git");
    forge.git(&bridge, &["clone", "--quiet", "--recurse-submodules", &app, "app"]).succeeds();
    forge.is_cloned(&bridge);
}

#[test]
fn submodules_cloned_in_parallel_use_their_own_keys() {
    require!(SSH_SERVER);
    let forge = Forge::new(https_url);
    let bridge = forge.serve(Key::fingerprint);
    let app = ssh_url(&forge.scene, "org/app.git");
    let arguments = ["clone", "--quiet", "--recurse-submodules", "--jobs=4", &app, "app"];
    forge.git(&bridge, &arguments).succeeds();
    let mut signers = signers(&bridge);
    signers.sort();
    assert_eq!(signers, ["key of app", "key of one", "key of two"]);
    assert_eq!(forge.scene.home.read("app/two/file"), "two\n");
}

#[test]
fn fetch_and_push_use_the_repositorys_key() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let bridge = forge.serve(Key::fingerprint);
    let https = https_url(&forge.scene, "org/one.git");
    forge.git(&bridge, &["clone", "--quiet", &https, "clone"]).succeeds();
    let commit = ["-C", "clone", "commit", "--quiet", "--allow-empty", "-m", "two"];
    forge.scene.program("git", commit).outcome().succeeds();
    forge.git(&bridge, &["-C", "clone", "push", "--quiet", "origin", "main"]).succeeds();
    forge.git(&bridge, &["-C", "clone", "fetch", "--quiet", &ssh_url(&forge.scene, "org/one")]).succeeds();
    forge.git(&bridge, &["ls-remote", &ssh_url(&forge.scene, "org/two")]).succeeds();
    assert_eq!(signers(&bridge), ["key of one", "key of one", "key of one", "key of two"]);
}

#[test]
fn the_key_of_one_repository_does_not_open_another() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let port = forge.scene.server.port;
    // Each of the two repositories gets the key of the other.
    let one = format!("127.0.0.1:{port}/org/one={}", forge.keys[2].fingerprint());
    let two = format!("127.0.0.1:{port}/org/two={}", forge.keys[1].fingerprint());
    let bridge = forge.scene.serve(&["--git-key", &one, "--git-key", &two]);
    for path in ["org/one", "org/two"] {
        let url = ssh_url(&forge.scene, path);
        forge.git(&bridge, &["ls-remote", &url]).exits_with(128).says("Repository not found");
    }
}

#[test]
fn a_git_key_missing_from_the_agent_is_reported_on_the_host() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let bridge = forge.serve(|_| "no such comment".to_owned());
    forge.git(&bridge, &["ls-remote", &ssh_url(&forge.scene, "org/one")]).exits_with(128);
    bridge.process.says("SSH agent default has no key for");
}

#[test]
fn git_keys_and_git_credentials_work_together() {
    require!(SSH_SERVER);
    let forge = Forge::new(https_url);
    let one = format!("127.0.0.1:{}/org/one={}", forge.scene.server.port, forge.keys[1].fingerprint());
    let credential = ["--secret", "TOKEN=hunter2", "--git-credential", "git.example=TOKEN"];
    let bridge = forge.scene.serve(&[&["--git-key", &one], &credential[..]].concat());
    let url = https_url(&forge.scene, "org/one");
    let ask = "printf 'protocol=https\\nhost=git.example\\n' | git credential fill | grep password";
    let script = format!("git ls-remote {url} main >/dev/null && {ask}");
    let mut exec =
        forge.scene.exec(&bridge.conf, ["--no-mask", "--leaks=off", "--git-credentials", "--sh", &script]);
    exec.env("GIT_SSH_COMMAND", format!("ssh -l {}", forge.scene.user));
    exec.outcome().succeeds().prints("password=hunter2\n");
    assert_eq!(signers(&bridge), ["key of one"]);
}

#[test]
fn a_url_that_only_shares_a_prefix_is_not_rewritten() {
    require!(SSH_SERVER);
    let forge = Forge::new(ssh_url);
    let bridge = forge.serve(Key::fingerprint);
    // No HTTPS server listens there: git's attempt shows that the URL was not rewritten.
    let url = https_url(&forge.scene, "org/one-and-more.git");
    let outcome = forge.git(&bridge, &["ls-remote", &url]).exits_with(128);
    outcome.says("unable to access 'https://127.0.0.1/org/one-and-more.git/'");
    assert_eq!(forge.scene.server.connections(), 0);
}

//! Every type of key signs through `exec`, from an agent and from files, and only offered keys do.

use crate::support::agent::{
    Build, HostKey, Key, LIST, Login, ONE, SshAgent, assert_valid, bind, listing, public, script,
};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Start as _};

/// A type of key: its name in these tests, the options of `ssh-keygen`, and its signature algorithms with their flags.
type Kind = (&'static str, &'static [&'static str], &'static [(&'static str, u32)]);

fn kinds() -> [Kind; 5] {
    [
        ("ed25519", &["-t", "ed25519"], &[("ssh-ed25519", 0)]),
        ("p256", &["-t", "ecdsa", "-b", "256"], &[("ecdsa-sha2-nistp256", 0)]),
        ("p384", &["-t", "ecdsa", "-b", "384"], &[("ecdsa-sha2-nistp384", 0)]),
        ("p521", &["-t", "ecdsa", "-b", "521"], &[("ecdsa-sha2-nistp521", 0)]),
        ("rsa", &["-t", "rsa", "-b", "2048"], &[("rsa-sha2-256", 2), ("rsa-sha2-512", 4)]),
    ]
}

/// Requests a signature by every algorithm of every key, with the key and with its certificate.
fn all_sign(bridge: &Bridge, keys: &[Key]) {
    let build = Build::start(bridge, &[]);
    let mut client = build.connect();
    for (key, (kind, _, algorithms)) in keys.iter().zip(kinds()) {
        let certificate = public(&bridge.home.path(&format!("{kind}-cert.pub")));
        for (algorithm, flags) in algorithms {
            let data = Login { algorithm, ..Login::new(&ONE, key) }.data();
            let signature = client.sign(&key.blob, &data, *flags).unwrap();
            assert_valid(&key.blob, algorithm, &data, &signature);

            let name = format!("{algorithm}-cert-v01@openssh.com");
            let data = Login { algorithm: &name, key: &certificate, ..Login::new(&ONE, key) }.data();
            let signature = client.sign(&certificate, &data, *flags).unwrap();
            // The signature verifies under the key itself.
            assert_valid(&key.blob, algorithm, &data, &signature);
        }
        let (algorithm, right) = algorithms[0];
        let data = Login { algorithm, ..Login::new(&ONE, key) }.data();
        for wrong in [0, 1, 2, 4, 6, 8].into_iter().filter(|flags| *flags != right) {
            assert_eq!(client.sign(&key.blob, &data, wrong), None, "{kind} with {wrong}");
        }
    }
    let stderr = build.end().stderr;
    assert!(stderr.contains("refused: RSA with SHA-1 is not allowed"), "{stderr}");
}

/// Keys of all kinds, each with a certificate.
fn certified(home: &Home) -> Vec<Key> {
    let keys: Vec<_> =
        kinds().into_iter().map(|(name, kind, _)| Key::generate(home, name, kind, "")).collect();
    let authority = Key::ed25519(home, "authority");
    for key in &keys {
        home.program("ssh-keygen", ["-q", "-I", "id", "-n", "git", "-s"])
            .args([&authority.path, &key.path.with_extension("pub")])
            .outcome()
            .succeeds();
    }
    keys
}

fn serve_agent(home: Home, agent: &SshAgent, args: &[&str]) -> Bridge {
    let mut command = home.serve([&["-A"], args].concat());
    command.env("SSH_AUTH_SOCK", &agent.socket);
    Bridge::start(home, command)
}

#[test]
fn every_kind_of_key_and_certificate_signs_behind_an_agent() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let keys = certified(&home);
    keys.iter().for_each(|key| agent.add(&home, key));
    all_sign(&serve_agent(home, &agent, &[]), &keys);
}

/// `cargo test --test main -- --ignored a_key_on_a_token`, with a FIDO token, which asks to be touched twice.
#[test]
#[ignore = "sk-token: needs a FIDO token and a person to touch it"]
fn a_key_on_a_token_signs_behind_an_agent() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let key = Key::generate(&home, "on a token", &["-t", "ed25519-sk"], "");
    agent.add(&home, &key);
    let bridge = serve_agent(home, &agent, &[]);
    let build = Build::start(&bridge, &[]);
    let login = Login { algorithm: "sk-ssh-ed25519@openssh.com", ..Login::new(&ONE, &key) };
    assert!(build.connect().sign(&key.blob, &login.data(), 0).is_some());
    build.end();
}

#[test]
fn every_kind_of_key_and_certificate_signs_from_files() {
    require!(OPENSSH);
    let home = Home::new();
    let keys = certified(&home);
    let files = kinds().iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",");
    let bridge = Bridge::serve_in(home, ["--ssh", &format!("default={files}")]);
    all_sign(&bridge, &keys);
    // The bridge has read the keys: the files are not needed any more.
    for key in &keys {
        std::fs::remove_file(&key.path).unwrap();
    }
    all_sign(&bridge, &keys);
}

#[test]
fn a_key_files_passphrase_is_asked_before_the_bridge_serves() {
    require!(OPENSSH);
    for format in [&[][..], &["-m", "PKCS8"]] {
        let home = Home::new();
        let key = Key::generate(&home, "locked", &[&["-t", "ecdsa"], format].concat(), "correct horse");
        // The first answer is wrong.
        let ask =
            "echo \"$1\" >>asked; if [ -e tried ]; then echo correct horse; else touch tried; echo no; fi";
        let ask = script(&home, "ask", ask);
        let mut command = home.serve(["--ssh", "default=locked"]);
        command.env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force");
        let bridge = Bridge::start(home, command);
        let asked = bridge.home.read("asked");
        assert_eq!(
            asked,
            "Passphrase for the SSH key locked: \nWrong passphrase. Passphrase for the SSH key locked: \n"
        );
        let build = Build::start(&bridge, &[]);
        build.connect().logs_in(Login { algorithm: "ecdsa-sha2-nistp256", ..Login::new(&ONE, &key) });
        build.end();
        assert!(!bridge.process.stderr().contains("correct horse"));
    }
}

#[test]
fn a_key_file_without_its_passphrase_stops_the_bridge() {
    require!(OPENSSH);
    let home = Home::new();
    Key::generate(&home, "locked", &["-t", "ed25519"], "correct horse");
    let wrong = script(&home, "wrong", "echo no");
    let cancel = script(&home, "cancel", "exit 1");
    for (program, message) in [
        (Some(wrong), "passphrase"),
        (Some(cancel), "the person cancelled the question"),
        (None, "no terminal"),
    ] {
        let mut command = home.serve(["--ssh", "default=locked"]);
        command.env("SSH_ASKPASS_REQUIRE", "force");
        if let Some(program) = program {
            command.env("SSH_ASKPASS", program);
        }
        command.outcome().fails().says("locked").says(message);
    }
    home.serve(["--ssh", "default=absent"]).outcome().fails().says("absent");
    // The old PEM format derives its key by MD5.
    Key::generate(&home, "old", &["-t", "ecdsa", "-m", "PEM"], "correct horse");
    let advice = "it has the old encryption of PEM files; ssh-keygen -p -f FILE converts it";
    home.serve(["--ssh", "default=old"]).outcome().fails().says("old").says(advice);
}

#[test]
fn only_the_named_keys_are_offered() {
    require!(OPENSSH);
    for by_fingerprint in [false, true] {
        let home = Home::new();
        let agent = SshAgent::start(&home);
        let keys = ["one", "two", "three"].map(|comment| Key::ed25519(&home, comment));
        keys.iter().for_each(|key| agent.add(&home, key));
        let name = |key: &Key| if by_fingerprint { key.fingerprint() } else { key.comment.clone() };
        let (one, three) = (name(&keys[0]), name(&keys[2]));
        let bridge = serve_agent(home, &agent, &["--ssh-key", &one, "--ssh-key", &three]);
        let build = Build::start(&bridge, &[]);
        let mut client = build.connect();
        assert_eq!(client.ask(LIST), listing(&[&keys[0], &keys[2]]));
        client.logs_in(Login::new(&ONE, &keys[0]));
        client.cannot_log_in(Login::new(&ONE, &keys[1]));
        client.logs_in(Login::new(&ONE, &keys[2]));
        build.end();
    }
}

#[test]
fn several_agents_are_told_apart_by_their_ids() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let [work, deploy, both] = ["work", "deploy", "both"].map(|comment| Key::ed25519(&home, comment));
    agent.add(&home, &work);
    let socket = format!("work={}", agent.socket.display());
    let bridge = Bridge::serve_in(home, ["--ssh", &socket, "--ssh", "ci/deploy=deploy,both"]);
    let spellings = [(&["--ssh", "work"][..], &[&work][..]), (&["--ssh=ci/deploy"], &[&deploy, &both])];
    for (ssh, keys) in spellings {
        let build = Build::start(&bridge, ssh);
        let mut client = build.connect();
        assert_eq!(client.ask(LIST), listing(keys));
        keys.iter().for_each(|key| client.logs_in(Login::new(&ONE, key)));
        let stranger = if keys.len() == 1 { &deploy } else { &work };
        client.cannot_log_in(Login::new(&ONE, stranger));
        build.end();
    }
}

#[test]
fn a_missing_agent_is_an_error_only_if_it_was_requested() {
    require!(OPENSSH);
    let home = Home::new();
    Key::ed25519(&home, "deploy");
    let bridge = Bridge::serve_in(home, ["--ssh", "ci=deploy"]);
    let show = ["--sh", "echo ${SSH_AUTH_SOCK-unset}"];
    for ssh in ["--ssh", "--ssh=default", "--ssh=missing"] {
        let id = ssh.strip_prefix("--ssh=").unwrap_or("default");
        let outcome = bridge.client([&["exec", ssh][..], &show].concat()).outcome().fails();
        assert!(outcome.stderr.contains(id) && outcome.stderr.contains("ci"), "{}", outcome.stderr);
    }
    for args in [&["exec"][..], &["exec", "--no-ssh-agent"], &["exec", "-A"]] {
        let mut command = bridge.client([args, &show].concat());
        command.outcome().succeeds().prints("unset\n");
        command.env("SSH_AUTH_SOCK", "/mine").outcome().succeeds().prints("/mine\n");
    }
}

#[test]
fn without_an_agent_ssh_auth_sock_stays_as_it_is() {
    require!(OPENSSH);
    let home = Home::new();
    Key::ed25519(&home, "deploy");
    let bridge = Bridge::serve_in(home, ["--ssh", "default=deploy"]);
    let show = ["--sh", "echo ${SSH_AUTH_SOCK-unset}"];
    for args in [&["exec", "--no-ssh-agent"][..], &["exec", "-A"]] {
        let mut command = bridge.client([args, &show].concat());
        command.outcome().succeeds().prints("unset\n");
        command.env("SSH_AUTH_SOCK", "/mine").outcome().succeeds().prints("/mine\n");
    }
    let outcome = bridge.client([&["exec"][..], &show].concat()).env("SSH_AUTH_SOCK", "/mine").outcome();
    assert_ne!(outcome.succeeds().text(), "/mine\n");
}

#[test]
fn a_host_may_prove_itself_by_a_certificate() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let authority = Key::ed25519(&home, "authority");
    let line = std::fs::read_to_string(authority.path.with_extension("pub")).unwrap();
    home.file("known", format!("@cert-authority *.example {line}"));
    let [host, expired, elsewhere, user] = std::array::from_fn(|_| HostKey::new());
    let certify = |name: &str, host: &HostKey, args: &[&str]| {
        home.file(&format!("{name}.pub"), host.line("").trim_start());
        let mut command = home.program("ssh-keygen", ["-q", "-I", name, "-s", "authority"]);
        command.args(args).arg(format!("{name}.pub")).outcome().succeeds();
        public(&home.path(&format!("{name}-cert.pub")))
    };
    let good = certify("host", &host, &["-h", "-n", "git.example"]);
    let old = certify("expired", &expired, &["-h", "-n", "git.example", "-V", "20200101:20200102"]);
    let other = certify("elsewhere", &elsewhere, &["-h", "-n", "other.example"]);
    let users = certify("user", &user, &["-n", "git.example"]);
    let policy = ["--ssh-allow-host", "git.example", "--ssh-known-hosts", "known"];
    let bridge = Bridge::serve_in(home, [&["--ssh", "default=deploy"], &policy[..]].concat());
    let build = Build::start(&bridge, &[]);
    let bound = |certificate: &[u8], signer: &HostKey| {
        let mut client = build.connect();
        client.binds(&bind(certificate, &ONE, &signer.sign(&ONE), false));
        client
    };
    bound(&good, &host).logs_in(Login::new(&ONE, &key));
    for (certificate, signer) in [(&old, &expired), (&other, &elsewhere), (&users, &user), (&good, &expired)]
    {
        bound(certificate, signer).cannot_log_in(Login::new(&ONE, &key));
    }
    // The authority signed the certificate; the key without it is unknown.
    bound(&host.public(), &host).cannot_log_in(Login::new(&ONE, &key));
    assert_eq!(build.end().stderr.lines().count(), 5);
}

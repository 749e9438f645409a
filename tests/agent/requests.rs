//! Promise: a build cannot change the agent, and invalid frames affect only the connection that sent them.

use crate::peer::{AUDIT, of_kind, records};
use crate::support::agent::{
    Build, Key, LIST, Login, NO, ONE, SshAgent, framed, listing, sign_request, ssh_add,
};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home};
use proto::agent::Writer;
use proto::limits::MAX_MESSAGE;

/// A build with the key `deploy`, without restriction to hosts.
struct Scene {
    bridge: Bridge,
    agent: SshAgent,
    build: Build,
    key: Key,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        let agent = SshAgent::start(&home);
        let key = Key::ed25519(&home, "deploy");
        agent.add(&home, &key);
        let mut command = home.serve(["-A", "--audit", AUDIT]);
        command.env("SSH_AUTH_SOCK", &agent.socket);
        let bridge = Bridge::start(home, command);
        let build = Build::start(&bridge, &[]);
        Self { bridge, agent, build, key }
    }

    fn login(&self) -> Login<'_> {
        Login::new(&ONE, &self.key)
    }
}

#[test]
fn all_but_list_sign_and_bind_requests_are_refused() {
    require!(OPENSSH);
    let scene = Scene::new();
    let before = scene.agent.keys(&scene.bridge.home);
    let mut client = scene.build.connect();
    let mut texts = Vec::new();
    for kind in (0..=255).filter(|kind| *kind != 11) {
        // The last two bodies would be a well-formed extension (27): extensions are tested by name below.
        let bodies = [&b""[..], &[0xff; 64], b"\0\0\0\x06hunter", &[0; 4]];
        for body in &bodies[..if kind == 27 { 2 } else { 4 }] {
            assert_eq!(client.ask(&[&[kind][..], body].concat()), NO, "{kind}");
        }
        client.logs_in(scene.login());
        texts.push(match kind {
            13 | 27 => "invalid SSH agent request".to_owned(),
            1 => "(list keys of SSH 1)".to_owned(),
            3 => "(challenge of SSH 1)".to_owned(),
            7 => "(add a key of SSH 1)".to_owned(),
            8 => "(remove a key of SSH 1)".to_owned(),
            9 => "(remove all keys of SSH 1)".to_owned(),
            17 => "(add a key)".to_owned(),
            18 => "(remove a key)".to_owned(),
            19 => "(remove all keys)".to_owned(),
            20 => "(add a smartcard)".to_owned(),
            21 => "(remove a smartcard)".to_owned(),
            22 => "(lock)".to_owned(),
            23 => "(unlock)".to_owned(),
            24 => "(add a constrained key of SSH 1)".to_owned(),
            25 => "(add a constrained key)".to_owned(),
            26 => "(add a constrained smartcard)".to_owned(),
            _ => format!("(number {kind})"),
        });
    }
    for name in ["query", "session-bind@openssh.con", "\u{1b}[2J", ""] {
        let mut extension = Writer::new(27);
        extension.string(name.as_bytes()).string(b"hunter");
        assert_eq!(client.ask(&extension.finish()), NO);
        texts.push(format!("(extension {})", name.escape_default()));
    }
    assert_eq!(client.ask(LIST), listing(&[&scene.key]));
    assert_eq!(scene.agent.keys(&scene.bridge.home), before);
    let outcome = scene.build.end();
    for text in &texts {
        assert!(outcome.stderr.contains(text), "{text:?} in:\n{}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("hunter"), "{}", outcome.stderr);
    let records = records(&scene.bridge);
    let reasons = of_kind(&records, "agent-refused");
    let count = |reason: &str| reasons.iter().filter(|record| record["reason"] == reason).count();
    // A malformed extension has no name to report.
    assert_eq!(count("changes-agent"), 13 * 4);
    assert_eq!(count("malformed"), 4 + 2);
    assert_eq!(count("not-passed-on"), (255 - 13 - 2) * 4 + 4);
    assert_eq!(count("changes-agent") + count("malformed") + count("not-passed-on"), reasons.len());
}

#[test]
fn ssh_add_changes_nothing() {
    require!(OPENSSH);
    let scene = Scene::new();
    let home = &scene.bridge.home;
    let new = Key::ed25519(home, "new");
    let before = scene.agent.keys(home);
    let (deploy, new) = (scene.key.path.to_str().unwrap(), new.path.to_str().unwrap());
    for args in
        [&["-D"][..], &["-x"], &["-X"], &["-d", deploy], &[new], &["-c", "-t", "9", new], &["-e", "/x"]]
    {
        let outcome = ssh_add(home, &scene.build.socket, args);
        assert_ne!(outcome.code(), Some(0), "{args:?}");
        assert_eq!(scene.agent.keys(home), before, "{args:?}");
        scene.build.connect().logs_in(scene.login());
    }
    let all = ssh_add(home, &scene.build.socket, &["-L"]).succeeds();
    assert_eq!(format!("Some(0) {} ", all.text()), before);
    let Scene { bridge, build, .. } = scene;
    let stderr = build.end().stderr;
    for text in ["remove all keys", "lock", "unlock", "remove a key", "add a key", "add a constrained key"] {
        assert!(stderr.contains(&format!("would change the agent ({text})")), "{text:?} in:\n{stderr}");
    }
    let records = records(&bridge);
    let refused = of_kind(&records, "agent-refused");
    assert!(refused.iter().all(|record| record["reason"] == "changes-agent"), "{refused:?}");
}

#[test]
fn frames_may_come_in_any_pieces_and_are_answered_in_order() {
    require!(OPENSSH);
    let scene = Scene::new();
    let sign = sign_request(&scene.key.blob, &scene.login().data(), 0);
    let mut client = scene.build.connect();
    for byte in framed(LIST).into_iter().chain(framed(&sign)) {
        client.send(&[byte]);
    }
    assert_eq!(client.next().unwrap(), listing(&[&scene.key]));
    // Ed25519 has one signature for the same data.
    let signed = client.next().unwrap();
    assert_eq!(client.ask(&sign), signed);
    client.send(&[framed(&sign), framed(LIST), framed(&[99]), framed(&[11, 0])].concat().repeat(20));
    client.stop_sending();
    for _ in 0..20 {
        assert_eq!(client.next().unwrap(), signed);
        assert_eq!(client.next().unwrap(), listing(&[&scene.key]));
        assert_eq!(client.next().unwrap(), NO);
        assert_eq!(client.next().unwrap(), NO);
    }
    assert_eq!(client.next(), None);
    scene.build.end();
}

#[test]
fn an_invalid_frame_ends_its_connection_without_an_answer() {
    require!(OPENSSH);
    let scene = Scene::new();
    let mut other = scene.build.connect();
    other.logs_in(scene.login());
    let longest = u32::try_from(MAX_MESSAGE).unwrap();
    let good = framed(&sign_request(&scene.key.blob, &scene.login().data(), 0));
    for bad in [
        vec![0, 0, 0, 0],
        u32::MAX.to_be_bytes().to_vec(),
        (longest + 1).to_be_bytes().to_vec(),
        [&(longest + 1).to_be_bytes()[..], &[13; 1 << 16]].concat(),
        good[..good.len() - 1].to_vec(),
        vec![0, 0, 0],
        [&longest.to_be_bytes()[..], &[13; 100]].concat(),
    ] {
        let mut client = scene.build.connect();
        client.send(&bad);
        client.stop_sending();
        assert_eq!(client.next(), None, "{:02x?}", &bad[..3]);
        other.logs_in(scene.login());
    }
    // A message of the maximum length is read to its end.
    let mut client = scene.build.connect();
    assert_eq!(client.ask(&vec![99; MAX_MESSAGE]), NO);
    assert_eq!(client.ask(&[&[13][..], &vec![0; MAX_MESSAGE - 1]].concat()), NO);
    client.logs_in(scene.login());
    scene.build.end();
}

#[test]
fn a_request_with_too_many_or_too_few_bytes_is_refused() {
    require!(OPENSSH);
    let scene = Scene::new();
    let sign = sign_request(&scene.key.blob, &scene.login().data(), 0);
    let mut client = scene.build.connect();
    for wrong in
        (1..sign.len()).step_by(7).map(|end| sign[..end].to_vec()).chain([[&sign[..], &[0]].concat()])
    {
        assert_eq!(client.ask(&wrong), NO);
    }
    client.logs_in(scene.login());
    let Scene { bridge, build, .. } = scene;
    // The same refusal several times in a row is shown once, with a count.
    let stderr = build.end().stderr;
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines[0], "secrets-bridge: warning: refused: invalid SSH agent request");
    assert!(lines[1].starts_with("secrets-bridge: the last message was repeated "), "{stderr}");
    assert_eq!(lines.len(), 2, "{stderr}");
    let records = records(&bridge);
    assert!(of_kind(&records, "agent-refused").iter().all(|record| record["reason"] == "malformed"));
}

//! A client in COMMAND of another client names the session around it as its parent.

use crate::peer::{AUDIT, FakeBridge, of_kind, records, until_closed, welcome};
use crate::support::agent::Key;
use crate::support::{Bridge, Home, Outcome, Start as _};
use proto::HostMessage;

const VARIABLE: &str = "SECRETS_BRIDGE_SESSION";
const OUTER: &str = "000102030405060708090a0b0c0d0e0f";
const PRINT_IT: &str = "printf %s \"$SECRETS_BRIDGE_SESSION\"";

/// A bridge with an agent, whose sessions stay open while COMMAND runs.
fn bridge() -> Bridge {
    let home = Home::new();
    Key::ed25519(&home, "deploy");
    Bridge::serve_in(home, ["--ssh", "default=deploy", "--secret", "TOKEN=hunter2", "--audit", AUDIT])
}

fn exec(bridge: &Bridge, args: &[&str]) -> Outcome {
    bridge.client(["exec", "--leaks=off"]).args(args).env(VARIABLE, OUTER).outcome()
}

#[test]
fn command_gets_the_id_of_a_session_that_stays_open() {
    let bridge = bridge();
    // An inherited id is replaced: the inner session is open as long.
    let id = exec(&bridge, &["--sh", PRINT_IT]).succeeds().text();
    assert_eq!(of_kind(&records(&bridge), "session-begun")[0]["session"], id.as_str());
}

#[test]
fn command_keeps_an_inherited_id_if_its_session_has_ended() {
    let bridge = bridge();
    exec(&bridge, &["-A", "-e", "TOKEN", "--sh", PRINT_IT]).succeeds().prints(OUTER);
    // Without one there is none.
    bridge.client(["exec", "-A", "-e", "TOKEN", "--sh", PRINT_IT]).outcome().succeeds().prints("");
}

#[test]
fn a_nested_client_names_its_parent() {
    for (value, parent) in [(OUTER, Some(OUTER)), ("", None)] {
        let bridge = FakeBridge::new(move |socket, hello| {
            assert_eq!(hello.parent.map(|parent| parent.to_string()).as_deref(), parent);
            welcome(socket);
            crate::peer::send(socket, &HostMessage::Length { request: 0, length: 0 });
            until_closed(socket);
        });
        let home = Home::new();
        let mut print = home.command(["print", "TOKEN"]);
        print.env("BRIDGE_CONF", &bridge.conf).env(VARIABLE, value).outcome().succeeds();
        bridge.finishes();
    }
}

#[test]
fn an_invalid_id_of_a_parent_is_an_error() {
    let bridge = bridge();
    for value in ["0", &OUTER.to_uppercase(), &"0".repeat(32), "00010203-0405-0607-0809-0a0b0c0d0e0f"] {
        bridge
            .client(["print", "TOKEN"])
            .env(VARIABLE, value)
            .outcome()
            .fails()
            .says("invalid SECRETS_BRIDGE_SESSION: not a session id");
    }
}

//! Promise 1: a conf is worthless once its bridge has ended, however it ended.

use std::net::TcpListener;

use crate::support::{Bridge, Home, Start as _};

#[test]
fn a_conf_is_worthless_after_its_bridge_was_killed() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    let port = bridge.port();
    bridge.sigkill();

    bridge
        .client(["print", "TOKEN"])
        .outcome()
        .fails()
        .says("no endpoint of the bridge answered")
        .says(&format!("127.0.0.1:{port}  refused"))
        .says("is `serve` still running on the host?");
    // The port is free again.
    TcpListener::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn a_command_does_not_start_with_a_dead_conf() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    bridge.sigkill();
    bridge.client(["exec", "-e", "TOKEN", "--", "echo", "started"]).outcome().fails();
    // Not even without secrets: a dead bridge is always an error.
    bridge.client(["exec", "--", "echo", "started"]).outcome().fails();
}

#[test]
fn a_second_bridge_on_the_same_port_refuses_the_old_conf() {
    let old = Bridge::serve(["--secret", "TOKEN=old"]);
    let at = old.address().to_string();
    old.sigkill();
    let new = Bridge::serve(["--secret", "TOKEN=new", "--listen", &at]);
    assert_ne!(old.conf, new.conf);

    old.client(["print", "TOKEN"])
        .outcome()
        .fails()
        .says(&format!(
            "{at}  the bridge does not know this conf (another run, or another version of secrets-bridge)"
        ))
        .says("hint: pass the conf of the bridge that runs");
    new.client(["print", "TOKEN"]).outcome().succeeds().prints("new");
}

#[test]
fn a_bridge_that_ended_by_itself_leaves_a_dead_conf_too() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2", "--once"]);
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    bridge.process.exits();
    bridge.client(["print", "TOKEN"]).outcome().fails().says("no endpoint of the bridge answered");
}

#[test]
fn a_conf_of_run_is_dead_once_run_has_ended() {
    let home = Home::new();
    let script = "printf %s \"$BRIDGE_CONF\"";
    let run = home
        .command(["run", "--listen", "127.0.0.1:0", "--secret", "TOKEN=hunter2", "--", "sh", "-c", script])
        .outcome()
        .succeeds();
    home.command(["print", "TOKEN", "-c", &run.text()])
        .outcome()
        .fails()
        .says("no endpoint of the bridge answered");
}

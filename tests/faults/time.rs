//! Waits that take long before they end. `cargo xtask test --long` runs these to their end; otherwise they are short.

use std::time::Duration;

use super::is_long;
use super::proxy::{Affected, Direction, Fault, FaultProxy};
use crate::peer;
use crate::support::{Bridge, Home, Start as _};

/// A minute more than the limits of the product, which are two.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_source_that_hangs_is_ended_after_two_minutes() {
    let home = Home::new();
    home.program("mkfifo", ["never"]).outcome().succeeds();
    let bridge = Bridge::serve_in(home, ["--secret", "id=SLOW,cmd=exec cat never"]);
    let exec = bridge.client(["exec", "-e", "SLOW", "--", "echo", "started"]).start();
    exec.says("waiting for SLOW");
    if is_long() {
        exec.ends_within(PATIENCE).fails().says("did not finish within 120 s");
    }
}

#[test]
fn a_bridge_that_falls_silent_is_given_up_after_two_minutes() {
    let home = Home::new();
    home.program("mkfifo", ["never"]).outcome().succeeds();
    let bridge = Bridge::serve_in(home, ["--secret", "id=SLOW,cmd=exec cat never", "--audit", "-"]);
    let whole = FaultProxy::to(bridge.port(), Fault::None, Affected::All);
    let through = |proxy: &FaultProxy| {
        let conf = peer::with_endpoints(&peer::conf(&bridge.conf), proxy.port, &["127.0.0.1"]);
        bridge.home.command(["print", "SLOW"]).env("BRIDGE_CONF", conf).start()
    };
    let print = through(&whole);
    print.says("waiting for SLOW");
    if is_long() {
        // After everything that the bridge sends before it waits for the source.
        let after = *whole.records(Direction::Down).last().unwrap();
        drop(print);
        let fault = Fault::Stall { direction: Direction::Down, after };
        let stalled = FaultProxy::to(bridge.port(), fault, Affected::All);
        through(&stalled).ends_within(PATIENCE).fails().says("secrets-bridge: ");
    }
}

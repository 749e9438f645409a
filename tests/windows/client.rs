//! The client on Windows (here wine), with a bridge on Linux.

use crate::support::{Bridge, Home, Start as _};
use crate::wine;
use crate::wine::{client, exe};

/// Contains characters that URLs, shells and console code pages treat specially.
const TOKEN: &str = "npm_+/?&%~=ä";

fn bridge() -> Bridge {
    let home = Home::new();
    let mut command = home.serve(["--secret", "TOKEN", "--secret", "PLAIN"]);
    command.envs([("TOKEN", TOKEN), ("PLAIN", "hunter2")]);
    Bridge::start(home, command)
}

#[test]
fn print_writes_exactly_the_bytes_of_the_secret() {
    let bridge = bridge();
    client(&bridge, ["print", "TOKEN"]).outcome().succeeds().prints(TOKEN);
    client(&bridge, ["print", "b64:TOKEN"]).outcome().succeeds().prints("bnBtXysvPyYlfj3DpA==");
}

#[test]
fn ten_megabytes_arrive_whole() {
    let home = Home::new();
    let bytes: Vec<u8> = (0..10_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    home.file("big", &bytes);
    let bridge = Bridge::serve_in(home, ["--secret", "id=BIG,src=big"]);
    client(&bridge, ["print", "BIG"]).outcome().succeeds().prints(bytes);
}

#[test]
fn test_and_kill_work_as_on_linux() {
    let bridge = bridge();
    client(&bridge, ["test"]).outcome().succeeds();
    client(&bridge, ["kill"]).outcome().succeeds();
    bridge.process.exits();
    client(&bridge, ["kill"]).outcome().succeeds();
}

#[test]
fn a_missing_secret_and_a_dead_conf_are_errors() {
    let bridge = bridge();
    let command = ["exec", "-e", "ABSENT", "--", "cmd", "/c", "echo started"];
    client(&bridge, command).outcome().fails().says("ABSENT: the bridge has no such secret");
    bridge.sigkill();
    let command = ["exec", "-e", "TOKEN", "--", "cmd", "/c", "echo started"];
    let outcome = client(&bridge, command).outcome().fails();
    outcome.says("no endpoint of the bridge answered").says("is `serve` still running on the host?");
}

#[test]
fn another_bridge_at_that_address_is_rejected() {
    let (one, other) = (bridge(), bridge());
    let address = other.address().to_string();
    one.sigkill();
    let outcome = client(&one, ["print", "--endpoint", &address, "TOKEN"]).outcome().fails();
    // Refused by its knock, before the pin could be compared.
    outcome.says("the bridge does not know this conf");
}

#[test]
fn the_conf_is_found_in_every_documented_place() {
    let bridge = bridge();
    let print = |home: &Home| exe(home, ["print", "PLAIN"]);
    let profile = Home::new();
    let drive = std::path::PathBuf::from(wine::setting("WINEPREFIX")).join("drive_c");
    let secrets = drive.join("ProgramData/Docker/secrets");

    print(&profile).outcome().fails().says(r"C:\ProgramData\Docker\secrets\bridge_conf: no such file");
    print(&profile).env("BRIDGE_CONF", &bridge.conf).outcome().succeeds().prints("hunter2");
    print(&profile).env("FTP_PROXY", &bridge.conf).outcome().succeeds().prints("hunter2");
    let file = profile.file("conf", &bridge.conf);
    let named = ["-c", &wine::path(&file), "print", "PLAIN"];
    exe(&profile, named).outcome().succeeds().prints("hunter2");

    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("bridge_conf"), &bridge.conf).unwrap();
    let found = print(&profile).outcome();
    std::fs::remove_dir_all(&secrets).unwrap();
    found.succeeds().prints("hunter2");

    let at_home = drive.join("users").join(std::env::var("USER").unwrap_or_else(|_| "root".into()));
    std::fs::write(at_home.join(".bridge-conf"), format!("{}\n", bridge.conf)).unwrap();
    let found = print(&profile).outcome();
    std::fs::remove_file(at_home.join(".bridge-conf")).unwrap();
    found.succeeds().prints("hunter2");
}

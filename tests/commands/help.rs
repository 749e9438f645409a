//! Help and usage errors.

use crate::support::{Bridge, Home, Start as _};

const HOST_COMMANDS: [&str; 6] = ["serve", "run", "scan", "init", "allow", "image"];
const CLIENT_COMMANDS: [&str; 4] = ["exec", "print", "test", "kill"];

fn help(command: &str, option: &str) -> String {
    Home::new().command([command, option]).env("COLUMNS", "80").outcome().succeeds().text()
}

#[test]
fn global_options_are_last_in_every_help() {
    for command in HOST_COMMANDS.iter().chain(&CLIENT_COMMANDS) {
        for option in ["-h", "--help"] {
            let text = help(command, option);
            let (_, global) = text.split_once("\nGlobal options:\n").unwrap();
            for option in ["-q, --quiet", "-v, --verbose", "-h, --help"] {
                assert!(global.contains(option), "{command}: no {option} in {global}");
            }
            assert_eq!(global.matches("\n  -").count(), 2, "{command}: {global}");
            assert!(text.contains("Examples:\n"), "{command}");
        }
    }
}

#[test]
fn only_commands_that_dial_have_an_option_for_the_conf() {
    for command in HOST_COMMANDS {
        assert!(!help(command, "--help").contains("-c, --bridge-conf"), "{command}");
    }
    for command in CLIENT_COMMANDS {
        assert!(help(command, "--help").contains("-c, --bridge-conf"), "{command}");
    }
}

#[test]
fn help_fits_into_80_columns() {
    for command in HOST_COMMANDS.iter().chain(&CLIENT_COMMANDS) {
        for line in help(command, "--help").lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}

#[test]
fn the_conf_is_accepted_before_and_after_the_command() {
    let bridge = Bridge::serve(["--secret", "TOKEN=value"]);
    let conf = bridge.conf.as_str();
    for args in [["-c", conf, "print", "TOKEN"], ["print", "-c", conf, "TOKEN"]] {
        bridge.home.command(args).outcome().succeeds().prints("value");
    }
    for args in [["-c", conf, "init"], ["init", "-c", conf]] {
        let outcome = bridge.home.command(args).outcome();
        outcome
            .exits_with(125)
            .says("unexpected option -c: this command uses no bridge conf")
            .never_says(conf);
    }
}

#[test]
fn usage_errors_name_options_and_repeat_no_values() {
    let home = Home::new();
    for (args, message) in [
        (&["serve", "--secrt=hunter2"][..], "unknown option --secrt; did you mean --secret?"),
        (&["print", "KEY", "hunter2"], "unexpected argument"),
        (&["hunter2"], "unknown command"),
        (&["serve", "--once", "--max-sessions", "2"], "--once cannot be used with --max-sessions <N>"),
        (&["serve", "--once", "--once"], "--once is given more than once"),
        (&["print"], "missing KEY"),
        (&["run"], "missing COMMAND"),
        (&["serve", "--timeout"], "missing value of --timeout <TIME>"),
    ] {
        home.command(args).outcome().exits_with(125).says(message).never_says("hunter2");
    }
}

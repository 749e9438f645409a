//! Options that are not of one command.

use std::ffi::OsString;

use clap::{ArgAction, Args};

// Headings in the help.
pub(crate) const CONNECTION: &str = "Connection";
pub(super) const GLOBAL_OPTIONS: &str = "Global options";

// At the end of the help of every command. (A doc comment would become the help.)
#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL_OPTIONS)]
pub(crate) struct GlobalOptions {
    /// Print errors only
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Print what is tried and how it goes; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Print help; -h for a summary
    #[arg(short, long, action = ArgAction::Help)]
    pub(super) help: Option<bool>,
}

// Before the name of a command and, if the command dials a bridge, after it. (A doc comment would become the help.)
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct ConfOption {
    /// Bridge conf, a file that holds it, or - for standard input
    ///
    /// Default: the first of $BRIDGE_CONF, the file /run/secrets/bridge_conf, $FTP_PROXY if it holds a conf, and the
    /// file ~/.bridge-conf.
    #[cfg_attr(windows, doc = r"The file is C:\ProgramData\Docker\secrets\bridge_conf on Windows.")]
    // Not parsed by clap, like every option that may carry a secret: clap repeats the values that it rejects.
    #[arg(short = 'c', long = "bridge-conf", value_name = "CONF|FILE|-", display_order = 0)]
    pub(crate) conf: Option<OsString>,
}

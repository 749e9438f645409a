//! The commands of the host: they offer secrets and SSH agents to builds, and search images.

use crate::cli::command::Entry;

mod allow;
mod daemonize;
pub mod fuzzing;
mod init;
mod inspection;
mod options;
mod project_file;
mod run;
mod scan;
mod serve;
mod settings;
mod signals;
mod stdin;

pub(crate) use project_file::ProjectFileError;

pub(crate) const COMMANDS: &[Entry] = &[
    Entry::new::<serve::Serve>("serve", "Offer secrets to builds until stopped, and print the bridge conf"),
    Entry::new::<run::Run>("run", "Run COMMAND on the host, and offer secrets to builds until it ends"),
    Entry::new::<scan::Scan>("scan", "Search all layers of a saved container image for secrets"),
    Entry::new::<init::Init>("init", "Write an example of a project file, secrets-bridge.toml"),
    Entry::new::<allow::Allow>("allow", "Show what a project file asks for, and approve it"),
    Entry::background::<daemonize::Background>(
        daemonize::COMMAND,
        "Run the background process of `serve -d`",
    ),
];

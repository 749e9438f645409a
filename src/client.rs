//! The commands of a build: they fetch secrets from the bridge.

use crate::cli::command::Entry;

#[cfg(unix)]
mod discard_output;
mod exec;
mod git_credential;
mod kill;
mod options;
mod print;
mod test;

pub(crate) const COMMANDS: &[Entry] = &[
    Entry::with_conf::<exec::Exec>("exec", "Run COMMAND with secrets from the bridge"),
    Entry::with_conf::<print::Print>("print", "Write one secret to standard output, byte for byte"),
    Entry::with_conf::<test::Test>(
        "test",
        "Show which endpoints answer, how fast, and what the bridge offers",
    ),
    Entry::with_conf::<kill::Kill>("kill", "Stop the bridge that the conf names"),
    Entry::new::<git_credential::GitCredential>(
        "git-credential",
        "Answer git as its credential helper under `exec --git-credentials`",
    )
    .internal(),
    #[cfg(unix)]
    Entry::new::<discard_output::DiscardOutput>(
        "discard-output",
        "Read the output of processes that outlive `exec`",
    )
    .internal(),
];

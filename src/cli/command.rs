//! The commands that there are. Each is described when it is asked for: describing all of them takes a tenth of the
//! time in which a build fetches a secret.

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

#[cfg(feature = "client")]
use crate::client::{exec::Exec, git_credential::GitCredential, kill::Kill, print::Print, test::Test};
#[cfg(feature = "host")]
use crate::host::daemonize;
#[cfg(feature = "host")]
use crate::host::{allow::Allow, init::Init, run::Run, scan::Scan, serve::Serve};
use crate::image::Image;

/// A command with its options.
#[derive(Debug)]
pub(crate) enum Command {
    #[cfg(feature = "host")]
    Serve(Box<Serve>),
    #[cfg(feature = "host")]
    Run(Box<Run>),
    #[cfg(feature = "host")]
    Scan(Scan),
    #[cfg(feature = "host")]
    Allow(Allow),
    #[cfg(feature = "host")]
    Init(Init),
    #[cfg(feature = "client")]
    Exec(Box<Exec>),
    #[cfg(feature = "client")]
    Print(Print),
    #[cfg(feature = "client")]
    Test(Test),
    #[cfg(feature = "client")]
    Kill(Kill),
    #[cfg(feature = "client")]
    GitCredential(GitCredential),
    Image(Image),
    /// The background half of `serve -d`; its arguments come through a pipe: this one on Windows, else standard input.
    #[cfg(feature = "host")]
    Detached(String),
}

impl Subcommand for Command {
    fn augment_subcommands(program: clap::Command) -> clap::Command {
        #[cfg(feature = "host")]
        let program = program
            .subcommand(described::<Serve>(
                "serve",
                "Offer secrets to builds until it is ended, and print the bridge conf",
            ))
            .subcommand(described::<Run>(
                "run",
                "Offer secrets for the life of COMMAND, which finds the bridge conf in $FTP_PROXY and $BRIDGE_CONF",
            ))
            .subcommand(described::<Scan>("scan", "Search a saved image, all of its layers, for secrets"))
            .subcommand(described::<Init>("init", "Write a project file to begin with, secrets-bridge.toml"))
            .subcommand(described::<Allow>(
                "allow",
                "Show what a project file asks for, and let it be used as it is now",
            ));
        #[cfg(feature = "client")]
        let program = program
            .subcommand(described::<Exec>("exec", "Run COMMAND with secrets from the bridge"))
            .subcommand(described::<Print>("print", "Write one secret to standard output, exactly its bytes"))
            .subcommand(described::<Test>(
                "test",
                "Say which endpoints of the bridge answer, how fast, and what it offers",
            ))
            .subcommand(described::<Kill>(
                "kill",
                "End the bridge that the conf names; that it has ended already is success",
            ))
            .subcommand(
                described::<GitCredential>(
                    "git-credential",
                    "Answer git under `exec --git-credentials`, as a credential helper",
                )
                .hide(true),
            );
        #[cfg(feature = "host")]
        let program =
            program.subcommand(clap::Command::new(daemonize::COMMAND).hide(true).arg(clap::Arg::new("pipe")));
        program.subcommand(described::<Image>(
            "image",
            "Write an image with this binary, for COPY --from=secrets-bridge",
        ))
    }

    fn augment_subcommands_for_update(program: clap::Command) -> clap::Command {
        Self::augment_subcommands(program)
    }

    fn has_subcommand(name: &str) -> bool {
        Self::augment_subcommands(clap::Command::new("")).find_subcommand(name).is_some()
    }
}

/// The command `name`, whose options `A` are looked at only if it is the one.
fn described<A: Args>(name: &'static str, about: &'static str) -> clap::Command {
    clap::Command::new(name).about(about).defer(A::augment_args)
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            #[cfg(feature = "host")]
            Some(("serve", matches)) => Ok(Self::Serve(Box::new(Serve::from_arg_matches(matches)?))),
            #[cfg(feature = "host")]
            Some(("run", matches)) => Ok(Self::Run(Box::new(Run::from_arg_matches(matches)?))),
            #[cfg(feature = "host")]
            Some(("scan", matches)) => Ok(Self::Scan(Scan::from_arg_matches(matches)?)),
            #[cfg(feature = "host")]
            Some(("allow", matches)) => Ok(Self::Allow(Allow::from_arg_matches(matches)?)),
            #[cfg(feature = "host")]
            Some(("init", matches)) => Ok(Self::Init(Init::from_arg_matches(matches)?)),
            #[cfg(feature = "client")]
            Some(("exec", matches)) => Ok(Self::Exec(Box::new(Exec::from_arg_matches(matches)?))),
            #[cfg(feature = "client")]
            Some(("print", matches)) => Ok(Self::Print(Print::from_arg_matches(matches)?)),
            #[cfg(feature = "client")]
            Some(("test", matches)) => Ok(Self::Test(Test::from_arg_matches(matches)?)),
            #[cfg(feature = "client")]
            Some(("kill", matches)) => Ok(Self::Kill(Kill::from_arg_matches(matches)?)),
            #[cfg(feature = "client")]
            Some(("git-credential", matches)) => {
                Ok(Self::GitCredential(GitCredential::from_arg_matches(matches)?))
            }
            Some(("image", matches)) => Ok(Self::Image(Image::from_arg_matches(matches)?)),
            #[cfg(feature = "host")]
            Some((daemonize::COMMAND, matches)) => {
                Ok(Self::Detached(matches.get_one::<String>("pipe").cloned().unwrap_or_default()))
            }
            // clap admits only what is described above.
            _ => Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_description_is_consistent() {
        crate::cli::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_helped_with_by_its_own_description() {
        for command in crate::cli::Cli::command().get_subcommands() {
            let (name, about) = (command.get_name(), command.get_about().unwrap_or_default().to_string());
            let asked = crate::cli::Cli::command().try_get_matches_from(["secrets-bridge", name, "--help"]);
            assert!(asked.unwrap_err().to_string().starts_with(&about), "{name}");
        }
    }
}

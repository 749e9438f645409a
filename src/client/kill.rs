//! `kill`: stops the bridge.

use std::ffi::OsStr;

use bridge_client::{ClientError, ConnectError, SessionError};
use clap::Args;

use crate::cli::command::ConfCommand;
use crate::client::options::connect::ConnectOptions;
use crate::failure::Failure;
use crate::runtime::block_on;

#[derive(Debug, Args)]
#[command(after_help = "\
A bridge that has stopped already is no error: then nothing listens at the addresses of its conf. If one of them cannot be reached, or
something else answers there, the bridge may still run, and the exit code is 125. `serve --no-kill` and `run` refuse to
be stopped.

Examples:
  secrets-bridge kill
  secrets-bridge kill -c bridge.conf")]
pub(crate) struct Kill {
    #[command(flatten)]
    connect: ConnectOptions,
}

impl ConfCommand for Kill {
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let client = self.connect.client(conf)?;
        match block_on(client.kill())? {
            Ok(()) => tracing::info!("the bridge has stopped"),
            Err(ClientError::Connect(ConnectError::Dial(error)))
                if error.shows_that_the_bridge_has_ended() =>
            {
                tracing::info!("no bridge to stop: it has stopped already (nothing listens at its address)");
                tracing::debug!("{error}");
            }
            // It proved to be the pinned one, and has another client key: the bridge of this conf has ended.
            Err(error @ ClientError::Connect(ConnectError::Session(SessionError::UnknownClient))) => {
                tracing::info!("no bridge to stop: {error}");
            }
            // It may still run.
            Err(error) => return Err(error.into()),
        }
        Ok(0)
    }
}

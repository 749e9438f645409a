//! `kill`: stops the bridge.

use std::ffi::OsStr;

use bridge_client::{Attempt, Cause, ClientError, ConnectError, SessionError};
use clap::Args;

use crate::cli::command::ConfCommand;
use crate::client::options::connect::ConnectOptions;
use crate::failure::Failure;
use crate::runtime::block_on;

#[derive(Debug, Args)]
#[command(after_help = "\
A bridge that has stopped already is no error. `serve --no-kill` and `run` refuse to be stopped.

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
            // The bridge is gone, or another one is at its address: there is nothing to stop.
            Err(
                error @ ClientError::Connect(
                    ConnectError::Dial(_) | ConnectError::Session(SessionError::UnknownClient),
                ),
            ) => {
                // A bridge of another version may still run.
                match unknown_at(&error) {
                    Some(attempt) => {
                        tracing::info!("no bridge to stop: {} {}", attempt.endpoint, attempt.cause)
                    }
                    None => tracing::info!(
                        "no bridge to stop: it has stopped already, or cannot be reached from here"
                    ),
                }
                tracing::debug!("{error}");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(0)
    }
}

/// The attempt that reached a bridge which does not know the conf.
fn unknown_at(error: &ClientError) -> Option<&Attempt> {
    let ClientError::Connect(ConnectError::Dial(error)) = error else { return None };
    error.attempts.iter().find(|attempt| matches!(attempt.cause, Cause::UnknownConf))
}

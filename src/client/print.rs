//! `print`: one secret on stdout.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;

use bridge_client::{ClientError, DeliveryError};
use clap::Args;
use proto::KeyForm;

use crate::cli::command::ConfCommand;
use crate::client::options::connect::ClientOptions;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::usage::UsageError;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secrets-bridge print netrc > /dev/shm/netrc
  secrets-bridge print b64:cert")]
pub(crate) struct Print {
    /// The key; the prefix b64:, b64u:, rb64: or rb64u: writes it as base64, base64url, or those without padding
    #[arg(value_name = "KEY")]
    key: OsString,
    #[command(flatten)]
    client: ClientOptions,
}

impl ConfCommand for Print {
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let form: KeyForm =
            self.key.to_string_lossy().parse().map_err(|error| UsageError::option("KEY", error))?;
        let client = self.client.client(conf)?;
        match block_on(client.print(&form))? {
            Err(ClientError::Delivery(DeliveryError::Stdout(error)))
                if error.kind() == ErrorKind::BrokenPipe =>
            {
                Err(Failure::OutputClosed)
            }
            printed => Ok(printed.map(|()| 0)?),
        }
    }
}

//! `print`: writes one secret to standard output.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;

use bridge_client::{ClientError, DeliveryError};
use clap::Args;
use proto::KeyForm;

use crate::cli::command::ConfCommand;
use crate::client::options::connect::ConnectOptions;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::usage::UsageError;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secrets-bridge print netrc > /dev/shm/netrc
  secrets-bridge print b64:cert

Exit codes:
  0    The whole secret was written
  125  secrets-bridge failed
  141  The reader of the pipe ended before it had the whole secret")]
pub(crate) struct Print {
    /// Key of the secret
    ///
    /// Write b64:KEY, b64u:KEY, rb64:KEY or rb64u:KEY for the value in base64 or base64url, with (b) or without (rb)
    /// padding.
    #[arg(value_name = "KEY")]
    key: OsString,
    #[command(flatten)]
    connect: ConnectOptions,
}

impl ConfCommand for Print {
    fn run(self, conf: Option<&OsStr>) -> Result<u32, Failure> {
        let form: KeyForm =
            self.key.to_string_lossy().parse().map_err(|error| UsageError::option("KEY", error))?;
        let client = self.connect.client(conf)?;
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

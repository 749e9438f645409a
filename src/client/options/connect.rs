//! How a command finds and dials the bridge.

use std::ffi::OsStr;

use bridge_client::conf_source::{self, Located};
use bridge_client::{Client, ClientError};
use clap::Args;
use proto::Endpoint;

use crate::cli::options::CONNECTION;
use crate::failure::Failure;
use crate::usage::UsageError;
use crate::values;

// Options of every command that dials the bridge. (A doc comment would become the help of each.)
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct ConnectOptions {
    /// Try this address before those in the conf (may be repeated)
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    endpoints: Vec<String>,
}

impl ConnectOptions {
    /// Finds the conf and prepares to dial its bridge.
    ///
    /// # Errors
    /// [`Failure::Usage`] or [`Failure::Client`].
    pub(crate) fn client(&self, conf: Option<&OsStr>) -> Result<Client, Failure> {
        let named = self.named_endpoints()?;
        match conf_source::find(conf).map_err(ClientError::from)? {
            Located::Conf(conf) => Ok(Client::new(&conf, &named)?),
            Located::Nowhere(no_conf) => Err(ClientError::from(no_conf).into()),
        }
    }

    /// The arguments of `--endpoint`.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(crate) fn named_endpoints(&self) -> Result<Vec<Endpoint>, UsageError> {
        values::endpoints(&self.endpoints)
    }
}

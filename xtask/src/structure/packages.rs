//! The packages of the workspace, as `cargo metadata` describes them.

use std::path::PathBuf;

use serde_json::Value;

use crate::checkout::Checkout;
use crate::failure::{Result, failure};

/// One package of the workspace.
pub(super) struct Package {
    pub(super) name: String,
    /// `lib.rs` or `main.rs`, absolute.
    pub(super) root_file: PathBuf,
    /// Names of normal and build dependencies; what tests need is left out.
    pub(super) dependencies: Vec<String>,
}

impl Package {
    /// All packages of the workspace, sorted by name.
    pub(super) fn of_workspace(checkout: &Checkout) -> Result<Vec<Self>> {
        let text =
            checkout.cargo().args(["metadata", "--no-deps", "--locked", "--format-version=1"]).text()?;
        let metadata: Value =
            serde_json::from_str(&text).map_err(|error| failure!("cannot read cargo's metadata: {error}"))?;
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut packages = packages.iter().map(Self::read).collect::<Result<Vec<_>>>()?;
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(packages)
    }

    fn read(package: &Value) -> Result<Self> {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let has_kind = |target: &Value, wanted: &str| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == wanted))
        };
        let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let root_file = targets
            .iter()
            .find(|target| has_kind(target, "lib") || has_kind(target, "bin"))
            .and_then(|target| target["src_path"].as_str())
            .ok_or_else(|| failure!("the package {name} has neither a library nor a program"))?
            .into();
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let dependencies = dependencies
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .filter_map(|dependency| dependency["name"].as_str().map(ToOwned::to_owned))
            .collect();
        Ok(Self { name, root_file, dependencies })
    }
}

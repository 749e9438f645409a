//! What the fuzz targets call. Not an interface.

use std::path::Path;

use super::project_file::{ReadFile, summary};

/// What `allow` would show of a project file with these `bytes` in `directory`.
///
/// # Errors
/// The error that a user would see.
pub fn project_file(bytes: &[u8], directory: &Path) -> Result<Vec<String>, String> {
    let file = ReadFile::of_bytes(bytes.to_vec(), directory);
    let (settings, _) = file.for_approval().map_err(|error| error.to_string())?;
    Ok(summary(&settings))
}

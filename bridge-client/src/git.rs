//! What git needs in a build: configuration by environment variables, and credentials.

pub mod config;
pub mod credential_helper;

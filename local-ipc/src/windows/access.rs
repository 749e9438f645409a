//! Access lists of files and pipes, and whose they are.

use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::Path;

use windows_permissions::constants::{SeObjectType, SecurityInformation};
use windows_permissions::utilities::current_process_sid;
use windows_permissions::wrappers::{
    ConvertSecurityDescriptorToStringSecurityDescriptor as to_text, GetSecurityInfo, SetNamedSecurityInfo,
};
use windows_permissions::{LocalBox, SecurityDescriptor};

use super::sddl;

/// This user, as Windows writes it in security descriptors.
///
/// # Errors
/// The system's.
pub fn this_user() -> io::Result<String> {
    // By way of a descriptor: that is where aliases are, such as LA for the built-in account.
    let sid = current_process_sid()?;
    let descriptor: LocalBox<SecurityDescriptor> = format!("O:{}", text_of(&sid)?).parse()?;
    let text = text(&descriptor, SecurityInformation::Owner)?;
    sddl::owner(&text).map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn text_of(sid: &windows_permissions::Sid) -> io::Result<String> {
    let sid = windows_permissions::wrappers::ConvertSidToStringSid(sid)?;
    sid.into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

fn text(descriptor: &SecurityDescriptor, parts: SecurityInformation) -> io::Result<String> {
    to_text(descriptor, parts)?.into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A descriptor of this user's that lets in nobody else, and inherits nothing. What is made in a directory with it gets
/// the same.
///
/// # Errors
/// The system's.
pub(crate) fn this_user_alone() -> io::Result<String> {
    let user = this_user()?;
    Ok(format!("O:{user}D:P(A;OICI;FA;;;{user})"))
}

/// Lets in this user alone, whatever the place of `path` says. For a file or directory just made, before anything is in
/// it.
///
/// # Errors
/// The system's.
pub fn make_private(path: &Path) -> io::Result<()> {
    let descriptor: LocalBox<SecurityDescriptor> = this_user_alone()?.parse()?;
    let parts = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    let (file, list) = (SeObjectType::SE_FILE_OBJECT, descriptor.dacl());
    SetNamedSecurityInfo(path.as_os_str(), file, parts, None, None, list, None)
}

/// Whether nobody but this user, and those who can become it, are let in to `file`.
///
/// # Errors
/// The system's.
pub fn is_private(file: &impl AsRawHandle) -> io::Result<bool> {
    let parts = SecurityInformation::Owner | SecurityInformation::Dacl;
    let descriptor = GetSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, parts)?;
    Ok(sddl::is_private_to(&text(&descriptor, parts)?, &this_user()?))
}

/// Whether `pipe` was made by this user, or somebody who can become it.
///
/// # Errors
/// The system's.
pub fn is_of_trusted_owner(pipe: &impl AsRawHandle) -> io::Result<bool> {
    let owner = SecurityInformation::Owner;
    let descriptor = GetSecurityInfo(pipe, SeObjectType::SE_KERNEL_OBJECT, owner)?;
    let text = text(&descriptor, owner)?;
    Ok(sddl::is_trusted(sddl::owner(&text).unwrap_or_default(), &this_user()?))
}

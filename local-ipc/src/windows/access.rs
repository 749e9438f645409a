//! Access lists and owners of files and pipes.

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
/// Those of the system.
pub fn this_user() -> io::Result<String> {
    // By way of a descriptor, because descriptors have aliases, such as LA for the built-in account.
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

/// A descriptor that is owned by this user, grants access to this user only, and inherits nothing. What is created in a
/// directory with it gets the same.
///
/// # Errors
/// Those of the system.
pub(crate) fn this_user_alone() -> io::Result<String> {
    let user = this_user()?;
    Ok(format!("O:{user}D:P(A;OICI;FA;;;{user})"))
}

/// Grants access to `path` to this user only, whatever its directory grants. For a file or directory that has just been
/// created, before anything is in it.
///
/// # Errors
/// Those of the system.
pub fn make_private(path: &Path) -> io::Result<()> {
    let descriptor: LocalBox<SecurityDescriptor> = this_user_alone()?.parse()?;
    let parts = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    let (file, list) = (SeObjectType::SE_FILE_OBJECT, descriptor.dacl());
    SetNamedSecurityInfo(path.as_os_str(), file, parts, None, None, list, None)
}

/// Whether only this user, and accounts that can become it, have access to `file`.
///
/// # Errors
/// Those of the system.
pub fn is_private(file: &impl AsRawHandle) -> io::Result<bool> {
    let parts = SecurityInformation::Owner | SecurityInformation::Dacl;
    let descriptor = GetSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, parts)?;
    Ok(sddl::is_private_to(&text(&descriptor, parts)?, &this_user()?))
}

/// Whether `pipe` is owned by this user, or by an account that can become it.
///
/// # Errors
/// Those of the system.
pub fn is_of_trusted_owner(pipe: &impl AsRawHandle) -> io::Result<bool> {
    let owner = SecurityInformation::Owner;
    let descriptor = GetSecurityInfo(pipe, SeObjectType::SE_KERNEL_OBJECT, owner)?;
    let text = text(&descriptor, owner)?;
    Ok(sddl::is_trusted(sddl::owner(&text).unwrap_or_default(), &this_user()?))
}

/// Pipes cannot be resized here.
pub(crate) fn widen() {}

//! x
pub(crate) fn perform(_: &str){}

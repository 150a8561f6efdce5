//! System calls that fail, as under a container's filter or without memory.

use std::collections::BTreeMap;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Denies `what`: `memfd`, `memory` (none for a memfd) or `sharing` (of mappings). Otherwise it
/// is one of `flock`, `symlink`, `bind` and `socket-file` (a `bind` to a path), with the number of
/// their error. With 0 the call does nothing and succeeds.
pub(super) fn enforce(what: &str) {
    use SeccompCmpOp::{Gt, MaskedEq};
    const MAP_SHARED: u64 = 1;
    let sharing =
        || SeccompCondition::new(3, SeccompCmpArgLen::Dword, MaskedEq(MAP_SHARED), MAP_SHARED);
    let with = |number: &str| number.parse().unwrap();
    let (call, rules, errno) = match what.split(' ').collect::<Vec<_>>()[..] {
        ["memfd"] => (libc::SYS_memfd_create, vec![], Errno::PERM.raw_os_error().unsigned_abs()),
        ["memory"] => (libc::SYS_ftruncate, vec![], Errno::NOMEM.raw_os_error().unsigned_abs()),
        ["sharing"] => {
            let rule = SeccompRule::new(vec![sharing().unwrap()]).unwrap();
            (libc::SYS_mmap, vec![rule], Errno::NOMEM.raw_os_error().unsigned_abs())
        }
        ["flock", number] => (libc::SYS_flock, vec![], with(number)),
        ["symlink", number] => (libc::SYS_symlinkat, vec![], with(number)),
        ["bind", number] => (libc::SYS_bind, vec![], with(number)),
        ["socket-file", number] => {
            // No address of TCP is as long.
            const LONGEST: u64 = size_of::<libc::sockaddr_in6>() as u64;
            let longer = SeccompCondition::new(2, SeccompCmpArgLen::Dword, Gt, LONGEST).unwrap();
            (libc::SYS_bind, vec![SeccompRule::new(vec![longer]).unwrap()], with(number))
        }
        _ => panic!("{what}"),
    };
    let rules = BTreeMap::from([(call, rules)]);
    let error = SeccompAction::Errno(errno);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, error, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

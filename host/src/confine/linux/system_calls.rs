//! seccomp: the system calls that this process may use.
//!
//! The cost is some 40 ns for a system call, 70 for an `ioctl` (least of 200 runs of a loop of each, with and without
//! two filters of this size). Before Linux 5.16 a filter also switches speculative store bypass off, which costs
//! more. `clone3` does not exist behind the filter, so that programs use `clone`, whose flags a filter sees.
//!
//! A host may use all calls except those in a list: the calls that its libraries may use some day are unknown; those
//! that no server ever needs are known. A compiler may use only the calls in a list. When a filter is set, the kernel
//! works out once which calls the filter permits with any arguments (since Linux 5.11), and runs the filter only for
//! the others: neither the length of a list nor its order is felt on a request's path.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// The number of `open_tree_attr`, which libc 0.2 does not name; new calls have the same number on every
/// architecture.
const SYS_OPEN_TREE_ATTR: c_long = 467;

/// The system calls that a host never needs, whatever the arguments.
const DENIED: &[c_long] = &[
    // Other processes' memory, descriptors and state.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Mounts, roots and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Large parts of the kernel, each with a history of faults.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_remap_file_pages,
    libc::SYS_personality,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    // The kernel's keys.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // Resources of other threads: their processors, their disks.
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setaffinity,
    libc::SYS_ioprio_set,
    // Files behind folders without permission, and devices.
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    // Programs without a path.
    libc::SYS_execveat,
    // Another user.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
];

/// The denied calls that exist only on this architecture.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_mknod,
    libc::SYS_uselib,
    libc::SYS__sysctl,
];
/// The number of `kexec_file_load`, which libc 0.2 does not name for every C library.
#[cfg(target_arch = "aarch64")]
const DENIED_HERE: &[c_long] = &[294];

/// Namespaces that a new process could be put into.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The kinds of sockets that a host uses; the last one is for resolving names.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Requests to a terminal that type into it.
const TYPES_INTO_TERMINALS: [u32; 2] = [0x5412, 0x541c];

/// The scheduling policies that a host may set: none that takes all time from other threads.
const POLICIES: [libc::c_int; 2] = [libc::SCHED_OTHER, libc::SCHED_IDLE];

/// The system calls of a compiler, whatever the arguments: memory, threads, time, and its open descriptors.
const COMPILERS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_clone3,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getcpu,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The `prctl` calls that give names to threads and to memory.
const NAMES: [libc::c_int; 2] = [libc::PR_SET_NAME, libc::PR_SET_VMA];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Sets the filter of a host.
pub(super) fn host() -> Result<String, String> {
    let denied = DENIED.iter().chain(DENIED_HERE).count();
    let set = || -> Result<(), seccompiler::Error> {
        let denied = filter(hosts_rules()?, SeccompAction::Allow, denied_action())?;
        apply_filter(&no_clone3()?)?;
        apply_filter(&denied)
    };
    set().map(|()| format!("{denied} system calls denied")).map_err(told)
}

/// Sets the filter of a compiler.
pub(super) fn compiler() -> Result<String, String> {
    let rules = compilers_rules().map_err(|error| told(error.into()))?;
    let permitted = rules.len();
    let set = || -> Result<(), seccompiler::Error> {
        let permitted = filter(rules, denied_action(), SeccompAction::Allow)?;
        apply_filter(&no_clone3()?)?;
        apply_filter(&permitted)
    };
    set().map(|()| format!("{permitted} system calls permitted")).map_err(told)
}

fn told(error: seccompiler::Error) -> String {
    format!("the kernel refuses the filter: {error}")
}

/// The answer to a denied call: an error, which programs are prepared for.
fn denied_action() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM.unsigned_abs())
}

fn hosts_rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = DENIED.iter().chain(DENIED_HERE).map(|call| (*call, Vec::new())).collect();
    let namespaces = NAMESPACES.iter().map(|namespace| {
        let bit = u64::from(namespace.unsigned_abs());
        SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(bit), bit)?])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);

    let other = FAMILIES.iter().map(|family| argument(0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())));
    let mut sockets = vec![SeccompRule::new(other.collect::<Result<_, _>>()?)?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        sockets.push(SeccompRule::new(vec![
            argument(0, SeccompCmpOp::Eq, u64::from(family.unsigned_abs()))?,
            // Flags are above the kind.
            argument(1, SeccompCmpOp::MaskedEq(0xf), u64::from(libc::SOCK_RAW.unsigned_abs()))?,
        ])?);
    }
    rules.insert(libc::SYS_socket, sockets);

    let typing = TYPES_INTO_TERMINALS
        .iter()
        .map(|request| SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, u64::from(*request))?]));
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);

    let other = POLICIES.iter().map(|policy| argument(1, SeccompCmpOp::Ne, u64::from(policy.unsigned_abs())));
    let other = SeccompRule::new(other.collect::<Result<_, _>>()?)?;
    rules.insert(libc::SYS_sched_setscheduler, vec![other]);
    // A lower priority, and only for the caller itself: a compiler takes it.
    let itself = u64::from(libc::PRIO_PROCESS);
    rules.insert(
        libc::SYS_setpriority,
        vec![
            SeccompRule::new(vec![argument(0, SeccompCmpOp::Ne, itself)?])?,
            SeccompRule::new(vec![argument(1, SeccompCmpOp::Ne, 0)?])?,
            // Negative numbers are large ones here.
            SeccompRule::new(vec![argument(2, SeccompCmpOp::Gt, 19)?])?,
        ],
    );
    Ok(rules)
}

fn compilers_rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = COMPILERS.iter().map(|call| (*call, Vec::new())).collect();
    // A compiler does not run what it compiles.
    let not_executable = || {
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        SeccompRule::new(vec![argument(2, SeccompCmpOp::MaskedEq(executable), 0)?])
    };
    rules.insert(libc::SYS_mmap, vec![not_executable()?]);
    rules.insert(libc::SYS_mprotect, vec![not_executable()?]);
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let a_thread = SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(thread), thread)?])?;
    rules.insert(libc::SYS_clone, vec![a_thread]);
    let names = NAMES
        .iter()
        .map(|name| SeccompRule::new(vec![argument(0, SeccompCmpOp::Eq, u64::from(name.unsigned_abs()))?]));
    rules.insert(libc::SYS_prctl, names.collect::<Result<_, _>>()?);
    let copy = u64::from(libc::F_DUPFD_CLOEXEC.unsigned_abs());
    rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, copy)?])?]);
    Ok(rules)
}

/// A condition on an argument. All of these arguments are `int`: the kernel looks only at their lower half.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

/// A filter that denies `clone3`, because its flags are in memory, where no filter sees them. With the answer that
/// the call does not exist, programs use `clone`.
fn no_clone3() -> Result<BpfProgram, BackendError> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    filter(rules, SeccompAction::Allow, unknown)
}

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(rules, otherwise, on_match, machine)?.try_into()?;
    Ok(no_other_numbers().into_iter().chain(program).collect())
}

/// A kernel that has the x32 interface takes each call under a second number, with this bit set, and seccompiler 0.5
/// does not look at that.
#[cfg(target_arch = "x86_64")]
fn no_other_numbers() -> Vec<sock_filter> {
    const X32: u32 = 0x4000_0000;
    // struct seccomp_data begins with the number.
    let load = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let unless_x32 = sock_filter { code: 0x35, jt: 0, jf: 1, k: X32 };
    let deny = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    vec![load, unless_x32, sock_filter { code: 0x06, jt: 0, jf: 0, k: deny }]
}

#[cfg(target_arch = "aarch64")]
fn no_other_numbers() -> Vec<sock_filter> {
    Vec::new()
}

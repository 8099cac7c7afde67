//! The `RuntimeDefault` system call filter: an allow list, everything else
//! fails with EPERM.
//!
//! It follows the intent of the default profiles of the container world: calls
//! that programs need, and none that administer the machine. 64-bit calls of
//! the node's architecture only; io_uring and calls that look into other
//! processes are not part of it.

use serde_json::{Value, json};

const FILES: &str = "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat \
    faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr \
    flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 \
    getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link \
    linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat \
    name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead \
    readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat \
    splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime \
    utimensat utimes vmsplice write writev cachestat fanotify_mark statmount listmount";

const MEMORY: &str = "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall \
    mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages";

const PROCESSES: &str = "alarm capget capset execve execveat exit exit_group fork get_robust_list getcpu getegid \
    geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit \
    getrusage getsid gettid getuid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset \
    landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq \
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
    sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler \
    sched_yield seccomp set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid \
    setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack sysinfo tgkill times tkill \
    uname vfork wait4 waitid";

const WAITING: &str = "clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait \
    epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue futex_wait futex_waitv futex_wake getrandom \
    gettimeofday io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit nanosleep pipe pipe2 poll ppoll \
    pselect6 select signalfd signalfd4 time timer_create timer_delete timer_getoverrun timer_gettime timer_settime \
    timerfd_create timerfd_gettime timerfd_settime adjtimex clock_adjtime";

const SOCKETS_AND_IPC: &str = "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg \
    recvmsg sendmmsg sendmsg sendto setsockopt shutdown socketpair mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget";

/// Flags of `clone` that make a new namespace (CLONE_NEW*).
const CLONE_NAMESPACES: u64 = 0x7E02_0000;
/// `AF_VSOCK`: a way to the hypervisor.
const AF_VSOCK: u64 = 40;
const ENOSYS: u32 = 38;

/// Calls that a capability brings with it.
const BY_CAPABILITY: [(&str, &str); 8] = [
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_TIME", "settimeofday clock_settime"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// The filter for a container with these capabilities on `arch`.
pub(super) fn default_profile(capabilities: &[String], arch: &str) -> Value {
    let (seccomp_arch, own) = match arch {
        "aarch64" => ("SCMP_ARCH_AARCH64", ""),
        _ => ("SCMP_ARCH_X86_64", "arch_prctl"),
    };
    let mut names: Vec<&str> = [FILES, MEMORY, PROCESSES, WAITING, SOCKETS_AND_IPC, own]
        .into_iter()
        .chain(BY_CAPABILITY.iter().filter(|(cap, _)| capabilities.iter().any(|c| c == cap)).map(|(_, calls)| *calls))
        .flat_map(str::split_whitespace)
        .collect();
    names.sort_unstable();
    names.dedup();
    let arg = |index: u32, value: u64, op: &str| json!([{"index": index, "value": value, "op": op}]);
    let mut calls = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    // A masked comparison: (flags & value) == valueTwo.
    calls.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": CLONE_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}));
    // The flags of clone3 are behind a pointer and cannot be filtered; with
    // ENOSYS the C library falls back to clone.
    calls.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    calls.push(json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": arg(0, AF_VSOCK, "SCMP_CMP_NE")}));
    for persona in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        calls.push(json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": arg(0, persona, "SCMP_CMP_EQ")}));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [seccomp_arch],
        "syscalls": calls,
    })
}

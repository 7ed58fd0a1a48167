"""The system calls that a sandboxed program may not make, as a compiled seccomp filter.

A deny list: what a training program needs differs from library to library, what an escape needs is known. libseccomp
does the compiling (it is there wherever systemd or bubblewrap is); the Python binding on the registry is unmaintained,
so it is called through ctypes.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from typing import Any, Final

from trainer.errors import SandboxError

# Everything that reaches into another process, makes or enters namespaces, mounts, loads code into the kernel, changes
# the machine, leaves the cores that it was given, or hands out memory and message queues that no limit counts.
DENIED: Final = """
    ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp process_madvise
    unshare setns mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick
    mount_setattr open_by_handle_at name_to_handle_at mknod mknodat quotactl quotactl_fd fanotify_init
    bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
    keyctl add_key request_key init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff
    syslog acct settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname iopl ioperm modify_ldt
    uselib nfsservctl lookup_dcookie vhangup personality sched_setaffinity landlock_restrict_self seccomp
    shmget shmat msgget semget mq_open memfd_create memfd_secret vmsplice
""".split()

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_NOT_EQUAL: Final = 1
_MASKED_EQUAL: Final = 7
_CLONE_NEWUSER: Final = 0x10000000
_TERMINAL_INPUT: Final = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX type into the terminal


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def open_filter(*, unix_sockets: bool) -> int:
    """The compiled filter in an unlinked file, as an open descriptor at its start; the caller closes it.

    Args:
        unix_sockets: whether AF_UNIX may be used, which is harmless where file system and network are private.

    Raises:
        SandboxError: libseccomp is missing or refuses a rule.
    """
    library = _library()
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    if context.value is None:
        raise SandboxError("libseccomp cannot start a filter")
    try:
        for name in DENIED:
            _deny(library, context, name, errno.EPERM)
        # its arguments lie behind a pointer, where no filter can look; the C library falls back to clone
        _deny(library, context, "clone3", errno.ENOSYS)
        _deny(library, context, "clone", errno.EPERM, [(0, _MASKED_EQUAL, _CLONE_NEWUSER, _CLONE_NEWUSER)])
        for request in _TERMINAL_INPUT:
            _deny(library, context, "ioctl", errno.EPERM, [(1, _MASKED_EQUAL, 0xFFFFFFFF, request)])
        others = [(0, _NOT_EQUAL, 1, 0)] if unix_sockets else []
        _deny(library, context, "socket", errno.EAFNOSUPPORT, others)
        descriptor = os.memfd_create("seccomp")
        if library.seccomp_export_bpf(context, descriptor):
            os.close(descriptor)
            raise SandboxError("libseccomp cannot export its filter")
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
    finally:
        library.seccomp_release(context)


def _deny(
    library: Any, context: ctypes.c_void_p, call: str, error: int, comparisons: Sequence[tuple[int, int, int, int]] = ()
) -> None:
    number = library.seccomp_syscall_resolve_name(call.encode())
    if number < 0:
        return  # not a call of this architecture, or newer than this libseccomp
    array = (_Comparison * max(1, len(comparisons)))(*(_Comparison(*one) for one in comparisons))
    if library.seccomp_rule_add_array(context, _ERRNO | error, number, len(comparisons), array):
        raise SandboxError(f"libseccomp refuses the rule for {call}")


def _library() -> Any:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise SandboxError("libseccomp is missing: install it (Debian and Ubuntu: apt install libseccomp2)") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    return library

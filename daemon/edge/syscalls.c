// SPDX-License-Identifier: GPL-2.0-only
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "wire.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define CALL(name) SCMP_SYS(name)

/* What any program with threads, an epoll loop and sockets that were handed to it does. */
static const int common[] = {
	CALL(read),
	CALL(write),
	CALL(readv),
	CALL(writev),
	CALL(close),
	CALL(close_range),
	CALL(fstat),
	CALL(lseek),
	CALL(poll),
	CALL(ppoll),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(eventfd2),
	CALL(sendmsg),
	CALL(recvmsg),
	CALL(sendto),
	CALL(recvfrom),
	CALL(shutdown),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(gettimeofday),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(timer_create),
	CALL(timer_settime),
	CALL(timer_gettime),
	CALL(timer_delete),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	CALL(rt_sigreturn),
	CALL(rt_sigprocmask),
	CALL(rt_sigaction),
	CALL(sigaltstack),
	CALL(restart_syscall),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(brk),
	CALL(futex),
	CALL(set_robust_list),
	CALL(rseq),
	CALL(gettid),
	CALL(getpid),
	CALL(getppid),
	CALL(tgkill),
	CALL(exit),
	CALL(exit_group),
	CALL(sched_yield),
	CALL(sched_getaffinity),
	CALL(getrandom),
	CALL(fstatfs),
	CALL(membarrier),
};

/* The gate's trade. read() is there for the fanotify groups and eventfds; no call opens a file's content. pidfd_open:
 * who asks, as the kernel side knows him; attributes: the mark of origin on a file, by its descriptor. */
static const int gate_calls[] = {CALL(fanotify_mark), CALL(name_to_handle_at), CALL(readlinkat), CALL(pidfd_open),
				 CALL(fgetxattr),     CALL(fsetxattr),         CALL(flistxattr)};

/* SQLite with its journal, names of uids (NSS may ask a socket or a child), the status socket. */
static const int recorder_calls[] = {
	CALL(openat),       CALL(open),       CALL(stat),        CALL(lstat),
	CALL(newfstatat),   CALL(statx),      CALL(access),      CALL(faccessat),
	CALL(faccessat2),   CALL(readlink),   CALL(readlinkat),  CALL(getcwd),
	CALL(fchdir),       CALL(chdir),      CALL(getdents64),  CALL(pread64),
	CALL(pwrite64),     CALL(preadv),     CALL(pwritev),     CALL(ftruncate),
	CALL(fallocate),    CALL(fadvise64),  CALL(fsync),       CALL(fdatasync),
	CALL(unlink),       CALL(unlinkat),   CALL(rename),      CALL(renameat),
	CALL(renameat2),    CALL(mkdir),      CALL(mkdirat),     CALL(rmdir),
	CALL(chmod),        CALL(fchmod),     CALL(fchmodat),    CALL(fchown),
	CALL(utimensat),    CALL(umask),      CALL(flock),       CALL(fcntl),
	CALL(dup),          CALL(dup2),       CALL(dup3),        CALL(pipe2),
	CALL(statfs),       CALL(sysinfo),    CALL(uname),       CALL(getuid),
	CALL(geteuid),      CALL(getgid),     CALL(getegid),     CALL(getgroups),
	CALL(getsockopt),   CALL(setsockopt), CALL(getsockname), CALL(getpeername),
	CALL(socket),       CALL(connect),    CALL(accept4),     CALL(socketpair),
	CALL(clone),        CALL(wait4),      CALL(waitid),      CALL(kill),
	CALL(prctl),        CALL(alarm),      CALL(setitimer),   CALL(getrusage),
	CALL(select),       CALL(pselect6),   CALL(sendmmsg),    CALL(recvmmsg),
	CALL(memfd_create), CALL(signalfd4),  CALL(pidfd_open),  CALL(pidfd_send_signal),
	CALL(prlimit64),    CALL(getrlimit),  CALL(fchownat),    CALL(name_to_handle_at),
};

/* What the recorder has but for processes of its own; names, links, attributes and handles of any file. */
static const int steward_calls[] = {
	CALL(renameat2),  CALL(linkat),       CALL(link),      CALL(fsetxattr),         CALL(fgetxattr),
	CALL(flistxattr), CALL(fremovexattr), CALL(setxattr),  CALL(getxattr),          CALL(listxattr),
	CALL(lgetxattr),  CALL(llistxattr),   CALL(lsetxattr), CALL(open_by_handle_at), CALL(copy_file_range),
	CALL(sendfile),   CALL(syncfs),       CALL(truncate),  CALL(symlinkat),         CALL(utime),
	CALL(ioprio_set), CALL(openat2),
};

/* AddressSanitizer looks at its own maps, starts threads of its own and writes reports. */
static const int sanitizer_calls[] = {
	CALL(openat),      CALL(open),       CALL(readlink),  CALL(readlinkat),
	CALL(stat),        CALL(newfstatat), CALL(mmap),      CALL(mprotect),
	CALL(clone),       CALL(clone3),     CALL(prctl),     CALL(getdents64),
	CALL(prlimit64),   CALL(getrlimit),  CALL(sysinfo),   CALL(uname),
	CALL(ioctl),       CALL(dup),        CALL(dup2),      CALL(pipe2),
	CALL(getuid),      CALL(geteuid),    CALL(getgid),    CALL(getegid),
	CALL(wait4),       CALL(access),     CALL(fcntl),     CALL(process_vm_readv),
	CALL(personality), CALL(pread64),    CALL(getrusage), CALL(arch_prctl),
	CALL(unlink),
};

/* A rule that another one already covers is fine. */
static int settled(int error)
{
	return error == -EEXIST ? 0 : error;
}

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && !error; i++)
		if (calls[i] != __NR_SCMP_ERROR) /* else this libseccomp doesn't know it, and nobody here makes it */
			error = settled(seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0));
	return error;
}

static int allow_where(scmp_filter_ctx filter, int call, struct scmp_arg_cmp argument)
{
	return settled(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &argument));
}

/* Memory that can be written is never executable, and threads may be started but no processes. */
static int allow_memory_and_threads(scmp_filter_ctx filter)
{
	int error = allow_where(filter, CALL(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (!error)
		error = allow_where(filter, CALL(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!error)
		error = allow_where(filter, CALL(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (!error)
		error = allow_where(filter, CALL(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	/* The flags of clone3 lie in memory, where a filter can't see them; glibc then uses clone. */
	if (!error)
		error = settled(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0));
	if (!error)
		error = settled(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOTTY), CALL(ioctl), 0));
	return error;
}

/* Calls that are right for one kind of argument only. */
static int allow_gate_arguments(scmp_filter_ctx filter)
{
	static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETLEASE, F_GETLEASE};
	/* bpf(2): elements of the maps that it holds; nothing is loaded, made, pinned or looked up by number. */
	static const int elements[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
				       BPF_MAP_GET_NEXT_KEY};
	int error = 0;

	for (size_t i = 0; i < COUNT(commands) && !error; i++)
		error = allow_where(filter, CALL(fcntl), SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
	for (size_t i = 0; i < COUNT(elements) && !error; i++)
		error = allow_where(filter, CALL(bpf), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)elements[i], 0));
	/* O_PATH alone: a name, not the content. */
	if (!error)
		error = allow_where(filter, CALL(open_by_handle_at), SCMP_A2(SCMP_CMP_MASKED_EQ, O_PATH, O_PATH));
	/* A descriptor's own attributes, not those of a path. */
	if (!error)
		error = allow_where(filter, CALL(newfstatat),
				    SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	if (!error)
		error = allow_where(filter, CALL(statx), SCMP_A2(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	/* Who goes last, and who does not any more; nobody goes first. */
	if (!error)
		error = allow_where(filter, CALL(sched_setscheduler), SCMP_A1(SCMP_CMP_EQ, SCHED_IDLE, 0));
	if (!error)
		error = allow_where(filter, CALL(sched_setscheduler), SCMP_A1(SCMP_CMP_EQ, SCHED_OTHER, 0));
	if (!error)
		error = allow_where(filter, CALL(ioprio_set), SCMP_A0(SCMP_CMP_EQ, 1 /* a process */, 0));
	/* /proc/PID/status by the directory that it holds, for reading; a filter can't see the path itself. */
	if (!error)
		error = settled(seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(openat), 2,
						 SCMP_A0(SCMP_CMP_EQ, FD_PROC, 0),
						 SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)));
	return error;
}

static int filter_load(scmp_filter_ctx filter, int error, bool sanitized)
{
	if (!error)
		error = allow_all(filter, common, COUNT(common));
	if (!error && sanitized)
		error = allow_all(filter, sanitizer_calls, COUNT(sanitizer_calls));
	if (!error && !sanitized)
		error = allow_memory_and_threads(filter);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

int syscalls_gate(bool sanitized)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (!filter)
		return -ENOMEM;
	error = allow_all(filter, gate_calls, COUNT(gate_calls));
	if (!error)
		error = allow_gate_arguments(filter);
	return filter_load(filter, error, sanitized);
}

int syscalls_recorder(bool sanitized)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (!filter)
		return -ENOMEM;
	error = allow_all(filter, recorder_calls, COUNT(recorder_calls));
	return filter_load(filter, error, sanitized);
}

int syscalls_steward(bool sanitized)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (!filter)
		return -ENOMEM;
	error = allow_all(filter, recorder_calls, COUNT(recorder_calls));
	if (!error)
		error = allow_all(filter, steward_calls, COUNT(steward_calls));
	return filter_load(filter, error, sanitized);
}

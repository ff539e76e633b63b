// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of system calls is what libclamav 1.4.6 was seen to make over its test files and our samples (strace), and
 * what the frames need. mmap and mprotect only without PROT_EXEC: glibc's charset modules, the only ones that want it,
 * are opened before the fork (engine.c).
 */
#include "box.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define BOX_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BOX_ASAN 1
#endif
#endif

const char *box_layer_name(int layer)
{
	static const char *const names[] = {"descriptors", "namespaces", "root",     "limits",
					    "user",        "privileges", "landlock", "seccomp"};

	return layer >= BOX_DESCRIPTORS && layer < BOX_LAYERS ? names[layer - BOX_DESCRIPTORS] : NULL;
}

/* First out of the way of the numbers they are going to, then there. */
static int descriptors_keep(const struct box *box)
{
	int high[BOX_KEEP_MAX], next = BOX_FIRST_FD;

	for (int i = 0; i < 3; i++)
		if (dup2(box->null_fd, i) < 0)
			return -1;
	for (int i = 0; i < BOX_KEEP_MAX; i++) {
		high[i] = box->keep[i] < 0 ? -1 : fcntl(box->keep[i], F_DUPFD, BOX_FIRST_FD + BOX_KEEP_MAX);
		if (box->keep[i] >= 0 && high[i] < 0)
			return -1;
	}
	for (int i = 0; i < BOX_KEEP_MAX; i++)
		if (high[i] >= 0 && dup2(high[i], next++) < 0)
			return -1;
	return close_range((unsigned)next, ~0u, 0);
}

static int number_set(int fs, const char *key, const char *format, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), format, (unsigned long long)value);
	return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

/* A tmpfs made by descriptor, hung over the working directory, then made the root; the old root is let go. Its root
 * may be entered by all, since the one who makes it is not yet the one it is for. */
static int root_replace(const struct box *box)
{
	int fs, mount_fd;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -1;
	if (number_set(fs, "size", "%llu", box->room) < 0 || number_set(fs, "nr_inodes", "%llu", box->inodes) < 0 ||
	    number_set(fs, "mode", "%llo", 0711) < 0 || number_set(fs, "uid", "%llu", box->uid) < 0 ||
	    number_set(fs, "gid", "%llu", box->gid) < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	mount_fd = fsmount(fs, FSMOUNT_CLOEXEC,
			   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW);
	if (mount_fd < 0 || move_mount(mount_fd, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    fchdir(mount_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return -1;
	close(mount_fd);
	return close(fs);
}

static int limit_set(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -1;
	if (limit.rlim_max < value)
		value = limit.rlim_max;
	limit = (struct rlimit){.rlim_cur = value, .rlim_max = value};
	return setrlimit(resource, &limit);
}

static int limits_set(const struct box *box)
{
	return limit_set(RLIMIT_CORE, 0) < 0 || limit_set(RLIMIT_NPROC, 0) < 0 || limit_set(RLIMIT_MEMLOCK, 0) < 0 ||
			       limit_set(RLIMIT_MSGQUEUE, 0) < 0 || limit_set(RLIMIT_NOFILE, box->nofile) < 0
		       ? -1
		       : 0;
}

static int user_change(const struct box *box)
{
	if (setgroups(0, NULL) < 0 || setresgid(box->gid, box->gid, box->gid) < 0 ||
	    setresuid(box->uid, box->uid, box->uid) < 0)
		return -1;
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

static int privileges_end(const struct box *box)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -1;
	if (getppid() != box->parent) { /* it ended before the line above */
		errno = ESRCH;
		return -1;
	}
	return 0;
}

/* The kernel may know fewer rights than the header we were built with, and the header fewer than the kernel. */
static int landlock_close(const struct box *box)
{
	struct landlock_path_beneath_attr root = {0};
	struct {
		uint64_t files, net, scoped;
	} rules = {.files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
			    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
			    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
			    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM};
	size_t size = sizeof(rules.files);
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int set, result = -1;

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
	if (abi >= 4) { /* landlock(7): 4 has TCP bind and connect, 6 abstract sockets and signals */
		rules.net = 3;
		size = 2 * sizeof(uint64_t);
	}
	if (abi >= 6) {
		rules.scoped = 3;
		size = sizeof(rules);
	}
	set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (set < 0)
		return -1;
	root.allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
			      LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
			      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
			      LANDLOCK_ACCESS_FS_MAKE_REG;
	root.parent_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.parent_fd >= 0 &&
	    (box->trade != BOX_PARSER ||
	     syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &root, 0) == 0) &&
	    syscall(SYS_landlock_restrict_self, set, 0) == 0)
		result = 0;
	if (root.parent_fd >= 0)
		close(root.parent_fd);
	close(set);
	return result;
}

static const int calls_of_all[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(lseek),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(newfstatat),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(shutdown),
#ifdef BOX_ASAN
	SCMP_SYS(sigaltstack),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(readlink),
	SCMP_SYS(write),
	SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getuid),
	SCMP_SYS(clone),
	SCMP_SYS(nanosleep),
	SCMP_SYS(dup),
#endif
};

static const int calls_of_parsers[] = {
	SCMP_SYS(write),  SCMP_SYS(openat),     SCMP_SYS(unlink),    SCMP_SYS(mkdir), SCMP_SYS(rmdir),
	SCMP_SYS(chmod),  SCMP_SYS(getdents64), SCMP_SYS(ftruncate), SCMP_SYS(dup), /* gzip that it takes for broken,
										       and HTML */
	SCMP_SYS(getcwd), /* libxml2, of a document in memory */
};

static int calls_allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
		if (result < 0 && result != -EEXIST)
			return result;
	}
	return 0;
}

static int seccomp_close(const struct box *box)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int result;

	if (!filter) {
		errno = ENOMEM;
		return -1;
	}
	result = calls_allow(filter, calls_of_all, sizeof(calls_of_all) / sizeof(calls_of_all[0]));
	if (!result && box->trade == BOX_PARSER)
		result = calls_allow(filter, calls_of_parsers, sizeof(calls_of_parsers) / sizeof(calls_of_parsers[0]));
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
					  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
					  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0));
	if (!result) /* isatty() */
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), 0);
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	errno = -result;
	return result ? -1 : 0;
}

enum box_layer box_enter(const struct box *box)
{
	if (descriptors_keep(box) < 0)
		return BOX_DESCRIPTORS;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
		return BOX_NAMESPACES;
	if (root_replace(box) < 0)
		return BOX_ROOT;
	if (limits_set(box) < 0)
		return BOX_LIMITS;
	if (user_change(box) < 0)
		return BOX_USER;
	if (privileges_end(box) < 0)
		return BOX_PRIVILEGES;
	if (landlock_close(box) < 0)
		return BOX_LANDLOCK;
	if (seccomp_close(box) < 0)
		return BOX_SECCOMP;
	return BOX_ENTERED;
}

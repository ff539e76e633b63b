// SPDX-License-Identifier: GPL-2.0-only
/*
 * box_probe inside|outside parser|reader WHAT: tries one thing that a worker must not be able to do, inside the real
 * box or without it, and says how it went: "done", or the errno's name ("refused: ENOENT"). Inside, a call that the
 * box kills for ends its process by SIGSYS. To be started as root, in an empty folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"

static int say_fd = STDOUT_FILENO;

static void say(const char *text)
{
	/* sendmsg: the only way out that a reader has */
	struct iovec part = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	sendmsg(say_fd, &message, MSG_NOSIGNAL);
}

static int file_at(const char *path, int flags)
{
	return open(path, flags, 0700) < 0 ? -1 : 0;
}

static int try_exec_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int try_make_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid < 0 ? -1 : 0;
}

static int try_thread(void)
{
	return (int)syscall(SYS_clone3, NULL, 0) < 0 && errno != EINVAL ? -1 : 0; /* EINVAL: it was let in */
}

static int try_exec(void)
{
	char *const words[] = {"/bin/echo", "done", NULL};

	execv("/bin/echo", words);
	return -1;
}

static int try_write_own(void)
{
	int fd = open("probe", O_RDWR | O_CREAT | O_EXCL, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 || unlink("probe") < 0 ? -1 : 0;
}

static int try_read_new(void)
{
	return file_at("probe-read", O_RDWR | O_CREAT) < 0 || file_at("probe-read", O_RDONLY) < 0 ||
			       unlink("probe-read") < 0
		       ? -1
		       : 0;
}

static int try_mount(void)
{
	return mount("tmpfs", ".", "tmpfs", 0, NULL);
}

static int try_device(void)
{
	return mknod("probe-device", S_IFCHR | 0600, 1 << 8 | 3) < 0 ? -1 : unlink("probe-device");
}

static const struct {
	const char *name;
	int (*call)(void);
} calls[] = {
	{"exec-memory", try_exec_memory},
	{"make-executable", try_make_executable},
	{"fork", try_fork},
	{"thread", try_thread},
	{"exec", try_exec},
	{"write-own", try_write_own},
	{"read-new", try_read_new},
	{"mount", try_mount},
	{"device", try_device},
};

static int attempt(const char *what)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(what, calls[i].name))
			return calls[i].call();
	if (what[0] == '/')
		return file_at(what, O_RDONLY);
	if (!strcmp(what, "socket"))
		return socket(AF_INET, SOCK_STREAM, 0) < 0 ? -1 : 0;
	if (!strcmp(what, "unix-socket"))
		return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? -1 : 0;
	if (!strcmp(what, "kill"))
		return kill(getppid(), 0);
	if (!strcmp(what, "ptrace"))
		return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	if (!strcmp(what, "setuid"))
		return setresuid(0, 0, 0);
	if (!strcmp(what, "unshare"))
		return unshare(CLONE_NEWUTS);
	if (!strcmp(what, "symlink"))
		return symlink("/etc", "probe-link") < 0 ? -1 : unlink("probe-link");
	if (!strcmp(what, "core"))
		return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (!strcmp(what, "descriptors")) {
		struct stat status;
		return fstat(20, &status);
	}
	errno = EINVAL;
	return -1;
}

int main(int argc, char **argv)
{
	struct box box = {.uid = 65283,
			  .gid = 65283,
			  .parent = getpid(),
			  .room = 1 << 20,
			  .inodes = 64,
			  .nofile = 32,
			  .keep = {-1, -1}};
	int pair[2], status, result;
	char text[64] = "";
	pid_t pid;

	if (argc != 4)
		return 2;
	/* whatever happens here stays here */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 2;
	box.trade = strcmp(argv[2], "reader") ? BOX_PARSER : BOX_READER;
	box.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return 2;
	pid = fork();
	if (pid == 0) {
		say_fd = pair[1];
		dup2(box.null_fd, 20); /* a descriptor that is not to be kept */
		if (!strcmp(argv[1], "inside")) {
			box.keep[0] = pair[1];
			int failed = (int)box_enter(&box);
			if (failed)
				_exit(failed);
			say_fd = BOX_FIRST_FD;
		}
		result = attempt(argv[3]);
		snprintf(text, sizeof(text), result < 0 ? "refused: %s" : "done", strerrorname_np(errno));
		say(text);
		_exit(0);
	}
	close(pair[1]);
	result = (int)recv(pair[0], text, sizeof(text) - 1, 0);
	text[result > 0 ? result : 0] = 0;
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("killed: %s\n", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		printf("no box: %s\n", box_layer_name(WEXITSTATUS(status)) ?: "?");
	else
		printf("%s", text[0] ? text : "");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * puppet: does what it is told on standard input, a line each, and says how it went: `ok NUMBER` or `error ERRNO`.
 * Tests execute copies of it under various users, labels and parents, so that it is known which process does what.
 *
 *   open FLAGS PATH     FLAGS of r w + (both) c (create) t (truncate) a (append) x (exclusive); number: the descriptor
 *   pread FD, read FD, mmap FD, sendfile FD, splice FD     number: bytes of content that were got
 *   write FD TEXT       at the end of the file
 *   wmap FD             maps a page shared and writable; number: its index
 *   store INDEX TEXT    into that mapping.    load INDEX: number: bytes that are not zero
 *   close FD    sync FD
 *   send FD, recv       over the socket that is descriptor 3
 *   uid N               real, effective and saved
 *   dumpable N
 *   run PATH ARG...     number: the exit code; 126: it could not be executed (its errno is said as `error`)
 *   exec PATH ARG...    becomes that program
 *   trace PID PATH      makes PID open PATH for reading and writing and read it (ptrace, x86-64); number: bytes
 *   peek PID PATH       the same by /proc/PID/fd: each descriptor of PID, opened anew
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 16];
static char *maps[16];
static int map_count;

static long number(const char *word)
{
	return word ? atol(word) : -1;
}

static long do_open(char **a)
{
	int flags = O_CLOEXEC | O_NOFOLLOW;

	flags |= strchr(a[0], '+') ? O_RDWR : strchr(a[0], 'w') ? O_WRONLY : O_RDONLY;
	flags |= (strchr(a[0], 'c') ? O_CREAT : 0) | (strchr(a[0], 't') ? O_TRUNC : 0);
	flags |= (strchr(a[0], 'a') ? O_APPEND : 0) | (strchr(a[0], 'x') ? O_EXCL : 0);
	return open(a[1], flags, 0666);
}

static long do_pread(char **a)
{
	return pread((int)number(a[0]), buffer, sizeof(buffer), 0);
}

static long do_read(char **a)
{
	int fd = (int)number(a[0]);

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return read(fd, buffer, sizeof(buffer));
}

static long do_mmap(char **a)
{
	int fd = (int)number(a[0]);
	struct stat st;
	char *map;

	if (fstat(fd, &st) < 0)
		return -1;
	map = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	memcpy(buffer, map, (size_t)st.st_size < sizeof(buffer) ? (size_t)st.st_size : sizeof(buffer));
	munmap(map, (size_t)st.st_size + 1);
	return st.st_size;
}

static long do_sendfile(char **a)
{
	int pair[2], saved;
	off_t at = 0;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -1;
	n = sendfile(pair[0], (int)number(a[0]), &at, 4096);
	saved = errno;
	close(pair[0]);
	close(pair[1]);
	errno = saved;
	return n;
}

static long do_splice(char **a)
{
	int pair[2], saved;
	loff_t at = 0;
	ssize_t n;

	if (pipe(pair) < 0)
		return -1;
	n = splice((int)number(a[0]), &at, pair[1], NULL, 4096, 0);
	saved = errno;
	close(pair[0]);
	close(pair[1]);
	errno = saved;
	return n;
}

static long do_write(char **a)
{
	int fd = (int)number(a[0]);

	if (lseek(fd, 0, SEEK_END) < 0)
		return -1;
	return write(fd, a[1], strlen(a[1]));
}

static long do_wmap(char **a)
{
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)number(a[0]), 0);

	if (map == MAP_FAILED || map_count == 16)
		return -1;
	maps[map_count] = map;
	return map_count++;
}

static long do_store(char **a)
{
	memcpy(maps[number(a[0])], a[1], strlen(a[1]));
	return (long)strlen(a[1]);
}

static long do_load(char **a)
{
	long count = 0;

	for (int i = 0; i < 4096; i++)
		count += maps[number(a[0])][i] != 0;
	return count;
}

static long do_close(char **a)
{
	return close((int)number(a[0]));
}

static long do_sync(char **a)
{
	return fsync((int)number(a[0]));
}

static long pass(int *fd, int sending)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	if (sending) {
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), fd, sizeof(int));
		return sendmsg(3, &message, 0);
	}
	if (recvmsg(3, &message, MSG_CMSG_CLOEXEC) < 0)
		return -1;
	head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_type != SCM_RIGHTS) {
		errno = EBADMSG; /* the kernel let the message through without its descriptor */
		return -1;
	}
	memcpy(fd, CMSG_DATA(head), sizeof(int));
	return *fd;
}

static long do_send(char **a)
{
	int fd = (int)number(a[0]);

	return pass(&fd, 1);
}

static long do_recv(char **a)
{
	int fd = -1;

	(void)a;
	return pass(&fd, 0);
}

static long do_uid(char **a)
{
	uid_t uid = (uid_t)number(a[0]);

	if (setgid(uid) < 0)
		return -1;
	return setresuid(uid, uid, uid);
}

static long do_dumpable(char **a)
{
	return prctl(PR_SET_DUMPABLE, number(a[0]));
}

static long do_run(char **a)
{
	int status, report[2], error = 0;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int out = open("/dev/null", O_RDWR);

		dup2(out, 0);
		dup2(out, 1);
		execv(a[0], a);
		error = errno;
		if (write(report[1], &error, sizeof(error)) < 0)
			_exit(125);
		_exit(126);
	}
	close(report[1]);
	if (read(report[0], &error, sizeof(error)) < 0)
		error = errno;
	close(report[0]);
	waitpid(pid, &status, 0);
	if (error) {
		errno = error;
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static long do_exec(char **a)
{
	return execv(a[0], a);
}

/* One system call of another process, which stands in a system call of its own (read of its standard input). */
static long remote_call(pid_t pid, const struct user_regs_struct *at, long call, unsigned long one, unsigned long two,
			unsigned long three, unsigned long four)
{
	struct user_regs_struct regs = *at;
	int status;

	regs.rip -= 2; /* the instruction `syscall` that it stands behind */
	regs.rax = (unsigned long)call;
	regs.orig_rax = ~0UL;
	regs.rdi = one;
	regs.rsi = two;
	regs.rdx = three;
	regs.r10 = four;
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 || ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
		return -errno;
	if (waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return -EIO;
	return (long)regs.rax;
}

static long do_trace(char **a)
{
	pid_t pid = (pid_t)number(a[0]);
	struct user_regs_struct regs;
	unsigned long place;
	long fd, got = -EIO;
	size_t size = strlen(a[1]) + 1;
	int status;

	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0)
		return -1;
	waitpid(pid, &status, __WALL);
	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return -1;
	place = (regs.rsp - 16384) & ~7UL;
	for (size_t i = 0; i < size; i += 8) {
		long word = 0;
		memcpy(&word, a[1] + i, size - i < 8 ? size - i : 8);
		ptrace(PTRACE_POKEDATA, pid, place + i, word);
	}
	fd = remote_call(pid, &regs, SYS_openat, (unsigned long)AT_FDCWD, place, O_RDWR, 0);
	if (fd >= 0)
		got = remote_call(pid, &regs, SYS_pread64, (unsigned long)fd, place + 4096, 4096, 0);
	else
		got = fd;
	ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	if (got < 0) {
		errno = (int)-got;
		return -1;
	}
	return got;
}

static long do_peek(char **a)
{
	long got = -1;
	int error = ENOENT;

	for (int fd = 3; fd < 32; fd++) {
		char path[64];
		int copy;
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%s/fd/%d", a[0], fd);
		copy = open(path, O_RDWR | O_CLOEXEC);
		if (copy < 0) {
			error = errno == ENOENT || errno == ENXIO ? error : errno;
			continue;
		}
		n = pread(copy, buffer, sizeof(buffer), 0);
		if (n > 0)
			got = got < 0 ? n : got + n;
		else if (n < 0)
			error = errno;
		close(copy);
	}
	errno = error;
	return got;
}

static const struct {
	const char *name;
	long (*act)(char **);
	int arguments;
} verbs[] = {
	{"open", do_open, 2},         {"pread", do_pread, 1},   {"read", do_read, 1},   {"mmap", do_mmap, 1},
	{"sendfile", do_sendfile, 1}, {"splice", do_splice, 1}, {"write", do_write, 2}, {"wmap", do_wmap, 1},
	{"store", do_store, 2},       {"load", do_load, 1},     {"close", do_close, 1}, {"sync", do_sync, 1},
	{"send", do_send, 1},         {"recv", do_recv, 0},     {"uid", do_uid, 1},     {"dumpable", do_dumpable, 1},
	{"run", do_run, 1},           {"exec", do_exec, 1},     {"trace", do_trace, 2}, {"peek", do_peek, 1},
};

static void act(char *line)
{
	char *words[16] = {NULL}, *rest = line, *word;
	int count = 0;
	long result = -1;

	while (count < 15 && (word = strsep(&rest, " ")))
		words[count++] = word;
	errno = ENOSYS;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(words[0], verbs[i].name) && count - 1 >= verbs[i].arguments)
			result = verbs[i].act(words + 1);
	}
	if (result < 0)
		printf("error %d\n", errno);
	else
		printf("ok %ld\n", result);
	fflush(stdout);
}

int main(void)
{
	static char line[8192];

	setvbuf(stdin, NULL, _IONBF, 0); /* an `exec` must find the rest of the lines */
	printf("ok %d\n", (int)getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		act(line);
	}
	return 0;
}

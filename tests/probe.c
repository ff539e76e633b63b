// SPDX-License-Identifier: GPL-2.0-only
/*
 * probe [--chroot DIR] [--cd DIR] [--uid N] [--walk] VERB [ARGUMENT...]
 *
 * Tries one way to a file's content. Exit code: 0 allowed; 1 denied by us (EPERM); 2 could not try; 3 denied by another
 * (any other errno). Prints `VERB: allowed|denied|... bytes N`, N being how much of the content was got.
 *
 * --walk opens each folder of the path with openat(2), so that it may be longer than PATH_MAX.
 * Verbs: see the table at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uring.h"

enum { ALLOWED = 0, DENIED = 1, NOT_TRIED = 2, DENIED_BY_OTHER = 3 };

static int at = AT_FDCWD; /* folder that paths are relative to */
static size_t got;        /* bytes of content */
static char buffer[1 << 16];

static int not_tried(const char *what)
{
	fprintf(stderr, "could not try: %s: %s\n", what, strerror(errno));
	return NOT_TRIED;
}

static int result_of(int error)
{
	if (!error)
		return ALLOWED;
	fprintf(stderr, "%s\n", strerror(error));
	return error == EPERM ? DENIED : DENIED_BY_OTHER;
}

static int open_path(const char *path, int flags)
{
	return openat(at, path, flags | O_CLOEXEC, 0644);
}

static int read_all(int fd)
{
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		got += (size_t)n;
	return result_of(n < 0 ? errno : 0);
}

static int by_open_flags(const char *path, int flags)
{
	int fd = open_path(path, flags);

	if (fd < 0)
		return result_of(errno);
	return (flags & O_ACCMODE) == O_WRONLY ? ALLOWED : read_all(fd);
}

static int by_open(char **a)
{
	return by_open_flags(a[0], O_RDONLY);
}

static int by_open_nonblock(char **a)
{
	return by_open_flags(a[0], O_RDONLY | O_NONBLOCK);
}

static int by_open_direct(char **a)
{
	return by_open_flags(a[0], O_RDONLY | O_NOATIME);
}

static int by_open_write(char **a)
{
	return by_open_flags(a[0], O_WRONLY);
}

static int by_open_rdwr(char **a)
{
	return by_open_flags(a[0], O_RDWR);
}

static int by_open_append_create(char **a)
{
	return by_open_flags(a[0], O_WRONLY | O_APPEND | O_CREAT);
}

static int by_openat2(char **a)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};
	int fd = (int)syscall(SYS_openat2, at, a[0], &how, sizeof(how));

	if (fd < 0)
		return errno == ENOSYS ? not_tried("openat2") : result_of(errno);
	return read_all(fd);
}

static int by_pread(char **a)
{
	int fd = open_path(a[0], O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return result_of(errno);
	n = pread(fd, buffer, sizeof(buffer), 0);
	got = n > 0 ? (size_t)n : 0;
	return result_of(n < 0 ? errno : 0);
}

static int by_readv(char **a)
{
	int fd = open_path(a[0], O_RDONLY);
	struct iovec parts[2] = {{buffer, 7}, {buffer + 7, sizeof(buffer) - 7}};
	ssize_t n;

	if (fd < 0)
		return result_of(errno);
	n = preadv2(fd, parts, 2, 0, 0);
	got = n > 0 ? (size_t)n : 0;
	return result_of(n < 0 ? errno : 0);
}

static int by_mmap(char **a)
{
	int fd = open_path(a[0], O_RDONLY);
	struct stat st;

	if (fd < 0)
		return result_of(errno);
	if (fstat(fd, &st) < 0 || st.st_size == 0)
		return st.st_size ? not_tried("fstat") : ALLOWED;
	volatile char *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return result_of(errno);
	for (off_t i = 0; i < st.st_size; i++)
		got += map[i] != 0;
	return ALLOWED;
}

static int by_sendfile(char **a)
{
	int fd = open_path(a[0], O_RDONLY), ends[2];
	ssize_t n;

	if (fd < 0)
		return result_of(errno);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return not_tried("socketpair");
	n = sendfile(ends[0], fd, NULL, 4096);
	got = n > 0 ? (size_t)n : 0;
	return result_of(n < 0 ? errno : 0);
}

static int by_splice(char **a)
{
	int fd = open_path(a[0], O_RDONLY), ends[2];
	ssize_t n;

	if (fd < 0)
		return result_of(errno);
	if (pipe(ends) < 0)
		return not_tried("pipe");
	n = splice(fd, NULL, ends[1], NULL, 4096, 0);
	got = n > 0 ? (size_t)n : 0;
	return result_of(n < 0 ? errno : 0);
}

/* Into a nameless file beside it: the call works on one file system only. */
static int by_copy_file_range(char **a)
{
	char folder[4096];
	int fd = open_path(a[0], O_RDONLY), out;
	char *slash;
	ssize_t n;

	if (fd < 0)
		return result_of(errno);
	snprintf(folder, sizeof(folder), "./%s", a[0]);
	slash = strrchr(folder, '/');
	*slash = 0;
	out = open_path(a[0][0] == '/' ? folder + 2 : folder, O_TMPFILE | O_RDWR);
	if (out < 0)
		return not_tried("O_TMPFILE");
	n = copy_file_range(fd, NULL, out, NULL, 4096, 0);
	if (n < 0 && errno == EXDEV)
		return not_tried("copy_file_range");
	got = n > 0 ? (size_t)n : 0;
	return result_of(n < 0 ? errno : 0);
}

static int by_aio(char **a)
{
	aio_context_t context = 0;
	int fd = open_path(a[0], O_RDONLY);
	struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)buffer, .aio_nbytes = 4096};
	struct iocb *list[1] = {&request};
	struct io_event event;

	if (fd < 0)
		return result_of(errno);
	request.aio_fildes = (uint32_t)fd;
	if (syscall(SYS_io_setup, 1, &context) < 0)
		return not_tried("io_setup");
	if (syscall(SYS_io_submit, context, 1, list) < 0)
		return result_of(errno);
	if (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) < 0)
		return not_tried("io_getevents");
	got = event.res > 0 ? (size_t)event.res : 0;
	return result_of(event.res < 0 ? (int)-event.res : 0);
}

static int by_io_uring(char **a)
{
	struct io_uring_sqe request = {
		.opcode = IORING_OP_OPENAT, .fd = at, .addr = (uintptr_t)a[0], .open_flags = O_RDONLY};
	int n;

	if (!uring_open())
		return not_tried("io_uring");
	n = uring_do(&request);
	if (n < 0)
		return result_of(-n);
	request = (struct io_uring_sqe){
		.opcode = IORING_OP_READ, .fd = n, .addr = (uintptr_t)buffer, .len = sizeof(buffer)};
	n = uring_do(&request);
	got = n > 0 ? (size_t)n : 0;
	return result_of(n < 0 ? -n : 0);
}

static int by_opath(char **a)
{
	char link[64];
	int fd = open_path(a[0], O_PATH);

	if (fd < 0)
		return result_of(errno);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? result_of(errno) : read_all(fd);
}

/* The O_PATH descriptor alone must always be had: it shows no byte. */
static int by_opath_only(char **a)
{
	return open_path(a[0], O_PATH) < 0 ? result_of(errno) : ALLOWED;
}

static int by_handle(char **a)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id, folder = open_path(a[1] ? a[1] : ".", O_RDONLY | O_DIRECTORY), fd;

	if (folder < 0 || name_to_handle_at(at, a[0], &u.handle, &mount_id, 0) < 0)
		return not_tried("name_to_handle_at");
	fd = open_by_handle_at(folder, &u.handle, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? result_of(errno) : read_all(fd);
}

/* A descriptor that another process opened and passed along. */
static int by_passing(char **a)
{
	int ends[2], status, fd;
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
		return not_tried("socketpair");
	pid_t child = fork();
	if (child == 0) {
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);

		fd = open_path(a[0], O_RDONLY);
		if (fd < 0)
			_exit(errno);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
		_exit(sendmsg(ends[1], &message, 0) < 0 ? 250 : 0);
	}
	waitpid(child, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return result_of(WEXITSTATUS(status));
	if (recvmsg(ends[0], &message, 0) < 0)
		return not_tried("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return read_all(fd);
}

/* exec; the error comes over a pipe that a successful exec closes. A program that ran and wrote counts as one byte. */
static int run_program(int folder, const char *path, char *const argv[], int flags)
{
	int ends[2], error = 0, status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return not_tried("pipe");
	pid_t child = fork();
	if (child == 0) {
		syscall(SYS_execveat, folder, path, argv, environ, flags);
		error = errno;
		_exit(write(ends[1], &error, sizeof(error)) == sizeof(error) ? 0 : 1);
	}
	close(ends[1]);
	if (read(ends[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	waitpid(child, &status, 0);
	if (!error) {
		got = 1;
		printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
	}
	return result_of(error);
}

static int by_exec(char **a)
{
	char *argv[] = {a[0], NULL};

	return run_program(at, a[0], argv, 0);
}

static int by_exec_opath(char **a)
{
	char *argv[] = {a[0], NULL};
	int fd = openat(at, a[0], O_PATH); /* not close-on-exec: a script's interpreter opens it by number */

	return fd < 0 ? result_of(errno) : run_program(fd, "", argv, AT_EMPTY_PATH);
}

/* The ELF loader and the like open a file that exec never sees. The script has to write something when it runs. */
static int by_interpreter(char **a)
{
	char text[4096] = "";
	int ends[2], status;
	ssize_t n, size = 0;

	if (pipe(ends) < 0)
		return not_tried("pipe");
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		close(ends[0]);
		close(ends[1]);
		if (at != AT_FDCWD && fchdir(at) < 0)
			_exit(99);
		execl("/bin/sh", "sh", a[0], (char *)NULL);
		_exit(99);
	}
	close(ends[1]);
	while (size < (ssize_t)sizeof(text) - 1 &&
	       (n = read(ends[0], text + size, sizeof(text) - 1 - (size_t)size)) > 0)
		size += n;
	waitpid(child, &status, 0);
	text[size] = 0;
	fprintf(stderr, "sh: %s", text);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		got = (size_t)size;
		return ALLOWED;
	}
	if (strstr(text, "not permitted"))
		return DENIED;
	return WEXITSTATUS(status) == 99 ? NOT_TRIED : DENIED_BY_OTHER;
}

static int by_link(char **a)
{
	return result_of(linkat(at, a[0], at, a[1], 0) < 0 ? errno : 0);
}

static int by_rename(char **a)
{
	return result_of(renameat(at, a[0], at, a[1]) < 0 ? errno : 0);
}

static int by_unlink(char **a)
{
	return result_of(unlinkat(at, a[0], 0) < 0 ? errno : 0);
}

static int by_truncate(char **a)
{
	return result_of(truncate(a[0], atol(a[1])) < 0 ? errno : 0);
}

static int by_stat(char **a)
{
	struct stat st;

	return result_of(fstatat(at, a[0], &st, 0) < 0 ? errno : 0);
}

static void say_and_wait(const char *word)
{
	char c;

	printf("%s\n", word);
	fflush(stdout);
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

/* Opens, says `opened`, waits for a line, and reads then. What comes is not guarded without BPF. */
static int by_held_descriptor(char **a)
{
	int fd = open_path(a[0], O_RDONLY);

	if (fd < 0)
		return result_of(errno);
	say_and_wait("opened");
	return read_all(fd);
}

/* Keeps a writer's descriptor open, writes the text of a[1], says `open`, waits for a line. */
static int by_held_writer(char **a)
{
	int fd = open_path(a[0], O_RDWR | O_CREAT);

	if (fd < 0)
		return result_of(errno);
	say_and_wait("open");
	if (a[1] && pwrite(fd, a[1], strlen(a[1]), 0) < 0)
		return result_of(errno);
	say_and_wait("written");
	return ALLOWED;
}

/* Maps the file shared and writable, closes the descriptor, says `mapped`, waits for a line, stores the text of a[1] at
 * its start, says `stored`, waits. */
static int by_mapped_store(char **a)
{
	int fd = open_path(a[0], O_RDWR);
	size_t size = strlen(a[1]);

	if (fd < 0)
		return result_of(errno);
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return not_tried("mmap");
	*(volatile char *)map = *map; /* the page is dirty now, and no later store moves the change time */
	say_and_wait("mapped");
	memcpy(map, a[1], size);
	say_and_wait("stored");
	return ALLOWED;
}

/* Takes a write lease, says `held`, keeps it whatever the kernel asks, until a line comes. */
static int by_lease(char **a)
{
	int fd = open_path(a[0], O_RDONLY);

	if (fd < 0)
		return result_of(errno);
	signal(SIGIO, SIG_IGN);
	/* Refused while anybody else has the file open, the gate for its event too. */
	for (int tries = 0; fcntl(fd, F_SETLEASE, F_WRLCK) < 0; tries++) {
		if (tries == 100)
			return not_tried("F_SETLEASE");
		usleep(20000);
	}
	say_and_wait("held");
	return ALLOWED;
}

/* ---- openers N PROCESSES PATH...: each opens one of the paths and reads it ---- */
struct attempt {
	double start, end; /* CLOCK_MONOTONIC, s; end 0: its process ended before */
	int error;
	unsigned bytes;
};
static struct attempt *attempts;
static char **paths;
static long path_count;

static double clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *opener(void *argument)
{
	long i = (long)(intptr_t)argument;
	struct attempt *attempt = &attempts[i];
	char bytes[512];
	ssize_t n = 0;

	attempt->start = clock_s();
	int fd = open_path(paths[i % path_count], O_RDONLY);
	attempt->error = fd < 0 ? errno : 0;
	attempt->end = clock_s();
	if (fd < 0)
		return NULL;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		attempt->bytes += (unsigned)n;
	close(fd);
	return NULL;
}

static void run_threads(long first, long last)
{
	pthread_attr_t attributes;
	pthread_t *threads = calloc((size_t)(last - first), sizeof(*threads));

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 32768);
	for (long i = first; i < last; i++)
		if (pthread_create(&threads[i - first], &attributes, opener, (void *)(intptr_t)i)) {
			attempts[i].error = -1;
			threads[i - first] = 0;
		}
	for (long i = first; i < last; i++)
		if (threads[i - first])
			pthread_join(threads[i - first], NULL);
	_exit(0);
}

/* Prints one line for each attempt: start end errno bytes path-number; errno -1: there was no thread for it. */
static int by_openers(char **a)
{
	long count = atol(a[0]), processes = atol(a[1]);
	int status;

	paths = a + 2;
	for (path_count = 0; paths[path_count]; path_count++)
		;
	if (count < 1 || processes < 1 || !path_count)
		return not_tried("openers N PROCESSES PATH...");
	attempts = mmap(NULL, (size_t)count * sizeof(*attempts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (attempts == MAP_FAILED)
		return not_tried("mmap");
	for (long p = 0; p < processes; p++) {
		pid_t child = fork();

		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			run_threads(count * p / processes, count * (p + 1) / processes);
		}
		if (child < 0)
			return not_tried("fork");
	}
	printf("started\n");
	fflush(stdout);
	for (pid_t child; (child = waitpid(-1, &status, 0)) > 0 || errno == EINTR;)
		if (child > 0 && status != 0)
			printf("ended: process %ld of %ld, wait status 0x%x\n", (long)child, processes,
			       (unsigned)status);
	bool all = true;
	for (long i = 0; i < count; i++) {
		got += attempts[i].bytes;
		all = all && !attempts[i].error;
		printf("%.6f %.6f %d %u %ld\n", attempts[i].start, attempts[i].end, attempts[i].error,
		       attempts[i].bytes, i % path_count);
	}
	return all ? ALLOWED : DENIED;
}

static const struct {
	const char *name;
	int arguments;
	int (*try)(char **arguments);
} verbs[] = {
	{"open", 1, by_open},
	{"open-nonblock", 1, by_open_nonblock},
	{"open-noatime", 1, by_open_direct},
	{"openat2", 1, by_openat2},
	{"open-write", 1, by_open_write},
	{"open-rdwr", 1, by_open_rdwr},
	{"open-append", 1, by_open_append_create},
	{"pread", 1, by_pread},
	{"readv", 1, by_readv},
	{"mmap", 1, by_mmap},
	{"sendfile", 1, by_sendfile},
	{"splice", 1, by_splice},
	{"copy_file_range", 1, by_copy_file_range},
	{"aio", 1, by_aio},
	{"io_uring", 1, by_io_uring},
	{"opath-reopen", 1, by_opath},
	{"opath", 1, by_opath_only},
	{"handle", 1, by_handle}, /* FILE [FOLDER of the mount] */
	{"passed", 1, by_passing},
	{"exec", 1, by_exec},
	{"exec-opath", 1, by_exec_opath},
	{"interpreter", 1, by_interpreter},
	{"link", 2, by_link},
	{"rename", 2, by_rename},
	{"unlink", 1, by_unlink},
	{"truncate", 2, by_truncate}, /* FILE SIZE */
	{"stat", 1, by_stat},
	{"held", 1, by_held_descriptor},
	{"held-writer", 1, by_held_writer},   /* FILE [TEXT] */
	{"mapped-store", 2, by_mapped_store}, /* FILE TEXT */
	{"lease", 1, by_lease},
	{"openers", 3, by_openers}, /* N PROCESSES FILE... */
};

static int walk(char **path)
{
	char *part = *path, *slash;

	if (*part == '/') {
		at = open("/", O_PATH | O_DIRECTORY);
		part++;
	}
	while ((slash = strchr(part, '/'))) {
		*slash = 0;
		int next = openat(at, part, O_PATH | O_DIRECTORY);
		if (next < 0)
			return -1;
		if (at >= 0)
			close(at);
		at = next;
		part = slash + 1;
	}
	*path = part;
	return 0;
}

int main(int argc, char **argv)
{
	bool walks = false;
	uid_t uid = 0;
	int i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		const char *word = argv[i];

		if (!strcmp(word, "--walk"))
			walks = true;
		else if (i + 1 >= argc)
			return NOT_TRIED;
		else if (!strcmp(word, "--uid"))
			uid = (uid_t)atoi(argv[++i]);
		else if (!strcmp(word, "--cd") ? chdir(argv[++i]) < 0 : chroot(argv[++i]) < 0 || chdir("/") < 0)
			return not_tried(word);
	}
	if (uid && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		return not_tried("setresuid");
	for (size_t v = 0; i < argc && v < sizeof(verbs) / sizeof(verbs[0]); v++) {
		if (strcmp(argv[i], verbs[v].name) || argc - i - 1 < verbs[v].arguments)
			continue;
		if (walks && walk(&argv[i + 1]) < 0)
			return not_tried("walk");
		int result = verbs[v].try(&argv[i + 1]);
		static const char *const names[] = {"allowed", "denied", "not tried", "denied by another"};
		printf("%s: %s bytes %zu\n", verbs[v].name, names[result], got);
		return result;
	}
	fprintf(stderr, "probe: what is to be tried?\n");
	return NOT_TRIED;
}

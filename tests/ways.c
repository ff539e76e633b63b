// SPDX-License-Identifier: GPL-2.0-only
/*
 * ways [--fresh | --rdwr] [--same COPY] FILE FOLDER [WAY...]
 *
 * Opens FILE (and maps it), says `opened`, waits for a line, and tries each way to its content then, through what it
 * holds since. --fresh: holds nothing, each way begins with its own open. --rdwr: holds it open for writing. FOLDER: on
 * the same file system, for copies; COPY: a file there with what FILE has by then. Without WAY: all that are in the
 * table at the end.
 *
 * Prints a line for each: `way NAME RESULT bytes N`; RESULT is allowed, denied (EPERM), the name of another errno, or
 * untried:WHY. N: how much of the content was got.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uring.h"

#define PAGE 4096
#define LIMIT_S 60 /* for one way */

static struct outcome {
	int error;
	size_t got;
	char untried[60];
} * outcome; /* shared with the child that tries */
static const char *path, *folder, *same;
static bool fresh, writes;
static int held = -1;
static char *old_none, *old_read; /* mapped before the line came */
static char buffer[1 << 16] __attribute__((aligned(PAGE)));

static int untried(const char *why)
{
	snprintf(outcome->untried, sizeof(outcome->untried), "%s", why);
	return 0;
}

static int got(ssize_t n)
{
	if (n < 0)
		return errno;
	outcome->got += (size_t)n;
	return 0;
}

/* Counts what is not zero: beyond the end of the file there is nothing else. */
static int count(const volatile char *map, size_t size)
{
	for (size_t i = 0; i < size; i++)
		outcome->got += map[i] != 0;
	return 0;
}

static size_t file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (size_t)st.st_size;
}

static int file_in_folder(void)
{
	return open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int way_read(int fd)
{
	return got(read(fd, buffer, sizeof(buffer)));
}

static int way_pread(int fd)
{
	return got(pread(fd, buffer, sizeof(buffer), 0));
}

static int way_readv(int fd)
{
	struct iovec parts[2] = {{buffer, 7}, {buffer + 7, sizeof(buffer) - 7}};

	return got(readv(fd, parts, 2));
}

static int way_preadv2(int fd)
{
	struct iovec part = {buffer, sizeof(buffer)};
	ssize_t n = preadv2(fd, &part, 1, 0, RWF_NOWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
		n = preadv2(fd, &part, 1, 0, RWF_HIPRI);
	return got(n);
}

static int way_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL), result;

	if (fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
		return untried("no O_DIRECT here");
	result = got(pread(fd, buffer, sizeof(buffer), 0));
	fcntl(fd, F_SETFL, flags);
	return result;
}

static int way_splice(int fd)
{
	int ends[2];
	loff_t from = 0;

	if (pipe(ends) < 0)
		return untried("pipe");
	return got(splice(fd, &from, ends[1], NULL, PAGE, 0));
}

static int way_sendfile_pipe(int fd)
{
	int ends[2];
	off_t from = 0;

	if (pipe(ends) < 0)
		return untried("pipe");
	return got(sendfile(ends[1], fd, &from, PAGE));
}

static int way_sendfile_socket(int fd)
{
	int ends[2];
	off_t from = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return untried("socketpair");
	return got(sendfile(ends[0], fd, &from, PAGE));
}

static int way_copy_file_range(int fd)
{
	int out = file_in_folder();
	loff_t from = 0;

	return out < 0 ? untried("O_TMPFILE") : got(copy_file_range(fd, &from, out, NULL, PAGE, 0));
}

static int way_ficlone(int fd)
{
	int out = file_in_folder();

	if (out < 0)
		return untried("O_TMPFILE");
	if (ioctl(out, FICLONE, fd) < 0)
		return errno == EOPNOTSUPP || errno == EXDEV ? untried("no reflinks here") : errno;
	return got(pread(out, buffer, sizeof(buffer), 0));
}

/* Says whether the content is that of a file that one has: an oracle for all of it. */
static int way_fidedupe(int fd)
{
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
	} u = {.range = {.src_length = file_size(fd), .dest_count = 1}};
	struct file_dedupe_range_info *info = u.range.info;

	info->dest_fd = same ? open(same, O_RDWR | O_CLOEXEC) : -1;
	if (info->dest_fd < 0)
		return untried("no copy to compare with");
	if (ioctl(fd, FIDEDUPERANGE, &u.range) < 0)
		return errno == EOPNOTSUPP || errno == ENOTTY ? untried("no reflinks here") : errno;
	if (info->status < 0)
		return info->status == -EOPNOTSUPP ? untried("no reflinks here") : -info->status;
	outcome->got = info->bytes_deduped;
	return 0;
}

static int uring_got(int result)
{
	errno = -result;
	return got(result < 0 ? -1 : result);
}

static int way_uring_read(int fd)
{
	struct io_uring_sqe request = {
		.opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)buffer, .len = sizeof(buffer)};

	return uring_open() ? uring_got(uring_do(&request)) : untried("no io_uring");
}

static int way_uring_fixed(int fd)
{
	struct iovec part = {buffer, sizeof(buffer)};
	struct io_uring_sqe request = {
		.opcode = IORING_OP_READ_FIXED, .fd = fd, .addr = (uintptr_t)buffer, .len = sizeof(buffer)};

	if (!uring_open() || syscall(SYS_io_uring_register, uring.fd, IORING_REGISTER_BUFFERS, &part, 1) < 0)
		return untried("no io_uring");
	return uring_got(uring_do(&request));
}

static int way_uring_splice(int fd)
{
	int ends[2];
	struct io_uring_sqe request = {
		.opcode = IORING_OP_SPLICE, .splice_fd_in = fd, .splice_off_in = 0, .off = (uint64_t)-1, .len = PAGE};

	if (pipe(ends) < 0 || !uring_open())
		return untried("no io_uring");
	request.fd = ends[1];
	return uring_got(uring_do(&request));
}

static int way_aio(int fd)
{
	aio_context_t context = 0;
	struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREAD,
			       .aio_fildes = (uint32_t)fd,
			       .aio_buf = (uintptr_t)buffer,
			       .aio_nbytes = PAGE};
	struct iocb *list[1] = {&request};
	struct io_event event;

	if (syscall(SYS_io_setup, 1, &context) < 0)
		return untried("no native aio");
	if (syscall(SYS_io_submit, context, 1, list) < 0)
		return errno;
	if (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) < 0)
		return untried("io_getevents");
	errno = event.res < 0 ? (int)-event.res : 0;
	return got(event.res < 0 ? -1 : (ssize_t)event.res);
}

static int map_and_count(int fd, int protection, int flags, bool later)
{
	size_t size = file_size(fd);
	char *map = mmap(NULL, size, later ? PROT_NONE : protection, flags, fd, 0);

	if (map == MAP_FAILED)
		return errno;
	if (later && mprotect(map, size, protection) < 0)
		return errno;
	return count(map, size);
}

static int way_mmap(int fd)
{
	return map_and_count(fd, PROT_READ, MAP_PRIVATE, false);
}

static int way_mmap_shared(int fd)
{
	return map_and_count(fd, PROT_READ, MAP_SHARED, false);
}

static int way_mmap_exec(int fd)
{
	return map_and_count(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE, false);
}

static int way_mmap_later(int fd)
{
	return map_and_count(fd, PROT_READ, MAP_PRIVATE, true);
}

/* Of a mapping that was made before without any right. */
static int way_mprotect_old(int fd)
{
	(void)fd;
	if (mprotect(old_none, PAGE, PROT_READ) < 0)
		return errno;
	return count(old_none, PAGE);
}

static int way_remap_old(int fd)
{
	(void)fd;
	if (remap_file_pages(old_read, PAGE, 0, 1, 0) < 0)
		return errno == EINVAL ? untried("works for writers only") : errno;
	return count(old_read, PAGE);
}

static int way_old_mapping(int fd)
{
	(void)fd;
	return count(old_read, PAGE);
}

/* By another process, of the mapping that we have. */
static int way_process_vm(int fd)
{
	struct iovec to = {buffer, PAGE}, from = {old_read, PAGE};

	(void)fd;
	return got(process_vm_readv(getppid(), &to, 1, &from, 1, 0));
}

static int way_passed(int fd)
{
	int ends[2], passed;
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
		return untried("socketpair");
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	pid_t child = fork();
	if (child == 0)
		_exit(sendmsg(ends[1], &message, 0) < 0);
	close(fd);
	waitpid(child, NULL, 0);
	if (recvmsg(ends[0], &message, 0) < 0)
		return errno;
	memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return got(pread(passed, buffer, sizeof(buffer), 0));
}

static int way_pidfd_getfd(int fd)
{
	pid_t child = fork();
	int pidfd, taken;

	if (child == 0) {
		pause();
		_exit(0);
	}
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	int error = errno;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return taken < 0 ? error : got(pread(taken, buffer, sizeof(buffer), 0));
}

static int read_opened(int fd)
{
	return fd < 0 ? errno : got(read(fd, buffer, sizeof(buffer)));
}

static int way_open(int fd)
{
	(void)fd;
	return read_opened(open(path, O_RDONLY | O_CLOEXEC));
}

static int way_open_rdwr(int fd)
{
	(void)fd;
	return read_opened(open(path, O_RDWR | O_CLOEXEC));
}

static int way_proc_fd(int fd)
{
	char link[64];
	int opath = open(path, O_PATH | O_CLOEXEC);

	(void)fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", held >= 0 ? held : opath);
	return read_opened(open(link, O_RDONLY | O_CLOEXEC));
}

static int way_handle(int fd)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id, mount = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)fd;
	if (mount < 0 || name_to_handle_at(AT_FDCWD, path, &u.handle, &mount_id, 0) < 0)
		return untried("no file handles here");
	return read_opened(open_by_handle_at(mount, &u.handle, O_RDONLY | O_CLOEXEC));
}

/* A program that ran and ended well counts as one byte; its own error comes over a pipe that a good exec closes. */
static int run(bool by_shell, bool by_fd)
{
	int ends[2], error = 0, status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return untried("pipe");
	pid_t child = fork();
	if (child == 0) {
		char *argv[] = {"sh", (char *)path, NULL};
		/* not close-on-exec: a script's interpreter opens it by its number */
		int opath = by_fd ? open(path, O_PATH) : -1, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(null, 1);
		if (by_shell)
			dup2(null, 2);
		syscall(SYS_execveat, by_fd ? opath : AT_FDCWD,
			by_fd      ? ""
			: by_shell ? "/bin/sh"
				   : path,
			by_shell ? argv : argv + 1, environ, by_fd ? AT_EMPTY_PATH : 0);
		error = errno;
		_exit(write(ends[1], &error, sizeof(error)) == sizeof(error) ? 0 : 1);
	}
	close(ends[1]);
	if (read(ends[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	waitpid(child, &status, 0);
	if (!error && (!WIFEXITED(status) || WEXITSTATUS(status)))
		error = by_shell ? EPERM : ENOEXEC; /* sh says only that it could not open it */
	outcome->got += !error;
	return error;
}

static int way_exec(int fd)
{
	(void)fd;
	return run(false, false);
}

static int way_execveat(int fd)
{
	(void)fd;
	return run(false, true);
}

static int way_interpreter(int fd)
{
	(void)fd;
	return run(true, false);
}

enum kind { BY_DESCRIPTOR, BY_PATH, OLD_MAPPING };
static const struct way {
	const char *name;
	enum kind kind;
	int (*try)(int fd);
} ways[] = {
	{"read", BY_DESCRIPTOR, way_read},
	{"pread", BY_DESCRIPTOR, way_pread},
	{"readv", BY_DESCRIPTOR, way_readv},
	{"preadv2", BY_DESCRIPTOR, way_preadv2},
	{"O_DIRECT", BY_DESCRIPTOR, way_direct},
	{"splice", BY_DESCRIPTOR, way_splice},
	{"sendfile-pipe", BY_DESCRIPTOR, way_sendfile_pipe},
	{"sendfile-socket", BY_DESCRIPTOR, way_sendfile_socket},
	{"copy_file_range", BY_DESCRIPTOR, way_copy_file_range},
	{"FICLONE", BY_DESCRIPTOR, way_ficlone},
	{"FIDEDUPERANGE", BY_DESCRIPTOR, way_fidedupe},
	{"io_uring-read", BY_DESCRIPTOR, way_uring_read},
	{"io_uring-read_fixed", BY_DESCRIPTOR, way_uring_fixed},
	{"io_uring-splice", BY_DESCRIPTOR, way_uring_splice},
	{"aio", BY_DESCRIPTOR, way_aio},
	{"mmap", BY_DESCRIPTOR, way_mmap},
	{"mmap-shared", BY_DESCRIPTOR, way_mmap_shared},
	{"mmap-exec", BY_DESCRIPTOR, way_mmap_exec},
	{"mmap-none-mprotect", BY_DESCRIPTOR, way_mmap_later},
	{"passed", BY_DESCRIPTOR, way_passed},
	{"pidfd_getfd", BY_DESCRIPTOR, way_pidfd_getfd},
	{"open", BY_PATH, way_open},
	{"open-rdwr", BY_PATH, way_open_rdwr},
	{"proc-fd-reopen", BY_PATH, way_proc_fd},
	{"open_by_handle_at", BY_PATH, way_handle},
	{"exec", BY_PATH, way_exec},
	{"execveat", BY_PATH, way_execveat},
	{"interpreter", BY_PATH, way_interpreter},
	{"mprotect-old-none", OLD_MAPPING, way_mprotect_old},
	{"remap_file_pages-old", OLD_MAPPING, way_remap_old},
	{"old-mapping", OLD_MAPPING, way_old_mapping},
	{"process_vm_readv-old-mapping", OLD_MAPPING, way_process_vm},
};

/* In a child: none can spoil the next one, or hang for ever. */
static void try_way(const struct way *way)
{
	int status = 0;

	memset(outcome, 0, sizeof(*outcome));
	pid_t child = fork();
	if (child == 0) {
		int fd = way->kind == BY_DESCRIPTOR && fresh ? open(path, O_RDONLY) : held;

		alarm(LIMIT_S);
		if (fd < 0 && way->kind == BY_DESCRIPTOR)
			outcome->error = errno;
		else if (way->kind == OLD_MAPPING && !old_read)
			untried("there is no mapping made before");
		else {
			if (fd >= 0)
				lseek(fd, 0, SEEK_SET);
			outcome->error = way->try(fd);
		}
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		snprintf(outcome->untried, sizeof(outcome->untried), "ended by signal %d", WTERMSIG(status));
	printf("way %s ", way->name);
	if (outcome->untried[0])
		printf("untried:%s", outcome->untried);
	else
		printf("%s", outcome->error == 0       ? "allowed"
			     : outcome->error == EPERM ? "denied"
						       : strerrorname_np(outcome->error));
	printf(" bytes %zu\n", outcome->got);
	fflush(stdout);
}

static void hold(void)
{
	held = open(path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (held < 0) {
		printf("could not open: %s\n", strerrorname_np(errno));
		exit(1);
	}
	/* Private and shared, two pages: of an empty file too, which is filled later. */
	old_none = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE, held, 0);
	old_read = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, held, 0);
	if (old_none == MAP_FAILED || old_read == MAP_FAILED) {
		printf("could not map: %s\n", strerrorname_np(errno));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int i = 1;
	char c;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--fresh"))
			fresh = true;
		else if (!strcmp(argv[i], "--rdwr"))
			writes = true;
		else if (i + 1 < argc)
			same = argv[++i];
	}
	if (argc - i < 2)
		return 2;
	path = argv[i++];
	folder = argv[i++];
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!fresh)
		hold();
	printf("opened\n");
	fflush(stdout);
	while (read(0, &c, 1) == 1 && c != '\n')
		;
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		bool wanted = i == argc;

		for (int k = i; k < argc; k++)
			wanted = wanted || !strcmp(argv[k], ways[w].name);
		if (wanted)
			try_way(&ways[w]);
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * changes WAY FILE [SOURCE | NUMBER [NUMBER]]
 *
 * Changes the content of a file in one way: puts what is in SOURCE (a small file) at its start, or cuts, extends or
 * empties a part of it. Prints `done`, or `untried:WHY` (2), or `failed:ERRNO` (3).
 *
 * Ways that begin earlier say `ready` when they have what they need (a descriptor, a mapping), and wait for a line.
 * `in-flight` says `in flight` when the kernel is inside its pwrite and has copied nothing, and waits again. With
 * `keep` behind the arguments each says `done` and keeps what it has until its input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "uring.h"

#define PAGE 4096

static const char *path;
static int file = -1, source = -1;
static ssize_t size;       /* of the source */
static long first, second; /* numbers */
static char content[PAGE] __attribute__((aligned(PAGE)));

static void end(const char *word, const char *why, int code)
{
	printf("%s:%s\n", word, why);
	fflush(stdout);
	_exit(code);
}

static void untried(const char *why)
{
	end("untried", why, 2);
}

static void must(bool good)
{
	if (!good)
		end("failed", strerrorname_np(errno), 3);
}

static void say_and_wait(const char *word)
{
	char c;

	printf("%s\n", word);
	fflush(stdout);
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

static void open_file(int flags)
{
	file = open(path, flags | O_CLOEXEC);
	must(file >= 0);
}

static void change_write(void)
{
	open_file(O_WRONLY);
	must(write(file, content, (size_t)size) == size);
}

static void change_pwrite(void)
{
	open_file(O_RDWR);
	must(pwrite(file, content, (size_t)size, 0) == size);
}

static void change_writev(void)
{
	struct iovec parts[2] = {{content, 5}, {content + 5, (size_t)size - 5}};

	open_file(O_WRONLY);
	must(writev(file, parts, 2) == size);
}

static void change_direct(void)
{
	open_file(O_WRONLY);
	if (fcntl(file, F_SETFL, O_DIRECT) < 0)
		untried("no O_DIRECT here");
	must(pwrite(file, content, PAGE, 0) == PAGE);
}

static void change_splice(void)
{
	int ends[2];
	loff_t to = 0;

	must(pipe(ends) == 0 && write(ends[1], content, (size_t)size) == size);
	open_file(O_WRONLY);
	must(splice(ends[0], NULL, file, &to, (size_t)size, 0) == size);
}

static void change_sendfile(void)
{
	off_t from = 0;

	open_file(O_WRONLY);
	must(sendfile(file, source, &from, (size_t)size) == size);
}

static void change_copy_file_range(void)
{
	loff_t from = 0, to = 0;

	open_file(O_WRONLY);
	must(copy_file_range(source, &from, file, &to, (size_t)size, 0) == size);
}

static void change_ficlone(void)
{
	open_file(O_WRONLY);
	if (ioctl(file, FICLONE, source) < 0) {
		if (errno == EOPNOTSUPP || errno == EXDEV)
			untried("no reflinks here");
		must(false);
	}
}

static void by_uring(struct io_uring_sqe request, int expected)
{
	int result;

	open_file(O_WRONLY);
	if (!uring_open())
		untried("no io_uring");
	request.fd = file;
	result = uring_do(&request);
	if (result == -EINVAL)
		untried("io_uring of this kernel cannot");
	errno = result < 0 ? -result : 0;
	must(result == expected);
}

static void change_uring_write(void)
{
	by_uring((struct io_uring_sqe){.opcode = IORING_OP_WRITE, .addr = (uintptr_t)content, .len = (uint32_t)size},
		 (int)size);
}

static void change_uring_fallocate(void)
{
	by_uring((struct io_uring_sqe){.opcode = IORING_OP_FALLOCATE,
				       .off = (uint64_t)first,
				       .addr = (uint64_t)second,
				       .len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
		 0);
}

static void change_uring_ftruncate(void)
{
	by_uring((struct io_uring_sqe){.opcode = 55 /* IORING_OP_FTRUNCATE, 6.9 */, .off = (uint64_t)first}, 0);
}

static void change_aio(void)
{
	aio_context_t context = 0;
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uintptr_t)content, .aio_nbytes = (uint64_t)size};
	struct iocb *list[1] = {&request};
	struct io_event event;

	open_file(O_WRONLY);
	request.aio_fildes = (uint32_t)file;
	if (syscall(SYS_io_setup, 1, &context) < 0)
		untried("no native aio");
	must(syscall(SYS_io_submit, context, 1, list) == 1);
	must(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1 && event.res == size);
}

static void change_ftruncate(void)
{
	open_file(O_WRONLY);
	must(ftruncate(file, first) == 0);
}

static void change_truncate(void)
{
	must(truncate(path, first) == 0);
}

static void change_o_trunc(void)
{
	open_file(O_WRONLY | O_TRUNC);
	must(write(file, content, (size_t)size) == size);
}

static void allocate(int mode)
{
	open_file(O_RDWR);
	if (fallocate(file, mode, first, second) < 0) {
		if (errno == EOPNOTSUPP)
			untried("no such fallocate here");
		must(false);
	}
}

static void change_punch(void)
{
	allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static void change_zero(void)
{
	allocate(FALLOC_FL_ZERO_RANGE);
}

static void change_extend(void)
{
	allocate(0);
}

static void change_collapse(void)
{
	allocate(FALLOC_FL_COLLAPSE_RANGE);
}

static void change_insert(void)
{
	allocate(FALLOC_FL_INSERT_RANGE);
}

static char *map(int protection)
{
	char *at = mmap(NULL, PAGE, protection, MAP_SHARED, file, 0);

	must(at != MAP_FAILED);
	return at;
}

static void change_mapped(void)
{
	open_file(O_RDWR);
	memcpy(map(PROT_READ | PROT_WRITE), content, (size_t)size);
}

static void change_mprotect(void)
{
	open_file(O_RDWR);
	char *at = map(PROT_READ);
	close(file);
	file = -1;
	must(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0);
	memcpy(at, content, (size_t)size);
}

static void change_loop(void)
{
	char name[32];
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, device;

	number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(name, sizeof(name), "/dev/loop%d", number);
	device = number < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
	if (device < 0)
		untried("no loop device");
	open_file(O_RDWR);
	if (ioctl(device, LOOP_SET_FD, file) < 0)
		untried("no free loop device");
	bool good = pwrite(device, content, PAGE, 0) == PAGE && fsync(device) == 0;
	ioctl(device, LOOP_CLR_FD, 0);
	must(good);
}

/* ---- those that began earlier ---- */
static void change_old_descriptor(void)
{
	open_file(O_RDWR);
	say_and_wait("ready");
	must(pwrite(file, content, (size_t)size, 0) == size);
}

static char *old_map(int protection)
{
	open_file(O_RDWR);
	char *at = map(protection);
	close(file);
	file = -1;
	if (protection & PROT_WRITE)
		*(volatile char *)at = *at; /* dirty by now: no later store faults, or moves the change time */
	say_and_wait("ready");
	return at;
}

static void change_old_mapping(void)
{
	memcpy(old_map(PROT_READ | PROT_WRITE), content, (size_t)size);
}

static void change_old_mprotect(void)
{
	char *at = old_map(PROT_READ);

	must(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0);
	memcpy(at, content, (size_t)size);
}

static void *blocked_write(void *from)
{
	return (void *)(intptr_t)pwrite(file, from, (size_t)size, 0);
}

/* The kernel asks us for the page that it copies from: until we give it, the write is in flight. */
static void change_in_flight(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fault = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	char *from = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = {.range = {(uintptr_t)from, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_copy copy = {.dst = (uintptr_t)from, .src = (uintptr_t)content, .len = PAGE};
	struct uffd_msg message;
	pthread_t thread;
	void *written;

	open_file(O_RDWR);
	if (fault < 0 || ioctl(fault, UFFDIO_API, &api) < 0 || ioctl(fault, UFFDIO_REGISTER, &range) < 0)
		untried("no userfaultfd");
	say_and_wait("ready");
	must(pthread_create(&thread, NULL, blocked_write, from) == 0);
	must(read(fault, &message, sizeof(message)) == sizeof(message));
	say_and_wait("in flight");
	must(ioctl(fault, UFFDIO_COPY, &copy) == 0);
	pthread_join(thread, &written);
	must((ssize_t)(intptr_t)written == size);
}

static const struct {
	const char *name;
	void (*change)(void);
	bool numbers;
} changes[] = {
	{"write", change_write, false},
	{"pwrite", change_pwrite, false},
	{"writev", change_writev, false},
	{"O_DIRECT", change_direct, false},
	{"splice", change_splice, false},
	{"sendfile", change_sendfile, false},
	{"copy_file_range", change_copy_file_range, false},
	{"FICLONE", change_ficlone, false},
	{"io_uring-write", change_uring_write, false},
	{"io_uring-fallocate", change_uring_fallocate, true}, /* FROM SIZE */
	{"io_uring-ftruncate", change_uring_ftruncate, true}, /* SIZE */
	{"aio", change_aio, false},
	{"ftruncate", change_ftruncate, true}, /* SIZE */
	{"truncate", change_truncate, true},   /* SIZE */
	{"O_TRUNC", change_o_trunc, false},
	{"fallocate-punch", change_punch, true},       /* FROM SIZE, as those below */
	{"fallocate-zero", change_zero, true},         /* */
	{"fallocate-extend", change_extend, true},     /* */
	{"fallocate-collapse", change_collapse, true}, /* */
	{"fallocate-insert", change_insert, true},     /* */
	{"mapped", change_mapped, false},
	{"mprotect", change_mprotect, false},
	{"loop", change_loop, false},
	{"old-descriptor", change_old_descriptor, false},
	{"old-mapping", change_old_mapping, false},
	{"old-mprotect", change_old_mprotect, false},
	{"in-flight", change_in_flight, false},
};

int main(int argc, char **argv)
{
	bool keep = argc > 1 && !strcmp(argv[argc - 1], "keep");

	if (keep)
		argc--;
	for (size_t c = 0; argc >= 4 && c < sizeof(changes) / sizeof(changes[0]); c++) {
		if (strcmp(argv[1], changes[c].name))
			continue;
		path = argv[2];
		first = changes[c].numbers ? atol(argv[3]) : 0;
		second = argc > 4 ? atol(argv[4]) : 0;
		memset(content, '\n', sizeof(content));
		if (!changes[c].numbers) {
			source = open(argv[3], O_RDONLY | O_CLOEXEC);
			size = source < 0 ? -1 : pread(source, content, sizeof(content), 0);
			must(size > 5);
		}
		changes[c].change();
		if (keep)
			say_and_wait("done");
		else
			printf("done\n");
		return 0;
	}
	fprintf(stderr, "changes: which way?\n");
	return 2;
}

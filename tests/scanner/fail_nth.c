// SPDX-License-Identifier: GPL-2.0-only
/*
 * LD_PRELOAD for the scanner under test: from the moment a worker receives a request, the n-th call of one kind fails.
 * The upper half of the request's case_id says which: bits 32-55 are n (0: none), bits 56-63 the kind: 1 whatever uses
 * files (as in a full file system), 2 memory. It lies below the program's own functions and above the C library.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "wire.h"

enum { FILES = 1, MEMORY = 2 };
static uint32_t kind, left;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static int fails(uint32_t which)
{
	return kind == which && left > 0 && --left == 0;
}

#define NEXT(name)                                                                                                     \
	({                                                                                                             \
		static __typeof__(&name) next;                                                                         \
		if (!next)                                                                                             \
			next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                             \
		next;                                                                                                  \
	})

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t got = NEXT(recvmsg)(fd, message, flags);
	struct scan_request request;

	if (got == (ssize_t)sizeof(request)) {
		memcpy(&request, message->msg_iov[0].iov_base, sizeof(request));
		kind = request.case_id >> 56;
		left = request.case_id >> 32 & 0xffffff;
	}
	return got;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	kind = left = 0;
	return NEXT(sendmsg)(fd, message, flags);
}

#define OPEN(name, parameters, arguments)                                                                              \
	int name parameters                                                                                            \
	{                                                                                                              \
		va_list rest;                                                                                          \
		mode_t mode;                                                                                           \
		va_start(rest, flags);                                                                                 \
		mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                                     \
		va_end(rest);                                                                                          \
		if (fails(FILES)) {                                                                                    \
			errno = EMFILE;                                                                                \
			return -1;                                                                                     \
		}                                                                                                      \
		return NEXT(name) arguments;                                                                           \
	}
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))

int mkdir(const char *path, mode_t mode)
{
	if (!fails(FILES))
		return NEXT(mkdir)(path, mode);
	errno = ENOSPC;
	return -1;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	if (!fails(FILES))
		return NEXT(write)(fd, bytes, size);
	errno = ENOSPC;
	return -1;
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
{
	if (!fails(FILES))
		return NEXT(pread64)(fd, bytes, size, at);
	errno = EIO;
	return -1;
}

ssize_t read(int fd, void *bytes, size_t size)
{
	if (!fails(FILES))
		return NEXT(read)(fd, bytes, size);
	errno = EIO;
	return -1;
}

int fflush(FILE *file)
{
	if (!fails(FILES))
		return NEXT(fflush)(file);
	errno = ENOSPC;
	return EOF;
}

int fclose(FILE *file)
{
	int failed = fails(FILES), result = NEXT(fclose)(file);

	errno = failed ? ENOSPC : errno;
	return failed ? EOF : result;
}

FILE *fdopen(int fd, const char *mode)
{
	if (!fails(FILES))
		return NEXT(fdopen)(fd, mode);
	errno = ENOMEM;
	return NULL;
}

FILE *fopen64(const char *path, const char *mode)
{
	if (!fails(FILES))
		return NEXT(fopen64)(path, mode);
	errno = EMFILE;
	return NULL;
}

DIR *opendir(const char *path)
{
	if (!fails(FILES))
		return NEXT(opendir)(path);
	errno = EMFILE;
	return NULL;
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file)
{
	if (!fails(FILES))
		return NEXT(fwrite)(bytes, size, count, file);
	errno = ENOSPC;
	return 0; /* without ferror(file): the strictest */
}

void *malloc(size_t size)
{
	return fails(MEMORY) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_realloc(old, size);
}

// SPDX-License-Identifier: GPL-2.0-only
#undef _FORTIFY_SOURCE /* these are the functions, not their checked fronts */
#include "calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void (*watcher)(const char *call, int error);

void calls_watch(void (*failed)(const char *call, int error))
{
	watcher = failed;
}

static void *next(const char *name, void **known)
{
	if (!*known)
		*known = dlsym(RTLD_NEXT, name);
	return *known;
}
#define NEXT(name)                                                                                                     \
	({                                                                                                             \
		static void *known_##name;                                                                             \
		(__typeof__(&(name)))next(#name, &known_##name);                                                       \
	})

static void note(const char *call, bool failed)
{
	int error = errno;

	if (!watcher || !failed)
		return;
	if (error != EINTR && error != EAGAIN && error != ENOENT && error != EEXIST)
		watcher(call, error);
	errno = error;
}

/* A write that took only a part met the end of the room: the next one would say so, if there is a next one. */
static void note_short(const char *call, bool is_short)
{
	int error = errno;

	if (watcher && is_short)
		watcher(call, ENOSPC);
	errno = error;
}

/* clang-tidy 14, given several files at once, takes va_start() for nothing in all but the first; hence the NOLINT. */
static bool has_mode(int flags)
{
	return flags & (O_CREAT | __O_TMPFILE);
}

int open(const char *path, int flags, ...)
{
	mode_t mode;
	va_list rest;
	int fd;

	va_start(rest, flags);
	mode = has_mode(flags) ? va_arg(rest, mode_t) : 0; // NOLINT(clang-analyzer-valist.Uninitialized)
	va_end(rest);
	fd = NEXT(open)(path, flags, mode);
	note("open", fd < 0);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	mode_t mode;
	va_list rest;
	int fd;

	va_start(rest, flags);
	mode = has_mode(flags) ? va_arg(rest, mode_t) : 0; // NOLINT(clang-analyzer-valist.Uninitialized)
	va_end(rest);
	fd = NEXT(open64)(path, flags, mode);
	note("open", fd < 0);
	return fd;
}

int openat(int folder, const char *path, int flags, ...)
{
	mode_t mode;
	va_list rest;
	int fd;

	va_start(rest, flags);
	mode = has_mode(flags) ? va_arg(rest, mode_t) : 0; // NOLINT(clang-analyzer-valist.Uninitialized)
	va_end(rest);
	fd = NEXT(openat)(folder, path, flags, mode);
	note("open", fd < 0);
	return fd;
}

int openat64(int folder, const char *path, int flags, ...)
{
	mode_t mode;
	va_list rest;
	int fd;

	va_start(rest, flags);
	mode = has_mode(flags) ? va_arg(rest, mode_t) : 0; // NOLINT(clang-analyzer-valist.Uninitialized)
	va_end(rest);
	fd = NEXT(openat64)(folder, path, flags, mode);
	note("open", fd < 0);
	return fd;
}

int mkdir(const char *path, mode_t mode)
{
	int result = NEXT(mkdir)(path, mode);

	note("mkdir", result < 0);
	return result;
}

int dup(int fd)
{
	int result = NEXT(dup)(fd);

	note("dup", result < 0);
	return result;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	ssize_t wrote = NEXT(write)(fd, bytes, size);

	note("write", wrote < 0);
	note_short("write", wrote >= 0 && (size_t)wrote < size);
	return wrote;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	ssize_t wrote = NEXT(pwrite64)(fd, bytes, size, at);

	note("write", wrote < 0);
	note_short("write", wrote >= 0 && (size_t)wrote < size);
	return wrote;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ssize_t wrote = NEXT(writev)(fd, parts, count);

	note("write", wrote < 0);
	return wrote;
}

int ftruncate64(int fd, off64_t size)
{
	int result = NEXT(ftruncate64)(fd, size);

	note("ftruncate", result < 0);
	return result;
}

ssize_t read(int fd, void *bytes, size_t size)
{
	ssize_t got = NEXT(read)(fd, bytes, size);

	note("read", got < 0);
	return got;
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
{
	ssize_t got = NEXT(pread64)(fd, bytes, size, at);

	note("read", got < 0);
	return got;
}

FILE *fopen64(const char *path, const char *mode)
{
	FILE *file = NEXT(fopen64)(path, mode);

	note("fopen", !file);
	return file;
}

FILE *fdopen(int fd, const char *mode)
{
	FILE *file = NEXT(fdopen)(fd, mode);

	note("fdopen", !file);
	return file;
}

DIR *opendir(const char *path)
{
	DIR *folder = NEXT(opendir)(path);

	note("opendir", !folder);
	return folder;
}

DIR *fdopendir(int fd)
{
	DIR *folder = NEXT(fdopendir)(fd);

	note("opendir", !folder);
	return folder;
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file)
{
	size_t wrote = NEXT(fwrite)(bytes, size, count, file);

	note("write", wrote < count && ferror(file));
	return wrote;
}

size_t fread(void *bytes, size_t size, size_t count, FILE *file)
{
	size_t got = NEXT(fread)(bytes, size, count, file);

	note("read", got < count && ferror(file));
	return got;
}

int fflush(FILE *file)
{
	int result = NEXT(fflush)(file);

	note("write", result != 0);
	return result;
}

int fclose(FILE *file)
{
	int result = NEXT(fclose)(file);

	note("write", result != 0);
	return result;
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
	void *memory = NEXT(mmap64)(at, size, protection, flags, fd, offset);

	note("mmap", memory == MAP_FAILED);
	return memory;
}

/* An unpacker without memory skips what it has at hand, often without a word. (A sanitizer has its own malloc, which
 * never fails.) */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(SANITIZED)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static void *(*next_malloc)(size_t size) = __libc_malloc; /* dlsym() itself may want memory */
static void *(*next_calloc)(size_t count, size_t size) = __libc_calloc;
static void *(*next_realloc)(void *old, size_t size) = __libc_realloc;

__attribute__((constructor)) static void memory_open(void)
{
	void *malloc_found = dlsym(RTLD_NEXT, "malloc"), *calloc_found = dlsym(RTLD_NEXT, "calloc"),
	     *realloc_found = dlsym(RTLD_NEXT, "realloc");

	if (!malloc_found || !calloc_found || !realloc_found)
		return;
	next_malloc = (void *(*)(size_t))malloc_found;
	next_calloc = (void *(*)(size_t, size_t))calloc_found;
	next_realloc = (void *(*)(void *, size_t))realloc_found;
}

static void note_memory(bool failed)
{
	if (watcher && failed)
		watcher("memory", ENOMEM);
}

void *malloc(size_t size)
{
	void *memory = next_malloc(size);

	note_memory(!memory);
	return memory;
}

void *calloc(size_t count, size_t size)
{
	void *memory = next_calloc(count, size);

	note_memory(!memory);
	return memory;
}

void *realloc(void *old, size_t size)
{
	void *memory = next_realloc(old, size);

	note_memory(!memory && size > 0);
	return memory;
}

#endif

/* PCRE2's; its header is not needed to build against libclamav. */
#define MATCH_LIMIT (-47)
#define DEPTH_LIMIT (-53)
int pcre2_match_8(const void *code, const unsigned char *subject, size_t size, size_t start, uint32_t options,
		  void *data, void *context);

int pcre2_match_8(const void *code, const unsigned char *subject, size_t size, size_t start, uint32_t options,
		  void *data, void *context)
{
	int result = NEXT(pcre2_match_8)(code, subject, size, start, options, data, context);

	if (watcher && (result == MATCH_LIMIT || result == DEPTH_LIMIT))
		watcher("a signature's regular expression gave up", ETIME);
	return result;
}

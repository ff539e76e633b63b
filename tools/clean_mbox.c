// SPDX-License-Identifier: GPL-2.0-only
/* A plain mbox: what is in it, and taking one message out under the locks of everybody who writes there. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clean.h"
#include "loop.h"
#include "mbox.h"

#define LOCK_NS 10000000000ull
#define HEAD_MOST (1u << 20)
#define COPY_BYTES 65536
#define CONTENT_MOST (512u << 20)

__attribute__((format(printf, 3, 4))) static int failed(struct removal *removal, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(removal->text, sizeof(removal->text), format, arguments);
	va_end(arguments);
	return error ? error : -EIO;
}

/* ---- bodies ---- */

struct stream {
	int fd;
	const char *text; /* NULL: the file */
	uint64_t at, end;
	size_t held;
	uint64_t held_from;
	unsigned char bytes[COPY_BYTES];
};

/* The next byte but for \r; -1: the end, or it could not be read. */
static int byte_next(struct stream *stream)
{
	int byte;

	for (;;) {
		if (stream->at >= stream->end)
			return -1;
		if (stream->text) {
			byte = (unsigned char)stream->text[stream->at++];
		} else {
			if (stream->at >= stream->held_from + stream->held) {
				ssize_t got =
					pread(stream->fd, stream->bytes, sizeof(stream->bytes), (off_t)stream->at);
				if (got <= 0)
					return -1;
				stream->held_from = stream->at;
				stream->held = (size_t)got;
			}
			byte = stream->bytes[stream->at++ - stream->held_from];
		}
		if (byte != '\r')
			return byte;
	}
}

/* Behind the first empty line. */
static bool head_skip(struct stream *stream)
{
	uint64_t from = stream->at;
	int byte, last = '\n';

	while (stream->at - from < HEAD_MOST && (byte = byte_next(stream)) >= 0) {
		if (byte == '\n' && last == '\n')
			return true;
		last = byte;
	}
	return false;
}

bool clean_same_body(const struct infected *infected, const char *text, size_t size)
{
	static struct stream stored, given;
	bool whole = infected->store == STORE_MBOX;
	int ours, theirs;
	bool any = false;

	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	stored = (struct stream){.fd = infected->fd, .at = infected->at, .end = whole ? infected->end : UINT64_MAX};
	given = (struct stream){.fd = -1, .text = text, .end = size};
	if (!head_skip(&stored) || !head_skip(&given))
		return false;
	while ((theirs = byte_next(&given)) >= 0) {
		any = true;
		ours = byte_next(&stored);
		if (ours != theirs)
			return false;
	}
	while (whole && (ours = byte_next(&stored)) >= 0)
		if (ours != '\n')
			return false;
	return any;
}

/* ---- one message ---- */

int clean_find_mbox(const struct infected *infected, struct removal *removal)
{
	uint64_t size = infected->end - infected->at;

	*removal = (struct removal){.route = ROUTE_REWRITE};
	if (size > CONTENT_MOST)
		return failed(removal, -EFBIG, "the message is larger than 512 MB");
	removal->content = malloc(size + 1);
	if (!removal->content)
		return failed(removal, -ENOMEM, "no memory for the message");
	while (removal->size < size) {
		ssize_t got = pread(infected->fd, removal->content + removal->size, size - removal->size,
				    (off_t)(infected->at + removal->size));
		if (got <= 0)
			return failed(removal, got < 0 ? -errno : -EIO, "the mbox could not be read");
		removal->size += (size_t)got;
	}
	return 0;
}

/* ---- locks ---- */

struct locked {
	int folder; /* O_PATH */
	int file;   /* O_RDWR */
	char base[256], lock[300], before[300];
	bool has_lock;
};

static void pause_short(void)
{
	struct timespec time = {.tv_nsec = 50000000};

	nanosleep(&time, NULL);
}

/* PATH.lock, as local(8), procmail and Dovecot make it. A stale one is its owner's matter. */
static int dotlock_take(struct locked *locked, struct removal *removal)
{
	uint64_t until = now_ns() + LOCK_NS;
	int fd;

	while ((fd = openat(locked->folder, locked->lock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) <
	       0) {
		if (errno != EEXIST)
			return failed(removal, -errno, "%s: %s", locked->lock, strerror(errno));
		if (now_ns() > until)
			return failed(removal, -EBUSY,
				      "%s is there for more than ten seconds: somebody works on the mbox",
				      locked->lock);
		pause_short();
	}
	dprintf(fd, "%d", getpid());
	close(fd);
	locked->has_lock = true;
	return 0;
}

static int record_lock_take(struct locked *locked, struct removal *removal)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	uint64_t until = now_ns() + LOCK_NS;

	while (fcntl(locked->file, F_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return failed(removal, -errno, "the mbox could not be locked: %s", strerror(errno));
		if (now_ns() > until)
			return failed(removal, -EBUSY, "the mbox was locked for more than ten seconds");
		pause_short();
	}
	return 0;
}

static void lock_release(struct locked *locked)
{
	if (locked->file >= 0)
		close(locked->file);
	if (locked->has_lock)
		unlinkat(locked->folder, locked->lock, 0);
	if (locked->folder >= 0)
		close(locked->folder);
}

static int lock_take(const struct infected *infected, struct locked *locked, struct removal *removal)
{
	const char *slash = strrchr(infected->path, '/');
	char folder[4097];
	struct stat ours, theirs;
	int error;

	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - infected->path), infected->path);
	if (snprintf(locked->base, sizeof(locked->base), "%s", slash + 1) >= (int)sizeof(locked->base) - 20)
		return failed(removal, -ENAMETOOLONG, "its name is too long for a lock");
	snprintf(locked->lock, sizeof(locked->lock), "%s.lock", locked->base);
	snprintf(locked->before, sizeof(locked->before), "%s.mailward-before", locked->base);
	locked->folder = open(folder[0] ? folder : "/", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (locked->folder < 0)
		return failed(removal, -errno, "its folder: %s", strerror(errno));
	locked->file = openat(locked->folder, locked->base, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (locked->file < 0)
		return failed(removal, -errno, "the mbox: %s", strerror(errno));
	error = record_lock_take(locked, removal);
	if (!error)
		error = dotlock_take(locked, removal);
	if (error)
		return error;
	if (fstat(locked->file, &ours) < 0 || fstat(infected->fd, &theirs) < 0 || ours.st_ino != theirs.st_ino ||
	    ours.st_dev != theirs.st_dev)
		return failed(removal, -ESTALE, "the mbox was replaced by another file meanwhile");
	return 0;
}

/* ---- rewriting ---- */

static int write_all(int fd, const char *bytes, size_t size, uint64_t at)
{
	while (size > 0) {
		ssize_t wrote = pwrite(fd, bytes, size, (off_t)at);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? -errno : -EIO;
		bytes += wrote;
		at += (uint64_t)wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

/* from may be above to in the same file. */
static int bytes_move(int in, uint64_t from, uint64_t end, int out, uint64_t to)
{
	static char bytes[COPY_BYTES];
	int error = 0;

	while (from < end && !error) {
		size_t part = end - from < sizeof(bytes) ? (size_t)(end - from) : sizeof(bytes);
		ssize_t got = pread(in, bytes, part, (off_t)from);
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		error = write_all(out, bytes, (size_t)got, to);
		from += (uint64_t)got;
		to += (uint64_t)got;
	}
	return error;
}

/* The file as it is, beside it; on the disk when this returns. */
static int copy_before(struct locked *locked, const struct stat *status, struct removal *removal)
{
	int error, folder,
		out = openat(locked->folder, locked->before, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			     0600);

	if (out < 0 && errno == EEXIST)
		return failed(
			removal, -EEXIST,
			"%s is there: a run before this one was cut off. It holds the mbox as it was then; compare "
			"the two, and remove it",
			locked->before);
	if (out < 0)
		return failed(removal, -errno, "%s: %s", locked->before, strerror(errno));
	error = bytes_move(locked->file, 0, (uint64_t)status->st_size, out, 0);
	if (!error && (fchown(out, status->st_uid, status->st_gid) < 0 || fchmod(out, status->st_mode & 07777) < 0 ||
		       fsync(out) < 0))
		error = -errno;
	close(out);
	folder = error ? -1 : openat(locked->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0) {
		error = fsync(folder) < 0 ? -errno : 0;
		close(folder);
	}
	if (error) {
		unlinkat(locked->folder, locked->before, 0);
		return failed(removal, error, "no copy of the mbox could be made: %s", strerror(-error));
	}
	return 0;
}

/* Is the message still where it was, with its content? */
static bool is_still_there(const struct infected *infected, const struct locked *locked, const struct removal *removal)
{
	static char bytes[COPY_BYTES];
	char line[MBOX_LINE];
	ssize_t got;

	for (uint64_t done = 0; done < removal->size; done += (uint64_t)got) {
		size_t part = removal->size - done < sizeof(bytes) ? removal->size - done : sizeof(bytes);
		got = pread(locked->file, bytes, part, (off_t)(infected->at + done));
		if (got <= 0 || memcmp(bytes, removal->content + done, (size_t)got) != 0)
			return false;
	}
	got = pread(locked->file, line, sizeof(line), (off_t)infected->end);
	if (got > 0) {
		const char *end = memchr(line, '\n', (size_t)got);
		return mbox_is_from(line, end ? (size_t)(end - line) : (size_t)got);
	}
	return got == 0;
}

static int rewrite(const struct infected *infected, struct locked *locked, struct removal *removal)
{
	struct timespec times[2];
	struct stat status;
	int error;

	if (!is_still_there(infected, locked, removal))
		return failed(removal, -ESTALE, "the mbox has changed meanwhile: try again");
	if (fstat(locked->file, &status) < 0)
		return failed(removal, -errno, "the mbox: %s", strerror(errno));
	error = copy_before(locked, &status, removal);
	if (error)
		return error;
	error = bytes_move(locked->file, infected->end, (uint64_t)status.st_size, locked->file, infected->at);
	if (!error && ftruncate(locked->file, status.st_size - (off_t)(infected->end - infected->at)) < 0)
		error = -errno;
	if (!error && fsync(locked->file) < 0)
		error = -errno;
	if (error)
		return failed(removal, error, "writing failed (%s); the mbox as it was is in %s", strerror(-error),
			      locked->before);
	/* New mail is told by these two; taking some away brings none. */
	times[0] = status.st_atim;
	times[1] = status.st_mtim;
	futimens(locked->file, times);
	unlinkat(locked->folder, locked->before, 0);
	return 0;
}

int clean_by_rewrite(const struct infected *infected, struct removal *removal)
{
	struct locked locked = {.folder = -1, .file = -1};
	int error = lock_take(infected, &locked, removal);

	if (!error)
		error = rewrite(infected, &locked, removal);
	lock_release(&locked);
	return error;
}

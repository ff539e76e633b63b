// SPDX-License-Identifier: GPL-2.0-only
/* A plain mbox: what is in it, and taking one message out under the locks of everybody who writes there. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clean.h"
#include "clean_lock.h"
#include "mbox.h"

#define HEAD_MOST (1u << 20)
#define COPY_BYTES 65536
#define CONTENT_MOST (512u << 20)

int clean_failed(struct removal *removal, int error, const char *format, ...)
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
		return clean_failed(removal, -EFBIG, "the message is larger than 512 MB");
	removal->content = malloc(size + 1);
	if (!removal->content)
		return clean_failed(removal, -ENOMEM, "no memory for the message");
	while (removal->size < size) {
		ssize_t got = pread(infected->fd, removal->content + removal->size, size - removal->size,
				    (off_t)(infected->at + removal->size));
		if (got <= 0)
			return clean_failed(removal, got < 0 ? -errno : -EIO, "the mbox could not be read");
		removal->size += (size_t)got;
	}
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

static int folder_sync(const struct mbox_locked *locked)
{
	int folder = openat(locked->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

	if (folder < 0)
		return -errno;
	error = fsync(folder) < 0 ? -errno : 0;
	close(folder);
	return error;
}

/* The file as it is, beside it; on the disk when this returns, and whole as soon as it has its name. */
static int copy_before(struct mbox_locked *locked, const struct stat *status, struct removal *removal)
{
	int error, out;

	unlinkat(locked->folder, locked->copying, 0); /* of a run that was cut off before it changed anything */
	out = openat(locked->folder, locked->copying, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return clean_failed(removal, -errno, "%s: %s", locked->copying, strerror(errno));
	error = bytes_move(locked->file, 0, (uint64_t)status->st_size, out, 0);
	if (!error &&
	    (fchown(out, status->st_uid, status->st_gid) < 0 || fchmod(out, status->st_mode & 07777) < 0 ||
	     fsync(out) < 0 ||
	     renameat2(locked->folder, locked->copying, locked->folder, locked->before, RENAME_NOREPLACE) < 0))
		error = -errno;
	close(out);
	if (error)
		unlinkat(locked->folder, locked->copying, 0);
	else
		error = folder_sync(locked);
	return error ? clean_failed(removal, error, "no copy of the mbox could be made: %s", strerror(-error)) : 0;
}

/* Is the message still where it was, with its content? */
static bool is_still_there(const struct infected *infected, const struct mbox_locked *locked,
			   const struct removal *removal)
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

static int rewrite(const struct infected *infected, struct mbox_locked *locked, struct removal *removal)
{
	struct timespec times[2];
	struct stat status;
	int error;

	if (!is_still_there(infected, locked, removal))
		return clean_failed(removal, -ESTALE, "the mbox has changed meanwhile: try again");
	if (fstat(locked->file, &status) < 0)
		return clean_failed(removal, -errno, "the mbox: %s", strerror(errno));
	error = copy_before(locked, &status, removal);
	if (error)
		return error;
	error = bytes_move(locked->file, infected->end, (uint64_t)status.st_size, locked->file, infected->at);
	if (!error && ftruncate(locked->file, status.st_size - (off_t)(infected->end - infected->at)) < 0)
		error = -errno;
	if (!error && fsync(locked->file) < 0)
		error = -errno;
	if (error)
		return clean_failed(removal, error, "writing failed (%s); the mbox as it was is in %s",
				    strerror(-error), locked->before);
	/* New mail is told by these two; taking some away brings none. */
	times[0] = status.st_atim;
	times[1] = status.st_mtim;
	futimens(locked->file, times);
	unlinkat(locked->folder, locked->before, 0);
	return 0;
}

int clean_by_rewrite(const struct infected *infected, struct removal *removal)
{
	struct mbox_locked locked;
	struct stat ours, theirs;
	int error = mbox_lock(infected->path, &locked, removal);

	if (!error && (fstat(locked.file, &ours) < 0 || fstat(infected->fd, &theirs) < 0 ||
		       ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev))
		error = clean_failed(removal, -ESTALE, "the mbox was replaced by another file meanwhile");
	if (!error)
		error = rewrite(infected, &locked, removal);
	mbox_unlock(&locked);
	return error;
}

/* ---- after a kill ---- */

/* How many bytes the two have in common, from these places on. -1: they could not be read. */
static int64_t same_bytes(int a, uint64_t at, int b, uint64_t b_at, uint64_t most)
{
	static char first[COPY_BYTES], second[COPY_BYTES];
	uint64_t done = 0;

	while (done < most) {
		size_t part = most - done < COPY_BYTES ? (size_t)(most - done) : COPY_BYTES, same = 0;
		if (pread(a, first, part, (off_t)(at + done)) != (ssize_t)part ||
		    pread(b, second, part, (off_t)(b_at + done)) != (ssize_t)part)
			return -1;
		while (same < part && first[same] == second[same])
			same++;
		done += same;
		if (same < part)
			break;
	}
	return (int64_t)done;
}

/* Is the file, of the copy's length, what moving bytes leaves when it is killed: behind some message of the copy, a
 * part of what follows that one stands in its place, and the rest is as it was? 1, 0 or -EIO. */
static int is_cut_off(int file, int copy, uint64_t size, const struct mbox_message *message)
{
	int64_t moved = same_bytes(file, message->from, copy, message->end, size - message->end), rest;

	if (moved < 0)
		return -EIO;
	rest = same_bytes(file, message->from + (uint64_t)moved, copy, message->from + (uint64_t)moved,
			  size - message->from - (uint64_t)moved);
	return rest < 0 ? -EIO : (uint64_t)(moved + rest) == size - message->from;
}

static int move_back(int file, int copy, uint64_t size)
{
	static struct mbox mbox;
	struct mbox_message message;
	int64_t same = same_bytes(file, 0, copy, 0, size);
	int found = same < 0 ? -EIO : (uint64_t)same == size;

	for (bool more = !found && mbox_open(&mbox, copy);
	     more && (more = mbox_next(&mbox, &message)) && message.from <= (uint64_t)same && !found;)
		found = is_cut_off(file, copy, size, &message);
	if (found <= 0)
		return found < 0 ? found : -EUCLEAN;
	return bytes_move(copy, 0, size, file, 0);
}

/* What the file is to its copy: killed while bytes moved it is as long; killed behind that it is the copy without one
 * piece. Whatever else somebody made of it since is not ours to undo. */
static int mend(const struct mbox_locked *locked, int copy, uint64_t size, uint64_t copied)
{
	int64_t same;
	uint64_t tail;

	if (size >= copied)
		return size > copied ? -EUCLEAN : move_back(locked->file, copy, size);
	same = same_bytes(locked->file, 0, copy, 0, size);
	if (same < 0)
		return -EIO;
	tail = size - (uint64_t)same;
	same = same_bytes(locked->file, size - tail, copy, copied - tail, tail);
	return same < 0 ? -EIO : same == (int64_t)tail ? 0 : -EUCLEAN;
}

static int mend_from(struct mbox_locked *locked, int copy, struct removal *removal)
{
	struct stat ours, theirs;
	int error;

	if (fstat(locked->file, &ours) < 0 || fstat(copy, &theirs) < 0)
		return clean_failed(removal, -errno, "the mbox: %s", strerror(errno));
	if (!S_ISREG(theirs.st_mode) || theirs.st_nlink != 1 || theirs.st_uid != ours.st_uid)
		return clean_failed(removal, -EPERM,
				    "%s is none that we made (another owner, or more names): look at it",
				    locked->before);
	error = mend(locked, copy, (uint64_t)ours.st_size, (uint64_t)theirs.st_size);
	if (!error && fsync(locked->file) < 0)
		error = -errno;
	if (error == -EUCLEAN)
		return clean_failed(removal, error,
				    "a run before this one was cut off, and the mbox has changed since: %s holds it as "
				    "it was; compare the two, and remove it",
				    locked->before);
	if (error)
		return clean_failed(removal, error, "it could not be made what it was (%s); that is in %s",
				    strerror(-error), locked->before);
	return unlinkat(locked->folder, locked->before, 0) < 0 ? -errno : 1;
}

int clean_mend_mbox(const char *path, bool yes, struct removal *removal)
{
	struct mbox_locked locked;
	char before[4200];
	int copy, error;

	*removal = (struct removal){0};
	if (snprintf(before, sizeof(before), "%s.mailward-before", path) >= (int)sizeof(before) ||
	    faccessat(AT_FDCWD, before, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!yes)
		return clean_failed(
			removal, -EUCLEAN,
			"a run before this one was cut off, and %s holds the mbox as it was: with --yes that "
			"is put right first",
			before);
	error = mbox_lock(path, &locked, removal);
	copy = error ? -1 : openat(locked.folder, locked.before, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (!error && copy < 0)
		error = clean_failed(removal, -errno, "%s: %s", locked.before, strerror(errno));
	if (!error)
		error = mend_from(&locked, copy, removal);
	if (copy >= 0)
		close(copy);
	mbox_unlock(&locked);
	return error;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH_MOST 8192u /* names held of one folder at a time */
#define BATCH_LEAST 64u
#define NAMES_MOST 32768u /* of all folders that are open */
#define GROWTH                                                                                                         \
	65536u /* so many more names than at the first look are taken of one folder: who makes names                   \
		  faster than we walk does not keep us there */

struct entry {
	uint64_t ino;
	char *name;
	uint8_t type;
};

struct level {
	int fd;
	dev_t dev;
	ino_t ino;
	struct walk_key at; /* the name in hand, or the last one done; ino 0 and no name: none yet */
	struct entry *entries;
	uint32_t count, next, batch;
	bool reading, more, counted;
	uint64_t seen, taken; /* names at the first look; names done */
	struct entry cutoff;  /* while reading: nothing from here on is taken (name: in entries) */
};

struct walk {
	struct walk_options options;
	uint32_t depth, names;
	struct level levels[WALK_DEPTH_MAX];
	char buffer[32768] __attribute__((aligned(8)));
};

/* ---- opening ---- */

static int open_there(int folder, const char *name, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW), .resolve = resolve};
	long fd = syscall(SYS_openat2, folder, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int walk_open_path(int folder, const char *path, int flags)
{
	return open_there(folder, path, flags, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int walk_open_below(int folder, const char *path, int flags)
{
	return open_there(folder, path, flags,
			  RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

int walk_read(int proc, int found_fd)
{
	static const int ways[] = {O_NOATIME, 0}; /* refused to who does not own the file, on some file systems */
	char link[32];
	int fd = -1;

	snprintf(link, sizeof(link), "self/fd/%d", found_fd);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && fd < 0; i++) {
		fd = openat(proc, link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | ways[i]);
		if (fd < 0 && errno != EPERM)
			return -errno;
	}
	return fd < 0 ? -errno : fd;
}

/* ---- a folder's names ---- */

static int compare_keys(uint64_t a_ino, const char *a, uint64_t b_ino, const char *b)
{
	if (a_ino != b_ino)
		return a_ino < b_ino ? -1 : 1;
	return strcmp(a, b);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	return compare_keys(one->ino, one->name, other->ino, other->name);
}

static void entries_drop(struct walk *walk, struct level *level, uint32_t from)
{
	for (uint32_t i = from; i < level->count; i++)
		free(level->entries[i].name);
	walk->names -= level->count - from;
	level->count = from;
}

static void read_begin(struct walk *walk, struct level *level)
{
	uint32_t left = walk->names < NAMES_MOST ? (NAMES_MOST - walk->names) / 4 : 0;

	entries_drop(walk, level, 0);
	free(level->entries);
	level->next = 0;
	level->batch = left > BATCH_MOST ? BATCH_MOST : left < BATCH_LEAST ? BATCH_LEAST : left;
	level->entries = malloc((size_t)2 * level->batch * sizeof(level->entries[0]));
	level->reading = level->entries != NULL;
	level->more = false;
	level->cutoff.name = NULL;
	lseek(level->fd, 0, SEEK_SET);
}

/* The smallest ones stay. */
static void keep_smallest(struct walk *walk, struct level *level)
{
	qsort(level->entries, level->count, sizeof(level->entries[0]), compare_entries);
	if (level->count <= level->batch)
		return;
	entries_drop(walk, level, level->batch);
	level->cutoff = level->entries[level->batch - 1];
	level->more = true;
}

static bool take_name(struct walk *walk, struct level *level, const struct dirent64 *entry)
{
	struct entry *place;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return true;
	if (!level->counted)
		level->seen++;
	if (strlen(entry->d_name) >= WALK_NAME_SIZE ||
	    (entry->d_type != DT_DIR && entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN))
		return true;
	if (compare_keys(entry->d_ino, entry->d_name, level->at.ino, level->at.name) <= 0)
		return true;
	if (level->cutoff.name &&
	    compare_keys(entry->d_ino, entry->d_name, level->cutoff.ino, level->cutoff.name) >= 0) {
		level->more = true;
		return true;
	}
	place = &level->entries[level->count];
	*place = (struct entry){.ino = entry->d_ino, .type = entry->d_type, .name = strdup(entry->d_name)};
	if (!place->name)
		return false;
	level->count++;
	walk->names++;
	if (level->count == 2 * level->batch)
		keep_smallest(walk, level);
	return true;
}

/* One piece of a folder. 0; 1: that was all; -errno. */
static int read_piece(struct walk *walk, struct level *level)
{
	long size = syscall(SYS_getdents64, level->fd, walk->buffer, sizeof(walk->buffer));

	if (size < 0)
		return -errno;
	for (long at = 0; at < size;) {
		const struct dirent64 *entry = (const void *)(walk->buffer + at);
		if (!take_name(walk, level, entry))
			return -ENOMEM;
		at += entry->d_reclen;
	}
	return size == 0;
}

/* ---- folders ---- */

static bool push(struct walk *walk, int fd, const struct stat *status)
{
	struct level *level = &walk->levels[walk->depth];

	if (walk->depth == WALK_DEPTH_MAX)
		return false;
	memset(level, 0, sizeof(*level));
	level->fd = fd;
	level->dev = status->st_dev;
	level->ino = status->st_ino;
	level->more = true;
	walk->depth++;
	return true;
}

static void pop(struct walk *walk)
{
	struct level *level = &walk->levels[--walk->depth];

	entries_drop(walk, level, 0);
	free(level->entries);
	close(level->fd);
}

static bool is_on_the_way(const struct walk *walk, const struct stat *status)
{
	for (uint32_t i = 0; i < walk->depth; i++)
		if (walk->levels[i].dev == status->st_dev && walk->levels[i].ino == status->st_ino)
			return true;
	return false;
}

/* What is mounted there is not even looked at before it is known to be wanted. */
static int open_below(const struct walk *walk, int folder, const char *name, int flags)
{
	int fd = walk_open_below(folder, name, flags);

	if (fd == -EXDEV && walk->options.mounts &&
	    !(walk->options.leave_mount && walk->options.leave_mount(walk->options.owner)))
		fd = open_there(folder, name, flags, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH);
	return fd;
}

/* 0: it is entered, or left out as it should be; -errno. */
static int enter(struct walk *walk, const char *name)
{
	int folder = walk->levels[walk->depth - 1].fd, fd;
	struct stat status;

	fd = open_below(walk, folder, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0) {
		close(fd);
		return -EIO;
	}
	if (is_on_the_way(walk, &status) ||
	    (walk->options.leave_out && walk->options.leave_out(walk->options.owner, fd, &status))) {
		close(fd);
		return 0;
	}
	if (push(walk, fd, &status))
		return 0;
	close(fd);
	return -E2BIG;
}

static enum walk_step leave_out(struct walk_found *found, int error)
{
	/* Gone, or something else by now: nothing that was there is left out. */
	if (error == -ENOENT || error == -ENOTDIR || error == -ELOOP)
		return WALK_AGAIN;
	found->error = -error;
	return WALK_LEFT_OUT;
}

/* What it is, is asked of the descriptor; the type that the folder tells only saves an open. */
static enum walk_step take(struct walk *walk, struct level *level, const struct entry *entry, struct walk_found *found)
{
	int fd, error;

	if (entry->type == DT_DIR) {
		error = enter(walk, entry->name);
		return error ? leave_out(found, error) : WALK_AGAIN;
	}
	fd = open_below(walk, level->fd, entry->name, O_PATH);
	if (fd < 0)
		return leave_out(found, fd);
	error = fstat(fd, &found->status) < 0 ? -errno : 0;
	if (!error && S_ISREG(found->status.st_mode)) {
		found->fd = walk->options.sizes ? -1 : fd;
		if (walk->options.sizes)
			close(fd);
		return WALK_FILE;
	}
	close(fd);
	if (!error && S_ISDIR(found->status.st_mode))
		error = enter(walk, entry->name);
	return error ? leave_out(found, error) : WALK_AGAIN;
}

static enum walk_step read_some(struct walk *walk, struct level *level, struct walk_found *found)
{
	int result = read_piece(walk, level);

	if (result == 0)
		return WALK_AGAIN;
	level->reading = false;
	level->counted = true;
	keep_smallest(walk, level);
	if (result > 0)
		return WALK_AGAIN;
	level->more = false; /* what was read of it is still gone through */
	level->at.name[0] = 0;
	return leave_out(found, result);
}

enum walk_step walk_next(struct walk *walk, struct walk_found *found)
{
	struct level *level;

	*found = (struct walk_found){.fd = -1};
	if (walk->depth == 0)
		return WALK_END;
	level = &walk->levels[walk->depth - 1];
	if (level->reading)
		return read_some(walk, level, found);
	if (level->next < level->count) {
		struct entry *entry = &level->entries[level->next++];
		level->at.ino = entry->ino;
		snprintf(level->at.name, sizeof(level->at.name), "%s", entry->name);
		level->taken++;
		return take(walk, level, entry, found);
	}
	if (level->more && (!level->counted || level->taken < level->seen + GROWTH)) {
		read_begin(walk, level);
		return level->reading ? WALK_AGAIN : leave_out(found, -ENOMEM);
	}
	pop(walk);
	return walk->depth ? WALK_AGAIN : WALK_END;
}

/* ---- where it is ---- */

size_t walk_path(const struct walk *walk, char *out, size_t size)
{
	size_t used = 0;

	if (size == 0)
		return 0;
	out[0] = 0;
	for (uint32_t i = 0; i < walk->depth; i++) {
		const char *name = walk->levels[i].at.name;
		size_t length = strlen(name);
		if (length == 0)
			break;
		if (used + length + 2 > size)
			return 0;
		if (used)
			out[used++] = '/';
		memcpy(out + used, name, length + 1);
		used += length;
	}
	return used;
}

size_t walk_position(const struct walk *walk, struct walk_key *keys, size_t room)
{
	size_t count = 0;

	while (count < walk->depth && count < room) {
		keys[count] = walk->levels[count].at;
		count++;
	}
	return count;
}

void walk_go_on(struct walk *walk, const struct walk_key *keys, size_t count)
{
	for (size_t i = 0; i < count && walk->depth == i + 1; i++) {
		struct level *level = &walk->levels[i];
		level->at = keys[i];
		level->at.name[WALK_NAME_SIZE - 1] = 0;
		if (i + 1 == count || level->at.name[0] == 0 || strchr(level->at.name, '/'))
			break;
		if (enter(walk, level->at.name) < 0)
			break;
	}
}

/* ---- begin and end ---- */

int walk_open(struct walk **walk_out, int folder, const struct walk_options *options)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	struct stat status = {0};
	int fd, error = 0;

	*walk_out = NULL;
	if (!walk)
		return -ENOMEM;
	walk->options = *options;
	fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		error = -errno;
	if (!error && options->leave_out && options->leave_out(options->owner, fd, &status))
		close(fd); /* nothing in it is gone through */
	else if (!error)
		push(walk, fd, &status);
	if (error) {
		if (fd >= 0)
			close(fd);
		free(walk);
		return error;
	}
	*walk_out = walk;
	return 0;
}

void walk_close(struct walk **walk)
{
	if (!*walk)
		return;
	while ((*walk)->depth)
		pop(*walk);
	free(*walk);
	*walk = NULL;
}

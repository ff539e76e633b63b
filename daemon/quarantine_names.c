// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an open file is called below the roots of the watches. A path is never trusted: it only says where to look, and
 * what lies there must be the very inode. Its other names are found by going through the watched folders, some
 * milliseconds at a time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "quarantine_state.h"

#define DEPTH_MAX 48
#define SLICE_NS 5000000u       /* of work, */
#define PAUSE_NS 10000000u      /* and then that of rest */
#define LOOKED_AT_MOST 20000000 /* names in one search */

/* ---- by path ---- */

static int open_below(int folder, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	long fd = syscall(SYS_openat2, folder, path[0] ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int names_folder(const char *path, const char **base)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	char folder[NAME_SIZE];
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	if (!slash || path[0] != '/' || length >= sizeof(folder) || !slash[1])
		return -EINVAL;
	memcpy(folder, path, length);
	folder[length] = 0;
	*base = slash + 1;
	long fd = syscall(SYS_openat2, AT_FDCWD, folder[0] ? folder : "/", &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

static ssize_t path_of(int fd, char *path, size_t size)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "self/fd/%d", fd);
	length = readlinkat(FD_PROC, link, path, size - 1);
	if (length < 0 || (size_t)length == size - 1)
		return -1;
	path[length] = 0;
	return length;
}

/* The innermost root whose name this path lies below, and what follows it. */
static const struct steward_root *root_above(const struct steward *steward, const char *path, const char **inner)
{
	static char name[NAME_SIZE];
	const struct steward_root *best = NULL;
	size_t best_size = 0;

	for (uint32_t i = 0; i < steward->root_count; i++) {
		ssize_t length = path_of(steward->roots[i].fd, name, sizeof(name));
		size_t size = length == 1 ? 0 : (size_t)length; /* "/" */
		if (length > 0 && strncmp(path, name, size) == 0 && path[size] == '/' && (!best || size > best_size)) {
			best = &steward->roots[i];
			best_size = size;
		}
	}
	*inner = path + best_size + 1;
	return best;
}

/* Is name->path really this file? Then its folder is opened. */
static bool check_name(const struct steward *steward, const struct stat *file, struct found_name *name)
{
	char folder[NAME_SIZE];
	struct stat there;
	const char *inner, *slash;
	const struct steward_root *root = root_above(steward, name->path, &inner);

	if (!root || !inner[0])
		return false;
	slash = strrchr(inner, '/');
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - inner) : 0, inner);
	name->base = slash ? slash + 1 : inner;
	name->folder = open_below(root->fd, folder);
	if (name->folder < 0)
		return false;
	if (fstatat(name->folder, name->base, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_dev == file->st_dev &&
	    there.st_ino == file->st_ino)
		return true;
	close(name->folder);
	return false;
}

/* The name that its handle has on the mount of a root. */
static bool name_by_handle(const struct steward_root *root, int fd, char *path, size_t size)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room = {.head.handle_bytes = HANDLE_SIZE};
	ssize_t length;
	int mount, opened;

	if (name_to_handle_at(fd, "", &room.head, &mount, AT_EMPTY_PATH) < 0)
		return false;
	opened = open_by_handle_at(root->fd, &room.head, O_PATH | O_CLOEXEC);
	if (opened < 0)
		return false;
	length = path_of(opened, path, size);
	close(opened);
	return length > 1;
}

int names_of(struct steward *steward, int fd, const struct stat *file, struct found_name *name)
{
	if (path_of(fd, name->path, sizeof(name->path)) > 1 && check_name(steward, file, name))
		return 0;
	for (uint32_t i = 0; i < steward->root_count; i++)
		if (name_by_handle(&steward->roots[i], fd, name->path, sizeof(name->path)) &&
		    check_name(steward, file, name))
			return 0;
	return -ENOENT;
}

/* ---- by search ---- */

static struct search {
	bool runs, again;
	uint32_t root, depth;
	uint64_t looked, next_ns;
	DIR *folders[DEPTH_MAX];
} search;

void names_search_again(void)
{
	search.again = true;
}

static void enter(const struct steward *steward, int above, const char *name)
{
	int fd = open_below(above, name);
	struct stat status;

	if (fd < 0)
		return;
	if (search.depth == DEPTH_MAX || fstat(fd, &status) < 0 || places_is_inside(steward->quarantine, &status)) {
		close(fd);
		return;
	}
	search.folders[search.depth] = fdopendir(fd);
	if (search.folders[search.depth])
		search.depth++;
	else
		close(fd);
}

static void leave(void)
{
	closedir(search.folders[--search.depth]);
}

static void look_at(struct steward *steward, const struct dirent *entry)
{
	int folder = dirfd(search.folders[search.depth - 1]);
	struct stat status;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return;
	if (entry->d_type == DT_DIR ||
	    (entry->d_type == DT_UNKNOWN && fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	     S_ISDIR(status.st_mode))) {
		enter(steward, folder, entry->d_name);
		return;
	}
	if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
		return;
	if (!quarantine_wanted(steward, 0, entry->d_ino))
		return;
	if (fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
	    quarantine_wanted(steward, status.st_dev, status.st_ino))
		quarantine_found(steward, folder, entry->d_name, &status);
}

/* Another folder to begin with, or the end. */
static bool next_root(struct steward *steward)
{
	if (search.root >= steward->root_count)
		return false;
	enter(steward, steward->roots[search.root++].fd, "");
	return true;
}

bool names_search(struct steward *steward, uint64_t now)
{
	uint64_t until = now + SLICE_NS;

	if (!search.runs && search.again) {
		search = (struct search){.runs = true};
	}
	if (!search.runs)
		return false;
	if (now < search.next_ns)
		return true;
	quarantine_list_wanted(steward);
	while (now_ns() < until) {
		struct dirent *entry;
		if (search.depth == 0 && !next_root(steward)) {
			search.runs = search.again; /* for what was wanted meanwhile from the start */
			search = (struct search){.runs = search.runs};
			return search.runs;
		}
		if (search.depth == 0)
			continue;
		errno = 0;
		entry = readdir(search.folders[search.depth - 1]);
		if (!entry || ++search.looked > LOOKED_AT_MOST)
			leave();
		else
			look_at(steward, entry);
	}
	search.next_ns = now_ns() + PAUSE_NS;
	return true;
}

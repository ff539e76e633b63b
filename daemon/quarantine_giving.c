// SPDX-License-Identifier: GPL-2.0-only
/* Names and copies go back to where they were, never over another file; or an item ends for good. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

/* ---- giving back ---- */

static bool say_in_the_way(char *why, size_t size, const char *path, int error)
{
	if (error == EEXIST)
		snprintf(why, size, "there is another file by now: %s", path);
	else if (error == ENOENT)
		snprintf(why, size, "its folder is gone: %s", path);
	else
		snprintf(why, size, "it can't be given back as %s: %s", path, strerror(error));
	return false;
}

/* Is each of its names free? */
static bool targets_are_free(char *why, size_t size)
{
	struct stat status;
	const char *base;

	for (uint32_t i = 0; i < item_list.count; i++) {
		const char *path = item_list.list[i].path;
		int folder = names_folder(path, &base), there;
		if (folder < 0)
			return say_in_the_way(why, size, path, -folder);
		there = fstatat(folder, base, &status, AT_SYMLINK_NOFOLLOW);
		close(folder);
		if (there == 0)
			return say_in_the_way(why, size, path, EEXIST);
	}
	return true;
}

/* One file system may be mounted at several places, and rename(2) doesn't cross them: the item as it is called on the
 * mount of that folder. */
static int rename_across(int place, const char *id, const char *entry, int folder, const char *base)
{
	int there = places_on(place, folder), error = EXDEV, item;

	if (there < 0)
		return EXDEV;
	item = openat(there, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (item >= 0) {
		error = renameat2(item, entry, folder, base, RENAME_NOREPLACE) < 0 ? errno : 0;
		close(item);
	}
	close(there);
	return error;
}

/* All that can be given back is. 0, or the first error. */
static int move_out(int place, const char *id, int item, char *why, size_t size)
{
	const char *base;
	char entry[12];
	int first = 0;

	for (uint32_t i = 0; i < item_list.count; i++) {
		int folder = names_folder(item_list.list[i].path, &base), error = folder < 0 ? -folder : 0;
		item_entry_name(entry, item_list.list[i].entry);
		if (!error && renameat2(item, entry, folder, base, RENAME_NOREPLACE) < 0)
			error = errno;
		if (error == EXDEV)
			error = rename_across(place, id, entry, folder, base);
		if (!error)
			fsync(folder);
		if (folder >= 0)
			close(folder);
		if (error && !first) {
			say_in_the_way(why, size, item_list.list[i].path, error);
			first = -error;
		}
	}
	return first;
}

static int digest_of_item(struct steward *steward, int item, const struct quarantine_item *about, uint8_t digest[32])
{
	char name[12];
	int fd, error;

	if (about->has_digest) {
		memcpy(digest, about->digest, 32);
		return 0;
	}
	item_entry_name(name, item_list.list[0].entry);
	fd = openat(item, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = digest_file(steward, fd, digest);
	close(fd);
	if (error == -EFBIG) /* it is known again by its inode and size */
		memset(digest, 0, 32);
	return error == -EFBIG ? 0 : error;
}

static int rename_out(int place, const char *id, int item, struct stat *status, const uint8_t digest[32], char *why,
		      size_t size)
{
	const char *base;
	struct stat there;
	int error, folder;

	/* Known before it is there: an open may come at once. The change time is another one afterwards. */
	back_add(status, digest);
	error = move_out(place, id, item, why, size);
	folder = names_folder(item_list.list[0].path, &base);
	if (folder >= 0 && fstatat(folder, base, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == status->st_ino &&
	    there.st_dev == status->st_dev)
		back_add(&there, digest);
	if (folder >= 0)
		close(folder);
	return error;
}

/* ---- giving back a copy ---- */

struct giving {
	int item;
	const uint8_t *digest;
};

/* Known before it is there, as in rename_out(). */
static int note_made(void *owner, const struct stat *made)
{
	const struct giving *giving = owner;
	const uint64_t noted[2] = {made->st_dev, made->st_ino};
	int fd = openat(giving->item, RESTORING, O_WRONLY | O_NOFOLLOW | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	back_add(made, giving->digest);
	if (write(fd, noted, sizeof(noted)) != (ssize_t)sizeof(noted) || fsync(fd) < 0)
		error = errno ? -errno : -EIO;
	close(fd);
	return error;
}

static bool is_file(int folder, const char *base, const struct stat *file)
{
	struct stat status;

	return fstatat(folder, base, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == file->st_ino &&
	       status.st_dev == file->st_dev;
}

/* The first of its names is there again, and open: the others follow it. Only then do the entries go, that of the first
 * last of all: it shows after a kill that this was going on. */
static int link_others(int item, int made, char *why, size_t size)
{
	static bool back[ENTRIES_MAX];
	struct stat file;
	const char *base;
	char entry[12];
	int first = fstat(made, &file) < 0 ? -errno : 0;

	for (uint32_t i = 1; i < item_list.count; i++) {
		int folder = names_folder(item_list.list[i].path, &base), error = folder < 0 ? -folder : 0;
		if (!error && copy_link(made, folder, base) < 0) {
			error = errno;
			error = is_file(folder, base, &file) ? 0 : error;
		}
		if (folder >= 0)
			close(folder);
		back[i] = !error;
		if (error && !first) {
			say_in_the_way(why, size, item_list.list[i].path, error);
			first = -error;
		}
	}
	back[0] = true;
	for (uint32_t i = item_list.count; i-- > 0;) {
		item_entry_name(entry, item_list.list[i].entry);
		if (back[i])
			unlinkat(item, entry, 0);
	}
	return first;
}

static int copy_out(struct steward *steward, int item, const uint8_t digest[32], char *why, size_t size)
{
	struct giving giving = {.item = item, .digest = digest};
	struct stat made;
	char entry[12];
	int from, to, error;

	item_entry_name(entry, item_list.list[0].entry);
	from = openat(item, entry, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (from < 0)
		return -errno;
	to = copy_back(steward, from, item_list.list[0].path, &made, note_made, &giving);
	close(from);
	if (to < 0) {
		say_in_the_way(why, size, item_list.list[0].path, -to);
		return to;
	}
	back_add(&made, digest);
	error = link_others(item, to, why, size);
	close(to);
	return error;
}

/* The file of this name, if it is the copy that was noted and still the same as the entry: a number alone may be
 * another file's by now. -1: it is not. */
static int copy_there(struct steward *steward, int item, const uint64_t noted[2])
{
	const char *base;
	char entry[12];
	struct stat status;
	int folder = names_folder(item_list.list[0].path, &base), fd;

	if (folder < 0)
		return -1;
	fd = openat(folder, base, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
	close(folder);
	if (fd < 0)
		return -1;
	item_entry_name(entry, item_list.list[0].entry);
	if (fstat(fd, &status) == 0 && status.st_dev == noted[0] && status.st_ino == noted[1] &&
	    copy_is_of(steward, fd, item, entry))
		return fd;
	close(fd);
	return -1;
}

/* After a kill while a copy was given back. */
void item_end_copy_out(struct steward *steward, int item)
{
	uint64_t noted[2] = {0, 0};
	int fd = openat(item, RESTORING, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), made = -1;
	char why[256];

	if (fd >= 0 && read(fd, noted, sizeof(noted)) == (ssize_t)sizeof(noted))
		made = copy_there(steward, item, noted);
	if (fd >= 0)
		close(fd);
	if (made >= 0) {
		link_others(item, made, why, sizeof(why));
		close(made);
	}
	unlinkat(item, RESTORING, 0);
}

/* After a kill while a copy was taken: what is still where it was is not here. */
void item_end_copy_in(int item, const char *id, const struct stat *original)
{
	char entry[12];

	for (uint32_t i = 0; i < item_list.count; i++) {
		item_entry_name(entry, item_list.list[i].entry);
		if (copy_undo(item_list.list[i].path, id, original))
			unlinkat(item, entry, 0);
	}
	unlinkat(item, TAKING, 0);
	fsync(item);
}

int items_restore(struct steward *steward, struct quarantine_entry *entry, char *why, size_t size)
{
	struct quarantine *quarantine = steward->quarantine;
	static struct quarantine_item about;
	struct stat status, before;
	uint8_t digest[32];
	int place = quarantine->places[entry->place].fd, item = items_open(quarantine, entry), error;

	why[0] = 0;
	if (item < 0)
		return item;
	error = about_read(item, &about, &before, &item_list);
	if (!error && item_names(item, &item_list, &status) == 0)
		error = -ENOENT;
	if (!error && !targets_are_free(why, size))
		error = -EEXIST;
	if (!error)
		error = digest_of_item(steward, item, &about, digest);
	if (!error)
		error = item_mark(item, RESTORING);
	if (!error) {
		error = quarantine->places[entry->place].copies
				? copy_out(steward, item, digest, why, size)
				: rename_out(place, entry->id, item, &status, digest, why, size);
		unlinkat(item, RESTORING, 0);
		fsync(item);
	}
	if (!error) {
		item_remove(place, item, entry->id);
		item_forget(quarantine, entry);
	} else {
		entry->entries = item_names(item, &item_list, &status);
	}
	names_clear(&item_list);
	close(item);
	return error;
}

/* Every entry of a folder that has a number for its name. */
void item_remove_entries(int item)
{
	int copy = openat(item, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!folder) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(folder)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			unlinkat(item, entry->d_name, 0);
	closedir(folder);
	fsync(item);
}

int items_delete(struct steward *steward, struct quarantine_entry *entry)
{
	struct quarantine *quarantine = steward->quarantine;
	int place = quarantine->places[entry->place].fd, item = items_open(quarantine, entry), error;

	if (item < 0)
		return item;
	error = item_mark(item, DELETING);
	if (error == -ENOSPC || error == -EDQUOT)
		error = 0; /* ended is what makes room */
	if (!error) {
		item_remove_entries(item);
		item_remove(place, item, entry->id);
		item_forget(quarantine, entry);
	}
	close(item);
	return error;
}

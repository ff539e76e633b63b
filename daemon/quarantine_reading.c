// SPDX-License-Identifier: GPL-2.0-only
/* What lies in the places at the start; what a kill -9 left behind is ended. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

static bool id_is_sound(const char *id)
{
	size_t length = strlen(id);

	return length > 0 && length < 32 &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static uint64_t announced_at(int place, const char *id)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "%s/" ANNOUNCED, id);
	if (fstatat(place, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return (uint64_t)status.st_mtim.tv_sec * STEWARD_SECOND + (uint64_t)status.st_mtim.tv_nsec;
}

static void read_item(struct steward *steward, uint32_t place, const char *id)
{
	struct quarantine *quarantine = steward->quarantine;
	int folder = quarantine->places[place].fd;
	int item = openat(folder, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error;
	static struct quarantine_item about;
	struct quarantine_entry *entry;
	struct stat status, original;
	char why[512];

	if (item < 0)
		return;
	if (faccessat(item, DELETING, F_OK, 0) == 0) {
		item_remove_entries(item);
		item_remove(folder, item, id);
		close(item);
		return;
	}
	error = about_read(item, &about, &original, &item_list);
	if (!error && strcmp(about.id, id) != 0) { /* somebody's copy of a folder */
		names_clear(&item_list);
		error = -EBADMSG;
	}
	if (!error && quarantine->places[place].copies && faccessat(item, TAKING, F_OK, 0) == 0)
		item_end_copy_in(item, id, &original);
	if (!error && quarantine->places[place].copies && faccessat(item, RESTORING, F_OK, 0) == 0)
		item_end_copy_out(steward, item);
	if ((error && !item_entry_status(item, 0, &status)) || (!error && item_names(item, &item_list, &status) == 0)) {
		item_remove(folder, item, id);
		names_clear(&item_list);
		close(item);
		return;
	}
	close(item);
	entry = error ? NULL : item_add(quarantine);
	if (!entry) {
		steward_log("the quarantine's item %s can't be read: %s; it is left as it is", id, strerror(-error));
		names_clear(&item_list);
		return;
	}
	memcpy(entry->id, about.id, sizeof(entry->id));
	entry->place = place;
	entry->entries = item_list.count;
	entry->links = about.links;
	entry->time_ns = about.time_ns;
	entry->size = item_room(&status);
	entry->announced_ns = announced_at(folder, id);
	entry->dev = quarantine->places[place].copies ? original.st_dev : status.st_dev;
	entry->ino = quarantine->places[place].copies ? original.st_ino : status.st_ino;
	entry->has_digest = about.has_digest;
	entry->search = entry->entries < (quarantine->places[place].copies ? about.links : status.st_nlink);
	entry->new = true;
	quarantine->bytes += entry->size;
	names_clear(&item_list);
	item = items_open(quarantine, entry);
	if (item >= 0 && faccessat(item, RESTORING, F_OK, 0) == 0 &&
	    items_restore(steward, entry, why, sizeof(why)) < 0)
		steward_log("the restoring of %s was broken off, and could not be ended: %s", about.id, why);
	if (item >= 0)
		close(item);
}

static int by_time(const void *a, const void *b)
{
	const struct quarantine_entry *first = a, *second = b;

	if (first->time_ns != second->time_ns)
		return first->time_ns < second->time_ns ? -1 : 1;
	return strcmp(first->id, second->id);
}

/* The same folder, by another mount of its file system. */
static bool same_as_before(const struct quarantine *quarantine, uint32_t which)
{
	for (uint32_t i = 0; i < which; i++)
		if (quarantine->places[i].ino == quarantine->places[which].ino &&
		    quarantine->places[i].dev == quarantine->places[which].dev)
			return true;
	return false;
}

void items_read(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;

	quarantine->count = 0;
	quarantine->bytes = 0;
	for (uint32_t i = 0; i < quarantine->place_count; i++) {
		if (same_as_before(quarantine, i))
			continue;
		int copy = openat(quarantine->places[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *folder = copy < 0 ? NULL : fdopendir(copy);
		struct dirent *entry;
		if (!folder && copy >= 0)
			close(copy);
		while (folder && (entry = readdir(folder))) {
			if (id_is_sound(entry->d_name))
				read_item(steward, i, entry->d_name);
			steward_alive(steward);
		}
		if (folder)
			closedir(folder);
	}
	if (quarantine->count)
		qsort(quarantine->all, quarantine->count, sizeof(quarantine->all[0]), by_time);
	for (uint32_t i = 0; i < quarantine->count; i++)
		quarantine->all[i].serial = ++quarantine->last_serial;
}

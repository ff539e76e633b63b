// SPDX-License-Identifier: GPL-2.0-only
/* Items: what is known of them in memory; taking names in. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "quarantine_state.h"

struct quarantine_names item_list; /* one at a time: large */

/* ---- in memory ---- */

struct quarantine_entry *items_by_id(struct quarantine *quarantine, const char *id)
{
	for (uint32_t i = 0; i < quarantine->count; i++)
		if (strcmp(quarantine->all[i].id, id) == 0)
			return &quarantine->all[i];
	return NULL;
}

struct quarantine_entry *items_by_file(struct quarantine *quarantine, const struct stat *file)
{
	for (uint32_t i = quarantine->count; i-- > 0;) {
		struct quarantine_entry *entry = &quarantine->all[i];
		/* The original of a copy may be gone, and its number another file's by now: items_take_name() sees it.
		 */
		if (entry->ino == file->st_ino && entry->dev == file->st_dev &&
		    (!quarantine->places[entry->place].copies || entry->entries < entry->links))
			return entry;
	}
	return NULL;
}

struct quarantine_entry *items_after(struct quarantine *quarantine, uint64_t serial)
{
	uint32_t low = 0, high = quarantine->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (quarantine->all[middle].serial > serial)
			high = middle;
		else
			low = middle + 1;
	}
	return low < quarantine->count ? &quarantine->all[low] : NULL;
}

struct quarantine_entry *item_add(struct quarantine *quarantine)
{
	if (quarantine->count == quarantine->room) {
		uint32_t room = quarantine->room ? 2 * quarantine->room : 256;
		void *grown = realloc(quarantine->all, room * sizeof(quarantine->all[0]));
		if (!grown)
			return NULL;
		quarantine->all = grown;
		quarantine->room = room;
	}
	quarantine->all[quarantine->count] = (struct quarantine_entry){.serial = ++quarantine->last_serial};
	return &quarantine->all[quarantine->count++];
}

void item_forget(struct quarantine *quarantine, struct quarantine_entry *entry)
{
	uint32_t at = (uint32_t)(entry - quarantine->all);

	quarantine->bytes -= entry->size < quarantine->bytes ? entry->size : quarantine->bytes;
	memmove(entry, entry + 1, (quarantine->count - at - 1) * sizeof(*entry));
	quarantine->count--;
}

int items_open(const struct quarantine *quarantine, const struct quarantine_entry *entry)
{
	int fd =
		openat(quarantine->places[entry->place].fd, entry->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

uint64_t item_room(const struct stat *file)
{
	uint64_t whole = (uint64_t)file->st_size, taken = (uint64_t)file->st_blocks * 512 + 4096;

	return whole < taken ? whole : taken;
}

/* ---- on disk ---- */

void item_entry_name(char out[12], uint32_t number)
{
	snprintf(out, 12, "%" PRIu32, number);
}

bool item_entry_status(int item, uint32_t number, struct stat *status)
{
	char name[12];

	item_entry_name(name, number);
	return fstatat(item, name, status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Forgets the names that have no entry: they were not moved, or were given back. status_out: of the file. How many are
 * left. */
uint32_t item_names(int item, struct quarantine_names *list, struct stat *status_out)
{
	uint32_t kept = 0;
	struct stat status;

	for (uint32_t i = 0; i < list->count; i++) {
		if (item_entry_status(item, list->list[i].entry, &status)) {
			*status_out = status;
			list->list[kept++] = list->list[i];
		} else {
			free(list->list[i].path);
		}
	}
	list->count = kept;
	return kept;
}

/* An item without entries: its folder goes. */
void item_remove(int place, int item, const char *id)
{
	static const char *const files[] = {ABOUT_NEW, TAKING, RESTORING, ANNOUNCED, ABOUT, DELETING};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(item, files[i], 0);
	unlinkat(place, id, AT_REMOVEDIR);
	fsync(place);
}

int item_mark(int item, const char *name)
{
	int fd = openat(item, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), error = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0 || fsync(item) < 0)
		error = -errno;
	close(fd);
	return error;
}

static void make_id(char id[32])
{
	time_t now = time(NULL);
	struct tm parts;
	uint32_t random = 0;
	size_t length;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)now_ns();
	gmtime_r(&now, &parts);
	length = strftime(id, 20, "%Y%m%dT%H%M%S", &parts);
	snprintf(id + length, 32 - length, "-%08" PRIx32, random);
}

/* What was not to be moved goes back under a name that nobody has. It is in no item: it was not judged, and ends with
 * none. */
static void give_back_aside(int item, const char *entry, const struct found_name *name)
{
	char aside[64];

	for (int i = 0; i < 3; i++) {
		snprintf(aside, sizeof(aside), "given-back-by-mailward-%016" PRIx64, now_ns());
		if (renameat2(item, entry, name->folder, aside, RENAME_NOREPLACE) == 0) {
			steward_log(
				"%s was exchanged while it was to be moved, and what was there lies beside it as %s",
				name->path, aside);
			return;
		}
	}
	snprintf(aside, sizeof(aside), "not-judged-%s", entry);
	renameat2(item, entry, item, aside, RENAME_NOREPLACE);
	steward_log("%s was exchanged while it was to be moved, and its folder is gone: what was there is kept in the "
		    "quarantine's folder as %s",
		    name->path, aside);
}

/* Moves a name into an item. What arrives must be the file that was looked at: somebody may have put another one there
 * meanwhile; it goes back then. */
static int move_in(int item, uint32_t number, const struct stat *file, const struct found_name *name)
{
	struct stat arrived;
	char entry[12];

	item_entry_name(entry, number);
	if (renameat2(name->folder, name->base, item, entry, RENAME_NOREPLACE) < 0)
		return -errno;
	if (item_entry_status(item, number, &arrived) && arrived.st_ino == file->st_ino &&
	    arrived.st_dev == file->st_dev)
		return 0;
	if (renameat2(item, entry, name->folder, name->base, RENAME_NOREPLACE) < 0)
		give_back_aside(item, entry, name); /* a third file has its name by now */
	return -EAGAIN;
}

/* The same by copying; copied: an entry that is the copy already, or NULL. */
static int copy_in(struct steward *steward, int item, const char *id, uint32_t number, const char *copied,
		   const struct stat *file, const struct found_name *name)
{
	/* It may be a pipe by now, or somebody may hold a lease on it. */
	int from = openat(name->folder, name->base, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK | O_CLOEXEC), error;
	struct stat status;
	char entry[12];

	if (from < 0)
		return -errno;
	item_entry_name(entry, number);
	error = fstat(from, &status) < 0 ? -errno : 0;
	if (!error && (status.st_ino != file->st_ino || status.st_dev != file->st_dev))
		error = -EAGAIN;
	if (!error && copied && !copy_is_of(steward, from, item, copied))
		error = -ESTALE;
	if (!error)
		error = item_mark(item, TAKING);
	if (!error && copied)
		error = linkat(item, copied, item, entry, 0) < 0 || fsync(item) < 0 ? -errno : 0;
	else if (!error)
		error = copy_file(steward, from, item, entry);
	if (!error) {
		error = copy_unlink(name, id, file);
		if (error)
			unlinkat(item, entry, 0);
	}
	close(from);
	unlinkat(item, TAKING, 0);
	fsync(item);
	return error;
}

static void fill_about(struct steward *steward, const struct steward_request *request, const struct stat *file,
		       struct quarantine_item *about)
{
	const struct policy_watch *watch =
		request->watch < steward->policy->watch_count ? &steward->policy->watches[request->watch] : NULL;

	*about = (struct quarantine_item){.time_ns = wall_ns(),
					  .size = (uint64_t)file->st_size,
					  .uid = file->st_uid,
					  .gid = file->st_gid,
					  .mode = file->st_mode & 07777,
					  .links = (uint32_t)file->st_nlink,
					  .which = request->which,
					  .verdict = request->verdict,
					  .definitions = request->definitions,
					  .has_digest = request->has_digest};
	make_id(about->id);
	memcpy(about->digest, request->digest, sizeof(about->digest));
	if (watch)
		snprintf(about->watch, sizeof(about->watch), "%.1023s", watch->path);
	memcpy(about->policy, request->policy, sizeof(about->policy));
	memcpy(about->detail, request->detail, sizeof(about->detail));
	memcpy(about->queue_id, request->queue_id, sizeof(about->queue_id));
	memcpy(about->message_id, request->message_id, sizeof(about->message_id));
}

int items_take(struct steward *steward, struct quarantine_place *place, const struct steward_request *request,
	       const struct stat *file, const struct found_name *name, struct quarantine_entry **entry_out)
{
	struct quarantine *quarantine = steward->quarantine;
	static struct quarantine_item about;
	struct quarantine_entry *entry;
	int item = -1, error;

	fill_about(steward, request, file, &about);
	item_list.count = 1;
	item_list.list[0].entry = 0;
	item_list.list[0].path = strdup(name->path);
	if (!item_list.list[0].path)
		return -ENOMEM;
	error = mkdirat(place->fd, about.id, 0700) < 0 ? -errno : 0;
	if (!error)
		item = openat(place->fd, about.id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!error && item < 0)
		error = -errno;
	if (!error)
		error = about_write(item, &about, file, &item_list);
	if (!error && fsync(place->fd) < 0)
		error = -errno;
	entry = error ? NULL : item_add(quarantine);
	if (!error && !entry)
		error = -ENOMEM;
	if (!error)
		error = place->copies ? copy_in(steward, item, about.id, 0, NULL, file, name)
				      : move_in(item, 0, file, name);
	names_clear(&item_list);
	if (error && item >= 0)
		item_remove(place->fd, item, about.id);
	if (error && entry)
		quarantine->count--; /* it was the last one */
	if (item >= 0)
		close(item);
	if (error)
		return error;
	memcpy(entry->id, about.id, sizeof(entry->id));
	entry->place = (uint32_t)(place - quarantine->places);
	entry->entries = 1;
	entry->links = about.links;
	entry->time_ns = about.time_ns;
	entry->size = place->copies ? about.size : item_room(file);
	entry->dev = file->st_dev;
	entry->ino = file->st_ino;
	entry->has_digest = about.has_digest;
	entry->new = true;
	quarantine->bytes += entry->size;
	*entry_out = entry;
	return 0;
}

/* A number that no name has, nor an entry on disk. */
static uint32_t free_number(int item, const struct quarantine_names *list)
{
	uint32_t number = 0;
	struct stat status;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->list[i].entry >= number)
			number = list->list[i].entry + 1;
	while (number < ENTRIES_MAX && item_entry_status(item, number, &status))
		number++;
	return number;
}

int items_take_name(struct steward *steward, struct quarantine_entry *entry, const struct stat *file,
		    const struct found_name *name)
{
	static struct quarantine_item about;
	struct stat was;
	uint32_t number;
	int item = items_open(steward->quarantine, entry), error;

	if (item < 0)
		return item;
	error = about_read(item, &about, &was, &item_list);
	if (!error) {
		item_names(item, &item_list, &was);
		number = free_number(item, &item_list);
		error = item_list.count >= ENTRIES_MAX || number >= ENTRIES_MAX ? -EMLINK : 0;
	}
	if (!error) {
		item_list.list[item_list.count].entry = number;
		item_list.list[item_list.count].path = strdup(name->path);
		error = item_list.list[item_list.count].path ? 0 : -ENOMEM;
		item_list.count += !error;
	}
	if (!error) {
		about.links = (uint32_t)file->st_nlink > about.links ? (uint32_t)file->st_nlink : about.links;
		error = about_write(item, &about, file, &item_list);
	}
	if (!error && steward->quarantine->places[entry->place].copies) {
		char copied[12];
		item_entry_name(copied, item_list.list[0].entry);
		error = copy_in(steward, item, entry->id, number, copied, file, name);
	} else if (!error) {
		error = move_in(item, number, file, name);
	}
	names_clear(&item_list);
	close(item);
	if (error)
		return error;
	entry->entries++;
	entry->links = about.links;
	entry->new = true;
	return 0;
}

void items_settle(struct steward *steward, struct quarantine_entry *entry)
{
	int item = items_open(steward->quarantine, entry), folder;
	const char *base;
	struct quarantine_item about;
	struct stat status;

	entry->new = false;
	if (item < 0)
		return;
	fsync(item);
	if (about_read(item, &about, &status, &item_list) == 0) {
		for (uint32_t i = 0; i < item_list.count; i++) {
			folder = names_folder(item_list.list[i].path, &base);
			if (folder >= 0) {
				fsync(folder);
				close(folder);
			}
		}
		/* A name that went by itself (of a delivery) is not missing. */
		if (!steward->quarantine->places[entry->place].copies && item_names(item, &item_list, &status) &&
		    status.st_nlink != about.links) {
			about.links = (uint32_t)status.st_nlink;
			if (about_write(item, &about, &status, &item_list) == 0)
				entry->links = about.links;
		}
		names_clear(&item_list);
	}
	close(item);
}

void items_digest(struct steward *steward, struct quarantine_entry *entry, const uint8_t digest[32])
{
	int item = items_open(steward->quarantine, entry);
	struct quarantine_item about;
	struct stat status;

	entry->has_digest = true;
	if (item < 0)
		return;
	if (about_read(item, &about, &status, &item_list) == 0) {
		about.has_digest = 1;
		memcpy(about.digest, digest, sizeof(about.digest));
		about_write(item, &about, &status, &item_list);
		names_clear(&item_list);
	}
	close(item);
}

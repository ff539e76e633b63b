// SPDX-License-Identifier: GPL-2.0-only
/* Items: what is known of them in memory; taking names in; what a kill -9 left behind. */
#include <dirent.h>
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
		/* The original of a copy may be gone, and its number another file's by now. */
		if (entry->ino == file->st_ino && entry->dev == file->st_dev &&
		    (entry->search || !quarantine->places[entry->place].copies))
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

static struct quarantine_entry *entry_add(struct quarantine *quarantine)
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
	static const char *const files[] = {ABOUT_NEW, TAKING, RESTORING, ABOUT, DELETING};

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
	if (renameat2(item, entry, name->folder, name->base, RENAME_NOREPLACE) == 0)
		return -EAGAIN;
	/* A third file has its name by now: this one is kept as an item's other content, by hand to be looked at. */
	steward_log("steward: %s was exchanged while it was moved; what was there lies in the quarantine as entry %s",
		    name->path, entry);
	return -EBUSY;
}

/* The same by copying; copied: an entry that is the copy already, or NULL. */
static int copy_in(struct steward *steward, int item, const char *id, uint32_t number, const char *copied,
		   const struct stat *file, const struct found_name *name)
{
	int from = openat(name->folder, name->base, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC), error;
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

static void read_item(struct steward *steward, uint32_t place, const char *id);

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
	entry = error ? NULL : entry_add(quarantine);
	if (!error && !entry)
		error = -ENOMEM;
	if (!error)
		error = place->copies ? copy_in(steward, item, about.id, 0, NULL, file, name)
				      : move_in(item, 0, file, name);
	names_clear(&item_list);
	if (error && item >= 0 && error != -EBUSY)
		item_remove(place->fd, item, about.id);
	if (error && entry)
		quarantine->count--; /* it was the last one */
	if (item >= 0)
		close(item);
	if (error == -EBUSY)
		read_item(steward, (uint32_t)(place - quarantine->places), about.id);
	if (error)
		return error;
	memcpy(entry->id, about.id, sizeof(entry->id));
	entry->place = (uint32_t)(place - quarantine->places);
	entry->entries = 1;
	entry->links = about.links;
	entry->time_ns = about.time_ns;
	entry->size = about.size;
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

/* ---- what lies there ---- */

static bool id_is_sound(const char *id)
{
	size_t length = strlen(id);

	return length > 0 && length < 32 &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == length;
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
	if (!error && quarantine->places[place].copies && faccessat(item, TAKING, F_OK, 0) == 0)
		item_end_copy_in(item, id, &original);
	if (!error && quarantine->places[place].copies && faccessat(item, RESTORING, F_OK, 0) == 0)
		item_end_copy_out(item, id);
	if ((error && !item_entry_status(item, 0, &status)) || (!error && item_names(item, &item_list, &status) == 0)) {
		item_remove(folder, item, id);
		names_clear(&item_list);
		close(item);
		return;
	}
	close(item);
	entry = error ? NULL : entry_add(quarantine);
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
	entry->size = about.size;
	entry->dev = status.st_dev;
	entry->ino = status.st_ino;
	entry->has_digest = about.has_digest;
	entry->search = !quarantine->places[place].copies && entry->entries < status.st_nlink;
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

void items_read(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;

	quarantine->count = 0;
	quarantine->bytes = 0;
	for (uint32_t i = 0; i < quarantine->place_count; i++) {
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

// SPDX-License-Identifier: GPL-2.0-only
/* What the gate asks to be moved, and how much of it is kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "quarantine_state.h"

#define PARKED_LOOK_NS 50000000u
#define PARKED_PATIENCE_NS (60 * STEWARD_SECOND)
#define DELIVERY_NS (1 * STEWARD_SECOND)      /* since its latest change or link */
#define DELIVERY_MOST_NS (3 * STEWARD_SECOND) /* however often that is */
#define TRY_NS (5 * STEWARD_SECOND)
#define FULL_NS (60 * STEWARD_SECOND) /* so long status says at least that something was not taken */

void quarantine_say(char *told, size_t size, enum steward_issue issue, const char *text)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_ISSUE, .value = issue};

	if (strcmp(told, text) == 0)
		return;
	snprintf(told, size, "%s", text);
	snprintf(frame.text, sizeof(frame.text), "%s", text);
	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
	if (text[0])
		steward_log("%s", text);
}

void quarantine_issue(struct steward *steward, const char *format, ...)
{
	struct quarantine *quarantine = steward->quarantine;
	char text[sizeof(quarantine->issue)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	quarantine_say(quarantine->issue, sizeof(quarantine->issue), ISSUE_QUARANTINE, text);
}

int quarantine_open(struct steward *steward)
{
	steward->quarantine = calloc(1, sizeof(*steward->quarantine));
	if (!steward->quarantine)
		return -ENOMEM;
	for (int i = 0; i < PARKED_MAX; i++)
		steward->quarantine->parked[i].fd = -1;
	return back_read();
}

void quarantine_policy(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;

	while (quarantine->place_count > 0) {
		struct quarantine_place *place = &quarantine->places[--quarantine->place_count];
		close(place->fd);
		close(place->on);
	}
	quarantine_say(quarantine->issue, sizeof(quarantine->issue), ISSUE_QUARANTINE, "");
	places_find(steward);
	items_read(steward);
	quarantine->bounds_ns = 0;
	names_search_again();
}

void quarantine_gate(struct steward *steward)
{
	/* It knows nothing of what the one before it had asked. */
	for (int i = 0; i < PARKED_MAX; i++)
		steward->quarantine->parked[i].owes_reply = false;
	for (uint32_t i = 0; i < steward->quarantine->place_count; i++)
		steward->quarantine->places[i].told = false;
	places_tell_gate(steward);
}

/* ---- taking ---- */

static void reply(struct steward *steward, const struct steward_request *request, int result,
		  const struct quarantine_entry *entry)
{
	struct steward_reply said = {
		.version = WIRE_VERSION, .kind = STEWARD_DONE, .case_id = request->case_id, .result = result};

	if (entry) {
		said.moved = entry->entries;
		said.links = entry->links;
		memcpy(said.id, entry->id, sizeof(said.id));
	}
	steward_tell_gate(steward, &said, -1);
}

static uint64_t mount_of(int fd)
{
	struct statx status;

	return statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0 ? 0 : status.stx_mnt_id;
}

static void say_failed(struct steward *steward, const char *path, int error)
{
	if (error == -ENOSPC || error == -EDQUOT)
		quarantine_issue(steward,
				 "no room to move anything away (%s): what is infected is denied where it lies",
				 strerror(-error));
	else if (error != -EAGAIN && error != -ENOENT)
		steward_log("%s could not be moved away: %s", path, strerror(-error));
}

/* Moves the file away by this name, into its item or a new one; without a request into its item alone. 0 or -errno. */
static int take_by_name(struct steward *steward, const struct steward_request *request, const struct stat *file,
			const struct found_name *name, struct quarantine_entry **entry)
{
	struct quarantine *quarantine = steward->quarantine;
	struct quarantine_place *place;
	const char *why;
	int error;

	*entry = items_by_file(quarantine, file);
	error = *entry ? items_take_name(steward, *entry, file, name) : -ESTALE;
	if (error == -ESTALE && !request) {
		*entry = NULL; /* found by its number, and another file by now: nobody has judged it */
		return -ESTALE;
	}
	if (error == -ESTALE) {
		*entry = NULL; /* what makes room moves them all in memory */
		place = places_of(steward, file, mount_of(name->folder), &why);
		if (!place)
			return -EXDEV;
		if (!quarantine_makes_room(steward, place->copies ? (uint64_t)file->st_size : item_room(file))) {
			quarantine_issue(steward,
					 "the quarantine is full (max-size), and nothing of it may go for what comes: "
					 "what is infected is denied where it lies");
			quarantine->try_ns = now_ns() + FULL_NS;
			return -EDQUOT;
		}
		error = items_take(steward, place, request, file, name, entry);
		if (error == -EXDEV && !place->copies && (place = places_copies(steward)))
			error = items_take(steward, place, request, file, name, entry);
	}
	if (error)
		say_failed(steward, name->path, error);
	else
		quarantine_say(quarantine->issue, sizeof(quarantine->issue), ISSUE_QUARANTINE, "");
	if (!error)
		quarantine_warn(steward);
	if (!error && (*entry)->entries < (uint32_t)file->st_nlink) {
		(*entry)->search = true;
		names_search_again();
	}
	return error;
}

/* Its place; NULL: there is no room, the next open of it asks again. */
static struct parked *park(struct steward *steward, const struct steward_request *request, int fd, bool lost)
{
	struct quarantine *quarantine = steward->quarantine;
	const struct generation *file = &request->generation;
	struct parked *place = NULL;

	for (int i = 0; i < PARKED_MAX; i++) {
		struct parked *each = &quarantine->parked[i];
		if (each->fd < 0)
			place = each;
		else if (!lost && !each->lost && each->request.generation.ino == file->ino &&
			 each->request.generation.dev == file->dev)
			return each;
	}
	if (!place)
		return NULL;
	place->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	place->since_ns = now_ns();
	place->lost = lost;
	place->owes_reply = false;
	place->request = *request;
	if (lost)
		names_search_again();
	return place;
}

/* Is the agent that delivered it perhaps still at work on it? since_ns: 0, or since when it is parked. */
static bool delivery_goes_on(const struct steward_request *request, const struct stat *file, uint64_t since_ns)
{
	uint64_t changed = (uint64_t)file->st_ctim.tv_sec * STEWARD_SECOND + (uint64_t)file->st_ctim.tv_nsec;

	if (request->delivery == DELIVERY_OVER || (since_ns && now_ns() - since_ns > DELIVERY_MOST_NS))
		return false;
	return changed + DELIVERY_NS > wall_ns();
}

/* 0, -errno; -EINPROGRESS: it is not to be moved yet; -ERESTART: its delivery may go on. since_ns: 0, or since when
 * it is parked. */
static int take(struct steward *steward, const struct steward_request *request, int fd, uint64_t since_ns,
		struct quarantine_entry **entry)
{
	static struct found_name name;
	const struct policy_watch *watch;
	struct stat file;
	int error;

	if (!steward->policy || request->watch >= steward->policy->watch_count)
		return -EAGAIN;
	watch = &steward->policy->watches[request->watch];
	if (fstat(fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode) || file.st_nlink == 0)
		return -ENOENT; /* it is gone already */
	if (back_is(steward, fd, &file))
		return -EALREADY;
	*entry = items_by_file(steward->quarantine, &file);
	if (*entry && !steward->quarantine->places[(*entry)->place].copies &&
	    (*entry)->entries >= (uint32_t)file.st_nlink)
		return 0; /* all of it is there */
	error = names_of(steward, fd, &file, &name);
	if (error)
		return error;
	if (places_holds(steward->quarantine, name.folder))
		error = -EALREADY;
	else if (store_is_transient((enum store)watch->store, name.path))
		error = -EINPROGRESS;
	else if (delivery_goes_on(request, &file, since_ns))
		error = -ERESTART;
	else
		error = take_by_name(steward, request, &file, &name, entry);
	close(name.folder);
	if (!error && (*entry)->entries == 1)
		notify_moved(steward, request, &file, (*entry)->id, name.path);
	return error;
}

void quarantine_take(struct steward *steward, const struct steward_request *request, int fd)
{
	struct quarantine_entry *entry = NULL;
	int error = take(steward, request, fd, 0, &entry);

	if (error == -ERESTART || error == -EINPROGRESS || error == -ENOENT) {
		struct parked *parked = park(steward, request, fd, error == -ENOENT);
		if (parked && error == -ERESTART && request->delivery == DELIVERY_PERHAPS && !parked->owes_reply &&
		    parked->request.case_id == request->case_id) {
			parked->owes_reply = true;
			return;
		}
		if (!parked && error != -ENOENT)
			error = -EBUSY;
		else if (error == -ERESTART)
			error = -EINPROGRESS;
	}
	reply(steward, request, error, error ? NULL : entry);
}

int quarantine_take_named(struct steward *steward, const struct steward_request *request, int fd, const char *path,
			  char id_out[32])
{
	static struct found_name name;
	struct quarantine_entry *entry = NULL;
	struct stat file, there;
	int error = 0;

	if (fstat(fd, &file) < 0 || strlen(path) >= sizeof(name.path))
		return -EIO;
	snprintf(name.path, sizeof(name.path), "%s", path);
	name.folder = names_folder(name.path, &name.base);
	if (name.folder < 0)
		return name.folder;
	if (fstatat(name.folder, name.base, &there, AT_SYMLINK_NOFOLLOW) < 0 || there.st_ino != file.st_ino ||
	    there.st_dev != file.st_dev)
		error = -ESTALE;
	if (!error)
		error = take_by_name(steward, request, &file, &name, &entry);
	close(name.folder);
	if (!error)
		memcpy(id_out, entry->id, sizeof(entry->id));
	return error;
}

static void try_parked(struct steward *steward, uint64_t now)
{
	struct quarantine *quarantine = steward->quarantine;
	struct quarantine_entry *entry = NULL;

	if (now < quarantine->parked_ns)
		return;
	quarantine->parked_ns = now + PARKED_LOOK_NS;
	for (int i = 0; i < PARKED_MAX; i++) {
		struct parked *parked = &quarantine->parked[i];
		int error;
		if (parked->fd < 0)
			continue;
		error = take(steward, &parked->request, parked->fd, parked->since_ns, &entry);
		if (error == -ENOENT && !parked->lost) { /* its name went, and it has another: link and unlink */
			parked->lost = true;
			names_search_again();
		}
		if ((error == -EINPROGRESS || error == -ENOENT || error == -ERESTART) &&
		    now - parked->since_ns < PARKED_PATIENCE_NS) {
			if (error == -ERESTART || !parked->owes_reply)
				continue;
			parked->owes_reply = false;
			reply(steward, &parked->request, -EINPROGRESS, NULL);
			continue;
		}
		if (parked->owes_reply)
			reply(steward, &parked->request, error, error ? NULL : entry);
		if (!error && entry && !parked->owes_reply)
			steward_log("%s was moved to the quarantine (%u of %u names)", entry->id, entry->entries,
				    entry->links);
		close(parked->fd);
		parked->fd = -1;
	}
}

/* ---- other names ---- */

static struct parked *parked_of(struct quarantine *quarantine, uint64_t dev, uint64_t ino)
{
	for (int i = 0; i < PARKED_MAX; i++) {
		const struct generation *file = &quarantine->parked[i].request.generation;
		if (quarantine->parked[i].fd >= 0 && quarantine->parked[i].lost && file->ino == ino &&
		    (!dev || file->dev == dev))
			return &quarantine->parked[i];
	}
	return NULL;
}

static struct {
	uint64_t dev, ino;
} wanted[WANTED_MAX];
static uint32_t wanted_count;

void quarantine_list_wanted(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;

	wanted_count = 0;
	for (uint32_t i = quarantine->count; i-- > 0 && wanted_count < WANTED_MAX;) {
		if (!quarantine->all[i].search)
			continue;
		wanted[wanted_count].dev = quarantine->all[i].dev;
		wanted[wanted_count++].ino = quarantine->all[i].ino;
	}
}

bool quarantine_wanted(struct steward *steward, uint64_t dev, uint64_t ino)
{
	for (uint32_t i = 0; i < wanted_count; i++)
		if (wanted[i].ino == ino && (!dev || wanted[i].dev == dev))
			return true;
	return parked_of(steward->quarantine, dev, ino) != NULL;
}

void quarantine_found(struct steward *steward, int folder, const char *base, const struct stat *file)
{
	static struct found_name name;
	struct parked *parked = parked_of(steward->quarantine, file->st_dev, file->st_ino);
	struct quarantine_entry *entry = items_by_file(steward->quarantine, file);
	const struct steward_request *request = parked ? &parked->request : NULL;
	ssize_t length;
	char link[32];

	if (!parked && (!entry || !entry->search))
		return;
	snprintf(link, sizeof(link), "self/fd/%d", folder);
	length = readlinkat(FD_PROC, link, name.path, sizeof(name.path) - 1);
	if (length <= 0 || (size_t)length + 2 + strlen(base) > sizeof(name.path))
		return;
	name.path[length] = 0;
	snprintf(name.path + length, sizeof(name.path) - (size_t)length, "%s%s", length > 1 ? "/" : "", base);
	name.base = name.path + length + (length > 1);
	name.folder = folder;
	for (int store = 0; store < STORES; store++)
		if (store_is_transient((enum store)store, name.path))
			return;
	if (take_by_name(steward, request, file, &name, &entry) == 0)
		steward_log("%s: another name was found and moved to the quarantine (%u of %u)", entry->id,
			    entry->entries, entry->links);
	if (entry && entry->entries >= entry->links)
		entry->search = false;
}

/* After a search: what was not found is not there, or lies where nobody looks. */
static void end_search(struct quarantine *quarantine)
{
	for (uint32_t i = 0; i < quarantine->count; i++)
		quarantine->all[i].search = false;
}

static bool settle_new(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;

	for (uint32_t i = quarantine->count; i-- > 0;) {
		if (!quarantine->all[i].new || quarantine->all[i].search)
			continue;
		items_settle(steward, &quarantine->all[i]);
		return true;
	}
	return false;
}

/* Is there room again? */
static void try_again(struct steward *steward, uint64_t now)
{
	struct quarantine *quarantine = steward->quarantine;

	if (!quarantine->issue[0] || now < quarantine->try_ns)
		return;
	quarantine->try_ns = now + TRY_NS;
	for (uint32_t i = 0; i < quarantine->place_count; i++) {
		char bytes[4096] = {0};
		int fd = openat(quarantine->places[i].fd, ".try", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		bool good = fd >= 0 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && fsync(fd) == 0;
		if (fd >= 0)
			close(fd);
		unlinkat(quarantine->places[i].fd, ".try", 0);
		if (!good)
			return;
	}
	if (quarantine_makes_room(steward, 1) && quarantine->place_count)
		quarantine_say(quarantine->issue, sizeof(quarantine->issue), ISSUE_QUARANTINE, "");
}

bool quarantine_turn(struct steward *steward, uint64_t now)
{
	static bool searching;
	bool more;

	if (!steward->policy)
		return false;
	try_parked(steward, now);
	more = names_search(steward, now);
	if (searching && !more)
		end_search(steward->quarantine);
	searching = more;
	quarantine_keep_bounds(steward, now);
	try_again(steward, now);
	if (settle_new(steward))
		return true;
	return digest_turn(steward);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stores in which a file can't be moved away. In a Postfix queue the file is emptied, once a copy lies in the
 * quarantine: whoever of Postfix opens it then finds it cut short, and puts it in corrupt/ (seen: qmgr "message
 * rejected: missing end record", virtual "corrupted queue file"). Out of a file of many messages `mailward clean` takes
 * one, and brings it here before.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy.h"
#include "quarantine_state.h"

#define NAME_TRIES 4 /* qmgr may rename it from one folder to the next while we look */

/* ---- a Postfix queue ---- */

/* As it is recorded: in hold/, so that nothing happens to a message that is restored before postsuper(1) is told. Where
 * the kernel side says already that it is not there, Postfix may have put it in corrupt/ before we come. */
static bool held_path(const struct steward_request *request, const struct policy_watch *watch, const char *path,
		      char *out, size_t size)
{
	return (request->queued || store_is_queued(watch->path, path)) &&
	       snprintf(out, size, "%s/hold%s", watch->path, strrchr(path, '/')) < (int)size;
}

/* By its descriptor: no open, so no question of our own, and no other file. */
static int cut_short(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return truncate(path, 0) < 0 ? -errno : 0;
}

/* Nobody is denied in a queue: without a copy the message has to go on as it is. It is said until one is taken out. */
static void say_room(const struct found_name *name, int error)
{
	static bool said;

	if (error == -ENOSPC || error == -EDQUOT)
		steward_issue(ISSUE_QUEUE,
			      "%s went through, infected: there was no room for a copy in the quarantine (%s)",
			      name->path, strerror(-error));
	else if (!error && said)
		steward_issue(ISSUE_QUEUE, "%s", "");
	else if (error || !said)
		return;
	said = error != 0;
}

static int empty(struct steward *steward, const struct steward_request *request, int fd,
		 struct quarantine_entry **entry)
{
	static struct found_name name;
	static char held[NAME_SIZE];
	const struct policy_watch *watch;
	struct stat file;
	int error = -ENOENT;

	if (!steward->policy || request->watch >= steward->policy->watch_count)
		return -EAGAIN;
	watch = &steward->policy->watches[request->watch];
	if (!store_may_empty((enum store)watch->store))
		return -EINVAL;
	if (fstat(fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode) || file.st_nlink == 0 || file.st_size == 0)
		return -ENOENT; /* Postfix is through with it */
	if (back_is(steward, fd, &file))
		return -EALREADY;
	for (int tries = 0; tries < NAME_TRIES && error == -ENOENT; tries++)
		error = names_of(steward, fd, &file, &name);
	if (error)
		return error;
	error = held_path(request, watch, name.path, held, sizeof(held))
			? quarantine_keep(steward, request, fd, &file, name.folder, held, entry)
			: -EPERM;
	close(name.folder);
	say_room(&name, error);
	if (!error && request->kind == STEWARD_EMPTY)
		error = cut_short(fd);
	if (!error)
		steward_log("%s: taken out of the queue for %s, kept in the quarantine as %s", name.path,
			    request->verdict.signature, (*entry)->id);
	else
		steward_log("%s: left in the queue: %s", name.path, strerror(-error));
	if (!error)
		notify_moved(steward, request, &file, (*entry)->id, name.path);
	return error;
}

void stores_empty(struct steward *steward, const struct steward_request *request, int fd)
{
	struct steward_reply said = {.version = WIRE_VERSION, .kind = STEWARD_DONE, .case_id = request->case_id};
	struct quarantine_entry *entry = NULL;

	said.result = empty(steward, request, fd, &entry);
	if (said.result == 0 && entry) {
		said.moved = said.links = 1;
		memcpy(said.id, entry->id, sizeof(said.id));
	}
	steward_tell_gate(steward, &said, -1);
}

/* ---- one message of many ---- */

static int keep(struct steward *steward, struct steward_client *client, struct quarantine_entry **entry)
{
	const struct steward_ask *ask = &client->ask;
	static struct steward_request request;
	static char path[NAME_SIZE], record[NAME_SIZE];
	const struct policy_watch *watch;
	struct stat file;
	const char *base;
	int folder, index, error;

	if (!steward->policy || client->fd < 0 || ask->path_size == 0 || ask->path_size >= sizeof(ask->path))
		return -EINVAL;
	memcpy(path, ask->path, ask->path_size);
	path[ask->path_size] = 0;
	index = policy_match(steward->policy, path);
	if (index < 0 || fstat(client->fd, &file) < 0 || !S_ISREG(file.st_mode))
		return -EINVAL;
	watch = &steward->policy->watches[index];
	folder = names_folder(path, &base);
	if (folder < 0)
		return folder;
	request = (struct steward_request){
		.watch = (uint32_t)index, .verdict = {.kind = VERDICT_INFECTED}, .which = CASE_INFECTED};
	memcpy(request.verdict.signature, ask->name, sizeof(request.verdict.signature));
	snprintf(request.message_id, sizeof(request.message_id), "%.255s", ask->text);
	snprintf(request.detail, sizeof(request.detail), "message %u of a file of many, taken out by mailward clean",
		 ask->flags);
	policy_place_text(steward->policy, watch->actions[CASE_INFECTED].place, request.policy, sizeof(request.policy));
	/* Where it would be given back: beside the file, as a message of its own. */
	error = snprintf(record, sizeof(record), "%.4000s.message-%u.eml", path, ask->flags) < (int)sizeof(record)
			? 0
			: -ENAMETOOLONG;
	if (!error && fstatat(folder, base, &file, 0) < 0)
		error = -errno;
	if (!error)
		error = quarantine_keep(steward, &request, client->fd, &file, folder, record, entry);
	close(folder);
	return error;
}

enum steward_next stores_keep(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	struct quarantine_entry *entry = NULL;
	int error = keep(steward, client, &entry);

	if (error)
		return steward_end(row, error, "%s", strerror(-error));
	return steward_end(row, 0, "%s", entry->id);
}

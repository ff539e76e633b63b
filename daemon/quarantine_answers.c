// SPDX-License-Identifier: GPL-2.0-only
/* What the tool asks of the quarantine. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "quarantine_state.h"

#define ALLOW_PATIENCE_NS (5 * STEWARD_SECOND)
#define DIGEST_PATIENCE_NS (60 * STEWARD_SECOND)

void quarantine_tell_held(struct steward *steward, uint64_t now)
{
	static struct quarantine_shown told;
	static uint64_t told_ns;
	static struct leash_frame frame;
	const struct quarantine *quarantine = steward->quarantine;
	struct quarantine_shown held = {.known = 1, .items = quarantine->count, .bytes = quarantine->bytes};

	if (!steward->policy || (told_ns && now < told_ns + STEWARD_SECOND))
		return;
	held.oldest_ns = quarantine->count ? quarantine->all[0].time_ns : 0;
	held.max_bytes = steward->policy->quarantine.max_size;
	held.max_age_s = steward->policy->quarantine.max_age_ns / STEWARD_SECOND;
	if (memcmp(&told, &held, sizeof(held)) == 0)
		return;
	frame = (struct leash_frame){.version = WIRE_VERSION, .kind = LEASH_HELD, .quarantine = held};
	if (frame_send(FD_LEASH, &frame, sizeof(frame), -1) < 0)
		return;
	told = held;
	told_ns = now;
}

static enum steward_next none_such(const struct steward_client *client, struct steward_row *row)
{
	return steward_end(row, -ENOENT, "there is no %s in the quarantine", client->ask.id);
}

static bool fill_item(struct steward *steward, const struct quarantine_entry *entry, struct steward_row *row,
		      struct quarantine_names *names)
{
	int item = items_open(steward->quarantine, entry);
	struct stat file;
	int error = item < 0 ? item : about_read(item, &row->item, &file, names);

	if (item >= 0)
		close(item);
	if (error)
		return false;
	row->item.moved = entry->entries;
	row->item.links = entry->links;
	row->item.state = entry->entries < entry->links ? QUARANTINE_INCOMPLETE : QUARANTINED;
	return true;
}

static void fill_name(struct steward_row *row, const struct quarantine_names *names, uint32_t which)
{
	size_t size = which < names->count ? strlen(names->list[which].path) : 0;

	row->path_size = (uint32_t)(size < sizeof(row->path) ? size : sizeof(row->path));
	if (size)
		memcpy(row->path, names->list[which].path, row->path_size);
}

enum steward_next quarantine_list(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	static struct quarantine_names names;
	struct quarantine_entry *entry;

	if (!steward->policy)
		return STEWARD_NEXT_LATER;
	while ((entry = items_after(steward->quarantine, client->position))) {
		client->position = entry->serial;
		if (!fill_item(steward, entry, row, &names))
			continue;
		row->kind = STEWARD_ROW_ITEM;
		row->more = 1;
		fill_name(row, &names, 0);
		names_clear(&names);
		return STEWARD_NEXT_ROW;
	}
	return steward_end(row, 0, NULL);
}

/* The item, then its names. */
enum steward_next quarantine_show(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	static struct quarantine_names names;
	struct quarantine_entry *entry;
	uint32_t which = (uint32_t)client->position;

	if (!steward->policy)
		return STEWARD_NEXT_LATER;
	entry = items_by_id(steward->quarantine, client->ask.id);
	if (!entry || !fill_item(steward, entry, row, &names))
		return which ? steward_end(row, 0, NULL) : none_such(client, row);
	client->position++;
	row->kind = which ? STEWARD_ROW_NAME : STEWARD_ROW_ITEM;
	row->more = 1;
	if (which > names.count)
		steward_end(row, 0, NULL);
	else if (which)
		fill_name(row, &names, which - 1);
	names_clear(&names);
	return STEWARD_NEXT_ROW;
}

/* Is it a message out of a Postfix queue? Postfix writes into the file as it delivers, so that nothing that goes by its
 * content lasts. */
static bool is_of_a_queue(const struct steward *steward, const struct quarantine_names *names)
{
	int watch = names->count ? policy_match(steward->policy, names->list[0].path) : -1;

	return watch >= 0 && store_may_empty((enum store)steward->policy->watches[watch].store);
}

#define QUEUE_STEPS                                                                                                    \
	"mailward allow add --signature %s --reason ..., then mailward quarantine restore %s, then postsuper -H"

static enum steward_next restore(struct steward *steward, struct steward_client *client, struct steward_row *row,
				 const char *done, const char *already)
{
	struct quarantine_entry *entry = items_by_id(steward->quarantine, client->ask.id);
	char why[512] = "";
	int error = entry ? items_restore(steward, entry, why, sizeof(why)) : -ENOENT;

	if (!entry)
		return none_such(client, row);
	if (error)
		return steward_end(row, error, "%.400s%s", why[0] ? why : strerror(-error), already);
	steward_log("%s was given back from the quarantine%s", client->ask.id, done);
	return steward_end(row, 0, "%s is back under its names%s", client->ask.id, done);
}

enum steward_next quarantine_restore(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	static struct quarantine_names names;
	static struct steward_row about;
	struct quarantine_entry *entry;
	char done[400] = "; opens of it are denied as before";

	if (!steward->policy)
		return STEWARD_NEXT_LATER;
	entry = items_by_id(steward->quarantine, client->ask.id);
	if (entry && fill_item(steward, entry, &about, &names)) {
		if (is_of_a_queue(steward, &names))
			snprintf(
				done, sizeof(done),
				" in hold/; unless %s is allowed (mailward allow add --signature) before postsuper -H, "
				"it is taken out of the queue again as soon as Postfix writes into it, and in full "
				"mode at once",
				about.item.verdict.signature[0] ? about.item.verdict.signature
								: "what was found in it");
		names_clear(&names);
	}
	return restore(steward, client, row, done, "");
}

/* Allowing its content would change nothing: said before anything is done. */
static enum steward_next refuse_release(struct steward *steward, struct steward_client *client, struct steward_row *row,
					const struct quarantine_item *about, bool queue)
{
	if (queue)
		return steward_end(
			row, -EINVAL,
			"%s is of a Postfix queue: Postfix writes into it as it delivers, so that allowing its "
			"content would not last: " QUEUE_STEPS,
			client->ask.id, about->verdict.signature[0] ? about->verdict.signature : "NAME",
			client->ask.id);
	return steward_end(row, -EFBIG,
			   "%s is larger than max-file-size (%" PRIu64
			   " bytes), above which no content is known by its "
			   "SHA-256: with a higher one, or on-limit = allow, it can be released; mailward quarantine "
			   "restore gives it back as it is, and its opens stay denied",
			   client->ask.id, steward->policy->scanner.max_file_size);
}

/* Allowed first, and given back when the gate knows of it: it must not be denied in between. position: 1 from then on.
 */
enum steward_next quarantine_release(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	static struct quarantine_names names;
	struct quarantine_entry *entry;
	static struct steward_row about;
	char why[256] = "", reason[64];
	uint32_t id;
	bool queue;
	int error;

	if (!steward->policy)
		return STEWARD_NEXT_LATER;
	entry = items_by_id(steward->quarantine, client->ask.id);
	if (!entry)
		return none_such(client, row);
	if (!fill_item(steward, entry, &about, &names))
		return steward_end(row, -EIO, "what is known of %s can't be read", client->ask.id);
	queue = is_of_a_queue(steward, &names);
	names_clear(&names);
	if (queue || about.item.size > steward->policy->scanner.max_file_size)
		return refuse_release(steward, client, row, &about.item, queue);
	if (!about.item.has_digest) { /* it is being made, or could not be: somebody had a lease on it, perhaps */
		if (now_ns() > client->begun_ns + DIGEST_PATIENCE_NS)
			return steward_end(row, -EIO, "the content of %s can't be read", client->ask.id);
		if (now_ns() < client->begun_ns + ALLOW_PATIENCE_NS)
			entry->has_digest = false;
		return STEWARD_NEXT_LATER;
	}
	if (client->position == 0) {
		snprintf(reason, sizeof(reason), "released from the quarantine: %s", entry->id);
		error = steward_allow_content(steward, about.item.digest, 0, reason, client->uid, &id, why);
		if (error)
			return steward_end(row, error, "its content could not be allowed, so it stays where it is: %s",
					   why[0] ? why : strerror(-error));
		client->position = 1;
	}
	if (!allow_in_force(steward) && now_ns() < client->begun_ns + ALLOW_PATIENCE_NS)
		return STEWARD_NEXT_LATER;
	return restore(steward, client, row, ", and its content is allowed",
		       "; its content is allowed by now (mailward allow list), only the file is not back");
}

enum steward_next quarantine_delete(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	struct quarantine_entry *entry;
	int error;

	if (!steward->policy)
		return STEWARD_NEXT_LATER;
	entry = items_by_id(steward->quarantine, client->ask.id);
	if (!entry)
		return none_such(client, row);
	error = items_delete(steward, entry);
	if (error)
		return steward_end(row, error, "%s could not be deleted: %s", client->ask.id, strerror(-error));
	steward_log("%s was deleted from the quarantine", client->ask.id);
	return steward_end(row, 0, "%s is deleted", client->ask.id);
}

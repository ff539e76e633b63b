// SPDX-License-Identifier: GPL-2.0-only
/*
 * The allow list: STATE/steward/allowed, root's alone, written anew and renamed into its place at each change. The gate
 * gets each new list by way of the keeper, which keeps it for the next gate; who asked for a change is answered when
 * the gate has it. A file that is not exactly what was written here allows nothing, and stays until the next change,
 * when it is put aside.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allowances.h"
#include "allowed_text.h"
#include "pages.h"
#include "steward_state.h"

#define LIST_FILE "allowed"
#define LIST_ASIDE "allowed.refused"
#define PATIENCE_NS (3 * STEWARD_SECOND) /* for the gate to have it */

/* Large, and so no statics: keeper and gate, which are the same program, lock those. */
static struct allowed_list *list, *staged;
static struct allowed_table *table; /* as it was handed out last */
static char *text;                  /* ALLOWED_TEXT_MAX */
static bool refused;                /* what lies there is no list */
static bool handed;                 /* the keeper has the table */

/* ---- the file ---- */

static void refuse_list(const char *why)
{
	refused = true;
	*list = (struct allowed_list){.next = 1};
	steward_log("the allow list (steward/" LIST_FILE ") is refused, nothing is allowed by it: %s", why);
	steward_issue(ISSUE_ALLOWED, "the allow list (steward/" LIST_FILE ") is refused, nothing is allowed by it: %s",
		      why);
}

static void load(void)
{
	char wrong[160];
	const char *why;
	size_t size;

	list->next = 1;
	why = steward_file_read(LIST_FILE, text, ALLOWED_TEXT_MAX, &size);
	if (!why && size && !allowed_parse(text, size, list, wrong, sizeof(wrong)))
		why = wrong;
	if (why)
		refuse_list(why);
}

/* `staged` becomes the list, on the disk first. 0 or -errno: nothing changed. */
static int save(void)
{
	size_t size = allowed_print(staged, text, ALLOWED_TEXT_MAX);
	int error;

	if (size == 0)
		return -EFBIG;
	error = steward_file_write(LIST_FILE, text, size, refused ? LIST_ASIDE : NULL);
	if (error)
		return error;
	if (refused) {
		steward_log("the allow list that was refused is kept as steward/" LIST_ASIDE);
		steward_issue(ISSUE_ALLOWED, "%s", "");
	}
	refused = false;
	*list = *staged;
	return 0;
}

/* ---- the gate ---- */

static void hand_out(void)
{
	uint64_t number = wall_ns();
	int fd;

	number = number > table->number ? number : table->number + 1;
	memset(table, 0, sizeof(*table));
	table->magic = ALLOWED_MAGIC;
	table->size = sizeof(*table);
	table->number = number;
	table->count = list->count;
	for (uint32_t i = 0; i < list->count; i++)
		table->entries[i] = list->records[i].entry;
	handed = false;
	fd = pages_sealed_copy("mailward allow list", table, sizeof(*table));
	if (fd < 0) {
		steward_log("the allow list cannot be handed out: %s", strerror(-fd));
		return;
	}
	handed = steward_give_keeper(LEASH_ALLOWED, fd) == 0;
	close(fd);
}

bool allow_in_force(const struct steward *steward)
{
	return handed && __atomic_load_n(&steward->page->gate.allowed_number, __ATOMIC_ACQUIRE) == table->number;
}

int allow_open(struct steward *steward)
{
	(void)steward;
	list = calloc(1, sizeof(*list));
	staged = calloc(1, sizeof(*staged));
	table = calloc(1, sizeof(*table));
	text = calloc(1, ALLOWED_TEXT_MAX);
	if (!list || !staged || !table || !text)
		return -ENOMEM;
	load();
	hand_out();
	return 0;
}

/* ---- what changes it ---- */

static void take_out(uint32_t at)
{
	staged->count--;
	memmove(&staged->records[at], &staged->records[at + 1], (staged->count - at) * sizeof(staged->records[0]));
	memset(&staged->records[staged->count], 0, sizeof(staged->records[0]));
}

static const char *what(const struct allowed_entry *entry, char *room, size_t size)
{
	if (entry->kind == ALLOWED_SIGNATURE)
		return entry->name;
	for (size_t i = 0; i < sizeof(entry->digest) && 2 * i + 3 <= size; i++)
		snprintf(room + 2 * i, size - 2 * i, "%02x", entry->digest[i]);
	return room;
}

/* The gate has ended them already, by itself. */
void allow_turn(struct steward *steward)
{
	uint64_t now = wall_ns();
	char room[72];
	bool ended = false;

	(void)steward;
	if (!handed)
		hand_out();
	for (uint32_t i = 0; i < list->count && !ended; i++)
		ended = list->records[i].entry.until_ns && list->records[i].entry.until_ns <= now;
	if (!ended)
		return;
	*staged = *list;
	for (uint32_t i = staged->count; i-- > 0;) {
		const struct allowed_entry *entry = &staged->records[i].entry;
		if (!entry->until_ns || entry->until_ns > now)
			continue;
		steward_log("allow list: entry %u (%s) has ended", entry->id, what(entry, room, sizeof(room)));
		take_out(i);
	}
	if (save() < 0)
		*list = *staged; /* at the next start it is found to have ended again */
	hand_out();
}

static const struct allowed_record *same_entry(const struct allowed_entry *entry)
{
	for (uint32_t i = 0; i < list->count; i++) {
		const struct allowed_entry *each = &list->records[i].entry;
		if (each->kind == entry->kind && !strcmp(each->name, entry->name) &&
		    !memcmp(each->digest, entry->digest, sizeof(each->digest)))
			return &list->records[i];
	}
	return NULL;
}

static int refuse_entry(const struct allowed_record *record, char why[256])
{
	const struct allowed_entry *entry = &record->entry;

	if (entry->kind != ALLOWED_CONTENT && entry->kind != ALLOWED_SIGNATURE) {
		snprintf(why, 256, "neither a signature nor a content");
		return -EINVAL;
	}
	if (entry->kind == ALLOWED_SIGNATURE && !allowed_name_is_sound(entry->name)) {
		snprintf(why, 256, "no verdict can have this name: 1 to %d printable ASCII characters",
			 SIGNATURE_SIZE - 1);
		return -EINVAL;
	}
	if (entry->kind == ALLOWED_SIGNATURE && !strncmp(entry->name, CANARY_NAME, strlen(CANARY_NAME))) {
		snprintf(why, 256, "%s is how Mailward proves that it sees: it cannot be allowed", CANARY_NAME);
		return -EINVAL;
	}
	if (entry->until_ns && entry->until_ns <= wall_ns()) {
		snprintf(why, 256, "the end of the entry lies in the past");
		return -EINVAL;
	}
	if (!record->reason[0] || strpbrk(record->reason, "\r\n")) {
		snprintf(why, 256, "a reason is missing: one line that tells the next reader why");
		return -EINVAL;
	}
	if (list->count == ALLOWED_MAX) {
		snprintf(why, 256, "the allow list is full (%d entries): remove some first", ALLOWED_MAX);
		return -ENOSPC;
	}
	return 0;
}

/* Adds it under the next number. */
static int add(struct allowed_record *record, uint32_t *id_out, char why[256])
{
	const struct allowed_record *there = same_entry(&record->entry);
	char room[72];
	int error;

	if (there) {
		*id_out = there->entry.id;
		snprintf(why, 256, "entry %u allows it already: remove that first to change it", there->entry.id);
		return -EEXIST;
	}
	error = refuse_entry(record, why);
	if (error)
		return error;
	record->added_ns = wall_ns();
	record->entry.id = list->next;
	*staged = *list;
	staged->next++;
	staged->records[staged->count++] = *record;
	error = save();
	if (error) {
		snprintf(why, 256, "the allow list cannot be written: %s", strerror(-error));
		return error;
	}
	*id_out = record->entry.id;
	steward_log("allow list: uid %u added entry %u (%s): %s", record->uid, record->entry.id,
		    what(&record->entry, room, sizeof(room)), record->reason);
	hand_out();
	return 0;
}

int steward_allow_content(struct steward *steward, const uint8_t digest[32], uint64_t until_ns, const char *reason,
			  uint32_t uid, uint32_t *id_out, char why_out[256])
{
	struct allowed_record record = {.entry = {.kind = ALLOWED_CONTENT, .until_ns = until_ns}, .uid = uid};
	int error;

	(void)steward;
	memcpy(record.entry.digest, digest, sizeof(record.entry.digest));
	snprintf(record.reason, sizeof(record.reason), "%s", reason);
	error = add(&record, id_out, why_out);
	return error == -EEXIST ? 0 : error;
}

/* ---- who asks ---- */

/* After a change: when the gate has it. client->position counts its calls, ask.number is the entry. */
static enum steward_next when_in_force(struct steward *steward, const struct steward_client *client,
				       struct steward_row *row, const char *done)
{
	if (allow_in_force(steward))
		return steward_end(row, 0, "%s entry %" PRIu64, done, client->ask.number);
	if (now_ns() < client->begun_ns + PATIENCE_NS)
		return STEWARD_NEXT_LATER;
	return steward_end(row, 0, "%s entry %" PRIu64 ", but there is no gate yet that knows of it", done,
			   client->ask.number);
}

enum steward_next allow_add(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	struct steward_ask *ask = &client->ask;
	struct allowed_record record = {.entry = {.until_ns = ask->until_ns}, .uid = client->uid};
	char why[256] = "";
	uint32_t id = 0;
	int error;

	if (client->position == 0) {
		record.entry.kind = ask->number < ALLOWED_KINDS ? (uint8_t)ask->number : 0;
		if (record.entry.kind == ALLOWED_CONTENT)
			memcpy(record.entry.digest, ask->digest, sizeof(record.entry.digest));
		else
			snprintf(record.entry.name, sizeof(record.entry.name), "%s", ask->name);
		snprintf(record.reason, sizeof(record.reason), "%s", ask->text);
		error = add(&record, &id, why);
		if (error)
			return steward_end(row, error, "%s", why);
		client->position = 1;
		ask->number = id;
	}
	return when_in_force(steward, client, row, "added");
}

enum steward_next allow_remove(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	uint32_t at = 0;
	char room[72];
	int error;

	if (client->position == 1)
		return when_in_force(steward, client, row, "removed");
	while (at < list->count && list->records[at].entry.id != client->ask.number)
		at++;
	if (at == list->count)
		return steward_end(row, -ENOENT, "there is no entry %" PRIu64 " in the allow list", client->ask.number);
	*staged = *list;
	take_out(at);
	steward_log("allow list: uid %u removes entry %u (%s)", client->uid, list->records[at].entry.id,
		    what(&list->records[at].entry, room, sizeof(room)));
	error = save();
	if (error)
		return steward_end(row, error, "the allow list cannot be written: %s", strerror(-error));
	hand_out();
	client->position = 1;
	return when_in_force(steward, client, row, "removed");
}

enum steward_next allow_list(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	uint64_t now = wall_ns();

	(void)steward;
	while (client->position < list->count) {
		const struct allowed_record *record = &list->records[client->position++];
		if (record->entry.until_ns && record->entry.until_ns <= now)
			continue;
		row->kind = STEWARD_ROW_ALLOWED;
		row->more = 1;
		row->allowed = *record;
		return STEWARD_NEXT_ROW;
	}
	return steward_end(row, refused ? -EUCLEAN : 0,
			   refused ? "the list that lies there is refused: see the log" : NULL);
}

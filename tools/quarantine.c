// SPDX-License-Identifier: GPL-2.0-only
/* quarantine list|show|restore|delete, release: what was moved away, and getting it back. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "frame.h"
#include "log.h"
#include "output.h"
#include "steward.h"

#define STEWARD_PATIENCE_MS 120000 /* it may have to copy a file */

static bool id_is_sound(const char *id)
{
	size_t length = strlen(id);

	return length > 0 && length < sizeof(((struct steward_ask *)0)->id) &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static bool row_is_good(struct steward_row *row)
{
	struct quarantine_item *item = &row->item;

	if (row->version != WIRE_VERSION || row->kind >= STEWARD_ROW_KINDS || row->path_size > sizeof(row->path) ||
	    item->verdict.kind >= VERDICT_KINDS || item->verdict.reason >= REASONS || item->state >= QUARANTINE_STATES)
		return false;
	row->text[sizeof(row->text) - 1] = item->id[sizeof(item->id) - 1] = item->watch[sizeof(item->watch) - 1] = 0;
	item->policy[sizeof(item->policy) - 1] = item->detail[sizeof(item->detail) - 1] = 0;
	item->queue_id[sizeof(item->queue_id) - 1] = item->message_id[sizeof(item->message_id) - 1] = 0;
	item->verdict.signature[SIGNATURE_SIZE - 1] = 0;
	return true;
}

static json_t *item_to_json(const struct quarantine_item *item)
{
	static const char *const verdicts[] = VERDICT_NAMES, *const reasons[] = REASON_NAMES,
				 *const states[] = QUARANTINE_STATE_NAMES;
	json_t *json = json_object();
	char time[32];

#define TEXT(name, value) json_object_set_new(json, name, json_text(value, strlen(value)))
#define NUMBER(name, value) json_object_set_new(json, name, json_integer((json_int_t)(value)))
	TEXT("id", item->id);
	time_text(time, (int64_t)item->time_ns, true);
	TEXT("time", time);
	TEXT("verdict", verdicts[item->verdict.kind]);
	TEXT("signature", item->verdict.signature);
	TEXT("reason", reasons[item->verdict.reason]);
	TEXT("watch", item->watch);
	TEXT("policy", item->policy);
	NUMBER("size", item->size);
	NUMBER("links", item->links);
	NUMBER("moved", item->moved);
	TEXT("state", states[item->state]);
	NUMBER("uid", item->uid);
	NUMBER("gid", item->gid);
	json_object_set_new(json, "mode", json_sprintf("%04o", item->mode & 07777));
	json_object_set_new(json, "sha256",
			    item->has_digest ? json_hex((const char *)item->digest, sizeof(item->digest))
					     : json_null());
	json_object_set_new(json, "definitions", json_sprintf("%016llx", (unsigned long long)item->definitions));
	TEXT("queue_id", item->queue_id);
	TEXT("message_id", item->message_id);
	TEXT("detail", item->detail);
#undef TEXT
#undef NUMBER
	return json;
}

static void add_name(json_t *json, const char *path, size_t size)
{
	json_object_set_new(json, "path", json_text(path, size));
	json_object_set_new(json, "path_hex", json_hex(path, size));
}

static void print_line(const struct quarantine_item *item, const char *path, size_t size)
{
	static const char *const reasons[] = REASON_NAMES;
	const char *what = item->verdict.signature[0] ? item->verdict.signature : reasons[item->verdict.reason];
	char name[QUOTED_ROOM(4096)], why[QUOTED_ROOM(SIGNATURE_SIZE)], time[32];

	time_text(time, (int64_t)item->time_ns, false);
	text_column(name, sizeof(name), path, size);
	text_column(why, sizeof(why), what, strlen(what));
	printf("%-25s %-20s %-28s %9llu %3u/%-3u %s\n", item->id, time, why, (unsigned long long)item->size,
	       item->moved, item->links, name);
}

static void print_item(const struct quarantine_item *item)
{
	json_t *json = item_to_json(item), *value;
	char quoted[QUOTED_ROOM(1024)];
	const char *key;

	json_object_foreach(json, key, value)
	{
		if (json_is_string(value) && !json_string_value(value)[0])
			continue;
		if (json_is_string(value)) {
			text_quote(quoted, sizeof(quoted), json_string_value(value), json_string_length(value));
			printf("%-12s %s\n", key, quoted);
		} else if (json_is_integer(value)) {
			printf("%-12s %lld\n", key, (long long)json_integer_value(value));
		}
	}
	json_decref(json);
}

/* Prints one row. object: of show with --json, or NULL. */
static void print_steward_row(const struct options *options, uint32_t verb, const struct steward_row *row,
			      json_t **object)
{
	char quoted[QUOTED_ROOM(4096)];

	if (row->kind == STEWARD_ROW_ITEM && verb == STEWARD_LIST) {
		if (!options->json) {
			print_line(&row->item, row->path, row->path_size);
			return;
		}
		json_t *json = item_to_json(&row->item);
		add_name(json, row->path, row->path_size);
		print_json(stdout, json);
	} else if (row->kind == STEWARD_ROW_ITEM) {
		if (options->json) {
			*object = item_to_json(&row->item);
			json_object_set_new(*object, "names", json_array());
		} else {
			print_item(&row->item);
		}
	} else if (row->kind == STEWARD_ROW_NAME && *object) {
		json_t *name = json_object();
		add_name(name, row->path, row->path_size);
		json_array_append_new(json_object_get(*object, "names"), name);
	} else if (row->kind == STEWARD_ROW_NAME) {
		text_quote(quoted, sizeof(quoted), row->path, row->path_size);
		printf("%-12s %s\n", "name", quoted);
	}
}

static int code_of(const struct steward_row *last)
{
	return last->result == 0 ? EXIT_FINE : EXIT_TROUBLE;
}

static int finish(const struct options *options, uint32_t verb, const char *id, const struct steward_row *last,
		  json_t *object)
{
	if (object)
		print_json(stdout, object);
	if (last->result < 0)
		return trouble("%s", last->text[0] ? last->text : strerror(-last->result));
	if (verb == STEWARD_LIST || verb == STEWARD_SHOW)
		return code_of(last);
	if (options->json) {
		json_t *json = json_pack("{s:s, s:s}", "id", id, "result", "done");
		json_object_set_new(json, "text", json_text(last->text, strlen(last->text)));
		print_json(stdout, json);
	} else if (last->text[0]) {
		char quoted[QUOTED_ROOM(sizeof(last->text))];
		text_quote(quoted, sizeof(quoted), last->text, strlen(last->text));
		puts(quoted);
	}
	return code_of(last);
}

static int ask_steward(const struct options *options, uint32_t verb, const char *id)
{
	static struct steward_row row;
	struct steward_ask ask = {.version = WIRE_VERSION, .verb = verb};
	json_t *object = NULL;
	int sock, fd, error, code = client_connect(options, STEWARD_SOCKET, &sock);

	if (code != EXIT_FINE)
		return code;
	if (id)
		snprintf(ask.id, sizeof(ask.id), "%s", id);
	error = frame_send(sock, &ask, sizeof(ask), -1);
	if (!error && verb == STEWARD_LIST && !options->json && options->header)
		printf("%-25s %-20s %-28s %9s %-7s %s\n", "ID", "TIME", "WHAT", "BYTES", "LINKS", "NAME");
	while (!error) {
		fd = -1;
		error = client_receive(sock, &row, sizeof(row), &fd, STEWARD_PATIENCE_MS);
		if (fd >= 0)
			close(fd);
		if (!error && !row_is_good(&row))
			error = -EBADMSG;
		if (error || !row.more)
			break;
		print_steward_row(options, verb, &row, &object);
	}
	close(sock);
	if (!error)
		return finish(options, verb, id ? id : "", &row, object);
	trouble("can't tell: the steward does not answer (%s)", strerror(-error));
	return EXIT_CANNOT_TELL;
}

static int with_id(const struct options *options, const char *verb, uint32_t number, const char *id)
{
	if (!id_is_sound(id))
		return usage_error(verb, "%s is no id of the quarantine", id);
	return ask_steward(options, number, id);
}

int verb_release(const struct options *options, int argc, char **argv)
{
	if (argc != 2)
		return usage_error("release", "it takes one ID of mailward quarantine list");
	return with_id(options, "release", STEWARD_RELEASE, argv[1]);
}

static int delete_item(const struct options *options, int argc, char **argv)
{
	const char *id = NULL;
	bool yes = false;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--yes") == 0)
			yes = true;
		else if (argv[i][0] == '-' || id)
			return usage_error("quarantine", "unexpected argument %s", argv[i]);
		else
			id = argv[i];
	}
	if (!id)
		return usage_error("quarantine", "delete needs an ID");
	if (!yes)
		return usage_error("quarantine", "delete ends %s for good: say --yes", id);
	return with_id(options, "quarantine", STEWARD_DELETE, id);
}

int verb_quarantine(const struct options *options, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "list";

	if (strcmp(what, "list") == 0 && argc <= 2)
		return ask_steward(options, STEWARD_LIST, NULL);
	if (strcmp(what, "delete") == 0)
		return delete_item(options, argc, argv);
	if (strcmp(what, "show") == 0 && argc == 3)
		return with_id(options, "quarantine", STEWARD_SHOW, argv[2]);
	if (strcmp(what, "restore") == 0 && argc == 3)
		return with_id(options, "quarantine", STEWARD_RESTORE, argv[2]);
	return usage_error("quarantine", "it is: list, show ID, restore ID, delete ID --yes");
}

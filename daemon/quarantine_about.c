// SPDX-License-Identifier: GPL-2.0-only
/* The file that says what an item is. JSON, so that a person can read it; names in hexadecimal, as they hold any byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quarantine_state.h"

#define ABOUT_MOST (16u << 20)

void names_clear(struct quarantine_names *names)
{
	while (names->count > 0)
		free(names->list[--names->count].path);
}

/* ---- hexadecimal ---- */

static json_t *hex(const void *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * size + 1);
	json_t *json;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[((const uint8_t *)bytes)[i] >> 4];
		text[2 * i + 1] = digits[((const uint8_t *)bytes)[i] & 15];
	}
	text[2 * size] = 0;
	json = json_string(text);
	free(text);
	return json;
}

static int digit(char letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Bytes, or -1. */
static ssize_t unhex(const char *text, void *out, size_t room)
{
	size_t length = text ? strlen(text) : 1;

	if (length % 2 || length / 2 > room)
		return -1;
	for (size_t i = 0; i < length; i += 2) {
		int high = digit(text[i]), low = digit(text[i + 1]);
		if (high < 0 || low < 0)
			return -1;
		((uint8_t *)out)[i / 2] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(length / 2);
}

/* ---- writing ---- */

static json_t *names_to_json(const struct quarantine_names *names)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < names->count; i++) {
		json_t *name = json_object();
		json_object_set_new(name, "entry", json_integer(names->list[i].entry));
		json_object_set_new(name, "path_hex", hex(names->list[i].path, strlen(names->list[i].path)));
		json_array_append_new(list, name);
	}
	return list;
}

static json_t *about_to_json(const struct quarantine_item *about, const struct stat *file,
			     const struct quarantine_names *names)
{
	static const char *const verdicts[] = VERDICT_NAMES, *const reasons[] = REASON_NAMES;
	json_t *json = json_object();

#define TEXT(name, value) json_object_set_new(json, name, json_stringn_nocheck(value, strlen(value)))
#define NUMBER(name, value) json_object_set_new(json, name, json_integer((json_int_t)(value)))
	NUMBER("version", 1);
	TEXT("id", about->id);
	NUMBER("time_ns", about->time_ns);
	NUMBER("size", about->size);
	NUMBER("uid", about->uid);
	NUMBER("gid", about->gid);
	NUMBER("mode", about->mode);
	NUMBER("links", about->links);
	NUMBER("which", about->which);
	NUMBER("verdict", about->verdict.kind);
	TEXT("verdict_name", verdicts[about->verdict.kind]);
	NUMBER("reason", about->verdict.reason);
	TEXT("reason_name", reasons[about->verdict.reason]);
	NUMBER("heuristics", about->verdict.heuristics);
	NUMBER("definitions", about->definitions);
	NUMBER("dev", file->st_dev);
	NUMBER("ino", file->st_ino);
	NUMBER("mtime_ns", file->st_mtim.tv_sec * 1000000000ll + file->st_mtim.tv_nsec);
	if (about->has_digest)
		json_object_set_new(json, "sha256", hex(about->digest, sizeof(about->digest)));
	/* Texts that a message's content has a say in. */
	json_object_set_new(json, "signature_hex", hex(about->verdict.signature, strlen(about->verdict.signature)));
	json_object_set_new(json, "watch_hex", hex(about->watch, strlen(about->watch)));
	json_object_set_new(json, "policy_hex", hex(about->policy, strlen(about->policy)));
	json_object_set_new(json, "detail_hex", hex(about->detail, strlen(about->detail)));
	json_object_set_new(json, "queue_id_hex", hex(about->queue_id, strlen(about->queue_id)));
	json_object_set_new(json, "message_id_hex", hex(about->message_id, strlen(about->message_id)));
	json_object_set_new(json, "names", names_to_json(names));
#undef TEXT
#undef NUMBER
	return json;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, text, size);
		if (written < 0)
			return -errno;
		text += written;
		size -= (size_t)written;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int about_write(int item, const struct quarantine_item *about, const struct stat *file,
		const struct quarantine_names *names)
{
	json_t *json = about_to_json(about, file, names);
	char *text = json_dumps(json, JSON_INDENT(1));
	int fd = text ? openat(item, ABOUT_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) : -1,
	    error;

	json_decref(json);
	error = !text ? -ENOMEM : fd < 0 ? -errno : write_all(fd, text, strlen(text));
	free(text);
	if (fd >= 0)
		close(fd);
	if (!error && renameat(item, ABOUT_NEW, item, ABOUT) < 0)
		error = -errno;
	if (!error && fsync(item) < 0)
		error = -errno;
	if (error)
		unlinkat(item, ABOUT_NEW, 0);
	return error;
}

/* ---- reading ---- */

static uint64_t number_of(const json_t *json, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(json, name));
}

static bool text_of(const json_t *json, const char *name, char *out, size_t room)
{
	ssize_t size = unhex(json_string_value(json_object_get(json, name)), out, room - 1);

	if (size < 0)
		return false;
	out[size] = 0;
	return true;
}

static bool names_from_json(const json_t *list, struct quarantine_names *names)
{
	const json_t *name;
	size_t i;

	names->count = 0;
	json_array_foreach(list, i, name)
	{
		static char path[NAME_SIZE];
		uint64_t entry = number_of(name, "entry");
		if (names->count == ENTRIES_MAX || entry >= ENTRIES_MAX ||
		    !text_of(name, "path_hex", path, sizeof(path)) || path[0] != '/')
			return false;
		names->list[names->count].entry = (uint32_t)entry;
		names->list[names->count].path = strdup(path);
		if (!names->list[names->count].path)
			return false;
		names->count++;
	}
	return true;
}

static bool about_from_json(const json_t *json, struct quarantine_item *about, struct stat *file)
{
	const char *digest = json_string_value(json_object_get(json, "sha256"));
	const char *id = json_string_value(json_object_get(json, "id"));

	memset(about, 0, sizeof(*about));
	*file = (struct stat){.st_dev = number_of(json, "dev"),
			      .st_ino = number_of(json, "ino"),
			      .st_size = (off_t)number_of(json, "size"),
			      .st_mtim = {.tv_sec = (time_t)(number_of(json, "mtime_ns") / 1000000000),
					  .tv_nsec = (long)(number_of(json, "mtime_ns") % 1000000000)}};
	about->time_ns = number_of(json, "time_ns");
	about->size = number_of(json, "size");
	about->uid = (uint32_t)number_of(json, "uid");
	about->gid = (uint32_t)number_of(json, "gid");
	about->mode = (uint32_t)number_of(json, "mode");
	about->links = (uint32_t)number_of(json, "links");
	about->which = (uint32_t)number_of(json, "which");
	about->definitions = number_of(json, "definitions");
	about->verdict.kind = (uint8_t)number_of(json, "verdict");
	about->verdict.reason = (uint8_t)number_of(json, "reason");
	about->verdict.heuristics = (uint8_t)number_of(json, "heuristics");
	about->has_digest = digest && unhex(digest, about->digest, sizeof(about->digest)) == sizeof(about->digest);
	if (number_of(json, "version") != 1 || !id || about->verdict.kind >= VERDICT_KINDS ||
	    about->verdict.reason >= REASONS || about->which >= POLICY_CASES)
		return false;
	snprintf(about->id, sizeof(about->id), "%s", id);
	return text_of(json, "signature_hex", about->verdict.signature, sizeof(about->verdict.signature)) &&
	       text_of(json, "watch_hex", about->watch, sizeof(about->watch)) &&
	       text_of(json, "policy_hex", about->policy, sizeof(about->policy)) &&
	       text_of(json, "detail_hex", about->detail, sizeof(about->detail)) &&
	       text_of(json, "queue_id_hex", about->queue_id, sizeof(about->queue_id)) &&
	       text_of(json, "message_id_hex", about->message_id, sizeof(about->message_id));
}

int about_read(int item, struct quarantine_item *about, struct stat *file, struct quarantine_names *names)
{
	int fd = openat(item, ABOUT, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), error = fd < 0 ? -errno : 0;
	struct stat status;
	json_t *json = NULL;

	if (!error && (fstat(fd, &status) < 0 || status.st_size > (off_t)ABOUT_MOST))
		error = -EBADMSG;
	if (!error)
		json = json_loadfd(fd, 0, NULL);
	if (fd >= 0)
		close(fd);
	if (error)
		return error;
	if (names)
		names->count = 0;
	if (!json || !about_from_json(json, about, file) ||
	    (names && !names_from_json(json_object_get(json, "names"), names)))
		error = -EBADMSG;
	if (error && names)
		names_clear(names);
	json_decref(json);
	return error;
}

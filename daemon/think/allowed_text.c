// SPDX-License-Identifier: GPL-2.0-only
#include "allowed_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allowances.h"

#define HEAD "mailward-allowed 1\n"
#define LINE_MAX_SIZE 1024 /* longer than any line that is right */

static uint64_t sum_of(const char *text, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
		hash ^= hash >> 31;
	}
	return hash;
}

/* ---- writing ---- */

struct writing {
	char *out;
	size_t size, used; /* used > size: it did not fit */
};

__attribute__((format(printf, 2, 3))) static void put(struct writing *writing, const char *format, ...)
{
	va_list arguments;
	size_t room = writing->used < writing->size ? writing->size - writing->used : 0;

	va_start(arguments, format);
	writing->used += (size_t)vsnprintf(room ? writing->out + writing->used : NULL, room, format, arguments);
	va_end(arguments);
}

static void put_hex(struct writing *writing, const void *bytes, size_t size)
{
	put(writing, " ");
	for (size_t i = 0; i < size; i++)
		put(writing, "%02x", ((const uint8_t *)bytes)[i]);
}

size_t allowed_print(const struct allowed_list *list, char *out, size_t size)
{
	static const char *const kinds[] = ALLOWED_KIND_NAMES;
	struct writing writing = {.out = out, .size = size};

	put(&writing, HEAD "next %u\n", list->next);
	for (uint32_t i = 0; i < list->count; i++) {
		const struct allowed_record *record = &list->records[i];
		const struct allowed_entry *entry = &record->entry;
		put(&writing, "entry %u %s %" PRIu64 " %" PRIu64 " %u", entry->id, kinds[entry->kind], entry->until_ns,
		    record->added_ns, record->uid);
		if (entry->kind == ALLOWED_CONTENT)
			put_hex(&writing, entry->digest, sizeof(entry->digest));
		else
			put_hex(&writing, entry->name, strlen(entry->name));
		put_hex(&writing, record->reason, strlen(record->reason));
		put(&writing, "\n");
	}
	if (writing.used >= size)
		return 0;
	put(&writing, "end %u %016" PRIx64 "\n", list->count, sum_of(out, writing.used));
	return writing.used < size ? writing.used : 0;
}

/* ---- reading ---- */

struct reading {
	const char *text;
	size_t size, at;
	unsigned line;
	char words[LINE_MAX_SIZE]; /* the line, its words zero-terminated */
	const char *word;          /* the next one of it; NULL: no more */
	char *why;
	size_t why_size;
};

static bool wrong(struct reading *reading, const char *what)
{
	if (!reading->why[0])
		snprintf(reading->why, reading->why_size, "line %u: %s", reading->line, what);
	return false;
}

static bool next_line(struct reading *reading)
{
	const char *from = reading->text + reading->at;
	const char *end = memchr(from, '\n', reading->size - reading->at);
	size_t length = end ? (size_t)(end - from) : 0;

	reading->line++;
	if (!end)
		return wrong(reading, "the file ends too early");
	if (length >= sizeof(reading->words) || memchr(from, 0, length))
		return wrong(reading, "this is no line of an allow list");
	memcpy(reading->words, from, length);
	reading->words[length] = 0;
	reading->word = reading->words;
	reading->at += length + 1;
	return true;
}

static const char *next_word(struct reading *reading)
{
	char *word = (char *)reading->word, *blank;

	if (!word)
		return "";
	blank = strchr(word, ' ');
	if (blank)
		*blank = 0;
	reading->word = blank ? blank + 1 : NULL;
	return word;
}

static bool take_number(struct reading *reading, int base, uint64_t most, uint64_t *out)
{
	const char *word = next_word(reading);
	char *end;

	if (!word[0] || strspn(word, base == 16 ? "0123456789abcdef" : "0123456789") != strlen(word) ||
	    strlen(word) > 20)
		return wrong(reading, "a number is missing");
	*out = strtoull(word, &end, base);
	return *out <= most || wrong(reading, "a number is too large");
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* At most `size` bytes; *size_out of them. */
static bool take_hex(struct reading *reading, uint8_t *out, size_t size, size_t *size_out)
{
	const char *word = next_word(reading);
	size_t length = strlen(word);

	if (length % 2 || length / 2 > size)
		return wrong(reading, "a value has not the right length");
	for (size_t i = 0; i < length; i += 2) {
		int high = digit_of(word[i]), low = digit_of(word[i + 1]);
		if (high < 0 || low < 0)
			return wrong(reading, "a value is not hexadecimal");
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	*size_out = length / 2;
	return true;
}

static bool take_value(struct reading *reading, struct allowed_entry *entry)
{
	size_t size;

	if (entry->kind == ALLOWED_CONTENT)
		return take_hex(reading, entry->digest, sizeof(entry->digest), &size) &&
		       (size == sizeof(entry->digest) || wrong(reading, "this is no SHA-256"));
	return take_hex(reading, (uint8_t *)entry->name, sizeof(entry->name) - 1, &size) &&
	       ((size == strlen(entry->name) && allowed_name_is_sound(entry->name)) ||
		wrong(reading, "this is no name of a signature"));
}

static bool take_entry(struct reading *reading, struct allowed_list *list)
{
	struct allowed_record *record = &list->records[list->count];
	struct allowed_entry *entry = &record->entry;
	uint64_t id, uid;
	size_t size;

	if (list->count == ALLOWED_MAX)
		return wrong(reading, "there are too many entries");
	memset(record, 0, sizeof(*record));
	if (!take_number(reading, 10, UINT32_MAX, &id))
		return false;
	const char *kind = next_word(reading);
	entry->kind = !strcmp(kind, "sha256") ? ALLOWED_CONTENT : !strcmp(kind, "signature") ? ALLOWED_SIGNATURE : 0;
	if (!entry->kind)
		return wrong(reading, "neither sha256 nor signature");
	if (!take_number(reading, 10, UINT64_MAX, &entry->until_ns) ||
	    !take_number(reading, 10, UINT64_MAX, &record->added_ns) || !take_number(reading, 10, UINT32_MAX, &uid) ||
	    !take_value(reading, entry) ||
	    !take_hex(reading, (uint8_t *)record->reason, sizeof(record->reason) - 1, &size))
		return false;
	entry->id = (uint32_t)id;
	record->uid = (uint32_t)uid;
	if (size != strlen(record->reason) || strpbrk(record->reason, "\n\r"))
		return wrong(reading, "this is no reason");
	if (id == 0 || id >= list->next || reading->word)
		return wrong(reading, "this is no entry");
	for (uint32_t i = 0; i < list->count; i++)
		if (list->records[i].entry.id == entry->id)
			return wrong(reading, "an entry is there twice");
	list->count++;
	return true;
}

static bool take_head(struct reading *reading, struct allowed_list *list)
{
	uint64_t next;

	if (reading->size < strlen(HEAD) || memcmp(reading->text, HEAD, strlen(HEAD)) != 0) {
		reading->line = 1;
		return wrong(reading, "this is no allow list of this version");
	}
	reading->at = strlen(HEAD);
	reading->line = 1;
	if (!next_line(reading))
		return false;
	if (strcmp(next_word(reading), "next") != 0)
		return wrong(reading, "the number of the next entry is missing");
	if (!take_number(reading, 10, UINT32_MAX, &next))
		return false;
	list->next = (uint32_t)next;
	return (next > 0 && !reading->word) || wrong(reading, "the number of the next entry is missing");
}

static bool take_end(struct reading *reading, const struct allowed_list *list, size_t summed)
{
	uint64_t count, sum;

	if (!take_number(reading, 10, ALLOWED_MAX, &count) || !take_number(reading, 16, UINT64_MAX, &sum))
		return false;
	if (count != list->count || sum != sum_of(reading->text, summed))
		return wrong(reading, "the sum is wrong: the file was changed by somebody else, or is damaged");
	return (!reading->word && reading->at == reading->size) || wrong(reading, "something follows the end");
}

bool allowed_parse(const char *text, size_t size, struct allowed_list *list_out, char *why_out, size_t why_size)
{
	struct reading reading = {.text = text, .size = size, .why = why_out, .why_size = why_size};
	bool good;

	list_out->count = 0;
	list_out->next = 1;
	why_out[0] = 0;
	good = take_head(&reading, list_out);
	while (good) {
		size_t before = reading.at;
		good = next_line(&reading);
		if (!good)
			break;
		const char *word = next_word(&reading);
		if (!strcmp(word, "end")) {
			if (take_end(&reading, list_out, before))
				return true;
			break;
		}
		good = strcmp(word, "entry") == 0 ? take_entry(&reading, list_out)
						  : wrong(&reading, "this is no line of an allow list");
	}
	list_out->count = 0;
	list_out->next = 1;
	return false;
}

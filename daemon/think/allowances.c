// SPDX-License-Identifier: GPL-2.0-only
#include "allowances.h"

#include <stdio.h>
#include <string.h>

bool allowed_name_is_sound(const char *name)
{
	size_t length = strnlen(name, SIGNATURE_SIZE);

	if (length == 0 || length == SIGNATURE_SIZE || name[0] == ' ' || name[length - 1] == ' ')
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] < ' ' || name[i] > '~')
			return false;
	return true;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

bool allowed_entry_is_sound(const struct allowed_entry *entry)
{
	if (entry->id == 0)
		return false;
	if (entry->kind == ALLOWED_CONTENT)
		return entry->name[0] == 0;
	return entry->kind == ALLOWED_SIGNATURE && all_zero(entry->digest, sizeof(entry->digest)) &&
	       allowed_name_is_sound(entry->name);
}

bool allowed_is_sound(const struct allowed_table *table)
{
	if (table->magic != ALLOWED_MAGIC || table->size != sizeof(*table) || table->number == 0 ||
	    table->count > ALLOWED_MAX)
		return false;
	for (uint32_t i = 0; i < table->count; i++)
		if (!allowed_entry_is_sound(&table->entries[i]))
			return false;
	return true;
}

static bool is_live(const struct allowed_entry *entry, uint64_t now)
{
	return entry->until_ns == 0 || entry->until_ns > now;
}

static uint64_t hash_of(const struct allowed_entry *entry)
{
	const uint8_t *bytes = entry->kind == ALLOWED_CONTENT ? entry->digest : (const uint8_t *)entry->name;
	size_t size = entry->kind == ALLOWED_CONTENT ? sizeof(entry->digest) : strlen(entry->name);
	uint64_t hash = 0xcbf29ce484222325u ^ entry->kind;

	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
		hash ^= hash >> 29;
	}
	return hash * 0xff51afd7ed558ccdu;
}

uint64_t allowed_identity(const struct allowed_table *table, uint64_t now)
{
	uint64_t sum = 0; /* their order does not matter */
	uint32_t live = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		if (!is_live(&table->entries[i], now))
			continue;
		sum += hash_of(&table->entries[i]);
		live++;
	}
	return live == 0 || sum ? sum : 1;
}

uint64_t allowed_next_end(const struct allowed_table *table, uint64_t now)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		uint64_t until = table->entries[i].until_ns;
		if (until > now && (next == 0 || until < next))
			next = until;
	}
	return next;
}

const struct allowed_entry *allowed_signature(const struct allowed_table *table, const char *name, uint64_t now)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct allowed_entry *entry = &table->entries[i];
		if (entry->kind == ALLOWED_SIGNATURE && is_live(entry, now) && strcmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

const struct allowed_entry *allowed_content(const struct allowed_table *table, const uint8_t digest[32], uint64_t now)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct allowed_entry *entry = &table->entries[i];
		if (entry->kind == ALLOWED_CONTENT && is_live(entry, now) && memcmp(entry->digest, digest, 32) == 0)
			return entry;
	}
	return NULL;
}

const struct allowed_entry *allowed_by_id(const struct allowed_table *table, uint32_t id, uint64_t now)
{
	for (uint32_t i = 0; i < table->count; i++)
		if (table->entries[i].id == id && is_live(&table->entries[i], now))
			return &table->entries[i];
	return NULL;
}

/* Signatures before heuristics; of either the one that the verdict had, else the first. */
static void take_names(struct verdict *verdict, const struct scan_reply *reply, const bool *allowed)
{
	for (int heuristics = 0; heuristics <= 1 && !verdict->signature[0]; heuristics++)
		for (uint32_t i = 0; i < reply->name_count; i++) {
			if (allowed[i] || (reply->name_heuristics[i] != 0) != heuristics)
				continue;
			if (!verdict->signature[0] || !strcmp(reply->names[i], reply->verdict.signature))
				memcpy(verdict->signature, reply->names[i], sizeof(verdict->signature));
			verdict->heuristics |= reply->name_heuristics[i];
		}
}

const struct allowed_entry *allowed_verdict(const struct allowed_table *table, const struct scan_reply *reply,
					    uint64_t now, struct verdict *verdict_out)
{
	const struct allowed_entry *first = NULL, *entry;
	struct verdict left = {0};
	bool allowed[SCAN_NAMES];

	*verdict_out = reply->verdict;
	if (reply->verdict.kind != VERDICT_INFECTED || reply->name_count == 0 || reply->names_more)
		return NULL;
	for (uint32_t i = 0; i < reply->name_count; i++) {
		entry = allowed_signature(table, reply->names[i], now);
		allowed[i] = entry != NULL;
		first = first ? first : entry;
	}
	if (!first)
		return NULL;
	take_names(&left, reply, allowed);
	left.kind = left.signature[0] ? VERDICT_INFECTED : reply->rest ? VERDICT_UNSCANNED : VERDICT_CLEAN;
	if (left.kind == VERDICT_UNSCANNED || left.heuristics)
		left.reason = reply->rest;
	*verdict_out = left;
	return first;
}

void allowed_detail(const struct allowed_entry *entry, const char *more, char *out, size_t size)
{
	const char *what = entry->kind == ALLOWED_SIGNATURE ? entry->name : "this content";

	snprintf(out, size, "allowed: %s (entry %u)%s%s", what, entry->id, more[0] ? "; " : "", more);
}

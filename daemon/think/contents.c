// SPDX-License-Identifier: GPL-2.0-only
#include "contents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SETS 8192u /* a power of two */
#define WAYS 4u

struct content {
	uint8_t digest[32];
	uint64_t definitions;
	uint64_t used;          /* 0: empty */
	uint64_t first, second; /* workers that said clean; 0: none yet */
};

struct contents {
	uint64_t turn;
	struct content all[SETS][WAYS];
};

int contents_open(struct contents **contents_out)
{
	*contents_out = calloc(1, sizeof(**contents_out));
	return *contents_out ? 0 : -ENOMEM;
}

void contents_close(struct contents **contents)
{
	free(*contents);
	*contents = NULL;
}

static struct content *set_of(struct contents *contents, const uint8_t digest[32])
{
	uint32_t hash;

	memcpy(&hash, digest, sizeof(hash));
	return contents->all[hash & (SETS - 1)];
}

static struct content *find(struct contents *contents, const uint8_t digest[32])
{
	struct content *set = set_of(contents, digest);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].used && memcmp(set[i].digest, digest, 32) == 0) {
			set[i].used = ++contents->turn;
			return &set[i];
		}
	return NULL;
}

bool contents_clean(struct contents *contents, const uint8_t digest[32], uint64_t definitions)
{
	const struct content *content = find(contents, digest);

	return content && content->definitions == definitions && content->second;
}

void contents_keep(struct contents *contents, const uint8_t digest[32], uint64_t definitions, uint64_t worker)
{
	struct content *content = find(contents, digest), *set = set_of(contents, digest);

	if (!content) {
		content = set;
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].used < content->used)
				content = &set[i];
		content->used = ++contents->turn;
		content->definitions = 0;
		memcpy(content->digest, digest, 32);
	}
	if (content->definitions != definitions) {
		content->definitions = definitions;
		content->first = worker;
		content->second = 0;
	} else if (content->first != worker) {
		content->second = worker;
	}
}

uint64_t contents_contradict(struct contents *contents, const uint8_t digest[32], uint64_t definitions)
{
	struct content *content = find(contents, digest);
	uint64_t worker = content && content->definitions == definitions ? content->first : 0;

	if (content)
		content->used = 0;
	return worker;
}

void contents_withdraw(struct contents *contents, uint64_t worker)
{
	for (uint32_t i = 0; i < SETS * WAYS; i++) {
		struct content *content = &contents->all[i / WAYS][i % WAYS];
		if (content->used && (content->first == worker || content->second == worker))
			content->used = 0;
	}
}

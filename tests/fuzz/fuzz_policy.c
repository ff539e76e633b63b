// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/policy_text.c daemon/think/policy_values.c daemon/think/policy_watch.c
// objects: daemon/think/policy_notify.c daemon/think/policy_schedule.c
// objects: daemon/think/policy_words.c daemon/think/policy.c daemon/think/store.c
// libs: libconfuse
/*
 * Any bytes as a policy. What is taken must be sound, what is refused must say why; nothing may crash or leak. A zero
 * byte in the input divides it into two files, so that repeats across files are reached too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy table;
static struct complaints complaints;

static char *copy(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
	size_t first = cut ? (size_t)(cut - data) : size, second = cut ? size - first - 1 : 0;
	char *texts[2] = {copy(data, first), copy(data + first + (cut ? 1 : 0), second)};
	struct policy_source sources[2] = {{"a.conf", texts[0], first}, {"b.conf", texts[1], second}};
	bool taken;

	memset(&complaints, 0, sizeof(complaints));
	taken = policy_parse(&table, sources, cut ? 2 : 1, 2, (uint64_t)64 << 30, &complaints);
	if (taken != (complaints.errors == 0) || (taken && !policy_is_sound(&table)))
		abort();
	for (size_t i = 0; i < complaints.count; i++)
		if (strncmp(complaints.list[i].text, "a.conf:", 7) != 0 &&
		    strncmp(complaints.list[i].text, "b.conf:", 7) != 0)
			abort();
	if (taken)
		policy_match(&table, texts[0]);
	free(texts[0]);
	free(texts[1]);
	return 0;
}

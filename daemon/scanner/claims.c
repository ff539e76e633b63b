// SPDX-License-Identifier: GPL-2.0-only
#include "claims.h"

#include <stdio.h>
#include <string.h>

#include "kinds.h"
#include "mime.h"
#include "names.h"
#include "wire.h"

/* Behind the prefix; by enum deny_type, then the two that are of names alone. */
static const char *const words[DENY_TYPES + 2] = {[TYPE_EXECUTABLE] = "Executable",
						  [TYPE_SCRIPT] = "Script",
						  [TYPE_SHORTCUT] = "Shortcut",
						  [TYPE_DISK_IMAGE] = "DiskImage",
						  [TYPE_MACRO_DOCUMENT] = "MacroDocument",
						  [DENY_TYPES] = "DoubleExtension",
						  [DENY_TYPES + 1] = "HiddenName"};

/* Which of several is named first: from the least to the most telling. */
static const unsigned telling[DENY_TYPES + 2] = {TYPE_MACRO_DOCUMENT, TYPE_DISK_IMAGE, TYPE_SHORTCUT, TYPE_SCRIPT,
						 TYPE_EXECUTABLE,     DENY_TYPES,      DENY_TYPES + 1};

void claims_open(struct claims *claims, uint32_t denied)
{
	*claims = (struct claims){.denied = denied, .rank = -1};
}

/* All that was found, as bits of words[]. */
static uint32_t bits(const struct claims *claims)
{
	return claims->found | (uint32_t)claims->doubled << DENY_TYPES | (uint32_t)claims->hidden << (DENY_TYPES + 1);
}

static int rank_of(uint32_t found)
{
	int rank = -1;

	for (int i = 0; i < DENY_TYPES + 2; i++)
		if (found >> telling[i] & 1)
			rank = i;
	return rank;
}

static void name_where(struct claims *claims, const char *name, size_t size)
{
	static const char word[] = "member ";
	size_t most = sizeof(claims->where) - sizeof(word), at = 0;

	claims->where[0] = 0;
	if (size == 0)
		return;
	if (size > most) {
		name += size - most;
		size = most;
	}
	memcpy(claims->where, word, sizeof(word) - 1);
	for (at = 0; at < size; at++)
		claims->where[sizeof(word) - 1 + at] = name[at] >= ' ' && name[at] <= '~' ? name[at] : '?';
	claims->where[sizeof(word) - 1 + size] = 0;
}

static void note(struct claims *claims, uint32_t types, bool doubled, bool hidden, const char *name, size_t size)
{
	struct claims more = {
		.found = types & claims->denied, .doubled = doubled && types & claims->denied, .hidden = hidden};
	int rank = rank_of(bits(&more));

	if (rank < 0)
		return;
	claims->found |= more.found;
	claims->doubled |= more.doubled;
	claims->hidden |= more.hidden;
	if (rank > claims->rank) {
		claims->rank = rank;
		name_where(claims, name, size);
	}
}

void claims_name(struct claims *claims, const char *name, size_t size, bool member)
{
	struct name_claim claim;

	if (!claims->denied)
		return;
	claim = name_claims(name, size);
	if (member)
		claim.types |= kind_of_member(name, size);
	note(claims, claim.types, claim.doubled, claim.hidden, name, size);
}

void claims_content(struct claims *claims, const unsigned char *bytes, size_t size, const char *name)
{
	if (claims->denied)
		note(claims, kind_types(bytes, size), false, false, name, name ? strlen(name) : 0);
}

static void on_name(void *owner, const char *name, size_t length)
{
	claims_name(owner, name, length, false);
}

void claims_message(struct claims *claims, const unsigned char *bytes, size_t size)
{
	if (claims->denied)
		mime_names((const char *)bytes, size, on_name, claims);
}

void claims_macro(struct claims *claims, const char *name)
{
	if (claims->denied)
		note(claims, 1u << TYPE_MACRO_DOCUMENT, false, false, name, name ? strlen(name) : 0);
}

bool claims_tell(const struct claims *claims, char *name_out, size_t name_size, char *detail_out, size_t detail_size)
{
	uint32_t found = bits(claims);
	size_t used = 0;

	if (claims->rank < 0)
		return false;
	snprintf(name_out, name_size, CLAIM_PREFIX "%s", words[telling[rank_of(found)]]);
	for (int i = DENY_TYPES + 1; i >= 0 && used < detail_size; i--)
		if (found >> telling[i] & 1)
			used += (size_t)snprintf(detail_out + used, detail_size - used, "%s%s",
						 used ? ", " : CLAIM_PREFIX, words[telling[i]]);
	if (claims->where[0] && used < detail_size)
		snprintf(detail_out + used, detail_size - used, " (%s)", claims->where);
	return true;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "policy_values.h"

#include <stdio.h>
#include <string.h>

const struct policy_unit policy_time_units[] = {{"ms", 1},      {"s", 1000},     {"min", 60000},
						{"h", 3600000}, {"d", 86400000}, {0}};
const struct policy_unit policy_size_units[] = {{"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {0}};
const struct policy_unit policy_no_units[] = {{"", 1}, {0}};

struct policy_place policy_place_at(const struct policy_reading *at, unsigned line)
{
	return (struct policy_place){.file = at->file_index, .line = line};
}

bool policy_one_value(const struct policy_reading *at, cfg_t *block, const char *name, struct policy_word *word_out)
{
	unsigned count = cfg_size(block, name);
	struct policy_word first, other;

	if (count == 0) {
		if (cfg_getopt(block, name)->flags & CFGF_MODIFIED)
			refuse(at, (unsigned)block->line, "'%s' has an empty list: give it one value, or leave it out",
			       name);
		return false;
	}
	first = policy_word_of(cfg_getnstr(block, name, 0));
	for (unsigned i = 1; i < count; i++) {
		other = policy_word_of(cfg_getnstr(block, name, i));
		if (other.assignment != first.assignment)
			refuse(at, other.line, "'%s' is repeated (first in %s:%u): keep one of the two lines", name,
			       at->file, first.line);
		else
			refuse(at, other.line, "'%s' takes one value, not a list: keep one", name);
		return false;
	}
	*word_out = first;
	return true;
}

bool policy_choose(const struct policy_reading *at, const char *name, struct policy_word word,
		   const struct policy_choice *choices, uint8_t *value_out)
{
	char known[160];
	size_t used = 0;

	known[0] = 0;
	for (const struct policy_choice *choice = choices; choice->text; choice++) {
		if (strcmp(choice->text, word.text) == 0 && choice->refused) {
			refuse(at, word.line, "not in this version yet: %s = %s; use %s", name, word.text,
			       choice->refused);
			return false;
		}
		if (strcmp(choice->text, word.text) == 0) {
			*value_out = choice->value;
			return true;
		}
		if (!choice->refused && used < sizeof(known))
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
						 choice->text);
	}
	refuse(at, word.line, "'%s' is no value for %s: use one of %s", word.text, name, known);
	return false;
}

/* Digits and a unit, nothing else: "5s". */
static bool read_number(const char *text, const struct policy_unit *units, uint64_t *value_out)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number = 0;

	if (digits == 0 || digits > 15)
		return false;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	for (const struct policy_unit *unit = units; unit->text; unit++)
		if (strcmp(unit->text, text + digits) == 0)
			return !__builtin_mul_overflow(number, unit->factor, value_out);
	return false;
}

static bool number_of(const struct policy_reading *at, const char *name, struct policy_word word,
		      const struct policy_range *range, uint64_t *value_out)
{
	uint64_t value;

	if (!read_number(word.text, range->units, &value)) {
		if (range->known_units[0])
			refuse(at, word.line,
			       "'%s' is no value for %s: write a whole number and its unit (%s), as in %s", word.text,
			       name, range->known_units, range->example);
		else
			refuse(at, word.line, "'%s' is no value for %s: write a whole number without a unit, as in %s",
			       word.text, name, range->example);
		return false;
	}
	if (value < range->low || value > range->high) {
		refuse(at, word.line, "%s = %s is out of range: use %s to %s", name, word.text, range->low_text,
		       range->high_text);
		return false;
	}
	*value_out = value;
	return true;
}

bool policy_number(const struct policy_reading *at, cfg_t *block, const char *name, const struct policy_range *range,
		   uint64_t *value_out, struct policy_place *place_out)
{
	struct policy_word word;

	if (!policy_one_value(at, block, name, &word) || !number_of(at, name, word, range, value_out))
		return false;
	if (place_out)
		*place_out = policy_place_at(at, word.line);
	return true;
}

bool policy_path(const struct policy_reading *at, struct policy_word word, const char *what, char *out, size_t size)
{
	const char *reason = NULL;
	size_t used = 0;

	if (word.text[0] == 0)
		reason = "is missing: write it in quotes, from / on";
	else if (word.text[0] != '/')
		reason = "is relative: write it from / on (nothing is expanded, ~ neither)";
	else if (strlen(word.text) >= size)
		reason = "is too long: use a shorter one, through a bind mount for instance";
	for (const char *part = word.text; !reason && *part;) {
		size_t length;
		part += strspn(part, "/");
		length = strcspn(part, "/");
		if (length == 0)
			break;
		if ((length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) {
			reason = "has a part \".\" or \"..\": write the path that is meant";
			break;
		}
		out[used++] = '/';
		memcpy(out + used, part, length);
		used += length;
		part += length;
	}
	if (reason) {
		refuse(at, word.line, "the path %s%s%.400s%s%s", what, word.text[0] ? " '" : "", word.text,
		       word.text[0] ? "' " : " ", reason);
		return false;
	}
	if (used == 0)
		out[used++] = '/';
	out[used] = 0;
	return true;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The values of a policy's words, out of libconfuse's tree of tagged strings (policy_words.h). Each function complains
 * by itself, with the line of the value and a remedy.
 */
#ifndef MAILWARD_POLICY_VALUES_H
#define MAILWARD_POLICY_VALUES_H

#include <confuse.h>

#include "policy_text.h"
#include "policy_words.h"

/* The file that is being read. */
struct policy_reading {
	struct complaints *complaints;
	const char *file;
	uint16_t file_index;
};
#define refuse(at, line, ...) complain((at)->complaints, false, (at)->file, line, __VA_ARGS__)
#define doubt(at, line, ...) complain((at)->complaints, true, (at)->file, line, __VA_ARGS__)

struct policy_place policy_place_at(const struct policy_reading *at, unsigned line);

/* The one value of a word in a block. false: not said (word_out is untouched), or said wrongly. */
bool policy_one_value(const struct policy_reading *at, cfg_t *block, const char *name, struct policy_word *word_out);

/* One of several words. The list ends with a null text. */
struct policy_choice {
	const char *text;
	uint8_t value;
	const char *refused; /* known, but not in this version: what to use instead */
};
bool policy_choose(const struct policy_reading *at, const char *name, struct policy_word word,
		   const struct policy_choice *choices, uint8_t *value_out);

/* A whole number and its unit. Units end with a null text; times are in milliseconds, sizes in bytes. */
struct policy_unit {
	const char *text;
	uint64_t factor;
};
extern const struct policy_unit policy_time_units[], policy_size_units[], policy_no_units[];
struct policy_range {
	const struct policy_unit *units;
	const char *known_units; /* for messages */
	const char *example;
	uint64_t low, high;
	const char *low_text, *high_text;
};
/* false: not said, or wrong. place_out: where it is said; may be NULL. */
bool policy_number(const struct policy_reading *at, cfg_t *block, const char *name, const struct policy_range *range,
		   uint64_t *value_out, struct policy_place *place_out);

/* An absolute path without "." and "..", repeated and trailing slashes taken away. what: for messages. */
bool policy_path(const struct policy_reading *at, struct policy_word word, const char *what, char *out, size_t size);

#endif

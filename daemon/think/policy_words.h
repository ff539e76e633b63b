/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words of a policy. libconfuse expands ${VAR} and backslashes, joins lines, drops characters it does not know and
 * forgets an earlier value when a word is repeated. So the text is read here first: what is not a plain statement is
 * refused with its line, and libconfuse gets the same statements with every string made literal and every value kept.
 */
#ifndef MAILWARD_POLICY_WORDS_H
#define MAILWARD_POLICY_WORDS_H

#include "policy_text.h"

/* The statements as libconfuse is to see them, allocated, lines kept; NULL where something was wrong (complaints says
 * what) or memory is short (complaints says so too). Each value and title comes out as a tagged string: "LINE.N:" and
 * the literal text. Values of one assignment have the same N, and no two assignments or blocks have. Every assignment
 * is written as `+=` (so repeats are all there), every block has a title (empty where none was given). */
char *policy_words_literal(const struct policy_source *source, struct complaints *complaints);

struct policy_word {
	unsigned line;
	unsigned assignment;
	const char *text; /* inside the tagged string */
};
struct policy_word policy_word_of(const char *tagged);

#endif

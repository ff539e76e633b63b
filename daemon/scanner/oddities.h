/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands in a message in such a way that libclamav passes over it without a word, while mail programs show it:
 * measured with libclamav 1.4.6 by tests/suite_tricks.py. Pure; the message is hostile.
 */
#ifndef MAILWARD_ODDITIES_H
#define MAILWARD_ODDITIES_H

#include <stdbool.h>
#include <stddef.h>

/* In a message, or a mailbox of several, that libclamav takes for one: the first of them in words, or NULL. *parts: of
 * the message that has most; what is no boundary, but might be one, counts where boundaries are odd. */
const char *message_left_out(const char *text, size_t size, unsigned *parts);

/* Does it begin with the head of a message in MIME? libclamav knows one by the names of its first headers, which its
 * sender may choose. *start: where the head begins. */
bool message_begins(const char *text, size_t size, size_t *start);

/* Does it begin so, with line ends that libclamav does not know, while mail programs do? */
bool message_has_cr_alone(const char *text, size_t size);

#endif

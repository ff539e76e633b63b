/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file of struct kept_verdict: a head, then the records one after the other, each preceded by its size: up to and
 * with the digest for a clean one, all of it for others. It is written under another name and renamed; a sum over all
 * of it tells a torn one, of which nothing is taken. It is taken only where it is a regular file of root's, 0600, with
 * one name, made by this version.
 */
#ifndef MAILWARD_VERDICT_FILE_H
#define MAILWARD_VERDICT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "kept.h"

#define VERDICT_FILE "verdicts"
#define VERDICT_FILE_MAX 65536u /* records */

/* Calls each() for every record that is sound in itself. Returns how many there were, or -errno (-ENOENT: there is no
 * file; -EPERM: it is not root's alone; -EBADMSG: it is torn or of another version). directory is borrowed. */
int verdict_file_load(int directory, void (*each)(void *owner, const struct kept_verdict *kept), void *owner);

/* Takes records from next() until it returns false, and puts them in the file's place. alive() is called now and then.
 * Returns how many, or -errno; then the old file is as it was. */
int verdict_file_save(int directory, bool (*next)(void *owner, struct kept_verdict *kept_out),
		      void (*alive)(void *owner), void *owner);

void verdict_file_remove(int directory);

#endif

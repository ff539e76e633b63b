/* SPDX-License-Identifier: GPL-2.0-only */
/* attach.c's own room: folders of the bpf file system. Nothing of attach_pins.c allocates. */
#ifndef MAILWARD_ATTACH_PINS_H
#define MAILWARD_ATTACH_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PINS_PATH_SIZE 256
#define PINS_NAME_SIZE 64

/* Opens HOOKS_DIR and takes its lock; waits up to a second for a keeper that is just ending. make: mounts a bpf file
 * system on /sys/fs/bpf where there is none, and makes the folder. A folder that somebody else put there is renamed out
 * of the way. Descriptor; -EBUSY: a live keeper has it; -ENOENT: there is none (make is false); or -errno, and said is
 * one sentence. */
int pins_home(bool make, char *said, size_t size);

/* Removes folder/name with all that lies in it. Returns how many pins (not folders) were removed. */
uint32_t pins_remove(int folder, const char *name);
/* All that lies in a folder but what has one of these names (NULL: none). Pins removed. */
uint32_t pins_clear(int folder, const char *but, const char *and_but);
/* Is there something in it of another name? */
bool pins_others(int folder, const char *than);

/* The first of stem0, stem1, ... that the folder does not have, into out (PINS_NAME_SIZE). */
void pins_free_name(int folder, const char *stem, char *out);

/* attach_release.c: other sets of pins go on to answer until attach_settle(); to them we are who we are, too (our
 * scanner reads what nobody has judged). Sets of a version whose labels look different do not learn it. */
void attach_label_others(const char *current);

#endif

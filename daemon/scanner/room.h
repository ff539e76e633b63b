/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is there room in memory for a second engine beside the one in use? Asked before new definitions are loaded, because
 * the scanner is what the kernel would end first where there is not, and then nobody judges.
 *
 * The estimate: what the engine in use takes for each byte of its files, times the bytes of the new files. Files that
 * are too small to measure by (below 1 MB in all) count 8 bytes for each, which is more than was seen (databases of
 * text 3 to 4, signed ones, which are compressed, 6 to 7); the measured factor is held between 1 and 16. To that come
 * an eighth and 32 MB, so that the others on the host are not driven out.
 */
#ifndef MAILWARD_ROOM_H
#define MAILWARD_ROOM_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that loading files of `bytes` takes. The engine in use takes `engine` bytes for files of `files`; 0, 0: none
 * is. */
uint64_t room_needed(uint64_t bytes, uint64_t files, uint64_t engine);

/* What can still be had: the kernel's MemAvailable, or what the nearest limit of our memory cgroup (version 2: each
 * memory.max up to the root; version 1: memory.limit_in_bytes) leaves, page cache that can be dropped counted as free.
 * proc and cgroup: "/proc", "/sys/fs/cgroup", or a test's own. UINT64_MAX: nobody can say. why_out: which of the two
 * it was. */
uint64_t room_available(const char *proc, const char *cgroup, const char **why_out);

uint64_t room_resident(void); /* bytes of ours in memory that no file stands behind; 0: nobody can say */

#endif

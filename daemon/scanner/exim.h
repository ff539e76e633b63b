/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exim's spool keeps the body of a message in a file of its own, NAME-D, whose first line is that name; the header,
 * which says how it is encoded, lies beside it in NAME-H, where a worker can't look. So a header is made up from what
 * the body shows: the boundary of a multipart, or that it is all base64. (Exim specification, "Format of spool files".)
 * Hostile.
 */
#ifndef MAILWARD_EXIM_H
#define MAILWARD_EXIM_H

#include <stdbool.h>
#include <stdint.h>

#include "unwrap.h"

/* Does the file begin as one of these does? */
bool exim_is_body(int fd);
/* Appends the header and the body to `out`. Both borrowed; UNWRAP_NO_QUEUE_FILE: it is none. */
enum unwrap_end exim_unwrap(int in, int out, uint64_t limit);

#endif

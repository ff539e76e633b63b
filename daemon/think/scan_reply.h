/* SPDX-License-Identifier: GPL-2.0-only */
/* Whatever a worker has parsed may own it: what it says is taken only where every field is within its range, and the
 * fields fit together. */
#ifndef MAILWARD_SCAN_REPLY_H
#define MAILWARD_SCAN_REPLY_H

#include <stdbool.h>

#include "wire.h"

/* Is this reply within what a worker may say? */
bool scan_reply_is_sound(const struct scan_reply *reply);

#endif

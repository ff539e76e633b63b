/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File systems whose calls may wait for somebody else without end (NFS, CIFS, FUSE, automounter points): known from
 * /proc/self/mountinfo, before they are touched. A sweep or a recheck that touched one would keep the steward, and with
 * it the quarantine, or the gate that is asked about its files, and with it everybody's mail.
 */
#ifndef MAILWARD_STEWARD_FAR_H
#define MAILWARD_STEWARD_FAR_H

#include <stdbool.h>
#include <stddef.h>

/* What this descriptor lies on, which may be O_PATH. type_out: of the file system, as mountinfo calls it. Where nobody
 * can say, it is none of these. */
bool far_descriptor(int fd, char *type_out, size_t size);
/* What this path without links leads to, or goes through. */
bool far_path(const char *path, char *type_out, size_t size);

#endif

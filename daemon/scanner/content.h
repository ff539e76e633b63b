/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One case in a worker: from a descriptor to a verdict. What Dovecot compressed is unpacked here where libclamav can't
 * (zstd, lz4), and the messages of a dbox file are looked at one by one, beside the file as a whole; all of it within
 * the limits of one scan. In the box; files are made in "/".
 */
#ifndef MAILWARD_CONTENT_H
#define MAILWARD_CONTENT_H

#include "engine.h"
#include "wire.h"

/* Fills in verdict, detail, queue_id, message_id and last of the reply. */
void content_scan(struct engine *engine, const struct scanner_settings *settings, int fd, struct scan_reply *reply);

/* A file of our own, without a name. -1: errno says why. */
int content_file(void);
void content_unscanned(struct scan_reply *reply, enum verdict_reason reason, const char *detail);

#endif

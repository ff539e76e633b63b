/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A verdict as it lies on the disk while the daemon is stopped (STATE/steward/verdicts, root's alone). It is of a
 * content, by its digest: after the start a file is read once more, by the hasher, and whoever changed it, whichever
 * way and whatever its times say, it is another content then.
 */
#ifndef MAILWARD_KEPT_H
#define MAILWARD_KEPT_H

#include "attachment.h"
#include "verdict.h"

struct kept_verdict {
	struct generation generation; /* handle, device, inode number count; the rest is told by the digest */
	uint64_t definitions;         /* identity of those it was made with; not 0 */
	uint64_t judged_ns;           /* CLOCK_REALTIME */
	uint8_t digest[32];           /* SHA-256 */
	struct verdict verdict;       /* one that lies in the content */
	/* Zero-terminated, printable ASCII; as in struct scan_reply. */
	char detail[160];
	char queue_id[32];
	char message_id[256];
};

#endif

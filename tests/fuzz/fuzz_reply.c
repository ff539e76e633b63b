// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/scan_reply.c
/* A worker that was taken over sends whatever it likes: what passes the check must be safe to print and to act on. */
#include <stdlib.h>
#include <string.h>

#include "scan_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scan_reply reply;

	memset(&reply, 0, sizeof(reply));
	memcpy(&reply, data, size < sizeof(reply) ? size : sizeof(reply));
	reply.version = WIRE_VERSION;
	if (!scan_reply_is_sound(&reply))
		return 0;
	if (reply.verdict.kind == VERDICT_NONE || reply.verdict.kind >= VERDICT_KINDS ||
	    reply.verdict.reason >= REASONS || strnlen(reply.verdict.signature, SIGNATURE_SIZE) == SIGNATURE_SIZE ||
	    (reply.verdict.kind == VERDICT_INFECTED) != (reply.verdict.signature[0] != 0) ||
	    (reply.verdict.kind == VERDICT_UNSCANNED && reply.verdict.reason == REASON_NONE) ||
	    (reply.verdict.kind == VERDICT_CLEAN && reply.verdict.reason != REASON_NONE) ||
	    (reply.verdict.kind == VERDICT_INFECTED && reply.verdict.reason && !reply.verdict.heuristics) ||
	    (reply.verdict.kind != VERDICT_INFECTED && reply.verdict.heuristics) ||
	    reply.verdict.heuristics >= 1 << HEURISTICS)
		abort();
	for (const char *at = reply.verdict.signature; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			abort();
	return 0;
}

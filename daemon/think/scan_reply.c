// SPDX-License-Identifier: GPL-2.0-only
#include "scan_reply.h"

#include <string.h>

static bool printable(const char *text, size_t size, bool spaces)
{
	size_t length = strnlen(text, size);

	if (length == size)
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] < (spaces ? 0x20 : 0x21) || text[i] > 0x7e)
			return false;
	return true;
}

/* Reasons that are a worker's to say. */
static bool reason_is_workers(uint8_t reason)
{
	return reason > REASON_NONE && reason < REASONS && reason != REASON_CRASHED &&
	       reason != REASON_NO_DEFINITIONS && reason != REASON_BUSY && reason != REASON_EXEC_NEVER;
}

/* Names are there only with an infection. */
static bool names_are_sound(const struct scan_reply *reply)
{
	if (reply->name_count == 0)
		return reply->names_more == 0 && reply->rest == REASON_NONE;
	if (reply->name_count > SCAN_NAMES || reply->names_more > 1 || reply->verdict.kind != VERDICT_INFECTED ||
	    (reply->rest != REASON_NONE && !reason_is_workers(reply->rest)))
		return false;
	for (uint32_t i = 0; i < reply->name_count; i++) {
		if (!printable(reply->names[i], sizeof(reply->names[i]), true) || reply->names[i][0] == 0 ||
		    reply->name_heuristics[i] >= 1 << HEURISTICS)
			return false;
	}
	return true;
}

bool scan_reply_is_sound(const struct scan_reply *reply)
{
	const struct verdict *verdict = &reply->verdict;

	if (reply->version != WIRE_VERSION || reply->last > 1 || verdict->heuristics >= 1 << HEURISTICS ||
	    !printable(verdict->signature, sizeof(verdict->signature), true) ||
	    !printable(reply->detail, sizeof(reply->detail), true) ||
	    !printable(reply->queue_id, sizeof(reply->queue_id), false) ||
	    !printable(reply->message_id, sizeof(reply->message_id), false) || !names_are_sound(reply))
		return false;
	if (verdict->kind == VERDICT_CLEAN)
		return verdict->reason == REASON_NONE && verdict->signature[0] == 0 && verdict->heuristics == 0;
	if (verdict->kind == VERDICT_INFECTED)
		return verdict->signature[0] != 0 &&
		       (verdict->reason == REASON_NONE || (verdict->heuristics && reason_is_workers(verdict->reason)));
	return verdict->kind == VERDICT_UNSCANNED && verdict->signature[0] == 0 && verdict->heuristics == 0 &&
	       reason_is_workers(verdict->reason);
}

// SPDX-License-Identifier: GPL-2.0-only
/* What people are to be told of: the steward collects it and has it mailed (steward_notify.c). What is moved away it
 * knows by itself. Nobody waits for this; where it cannot be said now it is not said, and stands in the history. */
#include <string.h>

#include "frame.h"
#include "gate_state.h"

void noticing_found(struct gate *gate, const struct file_case *file_case, const struct finding *finding)
{
	struct policy_decision decision;
	struct steward_request request = {.version = WIRE_VERSION, .kind = STEWARD_FOUND};

	if (!gate->policy->notify.on || gate->steward < 0 || file_case->watch == WATCH_NONE ||
	    finding->verdict.kind != VERDICT_INFECTED ||
	    strncmp(finding->verdict.signature, CANARY_NAME, sizeof(CANARY_NAME) - 1) == 0)
		return;
	allowing_decide(gate, file_case->watch, finding, &decision);
	if (decision.answer != ANSWER_DENY || decision.quarantine || decision.empty)
		return;
	request.case_id = file_case->id;
	request.watch = file_case->watch;
	request.result = decision.would;
	request.generation = file_case->generation;
	request.verdict = finding->verdict;
	request.definitions = finding->definitions;
	request.judged_ns = finding->judged_ns;
	request.which = decision.which;
	request.has_digest = file_case->has_digest;
	memcpy(request.digest, file_case->digest, sizeof(request.digest));
	memcpy(request.detail, finding->detail, sizeof(request.detail));
	memcpy(request.queue_id, finding->queue_id, sizeof(request.queue_id));
	memcpy(request.message_id, finding->message_id, sizeof(request.message_id));
	frame_send(gate->steward, &request, sizeof(request), file_case->fd);
}

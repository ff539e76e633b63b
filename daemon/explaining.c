// SPDX-License-Identifier: GPL-2.0-only
/* What an open of a file would get now, and why; asked by the recorder, which asks for the tool. Nothing is read,
 * scanned or changed for it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "gate_state.h"

static void explain_known(const struct gate *gate, const struct finding *known, struct explain_reply *reply,
			  struct policy_place *place)
{
	struct policy_decision decision;

	reply->state = EXPLAIN_KNOWN;
	reply->verdict = known->verdict;
	reply->judged_ns = known->judged_ns;
	memcpy(reply->detail, known->detail, sizeof(reply->detail));
	reply->allowed = known->allowed;
	/* The definitions' identity has in it who is asked. */
	reply->levels = known->definitions == gate->definitions ? gate->levels : 0;
	allowing_decide(gate, reply->watch, known, &decision);
	reply->answer = decision.would && !decision.empty ? ANSWER_ALLOW : (uint32_t)decision.answer;
	*place = decision.place;
}

/* In a watch with origin = mail: who wrote it? The mark on the disk cannot be read by the descriptor that we get here,
 * so a file that the kernel side does not know may be either. */
static enum explain_origin explain_origin(const struct policy_watch *watch, const struct look *look)
{
	if (!watch->origin_mail)
		return EXPLAIN_ORIGIN_ANY;
	if ((look->in_kernel && look->kernel.origin & HOOK_ORIGIN_MAIL) || look->present.origin & HOOK_ORIGIN_MAIL)
		return EXPLAIN_ORIGIN_MAIL;
	return EXPLAIN_ORIGIN_UNKNOWN;
}

static void explain_exec(const struct gate *gate, const struct policy_watch *watch,
			 const struct policy_place *opened_by, struct explain_reply *reply)
{
	struct policy_place said_by = *opened_by;

	reply->exec_answer = reply->answer;
	if (watch->exec_never && watch->mode == MODE_ENFORCE && store_may_hold((enum store)watch->store)) {
		reply->exec_answer = ANSWER_DENY;
		said_by = watch->exec_place;
	}
	policy_place_text(gate->policy, said_by, reply->exec_policy, sizeof(reply->exec_policy));
}

/* false: the file is none of ours. */
static bool explain_place(struct gate *gate, int fd, const struct look *look, struct place *place)
{
	switch (knowing_place(gate, fd, look, place)) {
	case WHERE_OUTSIDE:
	case WHERE_OUTSIDE_LINKED:
		return false;
	case WHERE_INSIDE:
	case WHERE_UNSURE:
		break;
	}
	return true;
}

static void explain(struct gate *gate, int fd, struct explain_reply *reply)
{
	struct policy_place said_by;
	const struct finding *known;
	struct look look;
	struct place place;

	reply->watch = UINT32_MAX;
	reply->answer = ANSWER_ALLOW;
	if (!gate->policy || knowing_look(gate, fd, &look) < 0 || !explain_place(gate, fd, &look, &place))
		return;
	const struct policy_watch *watch = &gate->policy->watches[place.watch];
	said_by = watch->place;
	reply->watch = place.watch;
	snprintf(reply->watch_path, sizeof(reply->watch_path), "%.1023s", watch->path);
	reply->origin = (uint8_t)explain_origin(watch, &look);
	known = knowing_finding(gate, &look, place.watch, now_ns());
	if (known)
		explain_known(gate, known, reply, &said_by);
	else
		reply->state = cases_find(gate->cases, &look.sight.generation) ? EXPLAIN_JUDGING : EXPLAIN_UNKNOWN;
	bool unheld = watch->mode != MODE_ENFORCE || !store_may_hold((enum store)watch->store);
	if (!look.sight.regular || place.unheld || look.sight.generation.size == 0 || (unheld && !known)) {
		reply->state = EXPLAIN_UNHELD;
		reply->answer = ANSWER_ALLOW;
	} else if (!known) {
		reply->answer = ANSWER_NONE;
	}
	policy_place_text(gate->policy, said_by, reply->policy, sizeof(reply->policy));
	if (look.sight.regular && look.sight.generation.size > 0)
		explain_exec(gate, watch, &said_by, reply);
}

void explaining_answer(struct gate *gate)
{
	struct explain_request request;
	int fd = -1, result = frame_receive(gate->recorder, &request, sizeof(request), &fd);

	if (result == -EAGAIN)
		return;
	if (result == 0 && request.version == WIRE_VERSION && fd >= 0) {
		struct explain_reply reply = {.version = WIRE_VERSION, .id = request.id};
		explain(gate, fd, &reply);
		frame_send(gate->recorder, &reply, sizeof(reply), -1);
	} else if (result < 0 && result != -EBADMSG) {
		loop_remove(&gate->loop, &gate->on_recorder);
		close(gate->recorder);
		gate->recorder = -1;
	}
	if (fd >= 0)
		close(fd);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that nobody waits for: the steward has them judged, for a sweep or because there are new definitions. It gets
 * what is known at once; else its file is a case like any other, of a rank that comes after all others.
 */
#include <errno.h>
#include <string.h>

#include "frame.h"
#include "gate_state.h"

/* What was done about it, or is done with each open. */
static void tell_action(const struct gate *gate, uint32_t watch, const struct finding *finding,
			struct steward_request *frame)
{
	struct policy_decision decision;

	allowing_decide(gate, watch, finding, &decision);
	if (gate->telling_of && gate->telling_of->moved)
		frame->action = SWEEP_MOVED;
	else if (decision.would || decision.answer != ANSWER_DENY)
		frame->action = SWEEP_REPORTED;
	else
		frame->action = decision.quarantine ? SWEEP_NOT_MOVED : SWEEP_DENIED;
	frame->which = decision.which;
	if (decision.place.line)
		policy_place_text(gate->policy, decision.place, frame->policy, sizeof(frame->policy));
}

/* finding NULL: there is none, result says why. */
static void tell(struct gate *gate, uint64_t id, uint32_t watch, const struct generation *generation,
		 const struct finding *finding, const uint8_t digest[32], int result)
{
	struct steward_request frame = {.version = WIRE_VERSION,
					.kind = STEWARD_FINDING,
					.case_id = id,
					.watch = watch,
					.result = result,
					.has_digest = digest != NULL};

	if (gate->steward < 0)
		return;
	if (generation)
		frame.generation = *generation;
	if (digest)
		memcpy(frame.digest, digest, sizeof(frame.digest));
	if (finding && watch != WATCH_NONE)
		tell_action(gate, watch, finding, &frame);
	if (finding) {
		frame.verdict = finding->verdict;
		frame.definitions = finding->definitions;
		frame.judged_ns = finding->judged_ns;
		frame.allowed = finding->allowed;
		memcpy(frame.detail, finding->detail, sizeof(frame.detail));
		memcpy(frame.queue_id, finding->queue_id, sizeof(frame.queue_id));
		memcpy(frame.message_id, finding->message_id, sizeof(frame.message_id));
	}
	frame_send(gate->steward, &frame, sizeof(frame), -1); /* one that does not read asks again */
}

/* In a watch with origin = mail: sure to be none of its attachments? */
static bool is_none_of_mail(const struct gate *gate, int fd, const struct look *look, const struct policy_watch *watch)
{
	if (!watch->origin_mail)
		return false;
	switch (knowing_origin(gate, fd, look)) {
	case ORIGIN_SAID_MAIL:
	case ORIGIN_SAID_ERROR:
		break;
	case ORIGIN_SAID_NOTHING:
	case ORIGIN_SAID_NEVER:
		return true;
	}
	return false;
}

/* Which watch judges it. 0; -ENOENT: none does, or it is none of its mails (a control file, one that users wrote). A
 * sweep looks at these too: no watch does anything about them. */
static int find_watch(struct gate *gate, int fd, const struct look *look, enum rank rank, uint32_t *watch_out)
{
	struct place place = {0};
	enum where where = knowing_place(gate, fd, look, &place);
	bool none = where == WHERE_OUTSIDE || where == WHERE_OUTSIDE_LINKED || place.unheld ||
		    is_none_of_mail(gate, fd, look, &gate->policy->watches[place.watch]);

	*watch_out = none ? WATCH_NONE : place.watch;
	return none && rank != RANK_SWEEP ? -ENOENT : 0;
}

/* It was known to be what the policy moves away, and lies there still: under a policy that did not, or because the
 * steward could not. */
static struct file_case *move(struct gate *gate, int fd, const struct look *look, uint32_t watch, enum rank rank,
			      const struct finding *known, bool *kept_out)
{
	const struct generation *generation = &look->sight.generation;
	struct finding copy = *known;
	struct file_case *file_case = cases_find(gate->cases, generation);
	uint64_t now = now_ns();

	if (file_case || !asking_wanted(gate, watch, known))
		return file_case && file_case->state == CASE_PARTING ? file_case : NULL;
	file_case = cases_begin(gate->cases, generation, fd, watch, now, now, rank);
	if (!file_case)
		return NULL;
	file_case->has_digest = memory_digest(gate->memory, generation, file_case->digest);
	*kept_out = asking_begin(gate, file_case, &copy, true);
	if (*kept_out)
		return file_case;
	cases_end(gate->cases, file_case);
	return NULL;
}

/* A case for it, begun or joined; known: what is known of it, or NULL. *kept_out: the descriptor is the case's. 0 or
 * -errno; -EALREADY: what is known is all. */
static int begin(struct gate *gate, int fd, const struct look *look, uint32_t watch, uint64_t id, enum rank rank,
		 const struct finding *known, bool anew, bool *kept_out)
{
	struct file_case *file_case;
	uint32_t at = 0;

	while (at < BEHIND_MAX && gate->behind[at].case_id)
		at++;
	if (at == BEHIND_MAX)
		return -EBUSY;
	if (known && !anew)
		file_case = move(gate, fd, look, watch, rank, known, kept_out);
	else
		file_case = judging_case(gate, fd, &look->sight, watch, rank, now_ns(), kept_out);
	if (!file_case)
		return known && !anew ? -EALREADY : -EBUSY;
	file_case->anew |= anew && *kept_out;
	gate->behind[at] = (struct behind){.id = id, .case_id = file_case->id};
	gate->behind_count++;
	return 0;
}

static void take(struct gate *gate, int fd, uint64_t id, enum rank rank, bool anew, bool *kept_out)
{
	static const struct finding empty = {.verdict.kind = VERDICT_CLEAN};
	static const struct finding unable = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = REASON_NO_DEFINITIONS}};
	const struct finding *known = NULL;
	uint32_t watch = WATCH_NONE;
	struct look look;
	int result;

	if (!gate->policy || knowing_look(gate, fd, &look) < 0 || !look.sight.regular) {
		tell(gate, id, watch, NULL, NULL, NULL, gate->policy ? -EINVAL : -EAGAIN);
		return;
	}
	result = find_watch(gate, fd, &look, rank, &watch);
	if (result == 0 && look.sight.generation.size == 0)
		known = &empty;
	else if (result == 0 && gate->no_definitions)
		known = &unable;
	if (result == 0 && !known) {
		known = knowing_finding(gate, &look, watch, now_ns());
		result = begin(gate, fd, &look, watch, id, rank, known, anew, kept_out);
		if (result == 0)
			return;
		known = result == -EALREADY ? known : NULL;
	}
	tell(gate, id, watch, &look.sight.generation, known, NULL, known ? 0 : result);
}

void behind_take(struct gate *gate, int fd, uint64_t id, uint32_t rank)
{
	bool kept = false, anew = rank & STEWARD_SCAN_ANEW;

	rank &= ~STEWARD_SCAN_ANEW;
	if (!accesses_adopt(gate->accesses)) {
		tell(gate, id, WATCH_NONE, NULL, NULL, NULL, -EBUSY);
		accesses_close(gate->accesses, fd);
		return;
	}
	take(gate, fd, id, rank == RANK_RECHECK ? RANK_RECHECK : RANK_SWEEP, anew, &kept);
	if (!kept)
		accesses_close(gate->accesses, fd);
}

void behind_finished(struct gate *gate, const struct file_case *file_case, const struct finding *finding)
{
	for (uint32_t i = 0; gate->behind_count && i < BEHIND_MAX; i++) {
		if (gate->behind[i].case_id != file_case->id)
			continue;
		count(&gate->status->behind);
		tell(gate, gate->behind[i].id, file_case->watch, &file_case->generation, finding,
		     file_case->has_digest ? file_case->digest : NULL, finding ? 0 : -EAGAIN);
		gate->behind[i].case_id = 0;
		gate->behind_count--;
	}
}

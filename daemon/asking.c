// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steward: what it is asked for, and what it says. A file that is to be moved away goes through here: its case
 * stays (CASE_PARTING) with everybody who waits for it until the steward has replied; whoever's deadline comes first is
 * denied then. Where the steward can't be asked the answer is the same, and the next open asks again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "gate_state.h"

#define QUEUE_PATIENCE_NS 2000000000ull

static struct parting *parting_of(struct gate *gate, uint64_t case_id)
{
	for (uint32_t i = 0; i < PARTINGS_MAX; i++)
		if (gate->partings[i].case_id == case_id)
			return &gate->partings[i];
	return NULL;
}

const struct parting *asking_parting(struct gate *gate, const struct file_case *file_case)
{
	return file_case && file_case->state == CASE_PARTING ? parting_of(gate, file_case->id) : NULL;
}

/* Does the verdict lie in the content? A file is not moved because we were busy, had no definitions, or could not read
 * it just now. */
static bool lies_in_content(const struct verdict *verdict)
{
	if (verdict->kind == VERDICT_INFECTED)
		return true;
	switch ((enum verdict_reason)verdict->reason) {
	case REASON_TOO_LARGE:
	case REASON_TOO_DEEP:
	case REASON_ENCRYPTED:
	case REASON_UNSUPPORTED:
	case REASON_ENGINE_ERROR:
	case REASON_CRASHED:
		return verdict->kind == VERDICT_UNSCANNED;
	case REASON_NONE:
	case REASON_TIMEOUT:
	case REASON_IO_ERROR:
	case REASON_NO_DEFINITIONS:
	case REASON_BUSY:
	case REASON_EXEC_NEVER:
	case REASONS:
		break;
	}
	return false;
}

bool asking_wanted(const struct gate *gate, uint32_t watch, const struct finding *finding)
{
	struct policy_decision decision;

	/* A canary is its maker's to take away. */
	if (gate->steward < 0 || watch == WATCH_NONE || !lies_in_content(&finding->verdict) ||
	    strncmp(finding->verdict.signature, CANARY_NAME, sizeof(CANARY_NAME) - 1) == 0)
		return false;
	allowing_decide(gate, watch, finding, &decision);
	return decision.empty || (decision.quarantine && !decision.would && decision.answer == ANSWER_DENY);
}

bool asking_has_room(const struct gate *gate)
{
	uint32_t asked = 0;

	for (uint32_t i = 0; i < PARTINGS_MAX; i++)
		asked += gate->partings[i].case_id != 0;
	return asked < PARTINGS_ASIDE;
}

/* Out of a queue: a copy is kept in any case. Who waits has been let in as far as the kernel side is concerned, and
 * must find it empty; where nobody does, and the kernel side says from now on that it is not there, it stays whole. */
static enum steward_request_kind kind_of(const struct gate *gate, const struct file_case *file_case,
					 const struct policy_decision *decision, bool keep)
{
	if (!decision->empty)
		return STEWARD_QUARANTINE;
	return keep && file_case->first == NO_SLOT && kernel_memory_full(gate->kernel) && file_case->generation.counted
		       ? STEWARD_COPY
		       : STEWARD_EMPTY;
}

/* Does an agent that delivers into this watch ask? */
static bool agent_asks(const struct gate *gate, const struct access *access, uint32_t watch)
{
	enum store store = (enum store)gate->policy->watches[watch].store;
	struct opener opener;

	if (store != STORE_MAILDIR && store != STORE_SDBOX)
		return false;
	opener_identify(FD_PROC, access->pid, &opener);
	return store_is_delivery(store, opener.exe, opener.exe_size);
}

static enum steward_delivery delivery_of(const struct gate *gate, const struct file_case *file_case,
					 const struct access *asking)
{
	const struct access *one = asking;

	if (!one && file_case->first == NO_SLOT)
		return DELIVERY_PERHAPS;
	if (!one && file_case->first == file_case->last)
		one = &gate->waiting[file_case->first].access;
	return one && agent_asks(gate, one, file_case->watch) ? DELIVERY_WAITS : DELIVERY_OVER;
}

/* asking: who will wait, and does not yet. */
static bool send_request(struct gate *gate, const struct file_case *file_case, const struct parting *parting,
			 const struct access *asking)
{
	const struct finding *finding = &parting->finding;
	struct steward_request request = {.version = WIRE_VERSION,
					  .kind = STEWARD_QUARANTINE,
					  .case_id = file_case->id,
					  .watch = file_case->watch,
					  .generation = file_case->generation,
					  .verdict = finding->verdict,
					  .definitions = finding->definitions,
					  .judged_ns = finding->judged_ns,
					  .has_digest = file_case->has_digest};
	struct policy_decision decision;

	allowing_decide(gate, file_case->watch, finding, &decision);
	request.kind = kind_of(gate, file_case, &decision, parting->keep);
	if (request.kind == STEWARD_QUARANTINE)
		request.delivery = delivery_of(gate, file_case, asking);
	else
		request.queued = parting->path_size &&
				 store_is_queued(gate->policy->watches[file_case->watch].path, parting->path);
	request.which = decision.which;
	policy_place_text(gate->policy, decision.place, request.policy, sizeof(request.policy));
	memcpy(request.digest, file_case->digest, sizeof(request.digest));
	memcpy(request.detail, finding->detail, sizeof(request.detail));
	memcpy(request.queue_id, finding->queue_id, sizeof(request.queue_id));
	memcpy(request.message_id, finding->message_id, sizeof(request.message_id));
	return frame_send(gate->steward, &request, sizeof(request), file_case->fd) == 0;
}

static bool begin(struct gate *gate, struct file_case *file_case, const struct finding *finding, bool keep,
		  const struct access *asking)
{
	struct parting *parting = parting_of(gate, 0);

	if (!parting || !asking_wanted(gate, file_case->watch, finding))
		return false;
	parting->finding = *finding;
	parting->moved = parting->final = false;
	parting->keep = keep;
	/* Its name is another one as soon as it is moved. */
	parting->path_size = telling_name(gate, file_case->fd, parting->path, sizeof(parting->path) - 1);
	parting->path[parting->path_size] = 0;
	/* The kernel side first: its other names are refused by the verdict from now on. */
	knowing_tell_kernel(gate, file_case->fd, file_case->watch, finding,
			    (struct basis){.judged = &file_case->generation, .keep = keep});
	if (!send_request(gate, file_case, parting, asking))
		return false;
	parting->case_id = file_case->id;
	cases_start(gate->cases, file_case, CASE_PARTING, now_ns());
	return true;
}

bool asking_begin(struct gate *gate, struct file_case *file_case, const struct finding *finding, bool keep)
{
	return begin(gate, file_case, finding, keep, NULL);
}

enum answer asking_answer(const struct policy_watch *watch)
{
	return store_may_hold((enum store)watch->store) ? ANSWER_DENY : ANSWER_ALLOW;
}

/* The keeper denies it should we end now, whatever on-down says: its verdict is known. */
static void join(struct gate *gate, struct file_case *file_case, struct waiting *waiting, uint64_t now)
{
	uint32_t slot = (uint32_t)waiting->access.fd;

	const struct policy_watch *watch = &gate->policy->watches[waiting->watch];
	uint64_t patience = watch->deadline_ns;

	accesses_note(gate->accesses, &waiting->access, asking_answer(watch), waiting->watch);
	/* qmgr may be among them. */
	if (!store_may_hold((enum store)watch->store) && patience > QUEUE_PATIENCE_NS)
		patience = QUEUE_PATIENCE_NS;
	waiting->case_id = file_case->id;
	count_waiting(gate, 1);
	gate->waiting[slot] = *waiting;
	cases_join(gate->cases, file_case, slot, now + patience);
}

bool asking_known(struct gate *gate, struct waiting *waiting, const struct finding *known, const struct look *look,
		  uint64_t now)
{
	const struct generation *generation = &look->sight.generation;
	struct file_case *found;

	if (!waiting->held || (uint32_t)waiting->access.fd >= SLOTS_MAX || !accesses_room(gate->accesses) ||
	    !asking_wanted(gate, waiting->watch, known))
		return false;
	found = cases_find(gate->cases, generation);
	if (!found) {
		found = cases_begin(gate->cases, generation, waiting->access.fd, waiting->watch, now, now, RANK_READER);
		if (!found)
			return false;
		found->has_digest = memory_digest(gate->memory, generation, found->digest);
		if (!begin(gate, found, known, true, &waiting->access)) {
			cases_end(gate->cases, found);
			return false;
		}
		waiting->case_owns = true;
	} else if (found->state != CASE_PARTING || agent_asks(gate, &waiting->access, waiting->watch)) {
		return false; /* an agent that waited for it to be moved could not go on with it then */
	}
	join(gate, found, waiting, now);
	return true;
}

static void settle(struct gate *gate, struct parting *parting)
{
	struct file_case *file_case = cases_by_id(gate->cases, parting->case_id);

	if (file_case && file_case->state == CASE_PARTING) {
		gate->telling_of = parting;
		judging_settle(gate, file_case, &parting->finding, parting->keep, PHASE_SCAN);
		gate->telling_of = NULL;
	}
	parting->case_id = 0;
}

/* What became of it goes into the record. */
static void note_detail(struct parting *parting, const char *what)
{
	char detail[2 * sizeof(parting->finding.detail)];

	snprintf(detail, sizeof(detail), "%.159s%s%.150s", what, parting->finding.detail[0] ? "; " : "",
		 parting->finding.detail);
	memcpy(parting->finding.detail, detail, sizeof(parting->finding.detail) - 1);
	parting->finding.detail[sizeof(parting->finding.detail) - 1] = 0;
}

static void reply_text(struct gate *gate, const struct parting *parting, const struct steward_reply *reply, char *out,
		       size_t size)
{
	const struct file_case *file_case = cases_by_id(gate->cases, parting->case_id);
	bool moves = !file_case || file_case->watch == WATCH_NONE ||
		     store_may_hold((enum store)gate->policy->watches[file_case->watch].store);
	const char *why = strerrordesc_np(-reply->result);

	if (reply->result == 0 && !moves)
		snprintf(out, size, "taken out of the queue, kept in the quarantine as %s", reply->id);
	else if (reply->result == 0)
		snprintf(out, size, "moved to the quarantine as %s (%u of %u names)", reply->id, reply->moved,
			 reply->links);
	else if (reply->result == -EALREADY)
		snprintf(out, size, "not moved again: it was restored from the quarantine");
	else if (reply->result == -EINPROGRESS)
		snprintf(out, size, "moved to the quarantine as soon as its delivery is over");
	else
		snprintf(out, size, "%s: %s", moves ? "not moved to the quarantine" : "left in the queue",
			 why ? why : "no reason");
}

static void take_reply(struct gate *gate, struct steward_reply *reply)
{
	struct parting *parting = reply->case_id ? parting_of(gate, reply->case_id) : NULL;
	char what[160];

	if (!parting)
		return;
	reply->id[sizeof(reply->id) - 1] = 0;
	parting->final = reply->result == 0 || reply->result == -EALREADY;
	parting->moved = reply->result == 0 || reply->result == -EINPROGRESS;
	reply_text(gate, parting, reply, what, sizeof(what));
	note_detail(parting, what);
	settle(gate, parting);
}

static void steward_gone(struct gate *gate)
{
	if (gate->steward < 0)
		return;
	loop_remove(&gate->loop, &gate->on_steward);
	close(gate->steward);
	gate->steward = -1;
	for (uint32_t i = 0; i < PARTINGS_MAX; i++) {
		if (gate->partings[i].case_id == 0)
			continue;
		note_detail(&gate->partings[i], "not moved to the quarantine: the steward has ended");
		settle(gate, &gate->partings[i]);
	}
}

void asking_peer(struct gate *gate, int fd)
{
	steward_gone(gate);
	gate->steward = fd;
	loop_add(&gate->loop, &gate->on_steward, fd, EPOLLIN);
}

void asking_hear(struct gate *gate)
{
	struct steward_reply reply;
	int fd = -1, result = frame_receive(gate->steward, &reply, sizeof(reply), &fd);

	if (result == -EAGAIN)
		return;
	if (result == 0 && reply.version == WIRE_VERSION && reply.kind == STEWARD_DONE)
		take_reply(gate, &reply);
	if (result == 0 && reply.version == WIRE_VERSION && reply.kind == STEWARD_SCAN && fd >= 0) {
		behind_take(gate, fd, reply.case_id, reply.rank);
		return;
	}
	if (result == 0 && reply.version == WIRE_VERSION && reply.kind == STEWARD_PLACE && fd >= 0) {
		knowing_set_apart(gate, fd, reply.moved == 0);
		return;
	}
	if (result < 0 && result != -EBADMSG)
		steward_gone(gate);
	if (fd >= 0)
		close(fd);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the first question about a generation to the answer for all who wait. A verdict counts for later opens only if
 * nobody could write from before the first byte was read until after the last one:
 *
 *   - the change time is older than the clock's tick before we start (else the case ripens first), so that any change
 *     moves it; in full mode the kernel side counts the opens for writing and the writes instead;
 *   - nobody has the file open for writing or mapped writable, before and after (a read lease taken and given back);
 *   - the generation is the same before and after. Where only the change time moved and no writer closed the file in
 *     between (a rename does that), the digest is taken again and must be the one from before the scan.
 */
#include <stdio.h>
#include <string.h>

#include "gate_state.h"

#define SECOND 1000000000ull
#define ROUNDS_QUICK 4  /* after that a case waits a little before each new start */
#define ROUNDS_BEHIND 8 /* after that nobody's file is left alone */

struct file_case *judging_case(struct gate *gate, int fd, const struct sight *sight, uint32_t watch, enum rank rank,
			       uint64_t now, bool *begun_out)
{
	struct file_case *found = cases_find(gate->cases, &sight->generation);

	*begun_out = false;
	if (found) {
		cases_raise(gate->cases, found, rank);
		return found;
	}
	found = cases_begin(gate->cases, &sight->generation, fd, watch, now, now + memory_unsettled_ns(sight), rank);
	*begun_out = found != NULL;
	return found;
}

static void give_back_pending(struct gate *gate, struct file_case *file_case)
{
	if (file_case->confirming)
		gate->pending_free[gate->pending_free_count++] = file_case->pending;
	file_case->confirming = false;
}

/* No waiter is left, or none ever was: the descriptor goes, and the case with it. */
static void end(struct gate *gate, struct file_case *file_case)
{
	give_back_pending(gate, file_case);
	behind_finished(gate, file_case, NULL);
	accesses_close(gate->accesses, file_case->fd);
	cases_end(gate->cases, file_case);
}

/* Nobody opened it, and yet it is to be told: a scan after a write, in a watch that never denies; mail that turns out
 * infected after it was let in. */
static void tell_unasked(struct gate *gate, const struct file_case *file_case, const struct finding *finding,
			 uint64_t now)
{
	const struct policy_watch *watch = &gate->policy->watches[file_case->watch];
	struct waiting nobody = {
		.access = {.fd = file_case->fd}, .watch = file_case->watch, .since_ns = now, .case_owns = true};

	bool behind = rank_is_background((enum rank)file_case->rank);
	bool moved = gate->telling_of && gate->telling_of->moved;
	enum record_phase phase = !behind ? PHASE_CLOSE : file_case->rank == RANK_RECHECK ? PHASE_RECHECK : PHASE_SWEEP;

	if (!moved && (finding->verdict.kind != VERDICT_INFECTED || watch->mode == MODE_OFF ||
		       !(behind || watch->mode == MODE_OBSERVE || !store_may_hold((enum store)watch->store))))
		return;
	if (phase == PHASE_RECHECK)
		count(&gate->status->rechecked_bad);
	door_settle(gate, &nobody, finding, (struct basis){0}, phase, now);
}

/* A sweep found it where no watch is: nobody denies it. */
static void tell_outside(struct gate *gate, const struct file_case *file_case, const struct finding *finding,
			 uint64_t now)
{
	static const struct policy_decision decision = {.answer = ANSWER_DENY, .would = true, .which = CASE_INFECTED};
	static const struct opener nobody = {.uid = UINT32_MAX};
	struct waiting waiting = {.access = {.fd = file_case->fd}, .watch = WATCH_NONE, .since_ns = now};

	if (finding->verdict.kind == VERDICT_INFECTED && !finding->allowed)
		telling_record(gate, &waiting, finding, &decision, &nobody, PHASE_SWEEP);
}

void judging_policy_changed(struct gate *gate, const uint32_t map[WATCHES_MAX])
{
	struct file_case *each;
	uint32_t at = 0;

	while ((each = cases_each(gate->cases, &at))) {
		if (each->watch == WATCH_NONE)
			continue;
		each->watch = map[each->watch];
		if (each->watch == UINT32_MAX)
			end(gate, each); /* its waiters went on */
	}
}

void judging_settle(struct gate *gate, struct file_case *file_case, const struct finding *finding, bool keep,
		    enum record_phase phase)
{
	uint64_t now = now_ns();
	uint32_t slot;

	struct basis basis = {.judged = &file_case->generation, .keep = keep};
	behind_finished(gate, file_case, finding);
	if (file_case->first == NO_SLOT && file_case->watch != WATCH_NONE) {
		knowing_tell_kernel(gate, file_case->fd, file_case->watch, finding, basis);
		tell_unasked(gate, file_case, finding, now);
	}
	if (file_case->first == NO_SLOT && file_case->watch == WATCH_NONE)
		tell_outside(gate, file_case, finding, now);
	while ((slot = cases_leave(gate->cases, file_case)) != NO_SLOT) {
		struct waiting *waiting = &gate->waiting[slot];
		if (waiting->held)
			count_waiting(gate, -1);
		door_settle(gate, waiting, finding, basis, phase, now);
	}
	end(gate, file_case);
}

static void finish(struct gate *gate, struct file_case *file_case, const struct finding *said, bool keep,
		   enum record_phase phase)
{
	const uint8_t *digest = file_case->has_digest ? file_case->digest : NULL;
	struct finding judged = *said;

	allowing_finish(gate, digest, &judged);
	if (keep)
		memory_keep(gate->memory, &file_case->generation, &judged, digest, now_ns());
	noticing_found(gate, file_case, &judged);
	if (!asking_begin(gate, file_case, &judged, keep))
		judging_settle(gate, file_case, &judged, keep, phase);
}

static void finish_unscanned(struct gate *gate, struct file_case *file_case, enum verdict_reason reason, bool keep)
{
	struct finding finding = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = (uint8_t)reason},
				  .definitions = gate->definitions,
				  .judged_ns = wall_ns()};

	finish(gate, file_case, &finding, keep, PHASE_SCAN);
}

/* Nobody waits for it. Is there another case for what the file is now, or does it change again and again, and come back
 * by its writer's next close, or by the next sweep? That a writer has closed it is not enough: news of the very close
 * that this case began with may come after it. */
static bool may_be_given_up(struct gate *gate, const struct file_case *file_case, const struct sight *sight)
{
	struct file_case *other = cases_find(gate->cases, &sight->generation);

	if (other && other != file_case) {
		cases_raise(gate->cases, other, cases_rank(file_case));
		return true;
	}
	return file_case->rounds >= ROUNDS_BEHIND &&
	       (file_case->touched || rank_is_background((enum rank)file_case->rank));
}

/* Begins anew with what the file is now. */
static void again(struct gate *gate, struct file_case *file_case, const struct sight *sight)
{
	uint64_t now = now_ns(), ripe = now + memory_unsettled_ns(sight);

	give_back_pending(gate, file_case);
	if (file_case->first == NO_SLOT && may_be_given_up(gate, file_case, sight)) {
		end(gate, file_case);
		return;
	}
	if (file_case->rounds >= ROUNDS_QUICK && ripe < now + 20000000)
		ripe = now + 20000000;
	file_case->hashed = file_case->has_digest = false;
	cases_again(gate->cases, file_case, &sight->generation, now, ripe);
}

static bool same(const struct file_case *file_case, const struct sight *sight)
{
	return generation_same(&file_case->generation, &sight->generation);
}

/* A lease proves nothing on an overlay, and would fail the writers of some stores (these are never denied). */
static bool may_be_written(const struct gate *gate, const struct file_case *file_case)
{
	if (scope_is_overlay(file_case->fd))
		return true;
	if (file_case->watch != WATCH_NONE &&
	    store_forbids_lease((enum store)gate->policy->watches[file_case->watch].store))
		return false;
	return !memory_no_writer(file_case->fd);
}

/* Looks at the file before the first byte is read. false: the case went elsewhere. */
static bool prepare(struct gate *gate, struct file_case *file_case)
{
	struct look look;

	if (file_case->confirming)
		return true;
	if (knowing_look(gate, file_case->fd, &look) < 0) {
		finish_unscanned(gate, file_case, REASON_IO_ERROR, false);
		return false;
	}
	if (!same(file_case, &look.sight) || (memory_unsettled_ns(&look.sight) && file_case->rounds < ROUNDS_QUICK)) {
		again(gate, file_case, &look.sight);
		return false;
	}
	file_case->unsettled = !look.sight.settled;
	file_case->touched = false;
	file_case->writer = may_be_written(gate, file_case);
	return true;
}

static void start_scan(struct gate *gate, struct file_case *file_case, uint64_t now)
{
	enum framing framing = FRAMING_NONE;

	bool background = rank_is_background(cases_rank(file_case));

	if (file_case->watch != WATCH_NONE && gate->policy->watches[file_case->watch].store == STORE_POSTFIX_QUEUE)
		framing = FRAMING_POSTFIX_QUEUE;

	if (!workers_scan(gate->workers, file_case->id, framing, file_case->fd, background, now))
		return;
	cases_start(gate->cases, file_case, CASE_SCANNING, now);
}

/* To the hasher, where there is one; else the scan goes ahead without a digest. */
static void start_hash(struct gate *gate, struct file_case *file_case, uint64_t now)
{
	if (file_case->generation.size <= gate->policy->scanner.max_file_size &&
	    workers_hash(gate->workers, file_case->id, file_case->fd, rank_is_background(cases_rank(file_case)), now)) {
		cases_start(gate->cases, file_case, CASE_HASHING, now);
		return;
	}
	if (file_case->confirming) { /* can't be confirmed: judged anew */
		give_back_pending(gate, file_case);
		file_case->has_digest = false;
	}
	file_case->hashed = true;
	cases_again(gate->cases, file_case, &file_case->generation, now, now);
}

static void expire(struct gate *gate, uint64_t now)
{
	struct finding late = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = REASON_TIMEOUT}};
	uint32_t slot;

	while ((slot = cases_expire(gate->cases, now)) != NO_SLOT) {
		const struct parting *parting =
			asking_parting(gate, cases_by_id(gate->cases, gate->waiting[slot].case_id));
		count_waiting(gate, -1);
		if (parting) { /* its verdict is known; only the moving takes long */
			gate->telling_of = parting;
			door_settle(gate, &gate->waiting[slot], &parting->finding, (struct basis){0}, PHASE_SCAN, now);
			gate->telling_of = NULL;
			continue;
		}
		count(&gate->status->deadlines_passed);
		door_settle(gate, &gate->waiting[slot], &late, (struct basis){0}, PHASE_DEADLINE, now);
	}
}

/* The hasher works in order: of what nobody waits for, one at a time, so that whoever comes is next. */
static bool hasher_has_room(const struct gate *gate, bool background)
{
	return background ? !workers_hasher_busy(gate->workers) : !workers_hasher_full(gate->workers);
}

/* What nobody waits for stays in line while the steward has enough to move away. */
static struct file_case *next_of(struct gate *gate, uint64_t now, bool hashed, bool background)
{
	struct file_case *next = cases_turn(gate->cases, now, hashed, background);

	return next && cases_rank(next) != RANK_READER && !asking_has_room(gate) ? NULL : next;
}

/* Cases whose turn it is, as many as hasher and workers take. */
static void turn(struct gate *gate, uint64_t now, bool background)
{
	struct file_case *next;

	while ((next = next_of(gate, now, false, background)) && hasher_has_room(gate, background)) {
		if (gate->no_definitions)
			finish_unscanned(gate, next, REASON_NO_DEFINITIONS, false);
		else if (prepare(gate, next))
			start_hash(gate, next, now);
		else
			now = now_ns();
	}
	while ((next = next_of(gate, now, true, background)) &&
	       (gate->no_definitions || workers_idle(gate->workers, background))) {
		if (gate->no_definitions)
			finish_unscanned(gate, next, REASON_NO_DEFINITIONS, false);
		else
			start_scan(gate, next, now);
	}
}

/* Work that began at idle priority, and is now waited for: by somebody who has opened that very file, or who finds no
 * worker, or the hasher at it. */
static void hurry(struct gate *gate, bool somebody_waits)
{
	unsigned at = 0;
	uint64_t id;

	while ((id = workers_idling(gate->workers, &at))) {
		const struct file_case *file_case = cases_by_id(gate->cases, id);
		if (somebody_waits || !file_case || !rank_is_background(cases_rank(file_case)))
			workers_hurry(gate->workers, id);
	}
}

void judging_turn(struct gate *gate)
{
	uint64_t now = now_ns();
	bool somebody_waits;

	expire(gate, now);
	turn(gate, now, false);
	somebody_waits = next_of(gate, now, false, false) || next_of(gate, now, true, false);
	hurry(gate, somebody_waits);
	/* What nobody waits for: one digest at a time, and no worker as long as somebody could use it. */
	if (!somebody_waits)
		turn(gate, now, true);
	__atomic_store_n(&gate->status->cases, cases_count(gate->cases), __ATOMIC_RELAXED);
}

/* Whoever said clean of a content that turns out infected was wrong about more than that. */
static void void_verdict(struct gate *gate, int fd)
{
	kernel_memory_void(gate->kernel, fd);
}

static void withdraw_file(void *owner, const struct generation *file)
{
	struct gate *gate = owner;

	if (kernel_memory_full(gate->kernel))
		coverage_by_handle(gate, file, void_verdict);
}

static void withdraw(struct gate *gate, uint64_t worker)
{
	uint64_t *place = &gate->withdrawn[gate->withdrawn_count++ % WITHDRAWN_MAX];

	/* Who was withdrawn so long ago that his number is forgotten judged nothing after now. */
	if (*place)
		gate->distrusted_ns = wall_ns();
	*place = worker;
	memory_withdraw(gate->memory, worker, withdraw_file, gate);
	contents_withdraw(gate->contents, worker);
}

bool judging_withdrawn(const struct gate *gate, const struct hook_verdict *verdict)
{
	if (verdict->judged_ns <= gate->distrusted_ns)
		return true;
	for (uint32_t i = 0; i < WITHDRAWN_MAX; i++)
		if (gate->withdrawn[i] && gate->withdrawn[i] == verdict->worker)
			return true;
	return false;
}

/* What the digest tells without a scan. NULL: nothing. */
static const struct finding *by_content(struct gate *gate, struct file_case *file_case)
{
	static struct finding clean;
	const struct finding *found;

	if (file_case->confirming) {
		found = &gate->pending[file_case->pending];
		return allowing_is_stale(gate, found) ? NULL : found;
	}
	if (file_case->anew)
		return NULL;
	found = memory_same_content(gate->memory, &file_case->generation, file_case->digest, gate->definitions,
				    now_ns());
	if (found && allowing_is_stale(gate, found))
		found = NULL;
	if (found || !contents_clean(gate->contents, file_case->digest, gate->definitions))
		return found;
	clean = (struct finding){
		.verdict.kind = VERDICT_CLEAN, .definitions = gate->definitions, .judged_ns = wall_ns()};
	return &clean;
}

static void hear_digest(struct gate *gate, struct file_case *file_case, const struct workers_event *event)
{
	const struct finding *found;
	struct finding copy;
	struct look look;
	const struct sight *sight = &look.sight;

	door_news(gate);
	if (knowing_look(gate, file_case->fd, &look) < 0) {
		finish_unscanned(gate, file_case, REASON_IO_ERROR, false);
		return;
	}
	bool changed = !same(file_case, sight) ||
		       (file_case->touched &&
			(file_case->confirming || scope_hides_mapped_stores(&gate->scope, sight->generation.dev))) ||
		       (file_case->confirming && memcmp(file_case->digest, event->digest, 32) != 0);
	if (event->has_digest && changed) {
		again(gate, file_case, sight);
		return;
	}
	file_case->hashed = true;
	if (!event->has_digest && file_case->confirming) {
		again(gate, file_case, sight);
		return;
	}
	file_case->has_digest = event->has_digest;
	memcpy(file_case->digest, event->digest, sizeof(file_case->digest));
	found = event->has_digest && gate->definitions ? by_content(gate, file_case) : NULL;
	if (found) {
		bool keep = !file_case->writer && !file_case->unsettled && !may_be_written(gate, file_case);
		copy = *found;
		if (!file_case->confirming)
			count(&gate->status->same_content);
		finish(gate, file_case, &copy, keep, PHASE_SCAN);
		return;
	}
	give_back_pending(gate, file_case);
	cases_again(gate->cases, file_case, &file_case->generation, now_ns(), 0);
}

/* The verdict stands, but the file was renamed meanwhile, or so it seems: is it still that content? */
static bool confirm(struct gate *gate, struct file_case *file_case, const struct sight *sight,
		    const struct finding *finding)
{
	if (!file_case->has_digest || file_case->touched || file_case->writer ||
	    sight->generation.size != file_case->generation.size || may_be_written(gate, file_case) ||
	    gate->pending_free_count == 0)
		return false;
	file_case->pending = gate->pending_free[--gate->pending_free_count];
	gate->pending[file_case->pending] = *finding;
	file_case->confirming = true;
	file_case->hashed = false;
	file_case->unsettled = false;
	cases_again(gate->cases, file_case, &sight->generation, now_ns(), now_ns() + memory_unsettled_ns(sight));
	return true;
}

static void hear_verdict(struct gate *gate, struct file_case *file_case, const struct workers_event *event)
{
	struct finding finding = {.verdict = event->reply.verdict,
				  .definitions = gate->definitions,
				  .judged_ns = wall_ns(),
				  .worker = gate->run + event->worker};
	struct look look;
	const struct sight *sight = &look.sight;
	bool keep;

	memcpy(finding.detail, event->reply.detail, sizeof(finding.detail));
	memcpy(finding.queue_id, event->reply.queue_id, sizeof(finding.queue_id));
	memcpy(finding.message_id, event->reply.message_id, sizeof(finding.message_id));
	allowing_judge(gate, &event->reply, &finding);
	count(&gate->status->scans);
	door_news(gate);
	if (knowing_look(gate, file_case->fd, &look) < 0) {
		finish_unscanned(gate, file_case, REASON_IO_ERROR, false);
		return;
	}
	if (!same(file_case, sight) ||
	    (file_case->touched && scope_hides_mapped_stores(&gate->scope, sight->generation.dev))) {
		if (!confirm(gate, file_case, sight, &finding))
			again(gate, file_case, sight);
		return;
	}
	keep = !file_case->writer && !file_case->unsettled && !may_be_written(gate, file_case);
	if (file_case->has_digest && event->reply.verdict.kind == VERDICT_INFECTED) {
		uint64_t liar = contents_contradict(gate->contents, file_case->digest, gate->definitions);
		if (liar)
			withdraw(gate, liar);
	}
	if (keep && file_case->has_digest && event->reply.verdict.kind == VERDICT_CLEAN)
		contents_keep(gate->contents, file_case->digest, gate->definitions, finding.worker);
	finish(gate, file_case, &finding, keep, PHASE_SCAN);
}

static void hear_loss(struct gate *gate, struct file_case *file_case, bool timed_out)
{
	if (timed_out)
		finish_unscanned(gate, file_case, REASON_TIMEOUT, true);
	else if (++file_case->lost >= 2)
		finish_unscanned(gate, file_case, REASON_CRASHED, true);
	else
		cases_again(gate->cases, file_case, &file_case->generation, now_ns(), 0);
}

static void hear_definitions(struct gate *gate, const struct workers_event *event)
{
	gate->no_definitions = event->signatures == 0;
	if (event->signatures) {
		gate->definitions = event->definitions;
		gate->levels = event->levels;
		kernel_memory_definitions(gate->kernel, gate->definitions);
		__atomic_store_n(&gate->status->definitions, gate->definitions, __ATOMIC_RELEASE);
	} else if (!gate->told_definitions) {
		gate->definitions = 0;
	}
	gate->told_definitions = true;
}

void judging_replies(struct gate *gate)
{
	const struct scanner_settings *settings = gate->policy ? &gate->policy->scanner : NULL;
	uint64_t scan_limit = (settings ? settings->scan_time_ms * 1000000ull : 0) + SECOND;
	uint64_t hash_limit = SECOND + (settings ? settings->max_file_size * 5 : 0); /* 200 MB/s, far below any CPU */
	struct workers_event event;
	struct file_case *file_case;
	bool timed_out;

	while (workers_next(gate->workers, now_ns(), scan_limit, hash_limit, &event, &timed_out)) {
		file_case = event.case_id ? cases_by_id(gate->cases, event.case_id) : NULL;
		switch (event.kind) {
		case WORKERS_VERDICT:
			if (file_case && file_case->state == CASE_SCANNING)
				hear_verdict(gate, file_case, &event);
			break;
		case WORKERS_DIGEST:
			if (file_case && file_case->state == CASE_HASHING)
				hear_digest(gate, file_case, &event);
			break;
		case WORKERS_LOST:
			count(&gate->status->worker_deaths);
			withdraw(gate, gate->run + event.worker);
			if (event.lied)
				gate_log("a worker sent something that is no reply: dropped, what it said is void");
			if (file_case && file_case->state == CASE_SCANNING)
				hear_loss(gate, file_case, timed_out);
			break;
		case WORKERS_DEFINITIONS:
			hear_definitions(gate, &event);
			break;
		case WORKERS_LOADER_GONE:
			if (event.lied)
				gate_loader_lied();
			break;
		case WORKERS_NOTHING:
			break;
		}
	}
}

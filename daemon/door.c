// SPDX-License-Identifier: GPL-2.0-only
/* What comes from the kernel, and what goes back. One place answers: settle(). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gate_state.h"

#define SECOND 1000000000ull
/* How many may sleep at one time. The kernel wakes each of them at every answer (fanotify_user.c, access_waitq), so the
 * time to answer all grows with the square. First in line (rights.c), 15,000 are answered in a third of a second on two
 * slow processors; standing in line, in twenty. */
#define WAITING_MAX 16384

void count_waiting(struct gate *gate, int change)
{
	__atomic_store_n(&gate->status->waiting, gate->status->waiting + (uint64_t)(int64_t)change, __ATOMIC_RELAXED);
}

static bool is_own(const struct gate *gate, int32_t pid)
{
	uint32_t known = __atomic_load_n(&gate->notes->own_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < known && i < PROCESSES_MAX; i++)
		if (pid > 0 && __atomic_load_n(&gate->notes->own_pids[i], __ATOMIC_RELAXED) == pid)
			return true;
	return false;
}

static void count_wait(struct gate_part *status, uint64_t waited_ns)
{
	static const uint64_t limits_ms[] = {1, 10, 100, 1000, 5000, 10000, 60000};
	unsigned at = 0;

	while (at < 7 && waited_ns >= limits_ms[at] * 1000000)
		at++;
	count(&status->wait_under_ms[at]);
}

static void count_answer(struct gate *gate, const struct decision *decision)
{
	struct gate_part *status = gate->status;
	uint64_t hour = wall_ns() / (3600 * SECOND);

	if (decision->answer == ANSWER_ALLOW) {
		count(&status->allowed);
		return;
	}
	if (decision->would) {
		count(&status->allowed);
		count(&status->would_deny);
		return;
	}
	count(&status->denied);
	if (status->denied_hour_is[hour % 24] != hour) {
		status->denied_hour_is[hour % 24] = hour;
		status->denied_hour[hour % 24] = 0;
	}
	count(&status->denied_hour[hour % 24]);
}

/* No record, no question: out of scope, our own, empty, a control file. */
static void let_pass(struct gate *gate, const struct access *access)
{
	accesses_answer(gate->accesses, access, ANSWER_ALLOW);
	count(&gate->status->allowed);
	accesses_close(gate->accesses, access->fd);
}

static struct decision decide(const struct gate *gate, uint32_t watch, const struct verdict *verdict)
{
	struct decision decision;

	decision.answer = policy_answer(&gate->policy->watches[watch], verdict, &decision.place, &decision.would);
	return decision;
}

static void give_back_opener(struct gate *gate, const struct waiting *waiting)
{
	if (waiting->opener)
		gate->opener_free[gate->opener_free_count++] = (uint16_t)(waiting->opener - 1);
}

void door_settle(struct gate *gate, const struct waiting *waiting, const struct finding *finding,
		 enum record_phase phase, uint64_t now)
{
	struct decision decision = decide(gate, waiting->watch, &finding->verdict);
	bool tell = decision.answer == ANSWER_DENY || finding->verdict.kind != VERDICT_CLEAN ||
		    __atomic_load_n(&gate->ring->watchers, __ATOMIC_RELAXED);
	static struct opener asked;
	const struct opener *opener = waiting->opener ? &gate->openers[waiting->opener - 1] : &asked;

	if (tell && !waiting->opener) {
		/* While it sleeps it is still there to be looked at; afterwards it may be gone. */
		asked = (struct opener){.uid = UINT32_MAX};
		if (waiting->held)
			opener_identify(FD_PROC, waiting->access.pid, &asked);
	}
	gate_alive(gate, now_ns()); /* many who waited for one case are answered in one go */
	if (waiting->held) {
		bool allow = decision.answer == ANSWER_ALLOW || decision.would;
		accesses_answer(gate->accesses, &waiting->access, allow ? ANSWER_ALLOW : ANSWER_DENY);
		count_answer(gate, &decision);
		count_wait(gate->status, now - waiting->since_ns);
	} else if (decision.answer == ANSWER_DENY) {
		count(&gate->status->would_deny);
	}
	if (tell)
		telling_record(gate, waiting, finding, &decision, opener, phase);
	give_back_opener(gate, waiting);
	if (!waiting->case_owns)
		accesses_close(gate->accesses, waiting->access.fd);
}

/* Nobody can wait any more: a verdict of its own, answered by the policy at once. */
static void settle_unscanned(struct gate *gate, const struct waiting *waiting, enum verdict_reason reason,
			     enum record_phase phase, uint64_t now)
{
	struct finding finding = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = (uint8_t)reason}};

	door_settle(gate, waiting, &finding, phase, now);
}

enum where door_place(struct gate *gate, int fd, const struct sight *sight, struct place *place_out)
{
	static char path[4097];
	size_t inner;
	uint64_t candidates;
	uint32_t watch = 0;
	enum where where;

	if (memory_place(gate->memory, &sight->generation, gate->epoch, place_out))
		return WHERE_INSIDE;
	where = scope_find(&gate->scope, fd, sight, &watch, &inner, path, sizeof(path), &candidates);
	if (where == WHERE_UNSURE) {
		int strictest = policy_strictest(gate->policy, candidates);
		if (strictest < 0)
			return WHERE_OUTSIDE_LINKED;
		*place_out = (struct place){.watch = (uint32_t)strictest};
		return WHERE_UNSURE;
	}
	if (where != WHERE_INSIDE)
		return where;
	const struct policy_watch *found = &gate->policy->watches[watch];
	*place_out = (struct place){.watch = watch,
				    .unheld = found->mode == MODE_OFF ||
					      store_is_control((enum store)found->store, path + inner)};
	/* With several names it may lie in two places at once: found out anew each time. */
	if (sight->links == 1)
		memory_keep_place(gate->memory, &sight->generation, gate->epoch, place_out);
	return WHERE_INSIDE;
}

/* The opener is not held, but what it would have got is to be told: it is noted who it was. */
static void note_opener(struct gate *gate, struct waiting *waiting)
{
	if (gate->opener_free_count == 0)
		return;
	waiting->opener = (uint16_t)(gate->opener_free[--gate->opener_free_count] + 1);
	opener_identify(FD_PROC, waiting->access.pid, &gate->openers[waiting->opener - 1]);
}

/* A verdict must be found first: the access waits for it, or, in a watch that never holds, its record does. */
static void wait_for_case(struct gate *gate, struct waiting *waiting, const struct sight *sight, bool hold,
			  uint64_t now)
{
	const struct policy_watch *watch = &gate->policy->watches[waiting->watch];
	uint32_t slot = (uint32_t)waiting->access.fd;
	struct file_case *joined = NULL;

	if (gate->no_definitions) {
		settle_unscanned(gate, waiting, REASON_NO_DEFINITIONS, PHASE_KNOWN, now);
		return;
	}
	if (slot < SLOTS_MAX && accesses_room(gate->accesses) && (!hold || gate->status->waiting < WAITING_MAX))
		joined = judging_case(gate, waiting->access.fd, sight, waiting->watch, now, &waiting->case_owns);
	if (!joined) {
		count(&gate->status->busy);
		settle_unscanned(gate, waiting, REASON_BUSY, PHASE_BUSY, now);
		return;
	}
	if (!hold) {
		struct decision passed = {.answer = ANSWER_ALLOW};
		note_opener(gate, waiting);
		accesses_answer(gate->accesses, &waiting->access, ANSWER_ALLOW);
		count_answer(gate, &passed);
		waiting->held = false;
	} else {
		count_waiting(gate, 1);
	}
	gate->waiting[slot] = *waiting;
	cases_join(gate->cases, joined, slot, hold ? now + watch->deadline_ns : UINT64_MAX);
}

static void take_access(struct gate *gate, const struct access *access, uint64_t now)
{
	struct waiting waiting = {.access = *access, .since_ns = now, .held = true};
	const struct finding *known;
	struct sight sight;
	struct place place;
	enum where where;
	bool hold;

	count(&gate->status->accesses);
	if (is_own(gate, access->pid)) {
		let_pass(gate, access);
		return;
	}
	if (memory_look(access->fd, &sight) < 0) {
		/* Nobody can say what it is, nor where: the strictest watch answers for it. */
		int strictest = policy_strictest(gate->policy, UINT64_MAX);
		waiting.watch = strictest < 0 ? 0 : (uint32_t)strictest;
		settle_unscanned(gate, &waiting, REASON_IO_ERROR, PHASE_KNOWN, now);
		return;
	}
	if (!sight.regular) {
		let_pass(gate, access);
		return;
	}
	where = door_place(gate, access->fd, &sight, &place);
	if (where == WHERE_OUTSIDE || where == WHERE_OUTSIDE_LINKED) {
		if (where == WHERE_OUTSIDE)
			coverage_ignore(gate, access->fd, &sight);
		let_pass(gate, access);
		return;
	}
	const struct policy_watch *watch = &gate->policy->watches[place.watch];
	accesses_note(gate->accesses, access, policy_answer_down(watch), place.watch);
	bool passes = place.unheld && (access->kind == ACCESS_OPEN || watch->mode == MODE_OFF);
	/* An empty file has no bytes to judge; creates of new files arrive like this, too. */
	if (passes || sight.generation.size == 0) {
		let_pass(gate, access);
		return;
	}
	waiting.watch = place.watch;
	known = memory_known(gate->memory, &sight.generation, gate->definitions, now);
	if (known && scope_hides_mapped_stores(&gate->scope, sight.generation.dev) && !memory_no_writer(access->fd))
		known = NULL;
	if (known) {
		count(&gate->status->known);
		door_settle(gate, &waiting, known, PHASE_KNOWN, now);
		return;
	}
	hold = watch->mode == MODE_ENFORCE && store_may_hold((enum store)watch->store);
	wait_for_case(gate, &waiting, &sight, hold, now);
}

/* One batch: then the loop goes round, for its timer, for replies, and for the news that belong before the next one. */
void door_open(struct gate *gate)
{
	struct access access;

	gate->asked = false;
	for (;;) {
		switch (accesses_next(gate->accesses, &access)) {
		case ACCESS_NONE:
			return;
		case ACCESS_REFUSED:
			count(&gate->status->kernel_refused);
			telling_refused(gate, access.pid, -access.fd);
			break;
		case ACCESS_TAKEN:
			take_access(gate, &access, now_ns());
			break;
		}
	}
}

void door_fresh(struct gate *gate)
{
	struct sight sight;
	struct place place;
	int32_t pid;
	int fd;

	door_news(gate);
	while ((fd = fresh_next(gate->fresh, &pid)) >= 0) {
		bool begun = false, room = accesses_adopt(gate->accesses);
		uint64_t now = now_ns();
		if (!room)
			gate->not_adopted++;
		if (room && gate->policy && !gate->no_definitions && !is_own(gate, pid) &&
		    memory_look(fd, &sight) == 0 && sight.regular && sight.generation.size > 0 &&
		    door_place(gate, fd, &sight, &place) == WHERE_INSIDE && !place.unheld &&
		    !memory_known(gate->memory, &sight.generation, gate->definitions, now) &&
		    judging_case(gate, fd, &sight, place.watch, now, &begun))
			count(&gate->status->fetched_ahead);
		if (!begun)
			accesses_close(gate->accesses, fd);
	}
	__atomic_store_n(&gate->status->not_fetched_ahead, fresh_missed(gate->fresh) + gate->not_adopted,
			 __ATOMIC_RELAXED);
}

void door_news(struct gate *gate)
{
	struct generation file;
	unsigned news;

	while ((news = moves_next(gate->moves, &file)) != NEWS_NONE) {
		if (news & NEWS_NAME) {
			memory_moved(gate->memory, &file);
			coverage_name_news(gate, &file);
		}
		if (news & NEWS_CLOSE) {
			memory_changed(gate->memory, &file);
			cases_touch(gate->cases, &file);
		}
		if (news & NEWS_LOST) {
			memory_changed_all(gate->memory);
			cases_touch_all(gate->cases);
		}
		/* A folder that neither lies in a watch now nor holds one sets no mark wrong; its files may have come
		 * from one. */
		if (news & (NEWS_FOLDER | NEWS_LOST))
			coverage_forget_places(gate, news & NEWS_LOST || scope_concerns(&gate->scope, &file));
	}
}

void door_policy_changed(struct gate *gate, const uint32_t map[WATCHES_MAX])
{
	for (uint32_t slot = 0; slot < SLOTS_MAX; slot++) {
		struct waiting *waiting = &gate->waiting[slot];
		if (!cases_waits(gate->cases, slot))
			continue;
		waiting->watch = map[waiting->watch];
		if (waiting->watch != UINT32_MAX)
			continue;
		cases_forget(gate->cases, slot);
		give_back_opener(gate, waiting);
		if (waiting->held) {
			count_waiting(gate, -1);
			accesses_answer(gate->accesses, &waiting->access, ANSWER_ALLOW);
		}
		if (!waiting->case_owns)
			accesses_close(gate->accesses, waiting->access.fd);
	}
	judging_policy_changed(gate, map);
}

void door_stop(struct gate *gate)
{
	for (uint32_t slot = 0; slot < SLOTS_MAX; slot++) {
		struct waiting *waiting = &gate->waiting[slot];
		if (!cases_forget(gate->cases, slot) || !waiting->held)
			continue;
		accesses_answer(gate->accesses, &waiting->access,
				policy_answer_down(&gate->policy->watches[waiting->watch]));
	}
	accesses_give_all(gate->accesses);
}

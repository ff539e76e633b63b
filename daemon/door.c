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

void count_denied(struct gate_part *status, uint64_t wall)
{
	uint64_t hour = wall / (3600 * SECOND);

	count(&status->denied);
	if (status->denied_hour_is[hour % 24] > hour)
		return; /* of a day before: in the history alone */
	if (status->denied_hour_is[hour % 24] != hour) {
		status->denied_hour_is[hour % 24] = hour;
		status->denied_hour[hour % 24] = 0;
	}
	count(&status->denied_hour[hour % 24]);
}

static void count_answer(struct gate *gate, const struct policy_decision *decision)
{
	struct gate_part *status = gate->status;

	if (decision->answer == ANSWER_ALLOW) {
		count(&status->allowed);
		return;
	}
	if (decision->would) {
		count(&status->allowed);
		count(&status->would_deny);
		return;
	}
	count_denied(status, wall_ns());
}

/* No record, no question: out of scope, our own, empty, a control file. */
static void let_pass(struct gate *gate, const struct access *access)
{
	accesses_answer(gate->accesses, access, ANSWER_ALLOW);
	count(&gate->status->allowed);
	accesses_close(gate->accesses, access->fd);
}

static void give_back_opener(struct gate *gate, const struct waiting *waiting)
{
	if (waiting->opener)
		gate->opener_free[gate->opener_free_count++] = (uint16_t)(waiting->opener - 1);
}

/* ---- answers ---- */

void door_settle(struct gate *gate, const struct waiting *waiting, const struct finding *finding, struct basis basis,
		 enum record_phase phase, uint64_t now)
{
	struct policy_decision decision;
	allowing_decide(gate, waiting->watch, finding, &decision);
	bool tell = decision.answer == ANSWER_DENY || finding->verdict.kind != VERDICT_CLEAN ||
		    __atomic_load_n(&gate->ring->watchers, __ATOMIC_RELAXED);
	static struct opener asked;
	const struct opener *opener = waiting->opener ? &gate->openers[waiting->opener - 1] : &asked;
	bool tested; /* by the selftest */

	if (tell && !waiting->opener) {
		/* While it sleeps it is still there to be looked at; afterwards it may be gone. */
		asked = (struct opener){.uid = UINT32_MAX};
		if (waiting->held)
			opener_identify(FD_PROC, waiting->access.pid, &asked);
	}
	gate_alive(gate, now_ns()); /* many who waited for one case are answered in one go */
	knowing_tell_kernel(gate, waiting->access.fd, waiting->watch, finding, basis);
	tested = tell && telling_is_canary(gate, opener->uid, waiting->access.fd);
	if (waiting->held) {
		bool allow = decision.answer == ANSWER_ALLOW || decision.would;
		accesses_answer(gate->accesses, &waiting->access, allow ? ANSWER_ALLOW : ANSWER_DENY);
	}
	/* Out of its queue nobody got it, though nobody was denied. */
	decision.would = decision.would && !(decision.empty && gate->telling_of && gate->telling_of->moved);
	if (waiting->held) {
		if (!tested)
			count_answer(gate, &decision);
		count_wait(gate->status, now - waiting->since_ns);
	} else if (decision.answer == ANSWER_DENY && decision.would) {
		count(&gate->status->would_deny);
	} else if (decision.empty && !decision.would) {
		count_denied(gate->status, wall_ns());
	}
	if (tell && !tested)
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

	door_settle(gate, waiting, &finding, (struct basis){0}, phase, now);
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
		joined = judging_case(gate, waiting->access.fd, sight, waiting->watch, RANK_READER, now,
				      &waiting->case_owns);
	if (!joined) {
		count(&gate->status->busy);
		settle_unscanned(gate, waiting, REASON_BUSY, PHASE_BUSY, now);
		return;
	}
	if (!hold) {
		struct policy_decision passed = {.answer = ANSWER_ALLOW};
		note_opener(gate, waiting);
		accesses_answer(gate->accesses, &waiting->access, ANSWER_ALLOW);
		count_answer(gate, &passed);
		waiting->held = false;
	} else {
		count_waiting(gate, 1);
	}
	waiting->case_id = joined->id;
	gate->waiting[slot] = *waiting;
	cases_join(gate->cases, joined, slot, hold ? now + watch->deadline_ns : UINT64_MAX);
}

/* Nothing of ours, or so it seems: true, and it was let pass. An ignore mark keeps further opens from us until the
 * content changes; not where the origin alone makes it one of ours. */
static bool pass_outside(struct gate *gate, const struct access *access, const struct look *look, enum where where,
			 struct place *place_out)
{
	bool left;

	if (where == WHERE_INSIDE || where == WHERE_UNSURE)
		return false;
	left = knowing_left_watch(gate, access->fd, look, place_out);
	/* Mail software itself is not held at what it keeps outside of all watches: its own queue may lie there. */
	if (left && !(kernel_memory_label(gate->kernel, access->pid).flags & HOOK_LABEL_MAIL))
		return false;
	if (!left && where == WHERE_OUTSIDE)
		coverage_ignore(gate, access->fd, &look->sight);
	let_pass(gate, access);
	return true;
}

/* What users have written themselves. Where the kernel's side sees mail software take it over, and refuses to read it
 * from then on, nobody need ask before: take_fresh() takes the ignore mark back. */
static void pass_own(struct gate *gate, const struct access *access, const struct look *look)
{
	if (look->in_kernel && kernel_memory_full(gate->kernel))
		coverage_ignore(gate, access->fd, &look->sight);
	let_pass(gate, access);
}

static bool may_be_marked(const struct gate *gate, int fd, const struct look *look)
{
	const struct file_system *file_system = coverage_of(gate, look->sight.generation.dev);

	return gate->origins && file_system && file_system->marks_origins && origins_write(gate->origins, fd);
}

/* In a watch with origin = mail: is it an attachment? What cannot be told is one. */
static bool is_attachment(struct gate *gate, int fd, struct look *look, const struct policy_watch *watch)
{
	if (!watch->origin_mail)
		return true;
	switch (knowing_origin(gate, fd, look)) {
	case ORIGIN_SAID_MAIL:
		break;
	case ORIGIN_SAID_ERROR:
		return true;
	case ORIGIN_SAID_NOTHING:
	case ORIGIN_SAID_NEVER:
		return false;
	}
	if (look->present.origin & HOOK_ORIGIN_MAIL)
		return true;
	/* Written while nobody was there to mark it, perhaps, or while too many waited for that; else the mark is
	 * there, and is found by who would write it. Where too many wait now, the next open tries again. */
	if (look->in_kernel && look->kernel.origin & HOOK_ORIGIN_MAIL && !may_be_marked(gate, fd, look))
		return true;
	if (kernel_memory_origin(gate->kernel, fd, HOOK_ORIGIN_MAIL) == 0)
		look->present.origin |= HOOK_ORIGIN_MAIL;
	return true;
}

static void settle_known(struct gate *gate, const struct waiting *waiting, const struct finding *known,
			 const struct look *look, uint64_t now)
{
	struct basis basis = {
		.judged = &look->sight.generation, .keep = true, .present = look->said ? &look->present : NULL};

	count(&gate->status->known);
	door_settle(gate, waiting, known, basis, PHASE_KNOWN, now);
}

/* Does this access wait for a verdict? In a queue that gives up what is infected the delivery agents do, which are
 * never denied; qmgr does not. */
static bool may_wait(const struct policy_watch *watch, const struct access *access)
{
	static struct opener opener;

	if (watch->mode != MODE_ENFORCE)
		return false;
	if (store_may_hold((enum store)watch->store))
		return true;
	if (!store_may_empty((enum store)watch->store) || !watch->actions[CASE_INFECTED].quarantine)
		return false;
	opener_identify(FD_PROC, access->pid, &opener);
	return store_may_wait((enum store)watch->store, opener.exe, opener.exe_size);
}

static void take_access(struct gate *gate, const struct access *access, uint64_t now)
{
	static const struct finding executed = {.verdict.reason = REASON_EXEC_NEVER};
	struct waiting waiting = {.access = *access, .since_ns = now, .held = true};
	const struct finding *known;
	struct look look;
	struct place place;
	bool hold;

	count(&gate->status->accesses);
	if (is_own(gate, access->pid)) {
		let_pass(gate, access);
		return;
	}
	if (knowing_look(gate, access->fd, &look) < 0) {
		/* Nobody can say what it is, nor where: the strictest watch answers for it. */
		int strictest = policy_strictest(gate->policy, UINT64_MAX);
		waiting.watch = strictest < 0 ? 0 : (uint32_t)strictest;
		settle_unscanned(gate, &waiting, REASON_IO_ERROR, PHASE_KNOWN, now);
		return;
	}
	if (!look.sight.regular) {
		let_pass(gate, access);
		return;
	}
	if (pass_outside(gate, access, &look, knowing_place(gate, access->fd, &look, &place), &place))
		return;
	const struct policy_watch *watch = &gate->policy->watches[place.watch];
	accesses_note(gate->accesses, access, policy_answer_down(watch), place.watch);
	bool passes = place.unheld && (access->kind == ACCESS_OPEN || watch->mode == MODE_OFF);
	/* An empty file has no bytes to judge; creates of new files arrive like this, too. */
	if (passes || look.sight.generation.size == 0) {
		let_pass(gate, access);
		return;
	}
	if (!is_attachment(gate, access->fd, &look, watch)) {
		pass_own(gate, access, &look);
		return;
	}
	waiting.watch = place.watch;
	if (access->kind == ACCESS_EXEC && watch->exec_never) {
		door_settle(gate, &waiting, &executed, (struct basis){0}, PHASE_KNOWN, now);
		return;
	}
	known = knowing_finding(gate, &look, place.watch, now);
	if (known && !look.sight.generation.counted &&
	    scope_hides_mapped_stores(&gate->scope, look.sight.generation.dev) && !memory_no_writer(access->fd))
		known = NULL;
	if (known && asking_known(gate, &waiting, known, &look, now))
		return;
	if (known) {
		settle_known(gate, &waiting, known, &look, now);
		return;
	}
	hold = may_wait(watch, access);
	wait_for_case(gate, &waiting, &look.sight, hold, now);
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

/* What mail software has written is marked as such on the disk, where that can matter: in a watch with origin = mail,
 * and outside of all watches on its file system. */
static void mark_origin(struct gate *gate, int fd, int32_t pid, const struct look *look, bool outside, uint32_t watch)
{
	const struct file_system *file_system = coverage_of(gate, look->sight.generation.dev);
	bool by_mail = look->in_kernel ? look->kernel.origin & HOOK_ORIGIN_MAIL
				       : kernel_memory_label(gate->kernel, pid).flags & HOOK_LABEL_MAIL;

	if (!gate->origins || !by_mail || !file_system || !file_system->marks_origins || file_system->mail_watch < 0 ||
	    look->present.origin & HOOK_ORIGIN_MAIL || (!outside && !gate->policy->watches[watch].origin_mail))
		return;
	/* The kernel side remembers whose it is: where too many wait, its next open tries again (is_attachment()). */
	if (!origins_write(gate->origins, fd) && !look->in_kernel)
		origins_missed(gate->origins);
}

/* A file that was just written and closed: true: a case has begun, and owns the descriptor. */
static bool take_fresh(struct gate *gate, int fd, int32_t pid, uint64_t now)
{
	struct place place = {0};
	struct look look;
	bool begun = false, outside;
	enum where where;

	if (!gate->policy || is_own(gate, pid) || knowing_look(gate, fd, &look) < 0 || !look.sight.regular ||
	    look.sight.generation.size == 0)
		return false;
	where = knowing_place(gate, fd, &look, &place);
	outside = where == WHERE_OUTSIDE || where == WHERE_OUTSIDE_LINKED;
	mark_origin(gate, fd, pid, &look, outside, place.watch);
	if (where == WHERE_INSIDE && look.in_kernel && look.kernel.origin & HOOK_ORIGIN_MAIL &&
	    gate->policy->watches[place.watch].origin_mail)
		accesses_unignore(gate->accesses, fd);
	/* By labels alone the file may not have its mark yet. */
	if (where != WHERE_INSIDE || place.unheld || gate->no_definitions ||
	    (!is_attachment(gate, fd, &look, &gate->policy->watches[place.watch]) &&
	     !(kernel_memory_label(gate->kernel, pid).flags & HOOK_LABEL_MAIL)) ||
	    knowing_finding(gate, &look, place.watch, now))
		return false;
	if (judging_case(gate, fd, &look.sight, place.watch, RANK_FRESH, now, &begun))
		count(&gate->status->fetched_ahead);
	return begun;
}

void door_fresh(struct gate *gate)
{
	int32_t pid;
	int fd;

	door_news(gate);
	while ((fd = fresh_next(gate->fresh, &pid)) >= 0) {
		bool room = accesses_adopt(gate->accesses);
		if (!room)
			gate->not_adopted++;
		if (!room || !take_fresh(gate, fd, pid, now_ns()))
			accesses_close(gate->accesses, fd);
	}
	uint64_t missed = fresh_missed(gate->fresh) + gate->not_adopted;
	/* One of them may have been mail software's, in a user's own file that has an ignore mark (pass_own()). */
	if (missed != gate->status->not_fetched_ahead && gate->ignored_count)
		coverage_forget_places(gate, true);
	__atomic_store_n(&gate->status->not_fetched_ahead, missed, __ATOMIC_RELAXED);
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
	kernel_memory_leave(gate->kernel);
	for (uint32_t slot = 0; slot < SLOTS_MAX; slot++) {
		struct waiting *waiting = &gate->waiting[slot];
		if (!cases_forget(gate->cases, slot) || !waiting->held)
			continue;
		bool parts = asking_parting(gate, cases_by_id(gate->cases, waiting->case_id));
		const struct policy_watch *watch = &gate->policy->watches[waiting->watch];
		accesses_answer(gate->accesses, &waiting->access,
				parts ? asking_answer(watch) : policy_answer_down(watch));
	}
	accesses_give_all(gate->accesses);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A policy's way: the reader (a child that may wait for disks) sends it with a directory for each root; it is offered
 * to the gate; once the gate says that it is in force it is the current one, which every later gate gets. Whatever goes
 * wrong before that changes nothing.
 */
#include "keeper_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "frame.h"
#include "log.h"
#include "pages.h"
#include "service.h"

#define READER_TIME (15 * SECOND_NS)
#define OFFER_TIME (2 * SECOND_NS)
#define ALLOWED_TIME (5 * SECOND_NS)
#define ROOTS_PAUSE (2 * SECOND_NS)

static void set_clear(struct policy_set *set)
{
	if (set->policy_fd >= 0)
		close(set->policy_fd);
	for (uint32_t i = 0; i < set->count; i++)
		if (set->fds[i] >= 0)
			close(set->fds[i]);
	set->valid = false;
	set->policy_fd = -1;
	set->count = set->without = 0;
}

void policies_init(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;

	policies->sets[0].policy_fd = policies->sets[1].policy_fd = policies->allowed_fd = -1;
	policies->allowed_until_ns = now_ns() + ALLOWED_TIME;
	policies->current = &policies->sets[0];
	policies->incoming = &policies->sets[1];
}

struct scanner_settings policies_scanner(const struct policies *policies)
{
	return policies->current->valid ? policies->current->scanner : policies->incoming->scanner;
}

/* ---- the reader ---- */

static void reader_start(struct keeper *keeper, enum reader_purpose purpose)
{
	struct policies *policies = &keeper->policies;
	struct child_plan plan = part_plan(keeper, keeper->own_exe, "mailward-policy");

	plan.fds[FD_PROC] = keeper->proc;
	if (purpose == READ_LABELS)
		hooks_hand_over_labels(keeper, &plan);
	if (purpose == READ_ROOTS || purpose == READ_LABELS)
		plan.fds[FD_POLICY] = policies->current->policy_fd;
	else
		plan.argv[1] = keeper->options->config;
	policies->purpose = purpose;
	policies->complaint_count = 0;
	policies->complete = false;
	set_clear(policies->incoming);
	if (part_start(&keeper->parts[PART_READER], &plan, READER_TIME) < 0)
		policies_reader_ended(keeper, "could not be started");
}

/* The keeper's own words in it, and a copy that nobody can change. */
static bool take_table(struct keeper *keeper, int fd)
{
	struct policies *policies = &keeper->policies;
	struct policy *table = &policies->table;
	struct policy_set *set = policies->incoming;

	if (fd < 0 || !pages_take_sealed(fd, table, sizeof(*table)) || !policy_is_sound(table))
		return false;
	set->release_on_stop = table->release_on_stop;
	set->max_definitions_age_s = table->max_definitions_age_s;
	table->number = keeper->page->keeper.policy_number + 1;
	table->scanner.worker_uid = keeper->worker_id.uid;
	table->scanner.worker_gid = keeper->worker_id.gid;
	table->scanner.loader_uid = keeper->loader_id.uid;
	table->scanner.loader_gid = keeper->loader_id.gid;
	if (set->policy_fd >= 0)
		close(set->policy_fd);
	set->policy_fd = pages_sealed_copy("mailward policy", table, sizeof(*table));
	set->number = table->number;
	set->scanner = table->scanner;
	return set->policy_fd >= 0;
}

/* The same table as before; only its directories are new. */
static bool keep_table(struct policies *policies)
{
	struct policy_set *set = policies->incoming;

	set->policy_fd = fcntl(policies->current->policy_fd, F_DUPFD_CLOEXEC, 0);
	set->number = policies->current->number;
	set->release_on_stop = policies->current->release_on_stop;
	set->max_definitions_age_s = policies->current->max_definitions_age_s;
	set->scanner = policies->current->scanner;
	return set->policy_fd >= 0;
}

static void complaint_add(struct policies *policies, const char *text)
{
	if (policies->complaint_count < KEEPER_COMPLAINTS)
		snprintf(policies->complaints[policies->complaint_count++], LEASH_TEXT, "%s", text);
}

static bool same_root(int first, int second)
{
	return first < 0 || second < 0 ? first < 0 && second < 0 : folder_is_same(first, second);
}

static bool same_roots(const struct policy_set *first, const struct policy_set *second)
{
	if (first->count != second->count)
		return false;
	for (uint32_t i = 0; i < first->count; i++) {
		const struct leash_frame *a = &first->frames[i], *b = &second->frames[i];
		if (a->kind != b->kind || a->value != b->value || strcmp(a->text, b->text) != 0 ||
		    !same_root(first->fds[i], second->fds[i]))
			return false;
	}
	return true;
}

static void offer(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;

	policies->offered = true;
	policies->offer_until_ns = now_ns() + OFFER_TIME;
	policies->delivering = true;
	policies->delivered = 0;
	policies_deliver(keeper);
}

static void set_add(struct policy_set *set, const struct leash_frame *frame, int fd)
{
	if (set->count == POLICY_FRAMES_MAX) {
		if (fd >= 0)
			close(fd);
		return;
	}
	set->without += frame->kind == LEASH_WATCH_WITHOUT;
	set->frames[set->count] = *frame;
	set->fds[set->count++] = fd;
}

static void reload_done(struct keeper *keeper, int result, const char *text);

static void reader_done(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;

	if (policies->purpose != READ_ROOTS && policies->incoming->policy_fd < 0)
		return; /* the policy is wrong, and the complaints said why */
	if (policies->purpose == READ_ROOTS) {
		if (!policies->roots_changed && same_roots(policies->current, policies->incoming)) {
			policies->complete = true;
			return;
		}
		if (!keep_table(policies))
			return;
		policies->roots_changed = false;
	}
	policies->complete = true;
	/* With a policy that was taken they are warnings. */
	for (uint32_t i = 0; i < policies->complaint_count; i++)
		log_line("%s", policies->complaints[i]);
	policies->complaint_count = 0;
	policies->incoming->valid = true;
	offer(keeper);
}

void policies_reader_frame(struct keeper *keeper, struct leash_frame *frame, int fd)
{
	struct policies *policies = &keeper->policies;
	struct part *reader = &keeper->parts[PART_READER];

	if (policies->complete || policies->purpose == READ_LABELS)
		; /* it has sent its end, or has nothing to send but lines for the log */
	else if (frame->kind == LEASH_POLICY && policies->purpose != READ_ROOTS) {
		if (!take_table(keeper, fd))
			part_kill(reader, "sent no usable policy");
	} else if ((frame->kind == LEASH_ROOT || frame->kind == LEASH_LASTING || frame->kind == LEASH_PROGRAM) &&
		   fd >= 0) {
		set_add(policies->incoming, frame, fd);
		return;
	} else if (frame->kind == LEASH_WATCH_WITHOUT) {
		set_add(policies->incoming, frame, -1);
	} else if (frame->kind == LEASH_COMPLAINT) {
		complaint_add(policies, frame->text);
	} else if (frame->kind == LEASH_POLICY_END) {
		reader_done(keeper);
	}
	if (fd >= 0)
		close(fd);
}

/* Nothing changes; who asked is told. */
static void reader_failed(struct keeper *keeper, const char *how)
{
	struct policies *policies = &keeper->policies;
	char text[LEASH_TEXT];

	if (policies->complaint_count == 0) {
		snprintf(text, sizeof(text), "the policy could not be read: its reader has ended (%s)", how);
		complaint_add(policies, text);
	}
	for (uint32_t i = 0; i < policies->complaint_count; i++)
		log_line("%s", policies->complaints[i]);
	if (policies->purpose == READ_START)
		keeper_fail(keeper, 2, "not ready: the policy has errors");
	else if (policies->purpose == READ_RELOAD)
		reload_done(keeper, 2, NULL);
}

void policies_reader_ended(struct keeper *keeper, const char *how)
{
	struct policies *policies = &keeper->policies;

	if (keeper->stop != STOP_NOT)
		return;
	if (!policies->offered)
		set_clear(policies->incoming);
	if (policies->complete || policies->purpose == READ_LABELS)
		return;
	if (policies->purpose == READ_ROOTS)
		policies->roots_wanted = true; /* tried again */
	else
		reader_failed(keeper, how);
}

/* ---- the gate ---- */

/* The allow list comes before the policy: with that the gate begins to answer. Where the steward does not come up at
 * our start it begins without one, and allows nothing more. false: the policy has to wait. */
static bool deliver_allowed(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;

	if (policies->allowed_fd < 0)
		return now_ns() > policies->allowed_until_ns;
	if (policies->allowed_waits && part_runs(&keeper->parts[PART_GATE]) &&
	    part_tell(&keeper->parts[PART_GATE], LEASH_ALLOWED, 0, policies->allowed_fd) == 0)
		policies->allowed_waits = false;
	return !policies->allowed_waits;
}

bool policies_allowed(struct keeper *keeper, int fd)
{
	struct policies *policies = &keeper->policies;
	int copy;

	if (fd < 0 || !pages_take_sealed(fd, &policies->allowed, sizeof(policies->allowed)) ||
	    policies->allowed.magic != ALLOWED_MAGIC || policies->allowed.size != sizeof(policies->allowed))
		return false;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return true; /* the one before stays */
	if (policies->allowed_fd >= 0)
		close(policies->allowed_fd);
	policies->allowed_fd = copy;
	policies->allowed_waits = true;
	policies_deliver(keeper);
	return true;
}

/* Sends what the gate still has to get of a set, as far as its socket takes it. */
void policies_deliver(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;
	const struct policy_set *set = policies->offered ? policies->incoming : policies->current;
	struct part *gate = &keeper->parts[PART_GATE];
	int error = 0;

	if (!deliver_allowed(keeper) || !policies->delivering || !set->valid || !part_runs(gate))
		return;
	while (policies->delivered < set->count + 2 && !error) {
		uint32_t next = policies->delivered;
		if (next == 0)
			error = part_tell(gate, LEASH_POLICY, set->number, set->policy_fd);
		else if (next <= set->count)
			error = frame_send(gate->child.leash, &set->frames[next - 1], sizeof(set->frames[0]),
					   set->fds[next - 1]);
		else
			error = part_tell(gate, LEASH_POLICY_END, set->number, -1);
		if (!error)
			policies->delivered++;
	}
	policies->delivering = error != 0;
	if (gate->leash.fd >= 0)
		loop_change(&keeper->loop, &gate->leash, error == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void policies_gate_started(struct keeper *keeper)
{
	keeper->policies.delivering = keeper->policies.allowed_waits = true;
	keeper->policies.delivered = 0;
	policies_deliver(keeper);
}

/* The steward gets what is in force, never what is only offered. */
void policies_deliver_steward(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;
	const struct policy_set *set = policies->current;
	struct part *steward = &keeper->parts[PART_STEWARD];
	int error = 0;

	if (!policies->steward_waits || !set->valid || !part_runs(steward))
		return;
	while (policies->steward_has < set->count + 2 && !error) {
		uint32_t next = policies->steward_has;
		if (next == 0)
			error = part_tell(steward, LEASH_POLICY, set->number, set->policy_fd);
		else if (next > set->count)
			error = part_tell(steward, LEASH_POLICY_END, set->number, -1);
		else if (set->frames[next - 1].kind == LEASH_ROOT)
			error = frame_send(steward->child.leash, &set->frames[next - 1], sizeof(set->frames[0]),
					   set->fds[next - 1]);
		if (!error)
			policies->steward_has++;
	}
	policies->steward_waits = error != 0;
	if (steward->leash.fd >= 0)
		loop_change(&keeper->loop, &steward->leash, error == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void policies_steward_started(struct keeper *keeper)
{
	keeper->policies.steward_waits = true;
	keeper->policies.steward_has = 0;
	policies_deliver_steward(keeper);
}

static void offer_withdraw(struct keeper *keeper, const char *why)
{
	struct policies *policies = &keeper->policies;

	policies->offered = false;
	set_clear(policies->incoming);
	policies->roots_wanted = policies->roots_changed = true;
	policies->delivering = true;
	policies->delivered = 0;
	policies_deliver(keeper);
	log_line("%s; the policy in force stays", why);
	reload_done(keeper, 2, why);
}

void policies_gate_ended(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;

	policies->delivering = false;
	/* The first policy is offered to the next gate; there is no other one. */
	if (policies->offered && policies->current->valid)
		offer_withdraw(keeper, "the gate ended while it took the new policy");
}

static void policy_took_over(struct keeper *keeper, const struct policy_set *old)
{
	struct policies *policies = &keeper->policies;

	keeper->page->keeper.max_file_size = policies->current->scanner.max_file_size;
	keeper->page->keeper.max_scan_size = policies->current->scanner.max_scan_size;
	keeper->page->keeper.policy_number = policies->current->number;
	selftests_want(keeper);
	if (policies->purpose != READ_ROOTS)
		policies->labels_wanted = keeper->hooks.mode != ATTACH_NONE;
	if (old->valid && memcmp(&old->scanner, &policies->current->scanner, sizeof(old->scanner)) != 0)
		parts_restart_loader(keeper);
	else if (policies->reloading && keeper->page->keeper.definitions_known &&
		 keeper->page->keeper.definitions_signatures == 0)
		parts_restart_loader(keeper); /* its folder may have been made since */
}

void policies_in_force(struct keeper *keeper, const struct leash_frame *frame)
{
	struct policies *policies = &keeper->policies;
	struct policy_set *old = policies->current;

	if (frame->text[0])
		log_line("policy %" PRIu64 ": %s", frame->value, frame->text);
	if (!policies->offered || policies->delivering || frame->value != policies->incoming->number)
		return;
	policies->offered = false;
	policies->current = policies->incoming;
	policies->incoming = old;
	keeper->page->keeper.definitions_max_age_s = policies->current->max_definitions_age_s;
	policy_took_over(keeper, old);
	set_clear(old);
	policies_steward_started(keeper);
	if (policies->reloading)
		log_line("policy %" PRIu64 " is in force", policies->current->number);
	reload_done(keeper, 0, frame->text);
}

/* ---- reload ---- */

uint64_t policies_reload(void *owner)
{
	struct keeper *keeper = owner;
	struct policies *policies = &keeper->policies;

	policies->reload_wanted = true;
	/* A reader that runs already may have read the file before it was changed. */
	return policies->round + 1;
}

static void reload_begin(struct keeper *keeper)
{
	struct policies *policies = &keeper->policies;

	policies->reload_wanted = false;
	policies->reloading = true;
	policies->round++;
	service_tell("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_ns() / 1000);
	reader_start(keeper, READ_RELOAD);
}

/* text: NULL: the complaints. */
static void reload_done(struct keeper *keeper, int result, const char *text)
{
	struct policies *policies = &keeper->policies;
	static struct keeper_reply replies[KEEPER_COMPLAINTS];
	int count = text || policies->complaint_count == 0 ? 1 : (int)policies->complaint_count;
	char *failed = keeper->page->keeper.reload_failed;

	if (!policies->reloading)
		return;
	policies->reloading = false;
	for (int i = 0; i < count; i++) {
		replies[i] = (struct keeper_reply){
			.version = WIRE_VERSION, .verb = KEEPER_RELOAD, .result = result, .more = i + 1 < count};
		snprintf(replies[i].text, sizeof(replies[i].text), "%s", text ? text : policies->complaints[i]);
	}
	snprintf(failed, sizeof(keeper->page->keeper.reload_failed), "%.*s",
		 (int)sizeof(keeper->page->keeper.reload_failed) - 1, result ? replies[0].text : "");
	if (result)
		log_line("reload failed; the policy in force stays");
	callers_answer(&keeper->callers, policies->round, replies, count);
	service_tell("READY=1");
}

void policies_tick(struct keeper *keeper, uint64_t now)
{
	struct policies *policies = &keeper->policies;

	if (keeper->stop != STOP_NOT)
		return;
	policies_deliver(keeper);
	policies_deliver_steward(keeper);
	/* The first policy has no other to fall back on; keeper.c has a limit for not being ready. */
	if (policies->offered && now > policies->offer_until_ns && policies->current->valid)
		offer_withdraw(keeper, "the gate did not take the new policy within 2 s");
	if (part_runs(&keeper->parts[PART_READER]) || policies->offered)
		return;
	if (!policies->current->valid) {
		if (policies->round == 0) {
			policies->round = 1;
			reader_start(keeper, READ_START);
		}
	} else if (policies->reload_wanted) {
		reload_begin(keeper);
	} else if (policies->labels_wanted) {
		policies->labels_wanted = false;
		reader_start(keeper, READ_LABELS);
	} else if ((policies->roots_wanted || policies->current->without) && now >= policies->roots_next_ns) {
		policies->roots_wanted = false;
		policies->roots_next_ns = now + ROOTS_PAUSE;
		reader_start(keeper, READ_ROOTS);
	}
}

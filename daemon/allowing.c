// SPDX-License-Identifier: GPL-2.0-only
/*
 * The allow list, as far as the gate needs it. It comes from the steward by way of the keeper, which keeps a copy for
 * the next gate; an entry ends here by itself, whoever else stands still. Workers name all that they found, and what is
 * allowed is taken out of it here: a worker never learns of the list, and by lying about names it gets no further than
 * by saying clean.
 *
 * Verdicts that another list may change (all but clean ones, and clean ones that rest on an entry) count only with the
 * list that they were made with: they are found out anew.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gate_state.h"

/* true: what counts is another list than before. */
static bool look_again(struct gate *gate)
{
	uint64_t now = wall_ns(), before = gate->allowances;

	gate->allowances = allowed_identity(&gate->allowed, now);
	gate->allowed_end_ns = allowed_next_end(&gate->allowed, now);
	if (gate->allowances == before)
		return false;
	kernel_memory_allowances(gate->kernel, gate->allowances);
	return true;
}

void allowing_take(struct gate *gate, int fd)
{
	const struct allowed_table *table = MAP_FAILED;

	/* The keeper has looked at its size and its seals. */
	if (fd >= 0)
		table = mmap(NULL, sizeof(*table), PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (table == MAP_FAILED)
		return;
	if (allowed_is_sound(table)) {
		gate->allowed = *table;
		look_again(gate);
		__atomic_store_n(&gate->status->allowed_number, gate->allowed.number, __ATOMIC_RELEASE);
	} else {
		gate_log("the keeper sent an allow list that is none");
	}
	munmap((void *)table, sizeof(*table));
}

void allowing_turn(struct gate *gate)
{
	if (gate->allowed_end_ns && wall_ns() >= gate->allowed_end_ns)
		look_again(gate);
}

void allowing_judge(const struct gate *gate, const struct scan_reply *reply, struct finding *finding)
{
	const struct allowed_entry *entry = NULL;

	if (gate->allowances)
		entry = allowed_verdict(&gate->allowed, reply, wall_ns(), &finding->verdict);
	if (!entry)
		return;
	finding->allowed = entry->id;
	allowed_detail(entry, reply->detail, finding->detail, sizeof(finding->detail));
}

void allowing_finish(const struct gate *gate, const uint8_t *digest, struct finding *finding)
{
	const struct allowed_entry *entry = NULL;
	char detail[sizeof(finding->detail)];

	finding->allowances = gate->allowances;
	if (!gate->allowances || !digest || finding->verdict.kind == VERDICT_CLEAN)
		return;
	entry = allowed_content(&gate->allowed, digest, wall_ns());
	if (!entry || entry->id == finding->allowed)
		return;
	memcpy(detail, finding->detail, sizeof(detail));
	finding->allowed = entry->id;
	allowed_detail(entry, detail, finding->detail, sizeof(finding->detail));
}

bool allowing_is_stale(const struct gate *gate, const struct finding *finding)
{
	return (finding->verdict.kind != VERDICT_CLEAN || finding->allowed) && finding->allowances != gate->allowances;
}

bool allowing_adopts(const struct gate *gate, const struct hook_verdict *present, struct finding *finding)
{
	const struct allowed_entry *entry;

	if (present->verdict.kind == VERDICT_CLEAN && !present->allowed)
		return true;
	if (present->policy != kernel_memory_policy(gate->kernel))
		return false;
	finding->allowances = gate->allowances;
	finding->allowed = present->allowed;
	if (!present->allowed)
		return true;
	entry = allowed_by_id(&gate->allowed, present->allowed, wall_ns());
	if (!entry)
		return false;
	allowed_detail(entry, "", finding->detail, sizeof(finding->detail));
	return true;
}

/* A signature that is allowed is out of the verdict already, and what is left is judged as ever. */
static bool lets_content_go(const struct gate *gate, const struct finding *finding)
{
	const struct allowed_entry *entry;

	if (!finding->allowed || finding->verdict.kind == VERDICT_CLEAN || finding->verdict.kind == VERDICT_NONE)
		return false;
	entry = allowed_by_id(&gate->allowed, finding->allowed, wall_ns());
	return entry && entry->kind == ALLOWED_CONTENT;
}

void allowing_decide(const struct gate *gate, uint32_t watch, const struct finding *finding,
		     struct policy_decision *out)
{
	policy_decide(&gate->policy->watches[watch], &finding->verdict, out);
	if (!lets_content_go(gate, finding))
		return;
	out->answer = ANSWER_ALLOW;
	out->would = out->quarantine = out->empty = false;
}

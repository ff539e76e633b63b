// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is known of a file, by its descriptor: its generation, its place, its origin, the verdict on it. In reduced mode
 * that is what we see and remember ourselves; in full mode the kernel side's maps are asked too, and here alone they
 * learn what may be answered without us.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gate_state.h"

int knowing_look(const struct gate *gate, int fd, struct look *look)
{
	const struct file_system *file_system;
	int result;

	/* The number first: what changes between the two looks makes it an old one. */
	look->in_kernel = kernel_memory_generation(gate->kernel, fd, &look->kernel);
	look->said =
		look->in_kernel && kernel_memory_verdict(gate->kernel, fd, look->kernel.generation, &look->present);
	if (!look->in_kernel)
		look->present = (struct hook_verdict){0};
	result = memory_look(fd, &look->sight);
	if (result < 0 || !look->in_kernel)
		return result;
	file_system = coverage_of(gate, look->sight.generation.dev);
	if (!file_system || !file_system->counted)
		return 0;
	look->sight.generation.counted = 1;
	look->sight.generation.ctime_ns = (int64_t)look->kernel.generation;
	look->sight.settled = true; /* no clock that could stand still */
	return 0;
}

const struct finding *knowing_finding(struct gate *gate, const struct look *look, uint32_t watch, uint64_t now)
{
	bool never = watch != WATCH_NONE && gate->policy->watches[watch].recheck == RECHECK_NEVER;
	static struct finding kept;
	const struct generation *generation = &look->sight.generation;
	const struct hook_verdict *present = &look->present;
	const struct finding *known = memory_known(gate->memory, generation, gate->definitions, now);

	if (known && allowing_is_stale(gate, known))
		known = NULL;
	if (!known && never && gate->definitions)
		known = memory_known_clean(gate->memory, generation, now);
	if (known || !look->said || !generation->counted || present->session != 0 || gate->definitions == 0 ||
	    judging_withdrawn(gate, present))
		return known;
	if (present->definitions != gate->definitions &&
	    !(never && present->definitions && present->verdict.kind == VERDICT_CLEAN))
		return NULL;
	kept = (struct finding){.verdict = present->verdict,
				.definitions = present->definitions,
				.judged_ns = present->judged_ns,
				.worker = present->worker};
	return allowing_adopts(gate, present, &kept) ? &kept : NULL;
}

/* What is to be let through although nobody knows what it is counts for what lies there now; what was judged counts for
 * what was judged. */
static uint64_t number_of(const struct gate *gate, int fd, const struct finding *finding,
			  const struct generation *judged)
{
	struct hook_generation now;

	if (judged && judged->counted && memory_lasts(&finding->verdict))
		return (uint64_t)judged->ctime_ns;
	return kernel_memory_generation(gate->kernel, fd, &now) ? now.generation : 0;
}

void knowing_tell_kernel(struct gate *gate, int fd, uint32_t index, const struct finding *finding, struct basis basis)
{
	const struct policy_watch *watch = &gate->policy->watches[index];
	struct hook_verdict verdict = {.definitions = finding->definitions,
				       .judged_ns = finding->judged_ns,
				       .worker = finding->worker,
				       .watch = (uint16_t)index,
				       .allowed = finding->allowed,
				       .verdict = finding->verdict};
	struct policy_decision decision;
	bool lasts, refused_there;

	if (!kernel_memory_full(gate->kernel) || watch->mode == MODE_OFF)
		return;
	allowing_decide(gate, index, finding, &decision);
	/* From a queue nobody is denied; what it is to give up is not there for the next who opens it. */
	verdict.answer = decision.would && !decision.empty ? ANSWER_ALLOW : (uint8_t)decision.answer;
	lasts = basis.keep && basis.judged && basis.judged->counted && finding->definitions != 0 &&
		memory_lasts(&finding->verdict) && !allowing_is_stale(gate, finding);
	/* Where it has still to be moved away, its next open must reach us. */
	if (decision.quarantine && !(gate->telling_of && gate->telling_of->final))
		lasts = false;
	refused_there = watch->mode == MODE_ENFORCE && store_may_hold((enum store)watch->store);
	/* A denial that lay in the moment is asked for again; where nothing is refused, nothing need be allowed. */
	if (!lasts && (verdict.answer == ANSWER_DENY || !refused_there))
		return;
	verdict.generation = number_of(gate, fd, finding, basis.judged);
	if (verdict.generation)
		kernel_memory_keep(gate->kernel, fd, &verdict, !lasts, basis.present);
}

enum origin_said knowing_origin(const struct gate *gate, int fd, const struct look *look)
{
	const struct file_system *file_system = coverage_of(gate, look->sight.generation.dev);

	if (look->in_kernel && (look->kernel.origin | look->present.origin) & HOOK_ORIGIN_MAIL)
		return ORIGIN_SAID_MAIL;
	return file_system && file_system->marks_origins ? origins_read(fd) : ORIGIN_SAID_NEVER;
}

bool knowing_left_watch(const struct gate *gate, int fd, const struct look *look, struct place *place_out)
{
	const struct file_system *file_system = coverage_of(gate, look->sight.generation.dev);

	if (!file_system || file_system->mail_watch < 0 || !look->sight.regular ||
	    knowing_origin(gate, fd, look) != ORIGIN_SAID_MAIL)
		return false;
	*place_out = (struct place){.watch = (uint32_t)file_system->mail_watch};
	return true;
}

/* Outside, as far as its names are known to us. The kernel side has seen by which name it was opened; where it holds it
 * to be inside, it will refuse what has no answer. */
static enum where place_by_kernel(const struct gate *gate, const struct look *look, enum where where,
				  struct place *place_out)
{
	int strictest = policy_strictest(gate->policy, UINT64_MAX);

	if (!look->in_kernel || look->kernel.watch == HOOK_OUTSIDE || strictest < 0)
		return where;
	if (look->kernel.watch >= 0 && (uint32_t)look->kernel.watch < gate->policy->watch_count) {
		*place_out = (struct place){.watch = (uint32_t)look->kernel.watch, .unheld = look->kernel.unheld};
		place_out->unheld |= gate->policy->watches[place_out->watch].mode == MODE_OFF;
		return WHERE_INSIDE;
	}
	*place_out = (struct place){.watch = (uint32_t)strictest};
	return WHERE_UNSURE;
}

void knowing_set_apart(struct gate *gate, int fd, bool first)
{
	while (first && gate->set_apart_count > 0)
		close(gate->set_apart[--gate->set_apart_count]);
	if (gate->set_apart_count == SET_APART_MAX)
		close(gate->set_apart[--gate->set_apart_count]);
	gate->set_apart[gate->set_apart_count++] = fd;
	if (gate->policy && kernel_memory_full(gate->kernel))
		coverage_order(gate);
}

/* Was it opened by this very name, on a mount of ours? */
static bool opened_as(const struct gate *gate, int fd, const struct sight *sight, const char *path)
{
	static char own[4097];
	char link[32];
	ssize_t size;
	bool ours = false;

	for (uint32_t i = 0; i < gate->scope.count && !ours; i++)
		ours = gate->scope.roots[i].mount_id == sight->mount_id;
	snprintf(link, sizeof(link), "self/fd/%d", fd);
	size = ours ? readlinkat(FD_PROC, link, own, sizeof(own)) : -1;
	return size > 0 && (size_t)size == strlen(path) && memcmp(own, path, (size_t)size) == 0;
}

/* Does this name lie in a folder of the quarantine? By what that folder is called now; only root gets there. A file
 * that has other names may have been opened by one of those, and found by this one. */
static bool is_set_apart(const struct gate *gate, int fd, const struct sight *sight, const char *path)
{
	char link[32], folder[4097];

	if (!strstr(path, "quarantine/")) /* as both kinds of them are called */
		return false;
	if (sight->links > 1 && !opened_as(gate, fd, sight, path))
		return false;
	for (uint32_t i = 0; i < gate->set_apart_count; i++) {
		snprintf(link, sizeof(link), "self/fd/%d", gate->set_apart[i]);
		ssize_t size = readlinkat(FD_PROC, link, folder, sizeof(folder));
		if (size > 0 && strncmp(path, folder, (size_t)size) == 0 && path[size] == '/')
			return true;
	}
	return false;
}

enum where knowing_place(struct gate *gate, int fd, const struct look *look, struct place *place_out)
{
	const struct sight *sight = &look->sight;
	static char path[4097];
	size_t inner;
	uint64_t candidates;
	uint32_t watch = 0;
	enum where where;

	if (memory_place(gate->memory, sight, gate->epoch, place_out))
		return WHERE_INSIDE;
	where = scope_find(&gate->scope, fd, sight, &watch, &inner, path, sizeof(path), &candidates);
	if (where == WHERE_INSIDE && is_set_apart(gate, fd, sight, path))
		return place_by_kernel(gate, look, WHERE_OUTSIDE_LINKED, place_out);
	if (where == WHERE_UNSURE) {
		int strictest = policy_strictest(gate->policy, candidates);
		if (strictest < 0)
			return place_by_kernel(gate, look, WHERE_OUTSIDE_LINKED, place_out);
		*place_out = (struct place){.watch = (uint32_t)strictest};
		return WHERE_UNSURE;
	}
	if (where != WHERE_INSIDE)
		return place_by_kernel(gate, look, where, place_out);
	const struct policy_watch *found = &gate->policy->watches[watch];
	*place_out = (struct place){.watch = watch,
				    .unheld = found->mode == MODE_OFF ||
					      store_is_control((enum store)found->store, path + inner)};
	/* With several names it may lie in two places at once: found out anew each time. */
	if (sight->links == 1)
		memory_keep_place(gate->memory, sight, gate->epoch, place_out);
	return WHERE_INSIDE;
}

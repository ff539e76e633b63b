// SPDX-License-Identifier: GPL-2.0-only
/* Which definitions are in use. Others are tried in a child first (trial.h), then loaded beside those, which stay where
 * anything goes wrong. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader_state.h"
#include "room.h"

#define LOOK_NS 500000000u
#define REST_NS 2000000000u /* freshclam brings several files, one after the other */
/* A trial may be slow beside all that goes first, and is to find an end. A million signatures took 3 s. */
#define TRIAL_WALL_NS (1800 * 1000000000ull)
#define TRIAL_CPU_S 300
#define TRIAL_NICE 10

/* Told once, not every two seconds. */
static void refusal_set(struct loader *loader, enum definitions_refusal refusal, const char *why)
{
	char text[LEASH_TEXT];

	if (loader->refusal == refusal && !strcmp(loader->refused, why))
		return;
	if (refusal != DEFINITIONS_NEWEST && !(refusal == DEFINITIONS_NO_ROOM && refusal == loader->refusal)) {
		snprintf(text, sizeof(text), "the old definitions stay in use: %s", why);
		loader_say(loader, LEASH_LOG, 0, text);
	}
	loader->refusal = refusal;
	snprintf(loader->refused, sizeof(loader->refused), "%s", why);
	loader_say(loader, LEASH_REFUSED, refusal, loader->refused);
}

/* There is nothing to load, or it does not load: what is in use stays, if there is anything. */
void definitions_refused(struct loader *loader, enum definitions_refusal refusal, const struct engine_report *report)
{
	if (loader->engine) {
		refusal_set(loader, refusal, report->text);
	} else {
		loader->report = *report;
		loader->report.signatures = 0;
		nest_definitions(&loader->nest, NULL, 0, 0);
	}
	loader_say_loaded(loader);
}

/* Bytes that the engine in use takes: what we hold now, less what we held before it was loaded. */
void engine_measure(struct loader *loader, uint64_t before)
{
	uint64_t resident;

	malloc_trim(0);
	resident = room_resident();
	loader->resident = resident > before ? resident - before : 0;
}

/* The old engine goes when the last worker that has it has gone; new ones are forked without it. */
static void old_keep(struct loader *loader, struct engine *old, const struct regions *lies)
{
	if (!old)
		return;
	loader->old = old;
	loader->old_lies = *lies;
	regions_inherit(&loader->old_lies, false);
}

void definitions_free_old(struct loader *loader)
{
	if (!loader->old || nest_old(&loader->nest) > 0)
		return;
	engine_free(loader->old);
	loader->old = NULL;
	malloc_trim(0);
	regions_inherit(&loader->old_lies, true);
}

static void definitions_load(struct loader *loader)
{
	static struct regions before, after;
	struct engine_report report = {0};
	struct engine *engine, *old = loader->engine;
	uint64_t held;

	loader_say(loader, LEASH_LOADING, 0, "");
	malloc_trim(0);
	held = room_resident();
	regions_read(&before);
	engine = engine_load(&loader->settings, FD_DEFINITIONS, FD_OWN_DIR, loader_loading, loader, &report);
	loader->tried = report.definitions.identity;
	if (!engine) {
		malloc_trim(0);
		definitions_refused(loader, DEFINITIONS_BROKEN, &report);
		return;
	}
	loader->report = report;
	loader->engine = engine;
	loader->canary_of = NULL;
	loader->since_ns = wall_ns();
	engine_measure(loader, held);
	regions_read(&after);
	regions_subtract(&after, &before);
	nest_definitions(&loader->nest, engine, report.definitions.identity, report.signatures);
	old_keep(loader, old, &loader->lies);
	loader->lies = after;
	refusal_set(loader, DEFINITIONS_NEWEST, "");
	loader_say_loaded(loader);
}

/* Would a second engine fit beside the first? Where there is none to lose, it is tried in any case. */
static bool has_room(struct loader *loader, struct engine_report *report)
{
	const struct definitions *used = &loader->report.definitions;
	uint64_t needed, available;
	const char *limit;

	if (!loader->engine)
		return true;
	needed = room_needed(report->definitions.bytes, used->bytes, loader->resident);
	available = room_available("/proc", "/sys/fs/cgroup", &limit);
	if (needed <= available)
		return true;
	snprintf(report->text, sizeof(report->text),
		 "the new ones would take about %" PRIu64 " MB beside them, and %s leaves %" PRIu64 " MB", needed >> 20,
		 limit, available >> 20);
	return false;
}

/* ---- the trial ---- */

static void trial_work(void *owner, struct trial_page *page)
{
	struct loader *loader = owner;
	struct engine_report report = {0};

	page->well = engine_load(&loader->settings, FD_DEFINITIONS, FD_OWN_DIR, NULL, NULL, &report) != NULL;
	page->identity = report.definitions.identity;
	memcpy(page->text, report.text, sizeof(page->text));
}

/* It has ended before the load begins, so that there are never more than two engines in memory. */
static void trial_open(struct loader *loader)
{
	struct engine_report report = {0};
	const char *limit;
	struct trial_limits limits = {.wall_ns = TRIAL_WALL_NS,
				      .memory = room_available("/proc", "/sys/fs/cgroup", &limit),
				      .cpu_s = TRIAL_CPU_S,
				      .nice = loader->engine ? TRIAL_NICE : 0,
				      .keep = {FD_DEFINITIONS, FD_OWN_DIR}};

	if (trial_begin(&loader->trial, &limits, FD_DEFINITIONS, trial_work, loader) == 0) {
		loader->trial_of = loader->seen;
		return;
	}
	snprintf(report.text, sizeof(report.text), "no process can be started to try the new ones");
	if (loader->engine)
		refusal_set(loader, DEFINITIONS_NO_ROOM, report.text);
}

static void trial_judge(struct loader *loader)
{
	const struct trial_page *page = loader->trial.page;
	struct engine_report report = {0};
	uint64_t identity = loader->trial_of;

	loader->trial_of = 0;
	if (page->well) {
		loader->proved = page->identity == identity ? identity : 0;
		loader->look_ns = 0; /* at once */
		return;
	}
	loader->tried = loader->trial.why[0] ? identity : page->identity;
	text_printable(report.text, sizeof(report.text), loader->trial.why[0] ? loader->trial.why : page->text);
	definitions_refused(loader, DEFINITIONS_BROKEN, &report);
}

/* ---- the folder ---- */

/* The folder may have been made anew, or another put in its place: found by its path again. Where we may not walk there
 * (the keeper could), the one that it gave us is looked at. */
static bool folder_open(struct loader *loader)
{
	struct stat status;
	int fd = loader->folder[0] ? open(loader->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		bool moved = dup3(fd, FD_DEFINITIONS, O_CLOEXEC) >= 0;
		close(fd);
		return moved;
	}
	if (loader->folder[0] && (errno == ENOENT || errno == ENOTDIR))
		return false;
	return fstat(FD_DEFINITIONS, &status) == 0 && status.st_nlink > 0;
}

/* What is there to load; report->text says why nothing is. */
void folder_look(struct loader *loader, struct engine_report *report)
{
	if (!folder_open(loader))
		snprintf(report->text, sizeof(report->text), "there is no folder of definitions");
	else if (definitions_look(FD_DEFINITIONS, engine_version(), &loader->settings, &report->definitions) < 0)
		snprintf(report->text, sizeof(report->text), "the folder of the definitions cannot be read");
	else if (report->definitions.files == 0)
		snprintf(report->text, sizeof(report->text), "there are no definitions in the folder");
}

/* Twice a second: has the folder changed? While something is in use, it must have come to rest, and what is to be
 * loaded beside it is tried first. Where nothing is in use, and nothing is known against what is there, it is loaded at
 * once: there is nothing to lose, and readers wait. */
void definitions_check(struct loader *loader)
{
	struct engine_report report = {0};
	uint64_t now = now_ns(), before = loader->seen;

	trial_turn(&loader->trial, now);
	if (loader->trial_of && !loader->trial.pid)
		trial_judge(loader);
	if (loader->looked && now - loader->look_ns < LOOK_NS)
		return;
	loader->look_ns = now;
	folder_look(loader, &report);
	loader->seen = report.definitions.identity;
	if (loader->seen != before)
		loader->rest_ns = now + REST_NS;
	if (loader->trial.pid && loader->trial_of != loader->seen) { /* others by now */
		loader->trial_of = 0;
		trial_drop(&loader->trial);
	}
	/* What is in use is in the folder again, after something else was that could not be used. */
	if (loader->engine && loader->seen == loader->report.definitions.identity) {
		loader->tried = loader->seen;
		refusal_set(loader, DEFINITIONS_NEWEST, "");
	}
	if (loader->looked && loader->seen == loader->tried)
		return;
	if (loader->engine && (now < loader->rest_ns || loader->old))
		return;
	loader->looked = true;
	if (loader->trial.pid)
		return;
	if (report.definitions.files > 0 && has_room(loader, &report)) {
		if ((loader->engine || loader->careful) && loader->proved != loader->seen)
			trial_open(loader);
		else
			definitions_load(loader);
		return;
	}
	if (report.definitions.files > 0) { /* `tried` stays: it is looked at again */
		refusal_set(loader, DEFINITIONS_NO_ROOM, report.text);
		return;
	}
	loader->tried = 0;
	definitions_refused(loader, DEFINITIONS_GONE, &report);
}

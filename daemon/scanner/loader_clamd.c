// SPDX-License-Identifier: GPL-2.0-only
/* The definitions are clamd's: which ones it has, and whether its word counts. */
#include <stdio.h>
#include <string.h>

#include "loader_state.h"

#define LOOK_NS 2000000000u
#define CLAMD_PATIENCE_NS 10000000000u /* freshclam, which brought the files, tells clamd itself */
#define YOUNG_NS 3600000000000u        /* clamd's own look at its folder (SelfCheck) comes as often */

/* What the verdicts of now are made with: its version, the settings, and the files of its folder, as far as it is the
 * one that we look at: the version says nothing of a file that is not ClamAV's own. */
static uint64_t clamd_identity(const struct loader *loader, uint64_t files)
{
	char made_with[sizeof(loader->clamd.version) + 32];

	snprintf(made_with, sizeof(made_with), "%016llx %s", (unsigned long long)files, loader->clamd.version);
	return definitions_identity(made_with, strlen(made_with), engine_version(), &loader->settings);
}

static void clamd_trouble(struct loader *loader)
{
	const struct clamd_link *clamd = &loader->clamd;
	bool well = clamd->state == CLAMD_PROVED;

	if (!strcmp(loader->refused, clamd->why))
		return;
	snprintf(loader->refused, sizeof(loader->refused), "%s", clamd->why);
	loader->refusal = well ? DEFINITIONS_NEWEST : DEFINITIONS_CLAMD;
	loader_say(loader, LEASH_LOG, 0, well ? "clamd answers, and has proved what its OK is worth" : clamd->why);
	loader_say(loader, LEASH_REFUSED, loader->refusal, loader->refused);
}

/* A version that was not in use before, or other files in its folder. */
static void clamd_use(struct loader *loader, uint64_t identity, const struct engine_report *folder)
{
	struct engine_report report = {0};

	if (!loader->engine) {
		loader->engine = engine_load_bare(&loader->settings, FD_OWN_DIR, &report);
		if (!loader->engine) {
			definitions_refused(loader, DEFINITIONS_BROKEN, &report);
			return;
		}
		engine_measure(loader, loader->empty);
	}
	snprintf(report.text, sizeof(report.text), "clamd: %s", loader->clamd.version);
	report.signatures = SIGNATURES_NOT_KNOWN;
	report.built_ns = loader->clamd.built_ns;
	report.definitions.newest_ns = loader->clamd.built_ns ? loader->clamd.built_ns : folder->definitions.newest_ns;
	loader->report = report;
	loader->tried = identity;
	loader->since_ns = wall_ns();
	nest_definitions(&loader->nest, loader->engine, identity, SIGNATURES_NOT_KNOWN);
	loader_say_loaded(loader);
}

/* Its version says nothing of files that are not ClamAV's own. Where the folder has changed (if it is the one that we
 * look at) and the version stays the same, clamd is told to load it, as freshclam would; what was judged until it has
 * is void then. */
static void clamd_folder(struct loader *loader, const struct engine_report *report, bool new_version)
{
	struct clamd_link *clamd = &loader->clamd;
	uint64_t now = now_ns();

	loader->seen = report->definitions.identity;
	if (!loader->engine) { /* the start: files that are that young may not be in its memory yet */
		bool young = report->definitions.newest_ns + YOUNG_NS > wall_ns();
		loader->clamd_files = young ? ~loader->seen : loader->seen;
	}
	if (new_version)
		loader->clamd_files = loader->seen;
	if (loader->seen == loader->clamd_files || loader->seen == 0) {
		loader->changed_ns = 0;
		clamd->reload = false;
	} else if (!loader->changed_ns) {
		loader->changed_ns = now;
	} else if (now - loader->changed_ns > CLAMD_PATIENCE_NS && !clamd->reload) {
		if (clamd->reloads != loader->reloads)
			loader->clamd_files = loader->reload_of;
		loader->reloads = clamd->reloads;
		loader->reload_of = loader->seen;
		clamd->reload = loader->seen != loader->clamd_files;
	}
}

void clamd_check(struct loader *loader)
{
	struct engine_report report = {0};
	uint64_t now = now_ns(), identity;
	bool new_version;

	clamd_link_turn(&loader->clamd);
	if (loader->clamd.state == CLAMD_UNKNOWN)
		return;
	clamd_trouble(loader);
	if (!loader->clamd.version[0]) { /* it has never answered */
		if (loader->looked)
			return;
		loader->looked = true;
		snprintf(report.text, sizeof(report.text), "%.190s", loader->clamd.why);
		definitions_refused(loader, DEFINITIONS_GONE, &report);
		return;
	}
	new_version = loader->engine && strcmp(loader->clamd_version, loader->clamd.version) != 0;
	if (loader->engine && !new_version && now - loader->look_ns < LOOK_NS)
		return;
	loader->look_ns = now;
	memcpy(loader->clamd_version, loader->clamd.version, sizeof(loader->clamd_version));
	folder_look(loader, &report);
	clamd_folder(loader, &report, new_version);
	identity = clamd_identity(loader, loader->clamd_files);
	if (identity && identity != loader->tried)
		clamd_use(loader, identity, &report);
}

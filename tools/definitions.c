// SPDX-License-Identifier: GPL-2.0-only
/* What the verdicts are made with: every file, and why newer ones are not in use. All of it is in the status page. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "findings.h"
#include "log.h"
#include "loop.h"
#include "output.h"

static const char *const verified_names[VERIFIEDS] = VERIFIED_NAMES;
static const char *const refusal_names[DEFINITIONS_REFUSALS] = {"", "broken", "no-room", "gone", "clamd"};

static uint32_t files_listed(const struct keeper_part *keeper)
{
	return keeper->definitions_files < DEFINITION_FILES_MAX ? keeper->definitions_files : DEFINITION_FILES_MAX;
}

/* ---- JSON ---- */

static json_t *time_json(uint64_t ns)
{
	char text[32];

	time_text(text, (int64_t)ns, false);
	return text[0] ? json_string(text) : json_null();
}

static json_t *number_or_null(uint32_t number, bool known)
{
	return known ? json_integer(number) : json_null();
}

static json_t *file_json(const struct definition_file *file)
{
	bool headed = file->version || file->built_ns;

	return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:s}", "name", json_text(file->name, strlen(file->name)),
			 "size", (json_int_t)file->size, "changed", time_json(file->time_ns), "version",
			 number_or_null(file->version, headed), "built", time_json(file->built_ns), "signatures",
			 number_or_null(file->signatures, headed), "verified", verified_names[file->verified]);
}

static json_t *refused_json(const struct keeper_part *keeper)
{
	const char *why = keeper->definitions_refused_why;

	if (!keeper->definitions_refused)
		return json_null();
	return json_pack("{s:s, s:o, s:o}", "id", refusal_names[keeper->definitions_refused], "why",
			 json_text(why, strlen(why)), "since", time_json(keeper->definitions_refused_ns));
}

static json_t *signatures_json(const struct keeper_part *keeper)
{
	return keeper->definitions_signatures == SIGNATURES_NOT_KNOWN
		       ? json_null()
		       : json_integer((json_int_t)keeper->definitions_signatures);
}

static json_t *definitions_json(const struct keeper_part *keeper, int64_t age_s)
{
	const char *version = keeper->definitions_version;
	json_t *files = json_array();
	json_t *json = json_pack(
		"{s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "version",
		json_text(version, strlen(version)), "signatures", signatures_json(keeper), "age_s",
		age_s < 0 ? json_null() : json_integer(age_s), "max_age_s", (json_int_t)definitions_max_age(keeper),
		"in_use_since", time_json(keeper->definitions_since_ns), "built",
		time_json(keeper->definitions_built_ns), "newest_file", time_json(keeper->definitions_time_ns), "bytes",
		(json_int_t)keeper->definitions_bytes, "memory_bytes", (json_int_t)keeper->definitions_memory,
		"file_count", (json_int_t)keeper->definitions_files, "refused", refused_json(keeper));

	for (uint32_t i = 0; i < files_listed(keeper); i++)
		json_array_append_new(files, file_json(&keeper->definition_files[i]));
	json_object_set_new(json, "files", files);
	return json;
}

/* ---- text ---- */

static void print_files(const struct keeper_part *keeper, bool header)
{
	char name[QUOTED_ROOM(64)], built[32], changed[32], version[16], signatures[16];

	if (header && files_listed(keeper))
		printf("\n%-8s %-10s %-20s %-20s %-10s %s\n", "VERSION", "SIGNATURES", "BUILT", "CHANGED", "VERIFIED",
		       "FILE");
	for (uint32_t i = 0; i < files_listed(keeper); i++) {
		const struct definition_file *file = &keeper->definition_files[i];
		bool headed = file->version || file->built_ns;
		text_quote(name, sizeof(name), file->name, strlen(file->name));
		time_text(built, (int64_t)file->built_ns, false);
		time_text(changed, (int64_t)file->time_ns, false);
		snprintf(version, sizeof(version), "%u", file->version);
		snprintf(signatures, sizeof(signatures), "%u", file->signatures);
		printf("%-8s %-10s %-20s %-20s %-10s %s\n", headed ? version : "-", headed ? signatures : "-",
		       built[0] ? built : "-", changed[0] ? changed : "-", verified_names[file->verified], name);
	}
	if (keeper->definitions_files > files_listed(keeper))
		printf("and %u more files\n", keeper->definitions_files - files_listed(keeper));
}

static void print_definitions(const struct keeper_part *keeper, int64_t age_s, bool header)
{
	char text[QUOTED_ROOM(sizeof(keeper->definitions_refused_why))], since[32], age[32], most[32], count[40];

	text_quote(text, sizeof(text), keeper->definitions_version, strlen(keeper->definitions_version));
	signatures_text(count, sizeof(count), keeper->definitions_signatures);
	printf("definitions  %s%s%s\n", text, text[0] ? ", " : "", count);
	if (age_s >= 0) {
		span_text(age, sizeof(age), (uint64_t)age_s * 1000000000u);
		span_text(most, sizeof(most), definitions_max_age(keeper) * 1000000000u);
		printf("age          %s%s, at most %s\n", age,
		       age_s > (int64_t)definitions_max_age(keeper) ? " (too old)" : "", most);
	}
	time_text(since, (int64_t)keeper->definitions_since_ns, false);
	if (since[0] && keeper->definitions_signatures == SIGNATURES_NOT_KNOWN)
		printf("in use       since %s, in clamd's memory\n", since);
	else if (since[0])
		printf("in use       since %s, about %" PRIu64 " MB of memory for %" PRIu64 " kB of files\n", since,
		       keeper->definitions_memory >> 20, keeper->definitions_bytes >> 10);
	if (keeper->definitions_refused) {
		text_quote(text, sizeof(text), keeper->definitions_refused_why,
			   strlen(keeper->definitions_refused_why));
		printf(keeper->definitions_refused == DEFINITIONS_CLAMD ? "trouble      %s: %s\n"
									: "not in use   newer ones (%s): %s\n",
		       refusal_names[keeper->definitions_refused], text);
	}
	print_files(keeper, header);
}

int verb_definitions(const struct options *options, int argc, char **argv)
{
	static struct status_page page;
	const struct status_page *shared;
	int64_t age_s;
	int code;

	if (argc > 1)
		return usage_error("definitions", "unexpected argument %s", argv[1]);
	code = client_status_page(options, &shared);
	if (code != EXIT_FINE)
		return code;
	status_copy(shared, &page);
	if (!page.keeper.definitions_known) {
		trouble("can't tell yet: the definitions are being loaded");
		return EXIT_CANNOT_TELL;
	}
	age_s = page.keeper.definitions_signatures ? definitions_age(&page.keeper, wall_ns()) : -1;
	if (options->json)
		print_json(stdout, definitions_json(&page.keeper, age_s));
	else
		print_definitions(&page.keeper, age_s, options->header);
	return page.keeper.definitions_signatures == 0 || page.keeper.definitions_refused ||
			       age_s > (int64_t)definitions_max_age(&page.keeper)
		       ? EXIT_FOUND
		       : EXIT_FINE;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Everything comes from memory that the daemon shares and from /proc, so this works whichever process hangs. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "findings.h"
#include "log.h"
#include "loop.h"
#include "output.h"
#include "policy.h"
#include "store.h"

#define LIMITS_MS 300 /* for each of postconf and doveconf: status is to be quick whatever hangs */

static const char *const store_names[STORES] = STORE_NAMES;
static const char *const mode_names[MODES] = MODE_NAMES;
static const char *const guard_names[GUARD_MODES] = GUARD_MODE_NAMES;
static const char *const coverage_names[COVERAGES] = COVERAGE_NAMES;
static const char *const canary_names[CANARIES] = CANARY_NAMES;

static const char *health(const struct findings *findings)
{
	return !findings->ready ? "unknown" : findings->issue_count ? "degraded" : "healthy";
}

/* ---- JSON ---- */

static json_t *issues_to_json(const struct findings *findings)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < findings->issue_count; i++) {
		const struct issue *issue = &findings->issues[i];
		json_array_append_new(list,
				      json_pack("{s:s, s:o, s:s}", "id", issue->id, "text",
						json_text(issue->text, strlen(issue->text)), "remedy", issue->remedy));
	}
	return list;
}

static json_t *watches_to_json(const struct status_page *page)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < page->gate.watch_count; i++) {
		const struct watch_entry *watch = &page->gate.watches[i];
		const char *said = page->keeper.canary_text[i];
		json_array_append_new(list, json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:s, s:o}", "path",
						      json_text(watch->path, strlen(watch->path)), "store",
						      store_names[watch->store], "mode", mode_names[watch->mode],
						      "covered", coverage_names[watch->covered], "why",
						      json_text(watch->why, strlen(watch->why)), "file_system",
						      json_text(watch->file_system, strlen(watch->file_system)),
						      "marked", watch->marked != 0, "hooks", watch->hooks != 0,
						      "canary", canary_names[finding_canary(page, i)], "canary_why",
						      json_text(said, strlen(said))));
	}
	return list;
}

static json_t *processes_to_json(const struct status_page *page, const struct findings *findings)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < page->keeper.process_count; i++) {
		const struct process_entry *process = &page->keeper.processes[i];
		json_array_append_new(list, json_pack("{s:o, s:i, s:s, s:I}", "name",
						      json_text(process->name, strlen(process->name)), "pid",
						      process->pid, "state", findings->states[i], "restarts",
						      (json_int_t)process->restarts));
	}
	return list;
}

static void set_number(json_t *json, const char *name, uint64_t number)
{
	json_object_set_new(json, name, json_integer((json_int_t)number));
}

static void counters_to_json(json_t *json, const struct status_page *page)
{
	const struct gate_part *gate = &page->gate;
	static const char *const bounds[8] = {"1", "10", "100", "1000", "5000", "10000", "60000", "more"};
	json_t *waits = json_object();

	set_number(json, "workers_serving", page->keeper.workers_serving);
	set_number(json, "policy_number", page->keeper.policy_number);
	set_number(json, "answered_for_gate", page->keeper.answered_for_gate);
	set_number(json, "cases", gate->cases);
	set_number(json, "accesses", gate->accesses);
	set_number(json, "allowed", gate->allowed);
	set_number(json, "denied", gate->denied);
	set_number(json, "would_deny", gate->would_deny);
	set_number(json, "known", gate->known);
	set_number(json, "scans", gate->scans);
	set_number(json, "behind", gate->behind);
	set_number(json, "recheck_infected", gate->rechecked_bad);
	set_number(json, "same_content", gate->same_content);
	set_number(json, "fetched_ahead", gate->fetched_ahead);
	set_number(json, "not_fetched_ahead", gate->not_fetched_ahead);
	set_number(json, "flushes", gate->flushes);
	set_number(json, "kernel_refused", gate->kernel_refused);
	set_number(json, "busy", gate->busy);
	set_number(json, "deadlines_passed", gate->deadlines_passed);
	set_number(json, "records_lost", gate->records_lost);
	set_number(json, "worker_deaths", gate->worker_deaths);
	set_number(json, "rechecked_bad", gate->rechecked_bad);
	set_number(json, "hook_refusals", gate->hook_refusals);
	set_number(json, "hook_refusals_lost", gate->hook_refusals_lost);
	for (int i = 0; i < 8; i++)
		set_number(waits, bounds[i], gate->wait_under_ms[i]);
	json_object_set_new(json, "wait_under_ms", waits);
}

static json_t *sweeps_to_json(const struct status_page *page)
{
	static const char *const kinds[SWEEP_KINDS] = SWEEP_KIND_NAMES;
	json_t *json = json_object();
	char time[32];

	for (int i = 0; i < SWEEP_KINDS; i++) {
		json_t *sweep = sweep_to_json(&page->keeper.sweeps[i]);
		time_text(time, (int64_t)page->keeper.sweeps[i].next_ns, false);
		json_object_set_new(sweep, "next", json_string(time));
		json_object_set_new(json, kinds[i], sweep);
	}
	return json;
}

static json_t *quarantine_to_json(const struct quarantine_shown *held)
{
	json_t *json;
	char oldest[32];

	if (!held->known)
		return json_null();
	json = json_object();
	time_text(oldest, (int64_t)held->oldest_ns, false);
	set_number(json, "items", held->items);
	set_number(json, "bytes", held->bytes);
	set_number(json, "max_bytes", held->max_bytes);
	json_object_set_new(json, "oldest", json_string(oldest));
	set_number(json, "max_age_s", held->max_age_s);
	return json;
}

static json_t *status_to_json(const struct status_page *page, const struct findings *findings)
{
	const struct keeper_part *keeper = &page->keeper;
	json_t *json = json_object(), *definitions = json_object();
	char when[32];

	json_object_set_new(definitions, "version",
			    json_text(keeper->definitions_version, strlen(keeper->definitions_version)));
	if (keeper->definitions_signatures == SIGNATURES_NOT_KNOWN)
		json_object_set_new(definitions, "signatures", json_null());
	else
		set_number(definitions, "signatures", keeper->definitions_signatures);
	json_object_set_new(definitions, "age_s",
			    findings->definitions_age_s < 0 ? json_null() : json_integer(findings->definitions_age_s));
	set_number(definitions, "max_age_s", definitions_max_age(keeper));
	set_number(definitions, "files", keeper->definitions_files);
	time_text(when, (int64_t)keeper->definitions_time_ns, false);
	json_object_set_new(definitions, "newest_file", json_string(when));
	time_text(when, (int64_t)keeper->definitions_since_ns, false);
	json_object_set_new(definitions, "in_use_since", json_string(when));
	json_object_set_new(definitions, "refused",
			    !keeper->definitions_refused ? json_string("")
							 : json_text(keeper->definitions_refused_why,
								     strlen(keeper->definitions_refused_why)));
	json_object_set_new(json, "mode", json_string(guard_names[keeper->guard_mode]));
	json_object_set_new(json, "mode_why", json_text(keeper->guard_why, strlen(keeper->guard_why)));
	json_object_set_new(json, "mode_remedy", json_text(keeper->guard_remedy, strlen(keeper->guard_remedy)));
	json_object_set_new(json, "labels", json_boolean(keeper->labels));
	json_object_set_new(json, "health", json_string(health(findings)));
	json_object_set_new(json, "issues", issues_to_json(findings));
	json_object_set_new(json, "note", json_string(findings->note ? findings->note : ""));
	json_object_set_new(json, "definitions", definitions);
	json_object_set_new(json, "watches", watches_to_json(page));
	json_object_set_new(json, "quarantine", quarantine_to_json(&keeper->quarantine));
	json_object_set_new(json, "sweeps", sweeps_to_json(page));
	json_object_set_new(json, "processes", processes_to_json(page, findings));
	set_number(json, "waiting", page->gate.waiting);
	set_number(json, "blocked_24h", findings->blocked_24h);
	set_number(json, "released_unjudged", keeper->released_unjudged);
	set_number(json, "uptime_s", findings->uptime_s);
	json_object_set_new(json, "policy_file", json_text(keeper->policy_file, strlen(keeper->policy_file)));
	counters_to_json(json, page);
	return json;
}

/* The part of json that a dotted name means ("definitions.age_s", "watches.0.covered"), or NULL. */
static json_t *json_part(json_t *json, const char *name)
{
	char word[64];

	while (json && *name) {
		size_t size = strcspn(name, ".");
		if (size >= sizeof(word))
			return NULL;
		memcpy(word, name, size);
		word[size] = 0;
		if (json_is_array(json))
			json = size && strspn(word, "0123456789") == size
				       ? json_array_get(json, strtoul(word, NULL, 10))
				       : NULL;
		else
			json = json_object_get(json, word);
		name += size + (name[size] == '.');
	}
	return json;
}

static int print_field(json_t *json, const char *name, bool as_json)
{
	json_t *part = json_part(json, name);
	char *text;

	if (!part)
		return usage_error("status", "--field %s: there is no such field", name);
	if (json_is_string(part) && !as_json) {
		/* what json_text() left as it is may still hold a backslash, and nothing worse */
		puts(json_string_value(part));
		return EXIT_FINE;
	}
	text = json_dumps(part, JSON_COMPACT | JSON_ENCODE_ANY);
	puts(text ? text : "");
	free(text);
	return EXIT_FINE;
}

/* ---- text ---- */

static void print_watches(const struct status_page *page, bool header)
{
	char path[QUOTED_ROOM(1024)], file_system[QUOTED_ROOM(32)], why[QUOTED_ROOM(160)];

	if (header && page->gate.watch_count)
		printf("\n%-13s %-8s %-7s %-6s %-5s %-14s %-11s %s\n", "STORE", "MODE", "COVERED", "MARKED", "HOOKS",
		       "CANARY", "FILE SYSTEM", "WATCH");
	for (uint32_t i = 0; i < page->gate.watch_count; i++) {
		const struct watch_entry *watch = &page->gate.watches[i];
		text_quote(path, sizeof(path), watch->path, strlen(watch->path));
		text_column(file_system, sizeof(file_system), watch->file_system, strlen(watch->file_system));
		text_quote(why, sizeof(why), watch->why, strlen(watch->why));
		printf("%-13s %-8s %-7s %-6s %-5s %-14s %-11s %s%s%s%s\n", store_names[watch->store],
		       mode_names[watch->mode], coverage_names[watch->covered], watch->marked ? "yes" : "no",
		       watch->hooks ? "yes" : "no", canary_names[finding_canary(page, i)], file_system, path,
		       why[0] ? " (" : "", why, why[0] ? ")" : "");
	}
}

static void print_definitions(const struct keeper_part *keeper, const struct findings *findings)
{
	char version[QUOTED_ROOM(128)], age[32], count[40];

	text_quote(version, sizeof(version), keeper->definitions_version, strlen(keeper->definitions_version));
	if (!keeper->definitions_known) {
		printf("definitions  not loaded yet\n");
		return;
	}
	signatures_text(count, sizeof(count), keeper->definitions_signatures);
	printf("definitions  %s%s%s", version, version[0] ? ", " : "", count);
	if (findings->definitions_age_s >= 0) {
		span_text(age, sizeof(age), (uint64_t)findings->definitions_age_s * 1000000000u);
		printf(", %s old", age);
	}
	putchar('\n');
}

static void print_processes(const struct status_page *page, const struct findings *findings)
{
	char name[64];

	printf("processes    ");
	for (uint32_t i = 0; i < page->keeper.process_count; i++) {
		const struct process_entry *process = &page->keeper.processes[i];
		text_column(name, sizeof(name), process->name, strlen(process->name));
		printf("%s%s %d %s", i ? ", " : "", name, process->pid, findings->states[i]);
	}
	printf("; %llu workers\n", (unsigned long long)page->keeper.workers_serving);
}

static void print_mode(const struct keeper_part *keeper)
{
	static const char *const meanings[GUARD_MODES] = {
		[GUARD_NONE] = "nothing is guarded",
		[GUARD_REDUCED] = "opens and execs are guarded, descriptors that are open already are not",
		[GUARD_FULL] =
			"no byte is read without a verdict, and the kernel holds the door while the daemon is down",
	};
	char why[QUOTED_ROOM(sizeof(keeper->guard_why))], remedy[QUOTED_ROOM(sizeof(keeper->guard_remedy))];

	text_quote(why, sizeof(why), keeper->guard_why, strlen(keeper->guard_why));
	text_quote(remedy, sizeof(remedy), keeper->guard_remedy, strlen(keeper->guard_remedy));
	printf("mode         %s%s%s%s: %s\n", guard_names[keeper->guard_mode], why[0] ? " (" : "", why,
	       why[0] ? ")" : "", meanings[keeper->guard_mode]);
	if (remedy[0])
		printf("             for full mode: %s\n", remedy);
}

/* "schedule: ended 2026-...: 120 files, 1 infected, 0 unscanned; next 2026-..." */
static void print_sweeps(const struct keeper_part *keeper)
{
	static const char *const kinds[SWEEP_KINDS] = SWEEP_KIND_NAMES, *const states[SWEEP_STATES] = SWEEP_STATE_NAMES;

	for (int i = 0; i < SWEEP_KINDS; i++) {
		const struct sweep_shown *sweep = &keeper->sweeps[i];
		char time[32], next[32];
		if (sweep->state == SWEEP_NEVER && !sweep->next_ns)
			continue;
		time_text(time, (int64_t)(sweep->state == SWEEP_ENDED ? sweep->ended_ns : sweep->begun_ns), false);
		time_text(next, (int64_t)sweep->next_ns, false);
		printf("sweep        %s: %s%s%s", kinds[i], states[sweep->state],
		       sweep->state == SWEEP_NEVER   ? ""
		       : sweep->state == SWEEP_ENDED ? " "
						     : ", begun ",
		       time);
		if (sweep->state != SWEEP_NEVER)
			printf(", %llu files, %llu infected, %llu unscanned", (unsigned long long)sweep->counts.files,
			       (unsigned long long)sweep->counts.infected, (unsigned long long)sweep->counts.unscanned);
		printf("%s%s\n", next[0] ? "; next " : "", next);
	}
}

/* "3 objects, 12M of 10G; the oldest 4d of 90d" */
static void print_quarantine(const struct quarantine_shown *held)
{
	char bytes[32], most[32], age[32], ends[32];
	uint64_t now = wall_ns();

	if (!held->known) {
		puts("quarantine   not looked at yet");
		return;
	}
	size_text(bytes, sizeof(bytes), held->bytes);
	size_text(most, sizeof(most), held->max_bytes);
	span_text(age, sizeof(age), now > held->oldest_ns ? now - held->oldest_ns : 0);
	span_text(ends, sizeof(ends), held->max_age_s * 1000000000u);
	printf("quarantine   %llu object%s, %s of %s", (unsigned long long)held->items, held->items == 1 ? "" : "s",
	       bytes, most);
	if (held->oldest_ns)
		printf("; the oldest %s of %s", age, ends);
	putchar('\n');
}

static void print_status(const struct status_page *page, const struct findings *findings, bool header)
{
	const struct gate_part *gate = &page->gate;
	bool colours = colours_are_on();
	char text[QUOTED_ROOM(sizeof(findings->issues[0].text))], up[32] = "0s";

	if (findings->uptime_s)
		span_text(up, sizeof(up), findings->uptime_s * 1000000000u);
	printf("health       %s%s%s, up %s\n",
	       !colours                ? ""
	       : !findings->ready      ? "\033[33m"
	       : findings->issue_count ? "\033[31m"
				       : "\033[32m",
	       findings->ready ? health(findings) : "can't tell yet", colours ? "\033[0m" : "", up);
	print_mode(&page->keeper);
	text_quote(text, sizeof(text), page->keeper.policy_file, strlen(page->keeper.policy_file));
	printf("policy       %s, number %llu\n", text, (unsigned long long)page->keeper.policy_number);
	print_definitions(&page->keeper, findings);
	print_processes(page, findings);
	printf("accesses     %llu waiting, %llu seen, %llu known, %llu scanned, %llu fetched ahead\n",
	       (unsigned long long)gate->waiting, (unsigned long long)gate->accesses, (unsigned long long)gate->known,
	       (unsigned long long)gate->scans, (unsigned long long)gate->fetched_ahead);
	printf("blocked      %llu in 24 h; %llu since the start, %llu would have been\n",
	       (unsigned long long)findings->blocked_24h, (unsigned long long)gate->denied,
	       (unsigned long long)gate->would_deny);
	print_quarantine(&page->keeper.quarantine);
	print_sweeps(&page->keeper);
	printf("released     %llu unjudged\n", (unsigned long long)page->keeper.released_unjudged);
	print_watches(page, header);
	for (unsigned i = 0; i < findings->issue_count; i++) {
		const struct issue *issue = &findings->issues[i];
		text_quote(text, sizeof(text), issue->text, strlen(issue->text));
		printf("%s%s: %s\n  %s\n", i ? "" : "\n", issue->id, text, issue->remedy);
	}
	if (findings->note)
		printf("\nnote: %s\n", findings->note);
}

int verb_status(const struct options *options, int argc, char **argv)
{
	static const struct option known[] = {{"field", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
	static struct status_page page;
	static struct findings findings;
	struct mail_limits limits;
	const struct status_page *shared;
	const char *field = NULL;
	int option, code;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option != 'f')
			return usage_error("status", "unknown option, or one without its value");
		field = optarg;
	}
	if (optind < argc)
		return usage_error("status", "unexpected argument %s", argv[optind]);
	code = client_status_page(options, &shared);
	if (code != EXIT_FINE)
		return code;
	status_copy(shared, &page);
	for (uint32_t i = 0; i < page.keeper.process_count; i++)
		findings.states[i] = process_state_word(&page.keeper.processes[i]);
	limits_read(&limits, LIMITS_MS, true);
	findings_make(&page, (struct clocks){.wall_ns = wall_ns(), .monotonic_ns = now_ns()}, &findings);
	findings_limits(&page, &limits, &findings);
	if (field)
		code = print_field(status_to_json(&page, &findings), field, options->json);
	else if (options->json)
		print_json(stdout, status_to_json(&page, &findings));
	else
		print_status(&page, &findings, options->header);
	if (code != EXIT_FINE)
		return code;
	return !findings.ready ? EXIT_CANNOT_TELL : findings.issue_count ? EXIT_FOUND : EXIT_FINE;
}

// SPDX-License-Identifier: GPL-2.0-only
/* mailward check [FILE]: reads a policy as the daemon does, and prints what it would answer. Needs no daemon. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "log.h"
#include "loop.h"
#include "mail_limits.h"
#include "output.h"
#include "policy_files.h"
#include "policy_roots.h"

#define DEFAULT_POLICY "/etc/mailward/mailward.conf"
#define POSTCONF_TIME_MS 5000
#define COLUMNS (9 + POLICY_CASES)
#define CELL 64

static const char *const store_names[] = STORE_NAMES;
static const char *const mode_names[] = MODE_NAMES;
static const char *const type_names[DENY_TYPES] = DENY_TYPE_NAMES;
static const char *const case_names[POLICY_CASES] = CASE_NAMES;
static const char *const recheck_names[RECHECKS] = RECHECK_NAMES;

/* Half a megabyte and more: not on the stack. */
static struct policy policy;
static struct complaints complaints;
static struct policy_roots roots;

/* ---- the mail software's limits ---- */

/* Where the policy says max-file-size, or could. */
static void say_limit(void *owner, const char *what, const char *remedy)
{
	const struct policy_place *place = &policy.file_size_place;
	bool said = place->line && place->file < policy.file_count;

	complain(&complaints, true, said ? policy.files[place->file] : owner, said ? place->line : 1, "%s; %s", what,
		 remedy);
}

static void compare_limits(const char *file, const struct mail_limits *limits)
{
	struct scanner_limits scanner = {.max_file_size = policy.scanner.max_file_size,
					 .max_scan_size = policy.scanner.max_scan_size};

	for (uint32_t i = 0; i < policy.watch_count; i++) {
		scanner.mbox |= policy.watches[i].mode != MODE_OFF && policy.watches[i].store == STORE_MBOX;
		scanner.mdbox |= policy.watches[i].mode != MODE_OFF && policy.watches[i].store == STORE_MDBOX;
	}
	limits_compare(limits, &scanner, say_limit, (void *)(uintptr_t)file);
}

static const char *limit_sentence(const struct mail_limits *limits)
{
	switch (limits->message.state) {
	case LIMIT_KNOWN:
		return "";
	case LIMIT_NOT_HERE:
		return "postconf is not here: the limits are not compared with Postfix's";
	case LIMIT_NOT_TOLD:
		return "postconf did not tell message_size_limit: the limits are not compared with Postfix's";
	}
	return "";
}

/* ---- the table ---- */

static const char *answer_text(const struct policy_watch *watch, enum policy_case which)
{
	const struct policy_action *action = &watch->actions[which];

	if (action->answer == ANSWER_DENY)
		return action->quarantine ? "quarantine" : "deny";
	return action->report ? "report" : "allow";
}

/* "deny:12": said in line 12 of the watch's file; "deny": the default. */
static void answer_cell(char *cell, const struct policy_watch *watch, enum policy_case which)
{
	const struct policy_action *action = &watch->actions[which];

	if (watch->mode == MODE_OFF)
		snprintf(cell, CELL, "-");
	else if (action->is_default)
		snprintf(cell, CELL, "%s", answer_text(watch, which));
	else
		snprintf(cell, CELL, "%s:%u", answer_text(watch, which), action->place.line);
}

/* As answer_cell(); the default is said by the line of the watch. */
static void word_cell(char *cell, const struct policy_watch *watch, const char *word, struct policy_place place)
{
	if (watch->mode == MODE_OFF)
		snprintf(cell, CELL, "-");
	else if (place.line == watch->place.line)
		snprintf(cell, CELL, "%s", word);
	else
		snprintf(cell, CELL, "%s:%u", word, place.line);
}

static void deadline_cell(char *cell, uint64_t deadline_ns)
{
	uint64_t ms = deadline_ns / 1000000;

	if (ms % 1000 == 0)
		snprintf(cell, CELL, "%" PRIu64 "s", ms / 1000);
	else
		snprintf(cell, CELL, "%" PRIu64 "ms", ms);
}

/* All but the first and the last column, which are of any length. */
static void row_cells(char cells[COLUMNS - 2][CELL], const struct policy_watch *watch)
{
	snprintf(cells[0], CELL, "%s", store_names[watch->store]);
	snprintf(cells[1], CELL, "%s", mode_names[watch->mode]);
	word_cell(cells[2], watch, watch->origin_mail ? "mail" : "any", watch->origin_place);
	word_cell(cells[3], watch, watch->exec_never ? "never" : "scan", watch->exec_place);
	deadline_cell(cells[4], watch->deadline_ns);
	for (int i = 0; i < POLICY_CASES; i++)
		answer_cell(cells[5 + i], watch, (enum policy_case)i);
	snprintf(cells[5 + POLICY_CASES], CELL, "%s", watch->ignore_marks ? "cached" : "none");
	word_cell(cells[6 + POLICY_CASES], watch, recheck_names[watch->recheck], watch->recheck_place);
}

static void print_table(FILE *out, bool header)
{
	static const char *const titles[COLUMNS - 2] = {"STORE",    "MODE",    "ORIGIN", "EXEC",      "DEADLINE",
							"INFECTED", "TIMEOUT", "LIMIT",  "ENCRYPTED", "ERROR",
							"DOWN",     "MACRO",   "BROKEN", "PHISHING",  "UNWANTED",
							"OTHER",    "TYPE",    "MARKS",  "RECHECK"};
	char cells[COLUMNS - 2][CELL], path[4 * POLICY_PATH_SIZE], place[POLICY_FILE_SIZE + 16];
	int widths[COLUMNS - 2], path_width = 4;

	for (int c = 0; c < COLUMNS - 2; c++)
		widths[c] = (int)strlen(titles[c]);
	for (uint32_t i = 0; i < policy.watch_count; i++) {
		row_cells(cells, &policy.watches[i]);
		text_column(path, sizeof(path), policy.watches[i].path, strlen(policy.watches[i].path));
		path_width = (int)strlen(path) > path_width ? (int)strlen(path) : path_width;
		for (int c = 0; c < COLUMNS - 2; c++)
			widths[c] = (int)strlen(cells[c]) > widths[c] ? (int)strlen(cells[c]) : widths[c];
	}
	if (header && policy.watch_count > 0) {
		fprintf(out, "%-*s", path_width, "PATH");
		for (int c = 0; c < COLUMNS - 2; c++)
			fprintf(out, "  %-*s", widths[c], titles[c]);
		fputs("  POLICY\n", out);
	}
	for (uint32_t i = 0; i < policy.watch_count; i++) {
		row_cells(cells, &policy.watches[i]);
		text_column(path, sizeof(path), policy.watches[i].path, strlen(policy.watches[i].path));
		policy_place_text(&policy, policy.watches[i].place, place, sizeof(place));
		fprintf(out, "%-*s", path_width, path);
		for (int c = 0; c < COLUMNS - 2; c++)
			fprintf(out, "  %-*s", widths[c], cells[c]);
		text_quote(path, sizeof(path), place, strlen(place));
		fprintf(out, "  %s\n", path);
	}
}

/* "03:00", or what stands in its place. */
static void schedule_text(char *out, size_t size)
{
	const struct policy_schedule *schedule = &policy.schedule;

	if (schedule->sweep == SCHEDULE_NEVER)
		snprintf(out, size, "never");
	else
		snprintf(out, size, "%02u:%02u", schedule->minute / 60u, schedule->minute % 60u);
}

static void print_schedule(FILE *out)
{
	char time[16], path[QUOTED_ROOM(sizeof(policy.schedule.paths[0]))];

	schedule_text(time, sizeof(time));
	fprintf(out, "schedule: sweep %s%s", time,
		policy.schedule.sweep == SCHEDULE_DEFAULT ? " (the default: later by up to an hour)" : "");
	for (uint32_t i = 0; i < policy.schedule.path_count; i++) {
		text_quote(path, sizeof(path), policy.schedule.paths[i], strlen(policy.schedule.paths[i]));
		fprintf(out, "%s %s", i ? "," : "; besides the watches", path);
	}
	fputc('\n', out);
}

static json_t *schedule_to_json(void)
{
	json_t *paths = json_array();
	char time[16];

	schedule_text(time, sizeof(time));
	for (uint32_t i = 0; i < policy.schedule.path_count; i++)
		json_array_append_new(paths, json_text(policy.schedule.paths[i], strlen(policy.schedule.paths[i])));
	return json_pack("{s:s, s:b, s:o}", "sweep", time, "default", policy.schedule.sweep == SCHEDULE_DEFAULT,
			 "paths", paths);
}

static void print_rest(FILE *out, bool header, const struct mail_limits *limits)
{
	const struct scanner_settings *scanner = &policy.scanner;

	if (header && policy.watch_count > 0)
		fputs("(deny:12 is said in line 12, deny alone is the default)\n", out);
	fprintf(out,
		"scanner: %u workers, max-file-size %" PRIu64 "k, max-scan-size %" PRIu64
		"k, max-files %u, max-depth %u, scan-time %ums\n",
		scanner->workers, scanner->max_file_size >> 10, scanner->max_scan_size >> 10, scanner->max_files,
		scanner->max_depth, scanner->scan_time_ms);
	if (scanner->engine == ENGINE_CLAMD)
		fprintf(out, "engine: clamd, whose signatures these are, at %s\n", scanner->clamd_socket);
	fputs("attachments:", out);
	for (int i = 0; i < DENY_TYPES; i++)
		if (scanner->deny_types >> i & 1)
			fprintf(out, " %s", type_names[i]);
	fputs(scanner->deny_types ? " are answered by on-type\n" : " of any type\n", out);
	for (uint32_t i = 0; i < policy.mail_software_count; i++)
		fprintf(out, "mail-software %s: %u root%s\n", policy.mail_software[i].name,
			policy.mail_software[i].root_count, policy.mail_software[i].root_count == 1 ? "" : "s");
	print_schedule(out);
	fprintf(out, "max-definitions-age: %" PRIu64 "h\n", policy.max_definitions_age_s / 3600);
	fprintf(out, "quarantine: max-age %" PRIu64 "h, max-size %" PRIu64 "k\n",
		policy.quarantine.max_age_ns / 3600 / 1000000000, policy.quarantine.max_size >> 10);
	if (policy.notify.on)
		fprintf(out, "notify: %s%s, every %" PRIu64 "s, by %s\n", policy.notify.postmaster,
			policy.notify.owner ? " and the owners of mailboxes" : "", policy.notify.every_s,
			policy.notify.command);
	fprintf(out, "on-stop: %s\n",
		policy.release_on_stop
			? "release (nothing is guarded after a stop)"
			: "hold (after a stop, on-down answers where the kernel can; mailwardd --release)");
	if (limits->message.state != LIMIT_KNOWN)
		fprintf(out, "%s\n", limit_sentence(limits));
	if (limits->append.state == LIMIT_KNOWN && limits->append.bytes == 0)
		fputs("Dovecot takes messages of any size by IMAP APPEND, those beyond max-file-size too: "
		      "quota_max_mail_size bounds them\n",
		      out);
}

/* Errors to standard error, warnings beside the table. */
static void print_complaints(FILE *out)
{
	size_t warnings = 0;

	for (size_t i = 0; i < complaints.count; i++) {
		const struct complaint *complaint = &complaints.list[i];
		warnings += complaint->warning;
		fprintf(complaint->warning ? out : stderr, "%s: %s\n", complaint->warning ? "warning" : "error",
			complaint->text);
	}
	if (complaints.errors + warnings > complaints.count)
		fprintf(stderr, "error: there are more\n");
	if (complaints.errors)
		fprintf(stderr, "%zu error%s: this policy is not taken\n", complaints.errors,
			complaints.errors == 1 ? "" : "s");
}

/* ---- JSON ---- */

static json_t *place_json(struct policy_place place)
{
	char text[POLICY_FILE_SIZE + 16];

	policy_place_text(&policy, place, text, sizeof(text));
	return json_text(text, strlen(text));
}

static json_t *watch_json(uint32_t index)
{
	const struct policy_watch *watch = &policy.watches[index];
	json_t *answers = json_object();

	for (int i = 0; i < POLICY_CASES; i++)
		json_object_set_new(answers, case_names[i],
				    json_pack("{s:s, s:o, s:b}", "answer", answer_text(watch, (enum policy_case)i),
					      "policy", place_json(watch->actions[i].place), "default",
					      watch->actions[i].is_default));
	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:o, s:o, s:b, s:o, s:o}", "path",
			 json_text(watch->path, strlen(watch->path)), "store", store_names[watch->store], "mode",
			 mode_names[watch->mode], "origin", watch->origin_mail ? "mail" : "any", "exec",
			 watch->exec_never ? "never" : "scan", "deadline_ms",
			 (json_int_t)(watch->deadline_ns / 1000000), "marks", watch->ignore_marks ? "cached" : "none",
			 "recheck", recheck_names[watch->recheck], "policy", place_json(watch->place), "answers",
			 answers, "covered", roots.why[index][0] == 0, "why",
			 json_text(roots.why[index], strlen(roots.why[index])), "file_system",
			 json_text(roots.file_system[index], strlen(roots.file_system[index])));
}

static json_t *complaints_json(bool warnings)
{
	json_t *list = json_array();

	for (size_t i = 0; i < complaints.count; i++)
		if (complaints.list[i].warning == warnings)
			json_array_append_new(list,
					      json_text(complaints.list[i].text, strlen(complaints.list[i].text)));
	return list;
}

static json_t *deny_types_json(void)
{
	json_t *list = json_array();

	for (int i = 0; i < DENY_TYPES; i++)
		if (policy.scanner.deny_types >> i & 1)
			json_array_append_new(list, json_string(type_names[i]));
	return list;
}

static json_t *mail_software_json(void)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < policy.mail_software_count; i++) {
		const struct policy_mail_software *software = &policy.mail_software[i];
		json_t *paths = json_array();
		for (uint32_t r = 0; r < software->root_count; r++)
			json_array_append_new(paths, json_text(software->roots[r], strlen(software->roots[r])));
		json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name", software->name, "roots", paths,
						      "policy", place_json(software->place)));
	}
	return list;
}

static json_t *limit_json(struct limit limit)
{
	return limit.state == LIMIT_KNOWN ? json_integer((json_int_t)limit.bytes) : json_null();
}

static json_t *limits_json(const struct mail_limits *limits)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "message_size_limit", limit_json(limits->message),
			 "mailbox_size_limit", limit_json(limits->mailbox), "virtual_mailbox_limit",
			 limit_json(limits->virtual_mailbox), "quota_max_mail_size", limit_json(limits->append),
			 "mdbox_rotate_size", limit_json(limits->rotate));
}

static void print_object(FILE *out, const char *file, bool good, const struct mail_limits *limits)
{
	const struct scanner_settings *scanner = &policy.scanner;
	json_t *object = json_pack("{s:o, s:o, s:o}", "file", json_text(file, strlen(file)), "errors",
				   complaints_json(false), "warnings", complaints_json(true));
	json_t *watches = json_array();

	for (uint32_t i = 0; good && i < policy.watch_count; i++)
		json_array_append_new(watches, watch_json(i));
	json_object_set_new(object, "watches", watches);
	if (good) {
		json_object_set_new(object, "allow_root_filesystem", json_boolean(policy.allow_root_filesystem));
		json_object_set_new(object, "schedule", schedule_to_json());
		json_object_set_new(object, "max_definitions_age_s",
				    json_integer((json_int_t)policy.max_definitions_age_s));
		json_object_set_new(object, "on_stop", json_string(policy.release_on_stop ? "release" : "hold"));
		json_object_set_new(object, "quarantine",
				    json_pack("{s:I, s:I}", "max_age_s",
					      (json_int_t)(policy.quarantine.max_age_ns / 1000000000), "max_size",
					      (json_int_t)policy.quarantine.max_size));
		json_object_set_new(object, "notify",
				    !policy.notify.on
					    ? json_null()
					    : json_pack("{s:s, s:b, s:I, s:s}", "postmaster", policy.notify.postmaster,
							"owner", policy.notify.owner, "every_s",
							(json_int_t)policy.notify.every_s, "command",
							policy.notify.command));
		json_object_set_new(
			object, "scanner",
			json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s?}", "workers", (json_int_t)scanner->workers,
				  "max_file_size", (json_int_t)scanner->max_file_size, "max_scan_size",
				  (json_int_t)scanner->max_scan_size, "max_files", (json_int_t)scanner->max_files,
				  "max_depth", (json_int_t)scanner->max_depth, "scan_time_ms",
				  (json_int_t)scanner->scan_time_ms, "engine",
				  scanner->engine == ENGINE_CLAMD ? "clamd" : "libclamav", "clamd_socket",
				  scanner->engine == ENGINE_CLAMD ? scanner->clamd_socket : NULL));
		json_object_set_new(object, "attachments", json_pack("{s:o}", "deny_types", deny_types_json()));
		json_object_set_new(object, "mail_software", mail_software_json());
		json_object_set_new(object, "message_size_limit", limit_json(limits->message));
		json_object_set_new(object, "limits", limits_json(limits));
	}
	print_json(out, object);
}

/* ---- the verb ---- */

/* What of each watch would not be guarded now. */
static void look_at_roots(const struct mounts *mounts)
{
	policy_roots_open(&policy, mounts, &roots);
	policy_roots_close(&roots);
	for (uint32_t i = 0; i < policy.watch_count; i++) {
		const struct policy_watch *watch = &policy.watches[i];
		if (watch->mode == MODE_OFF)
			snprintf(roots.why[i], sizeof(roots.why[i]), "mode = off");
		else if (roots.why[i][0])
			complain(&complaints, true, policy.files[watch->place.file], watch->place.line,
				 "the watch \"%.400s\" is not covered now: %s", watch->path, roots.why[i]);
	}
}

/* Programs are known by their file: one that is not there labels nobody. */
static void look_at_software(void)
{
	for (uint32_t i = 0; i < policy.mail_software_count; i++) {
		const struct policy_mail_software *software = &policy.mail_software[i];
		for (uint32_t r = 0; r < software->root_count; r++) {
			struct stat status;
			const char *wrong = NULL;
			if (stat(software->roots[r], &status) < 0)
				wrong = strerror(errno);
			else if (!S_ISREG(status.st_mode) || !(status.st_mode & 0111))
				wrong = "it is no program";
			if (wrong)
				complain(&complaints, true, policy.files[software->place.file], software->place.line,
					 "mail-software %s: the root \"%.400s\" labels nobody now: %s; correct it, or "
					 "take it out",
					 software->name, software->roots[r], wrong);
		}
	}
}

static int check_policy(const struct options *options, const char *file, FILE *out)
{
	struct mail_limits limits = {0};
	struct mounts mounts;
	bool good;

	if (host_mounts(&mounts) < 0)
		return trouble("/proc/self/mountinfo cannot be read: mount /proc");
	good = policy_load(&policy, file, &complaints) && policy_settle(&policy, &mounts, &complaints);
	if (good) {
		look_at_roots(&mounts);
		look_at_software();
		limits_read(&limits, POSTCONF_TIME_MS, false);
		compare_limits(file, &limits);
	}
	mounts_free(&mounts);
	if (options->json) {
		print_object(out, file, good, &limits);
	} else {
		if (good) {
			print_table(out, options->header);
			print_rest(out, options->header, &limits);
		}
		print_complaints(out);
	}
	return !good ? EXIT_TROUBLE : complaints.count ? EXIT_FOUND : EXIT_FINE;
}

/* The policy of a daemon that runs, else the one that the next would take. */
static const char *policy_in_use(const struct options *options)
{
	const struct status_page *page;
	char path[POLICY_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", options->runtime_dir, KEEPER_SOCKET);
	if (access(path, F_OK) == 0 && client_status_page(options, &page) == EXIT_FINE &&
	    memchr(page->keeper.policy_file, 0, sizeof(page->keeper.policy_file)) && page->keeper.policy_file[0])
		return page->keeper.policy_file;
	return DEFAULT_POLICY;
}

int verb_check(const struct options *options, int argc, char **argv)
{
	if (argc > 2)
		return usage_error("check", "one policy file at most, not '%s' too", argv[2]);
	if (argc == 2 && argv[1][0] == '-')
		return usage_error("check", "unknown option %s", argv[1]);
	return check_policy(options, argc == 2 ? argv[1] : policy_in_use(options), stdout);
}

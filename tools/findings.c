// SPDX-License-Identifier: GPL-2.0-only
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy.h"

#define SECOND_NS 1000000000u
#define HOUR_NS (3600ull * SECOND_NS)
#define DEFINITIONS_OLD_S (7ull * 86400) /* before a policy says so */
#define GATE_SILENT_NS (2ull * SECOND_NS)
#define WORKERS_GONE_NS (2ull * SECOND_NS) /* all are replaced at once now and then */
#define RESTARTS_MANY 3
#define RESTARTED_LATELY_NS (600ull * SECOND_NS)

__attribute__((format(printf, 4, 5))) static void add_issue(struct findings *findings, const char *id,
							    const char *remedy, const char *format, ...)
{
	struct issue *issue = &findings->issues[findings->issue_count];
	va_list arguments;

	if (findings->issue_count == ISSUES_MAX)
		return;
	findings->issue_count++;
	issue->id = id;
	snprintf(issue->remedy, sizeof(issue->remedy), "%s", remedy);
	va_start(arguments, format);
	vsnprintf(issue->text, sizeof(issue->text), format, arguments);
	va_end(arguments);
}

static void copy_canaries(struct keeper_part *keeper)
{
	for (uint32_t i = 0; i < WATCHES_MAX; i++) {
		keeper->canary[i] = keeper->canary[i] < CANARIES ? keeper->canary[i] : CANARY_NOT_YET;
		keeper->canary_open[i] = keeper->canary_open[i] < CANARIES ? keeper->canary_open[i] : CANARY_NOT_YET;
		keeper->canary_exec[i] = keeper->canary_exec[i] < CANARIES ? keeper->canary_exec[i] : CANARY_NOT_YET;
		keeper->canary_text[i][sizeof(keeper->canary_text[i]) - 1] = 0;
	}
	keeper->canary_why[sizeof(keeper->canary_why) - 1] = 0;
	keeper->guard_mode = keeper->guard_mode < GUARD_MODES ? keeper->guard_mode : GUARD_NONE;
	keeper->guard_why[sizeof(keeper->guard_why) - 1] = 0;
	keeper->guard_remedy[sizeof(keeper->guard_remedy) - 1] = 0;
}

static void copy_definitions(struct keeper_part *keeper)
{
	for (uint32_t i = 0; i < DEFINITION_FILES_MAX; i++) {
		struct definition_file *file = &keeper->definition_files[i];
		file->name[sizeof(file->name) - 1] = 0;
		file->verified = file->verified < VERIFIEDS ? file->verified : VERIFIED_NO;
	}
	keeper->definitions_refused_why[sizeof(keeper->definitions_refused_why) - 1] = 0;
	if (keeper->definitions_refused >= DEFINITIONS_REFUSALS)
		keeper->definitions_refused = DEFINITIONS_BROKEN;
}

void status_copy(const struct status_page *page, struct status_page *copy)
{
	for (int i = 0; i < 20; i++) {
		uint64_t turn = __atomic_load_n(&page->gate.turn, __ATOMIC_ACQUIRE);
		memcpy(copy, page, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (turn % 2 == 0 && __atomic_load_n(&page->gate.turn, __ATOMIC_RELAXED) == turn)
			break;
	}
	if (copy->gate.watch_count > WATCHES_MAX)
		copy->gate.watch_count = WATCHES_MAX;
	if (copy->keeper.process_count > PROCESSES_MAX)
		copy->keeper.process_count = PROCESSES_MAX;
	for (uint32_t i = 0; i < WATCHES_MAX; i++) {
		struct watch_entry *watch = &copy->gate.watches[i];
		watch->path[sizeof(watch->path) - 1] = watch->why[sizeof(watch->why) - 1] = 0;
		watch->file_system[sizeof(watch->file_system) - 1] = 0;
		watch->store = watch->store < STORES ? watch->store : 0;
		watch->mode = watch->mode < MODES ? watch->mode : 0;
		watch->covered = watch->covered < COVERAGES ? watch->covered : COVERED_NO;
	}
	copy_canaries(&copy->keeper);
	for (uint32_t i = 0; i < PROCESSES_MAX; i++) {
		struct process_entry *process = &copy->keeper.processes[i];
		process->name[sizeof(process->name) - 1] = 0;
		process->state = process->state < PROCESS_STATES ? process->state : 0;
	}
	copy_definitions(&copy->keeper);
	copy->keeper.definitions_version[sizeof(copy->keeper.definitions_version) - 1] = 0;
	copy->keeper.policy_file[sizeof(copy->keeper.policy_file) - 1] = 0;
	copy->keeper.reload_failed[sizeof(copy->keeper.reload_failed) - 1] = 0;
}

const char *process_state_word(const struct process_entry *process)
{
	static const char *const names[PROCESS_STATES] = PROCESS_STATE_NAMES;
	char name[32], text[512], *state;
	size_t size = 0;
	FILE *file;

	if (process->pid <= 0)
		return process->state == PROCESS_RESTARTING ? names[PROCESS_RESTARTING] : "ended";
	snprintf(name, sizeof(name), "/proc/%d/stat", process->pid);
	file = fopen(name, "re");
	if (file) {
		size = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
	}
	text[size] = 0;
	state = strrchr(text, ')');
	if (!state)
		return "ended";
	if (state[1] && (state[2] == 'T' || state[2] == 't'))
		return "stopped";
	if (state[1] && (state[2] == 'Z' || state[2] == 'X'))
		return "ended";
	return process->state ? names[process->state] : names[PROCESS_RUNNING];
}

uint64_t blocked_in_a_day(const struct status_page *page, uint64_t wall_ns)
{
	uint64_t hour = wall_ns / HOUR_NS, sum = 0, started = page->keeper.started_ns;
	uint64_t up_hours = wall_ns > started ? (wall_ns - started) / HOUR_NS : 0;

	for (uint64_t i = 0; i < 24; i++) {
		uint64_t is = page->gate.denied_hour_is[i];
		if (is <= hour && is + 24 > hour)
			sum += page->gate.denied_hour[i];
		if (i + up_hours < 24)
			sum += page->keeper.blocked_before[i];
	}
	return sum;
}

static void find_in_watches(const struct status_page *page, struct findings *findings)
{
	for (uint32_t i = 0; i < page->gate.watch_count; i++) {
		const struct watch_entry *watch = &page->gate.watches[i];
		if (watch->covered == COVERED_YES || watch->mode == MODE_OFF)
			continue;
		if (watch->covered == COVERED_PARTLY)
			add_issue(findings, "watch-partly-covered",
				  "correct what is said of it, or take what can't be guarded out of the watch",
				  "%s: %s", watch->path, watch->why[0] ? watch->why : "partly covered");
		else
			add_issue(findings, "watch-not-covered",
				  "opens there are not guarded: make the directory exist, or correct the policy and "
				  "reload",
				  "%s: %s", watch->path, watch->why[0] ? watch->why : "not covered");
	}
}

enum canary finding_canary(const struct status_page *page, uint32_t index)
{
	bool current = page->keeper.canary_policy && page->keeper.canary_policy == page->keeper.policy_number;

	return current ? (enum canary)page->keeper.canary[index] : CANARY_NOT_YET;
}

/* While a selftest is under way only what went through before is an issue. What is told as another issue already (a
 * watch that is not covered, no definitions) is none of these. */
static void find_in_canary(const struct status_page *page, uint32_t index, bool pending, struct findings *findings)
{
	const struct watch_entry *watch = &page->gate.watches[index];
	const struct keeper_part *keeper = &page->keeper;
	const char *text = keeper->canary_text[index];

	switch (finding_canary(page, index)) {
	case CANARY_NOT_BLOCKED:
		add_issue(
			findings, "canary-not-blocked",
			"infected files get through there: see the log, restart mailwardd, then run mailward selftest",
			"%s: %s", watch->path, text);
		return;
	case CANARY_NOT_POSSIBLE:
		if (!pending && watch->covered != COVERED_NO && keeper->definitions_signatures)
			add_issue(findings, "canary-not-possible",
				  "nobody knows whether the guard works there: remove what is in the way, then run "
				  "mailward selftest",
				  "%s: %s", watch->path, text);
		return;
	case CANARY_NOT_YET:
		if (!pending && watch->mode == MODE_ENFORCE && store_may_hold((enum store)watch->store))
			add_issue(findings, "canary-not-tried", "run mailward selftest", "%s: %s", watch->path,
				  keeper->canary_why[0] ? keeper->canary_why : "no canary has been tried there");
		return;
	case CANARY_BLOCKED:
	case CANARY_NOT_APPLICABLE:
	case CANARIES:
		return;
	}
}

static void find_in_canaries(const struct status_page *page, struct clocks clocks, struct findings *findings)
{
	uint64_t due = page->keeper.canary_due_ns;
	bool pending = due && clocks.monotonic_ns <= due;

	for (uint32_t i = 0; findings->ready && i < page->gate.watch_count; i++)
		find_in_canary(page, i, pending, findings);
}

uint64_t definitions_max_age(const struct keeper_part *keeper)
{
	return keeper->definitions_max_age_s ? keeper->definitions_max_age_s : DEFINITIONS_OLD_S;
}

int64_t definitions_age(const struct keeper_part *keeper, uint64_t wall_ns)
{
	uint64_t since = keeper->definitions_built_ns ? keeper->definitions_built_ns : keeper->definitions_time_ns;

	return since ? ((int64_t)wall_ns - (int64_t)since) / SECOND_NS : -1;
}

void signatures_text(char *out, size_t size, uint64_t signatures)
{
	if (signatures == SIGNATURES_NOT_KNOWN)
		snprintf(out, size, "its signatures");
	else
		snprintf(out, size, "%llu signatures", (unsigned long long)signatures);
}

static void find_in_refused(const struct keeper_part *keeper, struct findings *findings)
{
	static const char *const remedies[DEFINITIONS_REFUSALS] = {
		[DEFINITIONS_BROKEN] =
			"have freshclam bring them again, or take the broken file away; those in use stay",
		[DEFINITIONS_NO_ROOM] =
			"give the host, or the memory cgroup of mailwardd, that much; it is tried again by "
			"itself, and those in use stay",
		[DEFINITIONS_GONE] = "bring the folder back; those in use stay until mailwardd ends",
		[DEFINITIONS_CLAMD] = "see to clamd (clamd.conf, its log, its socket's rights), or set engine = "
				      "libclamav; until then nothing is judged clean",
	};
	static const char *const ids[DEFINITIONS_REFUSALS] = {[DEFINITIONS_BROKEN] = "definitions-broken",
							      [DEFINITIONS_NO_ROOM] = "definitions-no-room",
							      [DEFINITIONS_GONE] = "definitions-gone",
							      [DEFINITIONS_CLAMD] = "clamd"};

	if (keeper->definitions_refused != DEFINITIONS_NEWEST)
		add_issue(findings, ids[keeper->definitions_refused], remedies[keeper->definitions_refused],
			  keeper->definitions_refused == DEFINITIONS_CLAMD ? "%s"
									   : "newer definitions are not in use: %s",
			  keeper->definitions_refused_why);
}

static void find_in_definitions(const struct status_page *page, struct findings *findings)
{
	const struct keeper_part *keeper = &page->keeper;

	if (keeper->definitions_known && keeper->definitions_signatures == 0)
		add_issue(findings, "no-definitions",
			  strncmp(keeper->definitions_version, "clamd", 5)
				  ? "install definitions (freshclam); until then nothing can be judged"
				  : "start clamd, or set engine = libclamav; until then nothing can be judged",
			  "no definitions%s%s", keeper->definitions_version[0] ? ": " : "",
			  keeper->definitions_version);
	else if (findings->definitions_age_s > (int64_t)definitions_max_age(keeper))
		add_issue(findings, "definitions-old", "see why freshclam does not bring new ones",
			  "the definitions are %lld days old (max-definitions-age = %lldh)",
			  (long long)findings->definitions_age_s / 86400,
			  (long long)definitions_max_age(keeper) / 3600);
	find_in_refused(keeper, findings);
}

static void find_in_workers(const struct status_page *page, struct clocks clocks, struct findings *findings)
{
	const struct keeper_part *keeper = &page->keeper;
	uint64_t gone = keeper->workers_gone_ns;

	if (keeper->definitions_signatures && gone && clocks.monotonic_ns > gone + WORKERS_GONE_NS)
		add_issue(findings, "no-worker",
			  "new ones are started by themselves; if it stays, the log says why they end",
			  "no scanner worker has served for %llu s: nothing new is judged",
			  (unsigned long long)((clocks.monotonic_ns - gone) / SECOND_NS));
}

static void find_in_processes(const struct status_page *page, struct clocks clocks, struct findings *findings)
{
	for (uint32_t i = 0; i < page->keeper.process_count; i++) {
		const struct process_entry *process = &page->keeper.processes[i];
		const char *state = findings->states[i];
		if (state && (strcmp(state, "stopped") == 0 || strcmp(state, "ended") == 0))
			add_issue(findings, "process-not-running",
				  "it is restarted by itself within seconds; if not, see the log", "%s is %s",
				  process->name, state);
		if (process->restarts >= RESTARTS_MANY && clocks.wall_ns - process->started_ns < RESTARTED_LATELY_NS)
			add_issue(findings, "process-restarting", "the log says why it ends",
				  "%s was restarted %llu times", process->name, (unsigned long long)process->restarts);
	}
	if (page->gate.loop_ns && clocks.monotonic_ns > page->gate.loop_ns + GATE_SILENT_NS)
		add_issue(findings, "gate-silent", "it is replaced by itself within seconds; if not, restart mailwardd",
			  "the gate has not moved for %llu s",
			  (unsigned long long)((clocks.monotonic_ns - page->gate.loop_ns) / SECOND_NS));
}

static void find_in_counters(const struct status_page *page, struct findings *findings)
{
	if (page->gate.records_lost)
		add_issue(findings, "records-lost", "denials were not all recorded: mailward blocked shows the gaps",
			  "%llu records were lost", (unsigned long long)page->gate.records_lost);
	if (page->gate.kernel_refused)
		add_issue(findings, "kernel-refused",
			  "raise LimitNOFILE of mailwardd where descriptors ran short; mailward blocked shows them",
			  "%llu accesses were refused by the kernel before the gate saw them",
			  (unsigned long long)page->gate.kernel_refused);
	if (page->keeper.released_lately)
		add_issue(findings, "released-unjudged", "scan what was delivered around that time",
			  "%llu accesses were let go unjudged within a day, when gate and keeper fell together",
			  (unsigned long long)page->keeper.released_lately);
	if (page->keeper.reload_failed[0])
		add_issue(findings, "reload-failed",
			  "correct the policy and run mailward reload; the old one is in force",
			  "the last reload failed: %s", page->keeper.reload_failed);
}

static void find_in_steward(const struct status_page *page, struct findings *findings)
{
	static const struct {
		const char *id, *remedy;
	} known[STEWARD_ISSUES] = {
		[ISSUE_QUARANTINE] = {"quarantine", "make room, or correct what is said of it: until then what should "
						    "be moved away is denied where it lies"},
		[ISSUE_ALLOWED] = {"allow-list",
				   "look at STATE/steward/allowed: put a good copy there and restart, or add "
				   "entries anew, which puts it aside"},
		[ISSUE_NOTIFY] = {"notices",
				  "look into the log: notify { command } of the policy does not take the mails"},
		[ISSUE_QUEUE] = {"queue", "make room in the quarantine, or raise its max-size; see that the message's "
					  "store is watched too"},
		[ISSUE_PURGE] = {"quarantine-purge", "look at mailward quarantine list, release or delete what is "
						     "there, or raise its limits"},
	};

	for (uint32_t i = 0; i < STEWARD_ISSUES; i++)
		if (page->keeper.steward_issues[i][0] && known[i].id)
			add_issue(findings, known[i].id, known[i].remedy, "%s", page->keeper.steward_issues[i]);
}

static void say_limit(void *owner, const char *what, const char *remedy)
{
	add_issue(owner, "mail-limit", remedy, "%s", what);
}

void findings_limits(const struct status_page *page, const struct mail_limits *limits, struct findings *findings)
{
	struct scanner_limits scanner = {.max_file_size = page->keeper.max_file_size,
					 .max_scan_size = page->keeper.max_scan_size};

	if (!scanner.max_file_size)
		return;
	for (uint32_t i = 0; i < page->gate.watch_count; i++) {
		const struct watch_entry *watch = &page->gate.watches[i];
		scanner.mbox |= watch->mode != MODE_OFF && watch->store == STORE_MBOX;
		scanner.mdbox |= watch->mode != MODE_OFF && watch->store == STORE_MDBOX;
	}
	limits_compare(limits, &scanner, say_limit, findings);
}

/* Marks, and a worker that has passed its canary, whatever became of it then. The first selftest belongs to it, but not
 * for ever: one that does not come to an end is an issue. */
static bool is_ready(const struct status_page *page, struct clocks clocks)
{
	const struct keeper_part *keeper = &page->keeper;

	if (!page->gate.marks_stand)
		return false;
	if (!keeper->workers_serving && !keeper->workers_gone_ns &&
	    !(keeper->definitions_known && keeper->definitions_signatures == 0))
		return false;
	return keeper->canary_policy || (keeper->canary_due_ns && clocks.monotonic_ns > keeper->canary_due_ns);
}

void findings_make(const struct status_page *page, struct clocks clocks, struct findings *findings)
{
	const struct keeper_part *keeper = &page->keeper;

	findings->ready = is_ready(page, clocks);
	findings->uptime_s =
		clocks.wall_ns > keeper->started_ns ? (clocks.wall_ns - keeper->started_ns) / SECOND_NS : 0;
	findings->definitions_age_s = -1;
	if (keeper->definitions_signatures)
		findings->definitions_age_s = definitions_age(keeper, clocks.wall_ns);
	findings->blocked_24h = blocked_in_a_day(page, clocks.wall_ns);
	findings->issue_count = 0;
	find_in_watches(page, findings);
	find_in_canaries(page, clocks, findings);
	find_in_definitions(page, findings);
	find_in_workers(page, clocks, findings);
	find_in_processes(page, clocks, findings);
	find_in_counters(page, findings);
	find_in_steward(page, findings);
	findings->note =
		keeper->uids_are_fallback ? "there is no system user _mailward: fixed numeric uids are in use" : NULL;
}

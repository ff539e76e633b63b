// SPDX-License-Identifier: GPL-2.0-only
#include "policy_watch.h"

#include <stdio.h>
#include <string.h>

#define MS_NS 1000000ull

static const struct policy_choice store_choices[] = {{"files", STORE_FILES, 0},
						     {"maildir", STORE_MAILDIR, 0},
						     {"sdbox", STORE_SDBOX, 0},
						     {"mbox", STORE_MBOX, 0},
						     {"mdbox", STORE_MDBOX, 0},
						     {"postfix-queue", STORE_POSTFIX_QUEUE, 0},
						     {0}};
static const struct policy_choice mode_choices[] = {
	{"off", MODE_OFF, 0}, {"observe", MODE_OBSERVE, 0}, {"enforce", MODE_ENFORCE, 0}, {0}};
static const struct policy_choice origin_choices[] = {{"any", 0, 0}, {"mail", 1, 0}, {0}};
static const struct policy_choice exec_choices[] = {{"scan", 0, 0}, {"never", 1, 0}, {0}};
static const struct policy_choice marks_choices[] = {{"none", 0, 0}, {"cached", 1, 0}, {0}};
static const struct policy_choice recheck_choices[] = {
	{"on-open", RECHECK_ON_OPEN, 0}, {"background", RECHECK_BACKGROUND, 0}, {"never", RECHECK_NEVER, 0}, {0}};
static const struct policy_range deadline_range = {policy_time_units, "ms s min h d", "5s", 100, 60000, "100ms", "60s"};

/* What a word of the policy says is to be done. */
enum act { ACT_ALLOW = 1, ACT_DENY, ACT_REPORT, ACT_QUARANTINE };

static const struct policy_choice infected_choices[] = {
	{"deny", ACT_DENY, 0}, {"quarantine", ACT_QUARANTINE, 0}, {"report", ACT_REPORT, 0}, {0}};
static const struct policy_choice plain_choices[] = {{"allow", ACT_ALLOW, 0}, {"deny", ACT_DENY, 0}, {0}};
static const struct policy_choice lasting_choices[] = {
	{"allow", ACT_ALLOW, 0}, {"deny", ACT_DENY, 0}, {"quarantine", ACT_QUARANTINE, 0}, {0}};
static const struct policy_choice heuristic_choices[] = {{"allow", ACT_ALLOW, 0},
							 {"deny", ACT_DENY, 0},
							 {"report", ACT_REPORT, 0},
							 {"quarantine", ACT_QUARANTINE, 0},
							 {0}};

static const struct action_word {
	const char *name; /* NULL: on-heuristic alone says it */
	const struct policy_choice *choices;
	bool lasting;         /* the reason does not pass by itself */
	uint8_t files, boxed; /* enum act: the default; boxed: in maildir and sdbox */
	uint8_t unheld;       /* and where nothing may be held */
} action_words[POLICY_CASES] = {
	[CASE_INFECTED] = {"on-infected", infected_choices, false, ACT_DENY, ACT_QUARANTINE, ACT_REPORT},
	[CASE_TIMEOUT] = {"on-timeout", plain_choices, false, ACT_DENY, ACT_DENY, ACT_ALLOW},
	[CASE_LIMIT] = {"on-limit", lasting_choices, true, ACT_DENY, ACT_QUARANTINE, ACT_ALLOW},
	[CASE_ENCRYPTED] = {"on-encrypted", lasting_choices, true, ACT_DENY, ACT_ALLOW, ACT_ALLOW},
	[CASE_ERROR] = {"on-error", lasting_choices, true, ACT_DENY, ACT_ALLOW, ACT_ALLOW},
	[CASE_DOWN] = {"on-down", plain_choices, false, ACT_DENY, ACT_DENY, ACT_ALLOW},
	[CASE_MACRO] = {"on-macro", heuristic_choices, true, ACT_REPORT, ACT_REPORT, ACT_REPORT},
	[CASE_BROKEN] = {"on-broken", heuristic_choices, true, ACT_REPORT, ACT_REPORT, ACT_REPORT},
	[CASE_PHISHING] = {"on-phishing", heuristic_choices, true, ACT_DENY, ACT_QUARANTINE, ACT_REPORT},
	[CASE_UNWANTED] = {"on-unwanted", heuristic_choices, true, ACT_REPORT, ACT_REPORT, ACT_REPORT},
	[CASE_OTHER] = {NULL, heuristic_choices, true, ACT_REPORT, ACT_REPORT, ACT_REPORT},
	[CASE_TYPE] = {"on-type", heuristic_choices, true, ACT_DENY, ACT_QUARANTINE, ACT_REPORT},
};
/* The base for all kinds of heuristics, each of which has a word of its own as well. */
static const struct action_word heuristic_word = {"on-heuristic", heuristic_choices, true, 0, 0, 0};

static void set_action(struct policy_action *action, uint8_t act)
{
	action->answer = act == ACT_DENY || act == ACT_QUARANTINE ? ANSWER_DENY : ANSWER_ALLOW;
	action->quarantine = act == ACT_QUARANTINE;
	action->report = act == ACT_REPORT;
}

/* A store whose files are never held gets no default that it could not keep. */
static uint8_t action_default(const struct action_word *action, uint8_t store)
{
	if (action == &action_words[CASE_INFECTED] && store_may_empty(store))
		return ACT_QUARANTINE;
	if (!store_may_hold(store))
		return action->unheld;
	return store == STORE_FILES ? action->files : action->boxed;
}

/* Can this store do so, nobody being held or denied there? In a queue that gives a message up, what is infected may go
 * to the quarantine. */
static bool store_keeps(const struct policy_watch *watch, const struct action_word *known, const char *value)
{
	if (store_may_hold(watch->store) || (strcmp(value, "deny") != 0 && strcmp(value, "quarantine") != 0))
		return true;
	return store_may_empty(watch->store) && strcmp(value, "quarantine") == 0 &&
	       (known->choices == infected_choices || known->choices == heuristic_choices);
}

/* What the policy says for this word; false: nothing, or nothing that can be taken. */
static bool read_action(const struct policy_reading *at, cfg_t *block, const struct policy_watch *watch,
			const struct action_word *known, struct policy_action *action)
{
	static const char *const stores[] = STORE_NAMES;
	struct policy_word word;
	uint8_t act;

	if (!policy_one_value(at, block, known->name, &word))
		return false;
	if (!store_keeps(watch, known, word.text)) {
		refuse(at, word.line,
		       "%s = %s cannot be kept in store = %s: its files are never held or denied, because one denial "
		       "stops the mail of everybody in it; use %s%s, or leave the word out",
		       known->name, word.text, stores[watch->store],
		       store_keeps(watch, known, "quarantine") ? "quarantine (which denies nobody) or " : "",
		       known->unheld == ACT_ALLOW ? "allow" : "report");
		return false;
	}
	if (!policy_choose(at, known->name, word, known->choices, &act))
		return false;
	*action = (struct policy_action){.place = policy_place_at(at, word.line)};
	set_action(action, act);
	if (known->lasting && act == ACT_DENY && (watch->store == STORE_MAILDIR || watch->store == STORE_SDBOX))
		doubt(at, word.line,
		      "%s = deny in store = %s: a message that stays and is denied cuts the mail client off at each "
		      "sync; use quarantine, or %s (it is recorded all the same)",
		      known->name, stores[watch->store], known->choices == heuristic_choices ? "report" : "allow");
	return true;
}

static void take_actions(const struct policy_reading *at, cfg_t *block, struct policy_watch *watch)
{
	struct policy_action base;
	bool has_base = read_action(at, block, watch, &heuristic_word, &base);

	for (int i = 0; i < POLICY_CASES; i++) {
		const struct action_word *known = &action_words[i];
		struct policy_action *action = &watch->actions[i];
		*action = (struct policy_action){.is_default = 1, .place = watch->place};
		set_action(action, action_default(known, watch->store));
		if (has_base && i >= CASE_MACRO)
			*action = base;
		if (known->name)
			read_action(at, block, watch, known, action);
	}
}

static void take_origin(const struct policy_reading *at, cfg_t *block, struct policy_watch *watch)
{
	struct policy_word word;

	watch->origin_place = watch->place;
	if (!policy_one_value(at, block, "origin", &word))
		return;
	watch->origin_place = policy_place_at(at, word.line);
	policy_choose(at, "origin", word, origin_choices, &watch->origin_mail);
}

static void take_exec(const struct policy_reading *at, cfg_t *block, struct policy_watch *watch)
{
	static const char *const stores[] = STORE_NAMES;
	struct policy_word word;

	watch->exec_place = watch->place;
	if (!policy_one_value(at, block, "exec", &word))
		return;
	watch->exec_place = policy_place_at(at, word.line);
	if (policy_choose(at, "exec", word, exec_choices, &watch->exec_never) && watch->exec_never &&
	    !store_may_hold(watch->store))
		refuse(at, word.line,
		       "exec = never cannot be kept in store = %s: its files are never held or denied; use exec = "
		       "scan, or leave the word out",
		       stores[watch->store]);
}

static void take_recheck(const struct policy_reading *at, cfg_t *block, struct policy_watch *watch)
{
	struct policy_word word;

	watch->recheck_place = watch->place;
	if (!policy_one_value(at, block, "recheck", &word))
		return;
	watch->recheck_place = policy_place_at(at, word.line);
	if (policy_choose(at, "recheck", word, recheck_choices, &watch->recheck) && watch->recheck == RECHECK_NEVER)
		doubt(at, word.line,
		      "recheck = never: what was clean stays clean, also where a signature that came later would find "
		      "it; use background, so that opens need not wait after new definitions");
}

static void take_watch_words(const struct policy_reading *at, cfg_t *block, struct policy_watch *watch)
{
	uint64_t deadline_ms = 5000;
	struct policy_place deadline_place = {0};
	struct policy_word word;

	watch->mode = MODE_ENFORCE;
	watch->ignore_marks = 1;
	if (policy_one_value(at, block, "store", &word))
		policy_choose(at, "store", word, store_choices, &watch->store);
	if (policy_one_value(at, block, "mode", &word))
		policy_choose(at, "mode", word, mode_choices, &watch->mode);
	take_origin(at, block, watch);
	take_exec(at, block, watch);
	take_recheck(at, block, watch);
	if (policy_one_value(at, block, "marks", &word))
		policy_choose(at, "marks", word, marks_choices, &watch->ignore_marks);
	policy_number(at, block, "deadline", &deadline_range, &deadline_ms, &deadline_place);
	watch->deadline_ns = deadline_ms * MS_NS;
	if (deadline_place.line && !store_may_hold(watch->store) && !store_may_empty(watch->store))
		doubt(at, deadline_place.line,
		      "a deadline has no effect here: nothing in this store is ever held; leave it out");
	take_actions(at, block, watch);
}

static void refuse_repeated_watch(const struct policy_reading *at, const struct policy *policy,
				  const struct policy_watch *watch)
{
	char first[POLICY_FILE_SIZE + 16];

	for (uint32_t i = 0; i < policy->watch_count; i++) {
		if (strcmp(policy->watches[i].path, watch->path) != 0)
			continue;
		policy_place_text(policy, policy->watches[i].place, first, sizeof(first));
		refuse(at, watch->place.line,
		       "the watch \"%.400s\" is repeated (first in %s): make one block of the two", watch->path, first);
		return;
	}
}

bool policy_take_watch(const struct policy_reading *at, struct policy *policy, cfg_t *block)
{
	struct policy_word title = policy_word_of(cfg_title(block));
	struct policy_watch *watch;

	if (policy->watch_count == WATCHES_MAX) {
		refuse(at, title.line, "too many watches: %d is the limit; watch a folder above several of them",
		       WATCHES_MAX);
		return false;
	}
	watch = &policy->watches[policy->watch_count];
	memset(watch, 0, sizeof(*watch));
	watch->place = policy_place_at(at, title.line);
	if (!policy_path(at, title, "of a watch", watch->path, sizeof(watch->path)))
		return true;
	refuse_repeated_watch(at, policy, watch);
	if (strpbrk(watch->path, "*?[$"))
		doubt(at, title.line,
		      "nothing is expanded in a path: \"%.400s\" is watched under just that name; if a pattern was "
		      "meant, name the folder above",
		      watch->path);
	take_watch_words(at, block, watch);
	policy->watch_count++;
	return true;
}

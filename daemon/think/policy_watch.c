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
static const struct policy_range deadline_range = {policy_time_units, "ms s min h d", "5s", 100, 60000, "100ms", "60s"};

static const struct policy_choice infected_choices[] = {
	{"deny", ANSWER_DENY, 0},
	{"quarantine", ANSWER_DENY, "deny (the open is refused, the file stays)"},
	{"report", ANSWER_ALLOW, 0},
	{0}};
static const struct policy_choice plain_choices[] = {{"allow", ANSWER_ALLOW, 0}, {"deny", ANSWER_DENY, 0}, {0}};
static const struct policy_choice lasting_choices[] = {
	{"allow", ANSWER_ALLOW, 0},
	{"deny", ANSWER_DENY, 0},
	{"quarantine", ANSWER_DENY, "allow (it is recorded) or deny (the open is refused, the file stays)"},
	{0}};

static const struct action_word {
	const char *name;
	const struct policy_choice *choices;
	bool lasting;          /* the reason does not pass by itself */
	uint8_t boxed_default; /* in maildir and sdbox; in files it is always deny */
} action_words[POLICY_CASES] = {
	[CASE_INFECTED] = {"on-infected", infected_choices, false, ANSWER_DENY},
	[CASE_TIMEOUT] = {"on-timeout", plain_choices, false, ANSWER_DENY},
	[CASE_LIMIT] = {"on-limit", lasting_choices, true, ANSWER_DENY}, /* quarantine, once there is one */
	[CASE_ENCRYPTED] = {"on-encrypted", lasting_choices, true, ANSWER_ALLOW},
	[CASE_ERROR] = {"on-error", lasting_choices, true, ANSWER_ALLOW},
	[CASE_DOWN] = {"on-down", plain_choices, false, ANSWER_DENY},
};

/* A store whose files are never held gets no default that it could not keep. */
static uint8_t action_default(const struct action_word *action, uint8_t store)
{
	if (!store_may_hold(store))
		return ANSWER_ALLOW;
	return store == STORE_FILES ? ANSWER_DENY : action->boxed_default;
}

static void take_action(const struct policy_reading *at, cfg_t *block, struct policy_watch *watch,
			enum policy_case which)
{
	static const char *const stores[] = STORE_NAMES;
	const struct action_word *known = &action_words[which];
	struct policy_action *action = &watch->actions[which];
	struct policy_word word;

	*action = (struct policy_action){
		.answer = action_default(known, watch->store), .is_default = 1, .place = watch->place};
	if (!policy_one_value(at, block, known->name, &word))
		return;
	action->place = policy_place_at(at, word.line);
	action->is_default = 0;
	if (!store_may_hold(watch->store) && (strcmp(word.text, "deny") == 0 || strcmp(word.text, "quarantine") == 0)) {
		refuse(at, word.line,
		       "%s = %s cannot be kept in store = %s: its files are never held or denied, because one denial "
		       "stops the mail of everybody in it; use %s, or leave the word out",
		       known->name, word.text, stores[watch->store], which == CASE_INFECTED ? "report" : "allow");
		return;
	}
	if (!policy_choose(at, known->name, word, known->choices, &action->answer))
		return;
	if (known->lasting && action->answer == ANSWER_DENY &&
	    (watch->store == STORE_MAILDIR || watch->store == STORE_SDBOX))
		doubt(at, word.line,
		      "%s = deny in store = %s: a message that stays and is denied cuts the mail client off at each "
		      "sync; use allow (it is recorded all the same)",
		      known->name, stores[watch->store]);
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
	if (policy_one_value(at, block, "marks", &word))
		policy_choose(at, "marks", word, marks_choices, &watch->ignore_marks);
	policy_number(at, block, "deadline", &deadline_range, &deadline_ms, &deadline_place);
	watch->deadline_ns = deadline_ms * MS_NS;
	if (deadline_place.line && !store_may_hold(watch->store))
		doubt(at, deadline_place.line,
		      "a deadline has no effect here: nothing in this store is ever held; leave it out");
	for (int i = 0; i < POLICY_CASES; i++)
		take_action(at, block, watch, (enum policy_case)i);
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

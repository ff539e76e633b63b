// SPDX-License-Identifier: GPL-2.0-only
#include "policy_notify.h"

#include <stdio.h>
#include <string.h>

#define ADDRESS_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.@_+=-"

/* It becomes an argument of a program and a line of a mail: no more than an address needs. */
static bool address_is_good(const char *address)
{
	size_t length = strlen(address);

	return length > 0 && length < sizeof(((struct policy_notify *)0)->postmaster) && address[0] != '-' &&
	       strspn(address, ADDRESS_CHARACTERS) == length;
}

static void take_postmaster(const struct policy_reading *at, struct policy_notify *notify, cfg_t *block)
{
	struct policy_word word;

	if (!policy_one_value(at, block, "postmaster", &word))
		return;
	if (address_is_good(word.text))
		memcpy(notify->postmaster, word.text, strlen(word.text) + 1);
	else
		refuse(at, word.line, "'postmaster' takes one address or local name: postmaster = \"postmaster\"");
}

void policy_take_notify(const struct policy_reading *at, struct policy *policy, cfg_t *block, struct policy_place *seen)
{
	static const struct policy_choice yes_choices[] = {{"no", 0, 0}, {"yes", 1, 0}, {0}};
	static const struct policy_range every = {policy_time_units, "ms s min h d", "1h", 1000,
						  86400000ull * 31,  "1s",           "31d"};
	struct policy_word title = policy_word_of(cfg_title(block)), word;
	struct policy_notify *notify = &policy->notify;
	char first[POLICY_FILE_SIZE + 16];
	uint64_t ms;

	if (title.text[0])
		refuse(at, title.line, "notify has no title: write notify { ... }");
	if (seen->line) {
		policy_place_text(policy, *seen, first, sizeof(first));
		refuse(at, title.line, "the block notify is repeated (first in %s): make one block of the two", first);
		return;
	}
	*seen = policy_place_at(at, title.line);
	*notify = (struct policy_notify){
		.on = 1, .every_s = 3600, .postmaster = "postmaster", .command = "/usr/sbin/sendmail"};
	take_postmaster(at, notify, block);
	if (policy_one_value(at, block, "owner", &word))
		policy_choose(at, "owner", word, yes_choices, &notify->owner);
	if (policy_number(at, block, "every", &every, &ms, NULL))
		notify->every_s = ms < 1000 ? 1 : ms / 1000;
	if (policy_one_value(at, block, "command", &word))
		policy_path(at, word, "of the command", notify->command, sizeof(notify->command));
}

// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>

#include "steward_state.h"

int quarantine_open(struct steward *steward)
{
	(void)steward;
	return 0;
}

void quarantine_policy(struct steward *steward)
{
	(void)steward;
}

bool quarantine_turn(struct steward *steward, uint64_t now)
{
	(void)steward;
	(void)now;
	return false;
}

void quarantine_take(struct steward *steward, const struct steward_request *request, int fd)
{
	struct steward_reply reply = {
		.version = WIRE_VERSION, .kind = STEWARD_DONE, .case_id = request->case_id, .result = -ENOSYS};

	(void)fd;
	steward_tell_gate(steward, &reply, -1);
}

enum steward_next quarantine_list(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	(void)steward;
	(void)client;
	return steward_end(row, 0, NULL);
}

enum steward_next quarantine_show(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	(void)steward;
	return steward_end(row, -ENOENT, "there is no %s in the quarantine", client->ask.id);
}

enum steward_next quarantine_restore(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	return quarantine_show(steward, client, row);
}

enum steward_next quarantine_release(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	return quarantine_show(steward, client, row);
}

enum steward_next quarantine_delete(struct steward *steward, struct steward_client *client, struct steward_row *row)
{
	return quarantine_show(steward, client, row);
}

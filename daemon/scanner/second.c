// SPDX-License-Identifier: GPL-2.0-only
#include "second.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clamd.h"
#include "loop.h"
#include "worker.h"

/* All that clamd says on the connection. 0, or -errno: -ETIMEDOUT where it does not end in time. */
static int answer_take(int conn, uint64_t until_ns, char *answer, size_t room, size_t *size)
{
	struct pollfd wait = {.fd = conn, .events = POLLIN};

	*size = 0;
	for (;;) {
		ssize_t got = read(conn, answer + *size, room - *size);
		uint64_t now = now_ns();
		if (got > 0)
			*size += (size_t)got;
		if (got == 0 || *size == room || memchr(answer, 0, *size))
			return 0;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now >= until_ns)
			return -ETIMEDOUT;
		poll(&wait, 1, (int)((until_ns - now) / 1000000u) + 1);
	}
}

static void say(char said[SECOND_SAID], const char *what, const char *name)
{
	if (!said[0] || !strcmp(said, "OK"))
		snprintf(said, SECOND_SAID, "%s%.80s", what, name);
}

static void failed(struct findings *findings, enum verdict_reason reason, const char *why, char said[SECOND_SAID])
{
	findings_error(findings, reason, why);
	say(said, "", why);
}

static void answer_note(struct findings *findings, const char *answer, size_t size, char said[SECOND_SAID])
{
	char name[SIGNATURE_SIZE], text[FINDING_SIZE];

	switch (clamd_answer_read(answer, size, name)) {
	case CLAMD_OK:
		say(said, "OK", "");
		break;
	case CLAMD_FOUND:
		findings_name(findings, name);
		/* It names one, and stops there: an allowance of that one does not speak for the file. */
		findings->names_more = findings->names_more || findings->name_count > 0;
		said[0] = 0;
		say(said, "", name);
		break;
	case CLAMD_ERROR:
		snprintf(text, sizeof(text), "clamd could not scan it: %.60s", name);
		failed(findings, REASON_ENGINE_ERROR, text, said);
		break;
	case CLAMD_NO_ANSWER:
		failed(findings, REASON_ENGINE_ERROR, "clamd gave no whole answer", said);
		break;
	}
}

void second_look(struct findings *findings, int fd, uint64_t until_ns, char said[SECOND_SAID])
{
	char answer[CLAMD_ANSWER_SIZE + 1], why[CHILD_TEXT], text[FINDING_SIZE];
	int conn = child_clamd(fd, until_ns, why), result;
	size_t size;

	if (conn >= 0) {
		result = answer_take(conn, until_ns, answer, sizeof(answer), &size);
		close(conn);
		if (result == -ETIMEDOUT) {
			failed(findings, REASON_TIMEOUT, "clamd did not answer in time", said);
		} else if (result < 0) {
			snprintf(text, sizeof(text), "clamd: %s", strerrordesc_np(-result));
			failed(findings, REASON_ENGINE_ERROR, text, said);
		} else {
			answer_note(findings, answer, size, said);
		}
	}
	if (why[0])
		failed(findings, REASON_ENGINE_ERROR, why, said);
}

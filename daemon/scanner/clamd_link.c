// SPDX-License-Identifier: GPL-2.0-only
#include "clamd_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define ROUND_NS (2 * SECOND_NS)
#define PROOF_NS (60 * SECOND_NS)
#define PATIENCE_NS (10 * SECOND_NS)     /* for one question: it may have a queue */
#define RELOAD_FIRST_NS (4 * SECOND_NS)  /* by then it has begun */
#define RELOAD_LAST_NS (120 * SECOND_NS) /* where it does not say when it has ended */
#define LIMITS "Heuristics.Limits.Exceeded"

static void answered(void *owner, uint32_t events);

void clamd_link_open(struct clamd_link *link, struct loop *loop, const char *path)
{
	*link = (struct clamd_link){.path = path, .loop = loop};
	link->handler = (struct loop_handler){.ready = answered, .owner = link, .fd = -1};
}

static void hang_up(struct clamd_link *link)
{
	int conn = link->handler.fd;

	if (conn < 0)
		return;
	loop_remove(link->loop, &link->handler);
	close(conn);
}

static void round_end(struct clamd_link *link, enum clamd_state state, const char *why)
{
	hang_up(link);
	link->step = CLAMD_IDLE;
	link->state = state;
	snprintf(link->why, sizeof(link->why), "%s", why);
	link->proved_ns = state == CLAMD_PROVED ? link->proved_ns : 0;
	if (state == CLAMD_GONE)
		return;
	memcpy(link->version, link->next_version, sizeof(link->version));
	link->built_ns = link->next_built_ns;
}

static void gone(struct clamd_link *link, const char *what)
{
	char why[sizeof(link->why)];

	snprintf(why, sizeof(why), "clamd at %.120s: %s", link->path, what);
	round_end(link, CLAMD_GONE, why);
}

/* fd: taken. */
static void question(struct clamd_link *link, enum clamd_step step, int fd)
{
	static const enum clamd_question questions[] = {CLAMD_VERSION, CLAMD_VERSION, CLAMD_SCAN,
							CLAMD_SCAN,    CLAMD_RELOAD,  CLAMD_STATS};
	int conn;

	hang_up(link);
	if (questions[step] == CLAMD_SCAN && fd < 0) {
		gone(link, "there is no memory for what it is to be asked");
		return;
	}
	conn = clamd_ask(link->path, questions[step], fd);
	if (fd >= 0)
		close(fd);
	if (conn < 0) {
		gone(link, conn == -EAGAIN ? "it takes no more connections" : strerror(-conn));
		return;
	}
	link->step = step;
	link->asked = clamd_pid(conn);
	link->asked_ns = now_ns();
	link->answer_size = 0;
	if (loop_add(link->loop, &link->handler, conn, EPOLLIN) < 0) {
		close(conn);
		gone(link, "no room for its connection");
	}
}

static void version_came(struct clamd_link *link)
{
	if (!clamd_version_read(link->answer, link->answer_size, link->next_version, &link->next_built_ns)) {
		gone(link, "it does not say which version it is");
		return;
	}
	if (link->state == CLAMD_PROVED && !strcmp(link->version, link->next_version) && link->asked == link->proved &&
	    now_ns() - link->proved_ns < PROOF_NS)
		round_end(link, CLAMD_PROVED, "");
	else
		question(link, CLAMD_ASKED_HARMLESS, clamd_harmless_mail());
}

static void harmless_came(struct clamd_link *link)
{
	char name[SIGNATURE_SIZE], why[sizeof(link->why)];

	switch (clamd_answer_read(link->answer, link->answer_size, name)) {
	case CLAMD_OK:
		question(link, CLAMD_ASKED_DEEP, clamd_deep_mail());
		return;
	case CLAMD_FOUND:
		snprintf(why, sizeof(why), "clamd finds %.100s in a harmless mail", name);
		round_end(link, CLAMD_LYING, why);
		return;
	case CLAMD_ERROR:
		snprintf(why, sizeof(why), "clamd cannot scan: %.120s", name);
		round_end(link, CLAMD_UNPROVED, why);
		return;
	case CLAMD_NO_ANSWER:
		break;
	}
	gone(link, "it gives no answer to a file");
}

static void deep_came(struct clamd_link *link)
{
	char name[SIGNATURE_SIZE];
	enum clamd_answer answer = clamd_answer_read(link->answer, link->answer_size, name);

	if (answer == CLAMD_NO_ANSWER) {
		gone(link, "it gives no answer to a file");
	} else if (answer == CLAMD_FOUND && !strncmp(name, LIMITS, strlen(LIMITS))) {
		link->proved_ns = now_ns();
		link->proved = link->asked;
		round_end(link, CLAMD_PROVED, "");
	} else {
		round_end(link, CLAMD_UNPROVED,
			  "clamd says OK of what is beyond its limits: set AlertExceedsMax, ScanMail and ScanArchive "
			  "to yes in clamd.conf");
	}
}

/* Neither changes what is known of it. */
static void reload_came(struct clamd_link *link)
{
	link->reload_ns = now_ns();
	link->step = CLAMD_IDLE;
	hang_up(link);
}

static void stats_came(struct clamd_link *link)
{
	if (clamd_holds_one(link->answer, link->answer_size) || now_ns() - link->reload_ns > RELOAD_LAST_NS) {
		link->reload = false;
		link->reload_ns = 0;
		link->reloads++;
	}
	question(link, CLAMD_ASKED_VERSION, -1);
}

static void answered(void *owner, uint32_t events)
{
	struct clamd_link *link = owner;
	ssize_t got =
		read(link->handler.fd, link->answer + link->answer_size, sizeof(link->answer) - link->answer_size);

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		gone(link, strerror(errno));
		return;
	}
	link->answer_size += (size_t)got;
	if (got > 0 && link->answer_size < sizeof(link->answer) && !memchr(link->answer, 0, link->answer_size))
		return;
	switch (link->step) {
	case CLAMD_IDLE:
		break;
	case CLAMD_ASKED_VERSION:
		version_came(link);
		break;
	case CLAMD_ASKED_HARMLESS:
		harmless_came(link);
		break;
	case CLAMD_ASKED_DEEP:
		deep_came(link);
		break;
	case CLAMD_ASKED_RELOAD:
		reload_came(link);
		break;
	case CLAMD_ASKED_STATS:
		stats_came(link);
		break;
	}
}

void clamd_link_turn(struct clamd_link *link)
{
	uint64_t now = now_ns();

	if (link->step != CLAMD_IDLE) {
		if (now - link->asked_ns > PATIENCE_NS)
			gone(link, "it does not answer");
		return;
	}
	if (link->round_ns && now - link->round_ns < ROUND_NS)
		return;
	link->round_ns = now;
	if (link->reload && !link->reload_ns && link->version[0])
		question(link, CLAMD_ASKED_RELOAD, -1);
	else if (link->reload && link->reload_ns && now - link->reload_ns > RELOAD_FIRST_NS)
		question(link, CLAMD_ASKED_STATS, -1);
	else
		question(link, CLAMD_ASKED_VERSION, -1);
}

int clamd_link_ask(const struct clamd_link *link, int fd, char *why, size_t why_size)
{
	int conn;

	snprintf(why, why_size, "%s", link->state == CLAMD_UNPROVED || link->state == CLAMD_LYING ? link->why : "");
	if (link->state == CLAMD_LYING)
		return -1;
	conn = clamd_ask(link->path, CLAMD_SCAN, fd);
	if (conn >= 0 && !why[0] && clamd_pid(conn) != link->proved)
		snprintf(why, why_size, "clamd: another one has taken its place");
	if (conn < 0)
		snprintf(why, why_size, "clamd: %s",
			 conn == -EAGAIN ? "it takes no more connections" : strerror(-conn));
	return conn < 0 ? -1 : conn;
}

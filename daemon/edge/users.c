// SPDX-License-Identifier: GPL-2.0-only
/* Knows the name service. */
#include "users.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define USERS_KEPT 256
#define USER_WAIT_NS 1000000000u
#define USER_KEEP_NS 600000000000u

enum user_state { USER_UNUSED = 0, USER_WANTED, USER_KNOWN };
struct user {
	enum user_state state;
	uint32_t uid;
	uint64_t since_ns; /* wanted or known since */
	char name[USER_SIZE];
};
struct user_reply {
	uint32_t uid;
	char name[USER_SIZE];
};

static struct user users[USERS_KEPT];
static int sock = -1;

/* ---- the process that asks ---- */

static void ask(uint32_t uid, char name_out[USER_SIZE])
{
	char buffer[16384];
	struct passwd entry, *found = NULL;

	if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found && strlen(found->pw_name) < USER_SIZE)
		memcpy(name_out, found->pw_name, strlen(found->pw_name));
}

static void ask_until_closed(int end)
{
	struct pollfd wait = {.fd = end, .events = POLLIN};
	uint32_t uid;
	int fd = -1, error;

	while ((error = frame_receive(end, &uid, sizeof(uid), &fd)) == 0 || error == -EAGAIN) {
		struct user_reply reply = {.uid = uid};
		if (error == -EAGAIN) {
			poll(&wait, 1, -1);
			continue;
		}
		ask(uid, reply.name);
		frame_send(end, &reply, sizeof(reply), -1); /* who reads too slowly asks again in a while */
	}
}

static void become_asker(int end, pid_t parent)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_NAME, "mailward-names");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGTERM, &standard, NULL);
	if (getppid() != parent || dup2(end, 3) < 0)
		_exit(1);
	close_range(4, ~0u, 0); /* a leash or a listener that lived on here would hide its owner's death */
	ask_until_closed(3);
	_exit(0);
}

int users_start(void)
{
	pid_t parent = getpid(), child;
	int ends[2], error = frame_pair(ends);

	if (error < 0)
		return error;
	child = fork();
	if (child == 0)
		become_asker(ends[1], parent);
	error = errno;
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return -error;
	}
	return sock = ends[0];
}

/* ---- who wants to know ---- */

/* The entry of uid, or one to use for it: an unused one, else the one that has been known longest. NULL: all wait. */
static struct user *user_place(uint32_t uid)
{
	struct user *place = NULL;

	for (struct user *user = users; user < users + USERS_KEPT; user++) {
		if (user->state != USER_UNUSED && user->uid == uid)
			return user;
		if (user->state == USER_WANTED)
			continue;
		if (!place ||
		    (place->state != USER_UNUSED && (user->state == USER_UNUSED || user->since_ns < place->since_ns)))
			place = user;
	}
	return place;
}

bool users_take(uint64_t now_ns)
{
	struct user_reply reply;
	int fd = -1, error;

	while ((error = frame_receive(sock, &reply, sizeof(reply), &fd)) == 0) {
		struct user *user = user_place(reply.uid);
		if (!user || user->state == USER_UNUSED || user->uid != reply.uid)
			continue;
		reply.name[USER_SIZE - 1] = 0;
		*user = (struct user){.state = USER_KNOWN, .uid = reply.uid, .since_ns = now_ns};
		memcpy(user->name, reply.name, USER_SIZE);
	}
	if (error == -EAGAIN)
		return true;
	sock = -1;
	return false;
}

static bool asker_hangs(uint64_t now_ns)
{
	for (const struct user *user = users; user < users + USERS_KEPT; user++)
		if (user->state == USER_WANTED && now_ns >= user->since_ns + USER_WAIT_NS)
			return true;
	return false;
}

bool users_name(uint32_t uid, uint64_t now_ns, char name_out[USER_SIZE])
{
	struct user *user;

	memset(name_out, 0, USER_SIZE);
	if (uid == UINT32_MAX || sock < 0)
		return true;
	user = user_place(uid);
	if (!user)
		return true;
	if (user->uid == uid && user->state == USER_WANTED && now_ns < user->since_ns + USER_KEEP_NS)
		return now_ns >= user->since_ns + USER_WAIT_NS;
	if (user->uid == uid && user->state == USER_KNOWN && now_ns < user->since_ns + USER_KEEP_NS) {
		memcpy(name_out, user->name, USER_SIZE);
		return true;
	}
	if (frame_send(sock, &uid, sizeof(uid), -1) < 0)
		return true; /* it hangs, and its queue is full */
	*user = (struct user){.state = USER_WANTED, .uid = uid, .since_ns = now_ns};
	return asker_hangs(now_ns); /* then a second for each user would add up */
}

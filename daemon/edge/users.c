// SPDX-License-Identifier: GPL-2.0-only
/* Knows the name service. The thread never ends: the process ends with _exit(2). */
#include "users.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define USERS_KEPT 256
#define USER_WAIT_NS 1000000000u
#define USER_KEEP_NS 600000000000u

enum user_state { USER_UNUSED = 0, USER_WANTED, USER_ASKING, USER_KNOWN };
struct user {
	enum user_state state;
	uint32_t uid;
	uint64_t since_ns; /* wanted since, or known since */
	char name[USER_SIZE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static struct user users[USERS_KEPT];
static int came_fd = -1;

static struct user *next_wanted(void)
{
	for (struct user *user = users; user < users + USERS_KEPT; user++)
		if (user->state == USER_WANTED)
			return user;
	return NULL;
}

static void ask(uint32_t uid, char name_out[USER_SIZE])
{
	char buffer[4096];
	struct passwd entry, *found = NULL;

	memset(name_out, 0, USER_SIZE);
	if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found && strlen(found->pw_name) < USER_SIZE)
		memcpy(name_out, found->pw_name, strlen(found->pw_name));
}

static void *ask_for_ever(void *unused)
{
	char name[USER_SIZE];
	uint64_t one = 1;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct user *user = next_wanted();
		if (!user) {
			pthread_cond_wait(&wanted, &lock);
			continue;
		}
		user->state = USER_ASKING; /* keeps its place in the table */
		pthread_mutex_unlock(&lock);
		ask(user->uid, name);
		pthread_mutex_lock(&lock);
		memcpy(user->name, name, USER_SIZE);
		user->state = USER_KNOWN;
		if (write(came_fd, &one, sizeof(one)) < 0)
			continue; /* a full counter wakes the reader as well */
	}
	return unused;
}

int users_start(void)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	came_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (came_fd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, ask_for_ever, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		close(came_fd);
		came_fd = -1;
		return -error;
	}
	return came_fd;
}

/* The entry of uid, or one to use for it: an unused one, else the oldest that isn't being asked for. */
static struct user *user_place(uint32_t uid)
{
	struct user *place = NULL;

	for (struct user *user = users; user < users + USERS_KEPT; user++) {
		if (user->state != USER_UNUSED && user->uid == uid)
			return user;
		if (user->state == USER_WANTED || user->state == USER_ASKING)
			continue;
		if (!place || (place->state != USER_UNUSED &&
			       (user->state == USER_UNUSED || user->since_ns < place->since_ns)))
			place = user;
	}
	return place;
}

bool users_name(uint32_t uid, uint64_t now_ns, char name_out[USER_SIZE])
{
	bool settled = true;

	memset(name_out, 0, USER_SIZE);
	if (uid == UINT32_MAX || came_fd < 0)
		return true;
	pthread_mutex_lock(&lock);
	struct user *user = user_place(uid);
	if (user && user->state == USER_KNOWN && user->uid == uid && now_ns - user->since_ns < USER_KEEP_NS) {
		memcpy(name_out, user->name, USER_SIZE);
	} else if (user && (user->state == USER_WANTED || user->state == USER_ASKING)) {
		settled = now_ns - user->since_ns >= USER_WAIT_NS;
	} else if (user) {
		*user = (struct user){.state = USER_WANTED, .uid = uid, .since_ns = now_ns};
		pthread_cond_signal(&wanted);
		settled = false;
	}
	pthread_mutex_unlock(&lock);
	return settled;
}

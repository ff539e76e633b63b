/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sweeps: files are gone through in folders, opened one after the other, and judged by the gate after all that somebody
 * waits for. Two may be under way: one that was asked for (mailward scan) and the daily one.
 *
 *   steward_sweep.c     what all sweeps share: their turn, pacing, files asked about and not answered
 *   sweep_walking.c     one sweep's folders: what is next, where it is
 *   sweep_keeping.c     its state on the disk and in status
 *   sweep_asked.c       mailward scan
 *   sweep_schedule.c    the daily one
 *
 * Pacing: few files are asked about at a time, none while somebody waits for an answer of the gate; the gate lets them
 * come last, and leaves a worker free. Files are opened, and read ahead, with the I/O priority "idle".
 */
#ifndef MAILWARD_STEWARD_SWEEP_H
#define MAILWARD_STEWARD_SWEEP_H

#include "steward_state.h"
#include "sweep_state.h"
#include "walk.h"

#define SWEEP_ROWS 64
#define SWEEP_IN_FLIGHT 8 /* files asked about at one time, of all sweeps; at most SWEEP_REDO_MAX */

struct sweep_root_open {
	int fd; /* O_PATH; -1: it is gone */
	struct stat status;
};

/* A finding, until the tool has taken it. */
struct sweep_row {
	struct quarantine_item item;
	uint32_t action; /* enum sweep_action */
	char text[256];
	char *path; /* allocated */
	bool redo;  /* a file of the root in hand, which can be asked about again: */
	bool known, infected, unscanned;
};

struct sweep {
	bool running;
	struct steward *steward;
	struct sweep_state *state; /* allocated, as long as it runs */
	struct sweep_root_open roots[SWEEP_ROOTS_MAX];
	struct walk *walk, *counter;
	uint32_t counted_root; /* that is being counted */
	bool counting;
	bool single;   /* the root itself is a file, still to be asked about */
	uint32_t redo; /* of state->redo, from an earlier run: those before it are asked about */
	uint32_t redo_count;
	char (*redo_paths)[SWEEP_PATH_SIZE];
	uint32_t in_flight;
	uint64_t begun_ns; /* CLOCK_MONOTONIC: of this run */
	uint64_t begun_files, begun_bytes;
	uint64_t kept_ns, shown_ns; /* CLOCK_MONOTONIC */
	bool throttled;

	/* Of an asked one. */
	struct steward_client *client;
	uint64_t client_begun_ns;
	struct sweep_row rows[SWEEP_ROWS];
	uint32_t row_first, row_count;
	uint64_t row_serial; /* of the first one: rows are counted from the beginning of this run */
	uint64_t progress_ns;
};

/* ---- steward_sweep.c ---- */
struct sweep *sweeps_of(struct steward *steward, enum sweep_kind kind);
/* state and roots are filled in. Begins, or goes on. */
void sweep_begin(struct steward *steward, struct sweep *sweep);
/* A name that was left out, or something that was found: counted, and told. path: from / on. */
void sweep_tell(struct sweep *sweep, const char *path, const struct steward_request *finding, uint64_t size,
		const char *text, enum sweep_action action);
/* It ends: its state is kept as that. */
void sweep_stop(struct sweep *sweep, enum sweep_state_kind state);

/* ---- sweep_walking.c ---- */
/* The roots are open in sweep->roots, named in sweep->state; goes on where the state says. */
void walking_begin(struct sweep *sweep);
void walking_end(struct sweep *sweep);
enum walking { WALKING_AGAIN, WALKING_FILE, WALKING_NOTHING, WALKING_END };
/* One step. WALKING_FILE: *fd_out is open for reading and the caller's, path (SWEEP_PATH_SIZE) below the root.
 * WALKING_NOTHING: first what was asked about has to be answered. */
enum walking walking_step(struct sweep *sweep, int *fd_out, uint64_t *size_out, char *path_out);
bool walking_count(struct sweep *sweep); /* one step; false: counted */
/* Path of a file of the root in hand, from / on. */
void walking_path(const struct sweep *sweep, const char *below, char *out, size_t size);
/* Where it is goes into the state. */
void walking_note(struct sweep *sweep);

/* ---- sweep_keeping.c ---- */
/* 0; -ENOENT: none, or none that can be used. */
int keeping_read(enum sweep_kind kind, struct sweep_state *state_out);
void keeping_write(struct sweep *sweep);
/* What status shows. next_ns: CLOCK_REALTIME, 0: none is planned. */
void keeping_show(const struct sweep_state *state, uint64_t next_ns);

/* ---- sweep_asked.c ---- */
int asked_open(struct steward *steward);
bool asked_turn(struct steward *steward, struct sweep *sweep, uint64_t now); /* false: nobody takes its rows any more */
void asked_forget_rows(struct sweep *sweep, enum sweep_state_kind state);    /* nobody takes them any more */
bool asked_has_room(const struct sweep *sweep);

/* ---- sweep_schedule.c ---- */
void schedule_open(struct steward *steward);
void schedule_turn(struct steward *steward, struct sweep *sweep, uint64_t now);
void schedule_ended(struct sweep *sweep);

#endif

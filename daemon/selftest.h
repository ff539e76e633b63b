/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process `mailward-selftest`, started by the keeper: in each watch that refuses what is infected it makes a file
 * that the loader alone has a signature for, and an unprivileged child tries to open and to execute it. Then the same
 * with a file that is clean: a guard that refuses everything is no guard either. What it found goes to the keeper, and
 * it ends. Nothing stays behind; what a run that was killed has left, the next one removes.
 *
 * It may wait for disks: nobody waits for it.
 */
#ifndef MAILWARD_SELFTEST_H
#define MAILWARD_SELFTEST_H

/* Returns an exit code. 0: every watch was told of. */
int selftest_run(void);

#endif

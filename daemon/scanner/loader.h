/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loader: holds the definitions, keeps the workers and the hasher. Started by the keeper as root with the
 * descriptors of enum start_fd (wire.h); gives root away before it reads anything but its settings.
 */
#ifndef MAILWARD_LOADER_H
#define MAILWARD_LOADER_H

int loader_run(void); /* returns the exit code */

#endif

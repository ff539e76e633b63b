/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the service manager is told (sd_notify(3), the protocol, not the library: that one may wait). Nothing here
 * waits; without $NOTIFY_SOCKET nothing is sent.
 */
#ifndef MAILWARD_SERVICE_H
#define MAILWARD_SERVICE_H

#include <stdint.h>

/* Reads the environment. Returns the time between watchdog beats in ns, 0: none are wanted. */
uint64_t service_open(void);
/* lines: "READY=1", "WATCHDOG=1", several of them with newlines between. */
__attribute__((format(printf, 1, 2))) void service_tell(const char *format, ...);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MAILWARD_SINCE_H
#define MAILWARD_SINCE_H

#include <stdbool.h>
#include <stdint.h>

/* "30s" "10min" "1h" "7d" (before now_ns), or a time of RFC 3339 ("2026-09-01T10:11:12Z", "...+02:00", with or without
 * a fraction) -> CLOCK_REALTIME in *ns_out. False: neither. */
bool since_parse(const char *text, int64_t now_ns, int64_t *ns_out);

/* The same the other way: "12h" from now, an RFC 3339 date and time, or a date (its beginning, UTC). */
bool until_parse(const char *text, int64_t now_ns, int64_t *ns_out);

#endif

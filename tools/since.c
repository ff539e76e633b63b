// SPDX-License-Identifier: GPL-2.0-only
#include "since.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000LL
#define YEARS_100_NS (100LL * 366 * 86400 * SECOND_NS) /* far enough back, and it can be subtracted */

static bool span_parse(const char *text, int64_t *ns_out)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ms", 1000000},
		     {"s", SECOND_NS},
		     {"min", 60 * SECOND_NS},
		     {"h", 3600 * SECOND_NS},
		     {"d", 86400 * SECOND_NS}};
	unsigned long long number;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (errno || strcmp(end, units[i].name) != 0)
			continue;
		int64_t span = number > (unsigned long long)(YEARS_100_NS / units[i].ns)
				       ? YEARS_100_NS
				       : (int64_t)number * units[i].ns;
		*ns_out = span;
		return true;
	}
	return false;
}

/* "Z" or "+hh:mm" -> seconds east; false: neither. */
static bool zone_parse(const char *text, long *east_out)
{
	int sign = text[0] == '-' ? -1 : 1;

	*east_out = 0;
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if ((text[0] != '+' && text[0] != '-') || strlen(text) != 6 || text[3] != ':' ||
	    strspn(text + 1, "0123456789") != 2 || strspn(text + 4, "0123456789") != 2)
		return false;
	*east_out = sign * (strtol(text + 1, NULL, 10) * 3600 + strtol(text + 4, NULL, 10) * 60);
	return true;
}

/* YYYY-MM-DDThh:mm:ss[.fff]ZONE */
static bool moment_parse(const char *text, int64_t *ns_out)
{
	struct tm parts = {0};
	int64_t fraction = 0, unit = SECOND_NS / 10;
	const char *rest = strptime(text, "%Y-%m-%d", &parts);
	long east;

	if (!rest || (*rest != 'T' && *rest != 't' && *rest != ' '))
		return false;
	rest = strptime(rest + 1, "%H:%M:%S", &parts);
	if (!rest)
		return false;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			fraction += (*rest - '0') * unit;
	if (!zone_parse(rest, &east))
		return false;
	*ns_out = ((int64_t)timegm(&parts) - east) * SECOND_NS + fraction;
	return *ns_out >= 0;
}

bool since_parse(const char *text, int64_t now_ns, int64_t *ns_out)
{
	int64_t span;

	if (!span_parse(text, &span))
		return moment_parse(text, ns_out);
	*ns_out = span < now_ns ? now_ns - span : 0;
	return true;
}

bool until_parse(const char *text, int64_t now_ns, int64_t *ns_out)
{
	struct tm parts = {0};
	const char *rest;

	if (span_parse(text, ns_out)) {
		*ns_out += now_ns;
		return true;
	}
	if (moment_parse(text, ns_out))
		return true;
	rest = strptime(text, "%Y-%m-%d", &parts);
	if (!rest || *rest || strlen(text) != 10)
		return false;
	*ns_out = (int64_t)timegm(&parts) * SECOND_NS;
	return *ns_out >= 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include "charsets.h"

#include <iconv.h>
#include <stddef.h>

/* What mail, HTML and office files name. A charset that is not here cannot be converted in a worker; libclamav then
 * goes on with the bytes as they are. */
static const char *const charsets[] = {
	"UTF-7",	"UTF-16",	 "UTF-16LE",	 "UTF-16BE",	"UTF-32",      "UTF-32LE",    "UTF-32BE",
	"UCS-2",	"UCS-2LE",	 "UCS-2BE",	 "UCS-4",	"UCS-4LE",     "UCS-4BE",     "UNICODE",
	"ISO-8859-1",	"ISO-8859-2",	 "ISO-8859-3",	 "ISO-8859-4",	"ISO-8859-5",  "ISO-8859-6",  "ISO-8859-7",
	"ISO-8859-8",	"ISO-8859-9",	 "ISO-8859-9E",	 "ISO-8859-10", "ISO-8859-11", "ISO-8859-13", "ISO-8859-14",
	"ISO-8859-15",	"ISO-8859-16",	 "ISO-2022-JP",	 "ISO-2022-KR", "ISO-2022-CN", "ISO-2022-JP-2",
	"ISO-2022-JP-3", "ISO-2022-CN-EXT", "EUC-JP",	 "EUC-JP-MS",	"EUC-KR",      "EUC-CN",      "EUC-TW",
	"SHIFT_JIS",	"CP932",	 "CP936",	 "CP949",	"CP950",       "GBK",	      "GB18030",
	"GB2312",	"BIG5",		 "BIG5-HKSCS",	 "JOHAB",	"UHC",	       "TIS-620",     "KOI8-R",
	"KOI8-U",	"KOI8-T",	 "KOI-8",	 "CP1250",	"CP1251",      "CP1252",      "CP1253",
	"CP1254",	"CP1255",	 "CP1256",	 "CP1257",	"CP1258",      "CP437",	      "CP737",
	"CP775",	"CP850",	 "CP852",	 "CP855",	"CP857",       "CP858",	      "CP860",
	"CP861",	"CP862",	 "CP863",	 "CP864",	"CP865",       "CP866",	      "CP869",
	"CP874",	"CP1361",	 "IBM037",	 "IBM273",	"IBM277",      "IBM278",      "IBM280",
	"IBM284",	"IBM285",	 "IBM297",	 "IBM500",	"IBM870",      "IBM871",      "IBM1026",
	"IBM1047",	"IBM1140",	 "IBM1141",	 "MACINTOSH",	"MAC-CYRILLIC", "MAC-UK",     "MAC-CENTRALEUROPE",
	"TCVN",		"VISCII",	 "ARMSCII-8",	 "GEORGIAN-PS", "GEORGIAN-ACADEMY",	      "PT154",
	"RK1048",	"HP-ROMAN8",	 "T.61",	 "ISO-IR-197",	"WINDOWS-31J", "ASCII",	      "ISO646-DE",
	"MIK",		"SAMI",		 "LATIN-GREEK",	 "GREEK7",	"ECMA-CYRILLIC",	      "TSCII",
};

unsigned charsets_open(void)
{
	unsigned count = 0;

	for (size_t i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++) {
		/* never closed: the module must stay in memory */
		count += iconv_open("UTF-8", charsets[i]) != (iconv_t)-1;
		count += iconv_open("UTF-16BE", charsets[i]) != (iconv_t)-1;
	}
	count += iconv_open("UTF-8//TRANSLIT", "CP1252") != (iconv_t)-1;
	return count;
}

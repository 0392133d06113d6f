/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From text to the typed member of an object's struct, and the texts that refuse.
 * Not what values mean together: config_finish() judges that.
 */
#include "control/schema.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/check.h"
#include "base/cpuset.h"
#include "base/overflow.h"
#include "control/netaddr.h"
#include "control/rss_text.h"
#include "device/net/net.h"
#include "storage/storage.h"

#define SECTOR_BYTES 512
/* What a line repeats of a value that somebody gave. */
#define SHOWN_BYTES 48
#define ALLOWED_BYTES 96

/* CHOICE members are enums without negative values, which gcc and clang make unsigned int. */
_Static_assert(sizeof(enum storage_backend) == sizeof(unsigned), "choices are stored as unsigned");
_Static_assert((enum storage_backend) - 1 > 0, "choices are stored as unsigned");

struct shown {
	char text[SHOWN_BYTES + 8];
};

/* The value in quotes, cut when long. */
static struct shown shown(const char *text)
{
	struct shown s;

	snprintf(s.text, sizeof(s.text), "\"%.*s%s\"", SHOWN_BYTES, text,
		 strlen(text) > SHOWN_BYTES ? "..." : "");
	return s;
}

/* A number without quotes, as a person would say it. */
static struct shown shown_number(const char *text)
{
	struct shown s;

	if (strlen(text) > SHOWN_BYTES)
		return shown(text);
	snprintf(s.text, sizeof(s.text), "%s", text);
	return s;
}

/* "WHAT (allowed: ...)" */
static int refuse(const struct schema_row *row, struct err *err, const char *what)
{
	char allowed[ALLOWED_BYTES];

	schema_allowed_text(row, allowed, sizeof(allowed));
	return err_set(err, EINVAL, "%s (allowed: %s)", what, allowed);
}

static int refuse_value(const struct schema_row *row, struct err *err, const char *text,
			const char *why)
{
	char what[192];

	snprintf(what, sizeof(what), "%s %s", shown(text).text, why);
	return refuse(row, err, what);
}

enum number {
	NUMBER_OK,
	NUMBER_NONE, /* not a number at all */
	NUMBER_NEGATIVE,
	NUMBER_TOO_BIG,
};

/* Digits only, an optional minus apart: no blanks, no plus, no 0x. *end is where they stop. */
static enum number number_parse(const char *text, int base, uint64_t *value, const char **end)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	const char *set = base == 8 ? "01234567" : "0123456789";
	size_t len = strspn(digits, set);

	*end = digits + len;
	*value = 0;
	if (len == 0)
		return NUMBER_NONE;
	for (size_t i = 0; i < len; i++) {
		if (overflow_mul_u64(*value, (uint64_t)base, value) ||
		    overflow_add_u64(*value, (uint64_t)(digits[i] - '0'), value))
			return digits == text ? NUMBER_TOO_BIG : NUMBER_NEGATIVE;
	}
	return digits == text || *value == 0 ? NUMBER_OK : NUMBER_NEGATIVE;
}

static void limit_text(const struct schema_row *row, uint64_t limit, char *buf, size_t size)
{
	if (row->type == SCHEMA_MODE)
		snprintf(buf, size, "%04llo", (unsigned long long)limit);
	else if (row->type == SCHEMA_SIZE)
		schema_size_text(limit, buf, size);
	else
		snprintf(buf, size, "%llu", (unsigned long long)limit);
}

static int check_range(const struct schema_row *row, const char *text, enum number number,
		       uint64_t value, struct err *err)
{
	bool below = number == NUMBER_NEGATIVE || (number == NUMBER_OK && value < row->min);
	bool above = number == NUMBER_TOO_BIG || (number == NUMBER_OK && value > row->max);
	char limit[32];
	char what[128];

	if (!below && !above)
		return 0;
	limit_text(row, below ? row->min : row->max, limit, sizeof(limit));
	snprintf(what, sizeof(what), "%s is %s of %s", shown_number(text).text,
		 below ? "below the minimum" : "above the maximum", limit);
	return refuse(row, err, what);
}

/* INT, POW2, FD, MODE: members of 32 bits. */
static int parse_number(const struct schema_row *row, const char *text, uint32_t *value,
			struct err *err)
{
	bool octal = row->type == SCHEMA_MODE;
	const char *end;
	uint64_t wide;
	enum number number = number_parse(text, octal ? 8 : 10, &wide, &end);
	int rc;

	if (number == NUMBER_NONE || *end)
		return refuse_value(row, err, text,
				    octal ? "is not an octal mode" : "is not a whole number");
	rc = check_range(row, text, number, wide, err);
	if (rc)
		return rc;
	if (row->type == SCHEMA_POW2 && !is_pow2(wide))
		return refuse_value(row, err, text, "is not a power of two");
	*value = (uint32_t)wide;
	return 0;
}

static int parse_size(const struct schema_row *row, const char *text, uint64_t *value,
		      struct err *err)
{
	static const char suffixes[] = "KMGTkmgt";
	const char *end;
	uint64_t bytes;
	enum number number = number_parse(text, 10, &bytes, &end);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;
	int rc;

	if (number == NUMBER_NONE || (*end && (!suffix || end[1])))
		return refuse_value(row, err, text, "is not a size");
	if (suffix && number == NUMBER_OK &&
	    overflow_mul_u64(bytes, 1ull << (10 * ((suffix - suffixes) % 4 + 1)), &bytes))
		number = NUMBER_TOO_BIG;
	rc = check_range(row, text, number, bytes, err);
	if (rc)
		return rc;
	if (bytes % SECTOR_BYTES)
		return refuse_value(row, err, text, "is not a multiple of 512");
	*value = bytes;
	return 0;
}

static int parse_bool(const struct schema_row *row, const char *text, bool *value, struct err *err)
{
	static const char *const words[] = {"false", "true", "off", "on", "no", "yes"};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*value = i & 1;
			return 0;
		}
	}
	return refuse_value(row, err, text, "is neither true nor false");
}

static int parse_choice(const struct schema_row *row, const char *text, unsigned *value,
			struct err *err)
{
	for (unsigned i = 0; row->choice(i); i++) {
		if (strcmp(text, row->choice(i)) == 0) {
			*value = i;
			return 0;
		}
	}
	return refuse_value(row, err, text, "is none of the choices");
}

static bool is_name_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

static int parse_string(const struct schema_row *row, const char *text, char **value,
			struct err *err)
{
	size_t len = strlen(text);
	char why[80];
	char *copy;

	if (len > row->max) {
		snprintf(why, sizeof(why), "has %zu bytes, the maximum is %llu", len,
			 (unsigned long long)row->max);
		return refuse_value(row, err, text, why);
	}
	for (size_t i = 0; i < len; i++) {
		if (row->type == SCHEMA_NAME && !is_name_letter(text[i]))
			return refuse_value(row, err, text, "has a letter that is not allowed");
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return refuse_value(row, err, text, "has a control character");
	}
	copy = strdup(text);
	if (!copy)
		return err_set(err, ENOMEM, "no memory for %zu bytes", len);
	free(*value);
	*value = copy;
	return 0;
}

/* -1 as a uid or gid means "leave it" to chown(2), so it is not one. */
static int parse_id(const struct schema_row *row, const char *text, uint32_t *value,
		    struct err *err)
{
	const char *end;
	uint64_t id;
	enum number number = number_parse(text, 10, &id, &end);

	if (number != NUMBER_NONE && *end == '\0') {
		if (number != NUMBER_OK || id >= UINT32_MAX)
			return refuse_value(row, err, text, "is no valid number");
		*value = (uint32_t)id;
		return 0;
	}
	if (row->type == SCHEMA_USER) {
		const struct passwd *user = getpwnam(text);

		if (!user)
			return refuse_value(row, err, text, "is no user of this system");
		*value = user->pw_uid;
	} else {
		const struct group *group = getgrnam(text);

		if (!group)
			return refuse_value(row, err, text, "is no group of this system");
		*value = group->gr_gid;
	}
	return 0;
}

/* cpuset_parse() says itself what is allowed. */
static int parse_cpus(const char *text, cpu_set_t *value, struct err *err)
{
	cpu_set_t set;
	int rc = cpuset_parse(text, &set, err);

	if (rc)
		return rc;
	*value = set;
	return 0;
}

/* The same, kept as text: what the order means is for others (worker/vcpus.h). */
static int parse_cpu_order(const struct schema_row *row, const char *text, char **value,
			   struct err *err)
{
	cpu_set_t set;
	int rc = cpuset_parse(text, &set, err);

	return rc ? rc : parse_string(row, text, value, err);
}

static int parse_mac(const struct schema_row *row, const char *text, uint8_t *value,
		     struct err *err)
{
	uint8_t mac[NETADDR_MAC_BYTES];

	if (!netaddr_parse_mac(text, mac))
		return refuse_value(row, err, text, "is no MAC address");
	if (!netaddr_is_unicast(mac))
		return refuse_value(row, err, text, "is the address of no single station");
	memcpy(value, mac, sizeof(mac));
	return 0;
}

/* Kept as text, which is shorter than the set. */
static int parse_vlans(const struct schema_row *row, const char *text, char **value,
		       struct err *err)
{
	uint64_t vlans[NETADDR_VLAN_WORDS];

	if (!netaddr_parse_vlans(text, vlans))
		return refuse_value(row, err, text, "is no list of VLANs");
	return parse_string(row, text, value, err);
}

static int parse_key(const struct schema_row *row, const char *text, void *value, struct err *err)
{
	char why[RSS_TEXT_WHY_BYTES];
	struct rss_key key;

	if (!rss_parse_key(text, &key, why))
		return refuse_value(row, err, text, why);
	memcpy(value, &key, sizeof(key));
	return 0;
}

static int parse_table(const struct schema_row *row, const char *text, void *value, struct err *err)
{
	char why[RSS_TEXT_WHY_BYTES];
	struct rss_table table;

	if (!rss_parse_table(text, NET_PAIRS_MAX - 1, &table, why))
		return refuse_value(row, err, text, why);
	memcpy(value, &table, sizeof(table));
	return 0;
}

static int parse_words(const struct schema_row *row, const char *text, uint32_t *value,
		       struct err *err)
{
	char why[RSS_TEXT_WHY_BYTES];
	uint32_t bits;

	if (!rss_parse_words(text, row->choice, &bits, why))
		return refuse_value(row, err, text, why);
	*value = bits;
	return 0;
}

static void *member(const struct schema_row *row, void *object)
{
	return (char *)object + row->offset;
}

int schema_set(const struct schema_row *row, void *object, const char *text, struct err *err)
{
	if (text[0] == '\0')
		return refuse(row, err, "no value is given");
	switch (row->type) {
	case SCHEMA_BOOL:
		return parse_bool(row, text, member(row, object), err);
	case SCHEMA_INT:
	case SCHEMA_POW2:
	case SCHEMA_FD:
	case SCHEMA_MODE:
		return parse_number(row, text, member(row, object), err);
	case SCHEMA_SIZE:
		return parse_size(row, text, member(row, object), err);
	case SCHEMA_CHOICE:
		return parse_choice(row, text, member(row, object), err);
	case SCHEMA_NAME:
	case SCHEMA_TEXT:
	case SCHEMA_PATH:
		return parse_string(row, text, member(row, object), err);
	case SCHEMA_CPUS:
		return parse_cpus(text, member(row, object), err);
	case SCHEMA_ORDER:
		return parse_cpu_order(row, text, member(row, object), err);
	case SCHEMA_USER:
	case SCHEMA_GROUP:
		return parse_id(row, text, member(row, object), err);
	case SCHEMA_MAC:
		return parse_mac(row, text, member(row, object), err);
	case SCHEMA_VLANS:
		return parse_vlans(row, text, member(row, object), err);
	case SCHEMA_KEY:
		return parse_key(row, text, member(row, object), err);
	case SCHEMA_TABLE:
		return parse_table(row, text, member(row, object), err);
	case SCHEMA_WORDS:
		return parse_words(row, text, member(row, object), err);
	case SCHEMA_TYPE_MAX_:
		break;
	}
	CHECK(false);
	return -EINVAL;
}

/* Bytes of the member; 0 for a string. */
static size_t member_bytes(const struct schema_row *row)
{
	switch (row->type) {
	case SCHEMA_BOOL:
		return sizeof(bool);
	case SCHEMA_SIZE:
		return sizeof(uint64_t);
	case SCHEMA_CPUS:
		return sizeof(cpu_set_t);
	case SCHEMA_NAME:
	case SCHEMA_TEXT:
	case SCHEMA_PATH:
	case SCHEMA_ORDER:
	case SCHEMA_VLANS:
		return 0;
	case SCHEMA_MAC:
		return NETADDR_MAC_BYTES;
	case SCHEMA_KEY:
		return sizeof(struct rss_key);
	case SCHEMA_TABLE:
		return sizeof(struct rss_table);
	default:
		return sizeof(uint32_t);
	}
}

static void set_none(const struct schema_row *row, void *object)
{
	size_t bytes = member_bytes(row);

	if (bytes == 0) {
		free(*(char **)member(row, object));
		*(char **)member(row, object) = NULL;
	} else if (row->type == SCHEMA_FD) {
		*(int *)member(row, object) = -1;
	} else if (row->type == SCHEMA_USER || row->type == SCHEMA_GROUP) {
		*(uint32_t *)member(row, object) = UINT32_MAX;
	} else {
		memset(member(row, object), 0, bytes);
	}
}

void schema_unset(const struct schema_row *row, void *object)
{
	if (row->value)
		CHECK(schema_set(row, object, row->value, NULL) == 0);
	else
		set_none(row, object);
}

void schema_set_defaults(const struct schema_table *table, void *object)
{
	for (unsigned i = 0; i < table->row_cnt; i++)
		schema_unset(&table->rows[i], object);
}

int schema_copy(const struct schema_row *row, void *object, const struct schema_row *from_row,
		const void *from)
{
	const void *value = (const char *)from + from_row->offset;
	char *const *text = value;
	char *copy = NULL;

	CHECK(row->type == from_row->type);
	if (member_bytes(row)) {
		memcpy(member(row, object), value, member_bytes(row));
		return 0;
	}
	if (*text) {
		copy = strdup(*text);
		if (!copy)
			return -ENOMEM;
	}
	free(*(char **)member(row, object));
	*(char **)member(row, object) = copy;
	return 0;
}

void schema_move(const struct schema_row *row, void *object, void *from)
{
	if (member_bytes(row)) {
		memcpy(member(row, object), member(row, from), member_bytes(row));
		return;
	}
	free(*(char **)member(row, object));
	*(char **)member(row, object) = *(char **)member(row, from);
	*(char **)member(row, from) = NULL;
}

void schema_clear(const struct schema_table *table, void *object)
{
	for (unsigned i = 0; i < table->row_cnt; i++) {
		if (member_bytes(&table->rows[i]) == 0)
			set_none(&table->rows[i], object);
	}
}

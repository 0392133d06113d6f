/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing and writing of addresses: pure, and without a locale.
 * Not the texts that refuse (schema_value.c).
 */
#include "control/netaddr.h"

#include <stdio.h>
#include <string.h>

#include "control/hex_digit.h"

#define MAC_GROUP 0x01
#define MAC_LOCAL 0x02

bool netaddr_parse_mac(const char *text, uint8_t mac[NETADDR_MAC_BYTES])
{
	uint8_t bytes[NETADDR_MAC_BYTES];

	if (strlen(text) != NETADDR_MAC_TEXT_BYTES - 1)
		return false;
	for (unsigned i = 0; i < NETADDR_MAC_BYTES; i++) {
		int high = hex_digit(text[3 * i]);
		int low = hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		if (i + 1 < NETADDR_MAC_BYTES && text[3 * i + 2] != ':')
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(mac, bytes, sizeof(bytes));
	return true;
}

void netaddr_format_mac(const uint8_t mac[NETADDR_MAC_BYTES], char text[NETADDR_MAC_TEXT_BYTES])
{
	snprintf(text, NETADDR_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
}

bool netaddr_is_unicast(const uint8_t mac[NETADDR_MAC_BYTES])
{
	static const uint8_t zeroes[NETADDR_MAC_BYTES];

	return !(mac[0] & MAC_GROUP) && memcmp(mac, zeroes, sizeof(zeroes)) != 0;
}

/*
 * FNV-1a of 64 bits, mixed once more (as MurmurHash3 ends) and cut: names that differ in one letter
 * have addresses that differ widely.
 */
void netaddr_mac_of_name(const char *name, uint8_t mac[NETADDR_MAC_BYTES])
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
	hash ^= hash >> 33;
	for (unsigned i = 0; i < NETADDR_MAC_BYTES; i++)
		mac[i] = (uint8_t)(hash >> (40 - 8 * i));
	mac[0] = (uint8_t)((mac[0] & ~MAC_GROUP) | MAC_LOCAL);
}

/* Digits from *text on, which moves behind them; -1 when there are none or it is no VLAN. */
static int parse_vlan(const char **text)
{
	unsigned vlan = 0;
	unsigned cnt = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++) {
		vlan = 10 * vlan + (unsigned)(**text - '0');
		if (++cnt > 4)
			return -1;
	}
	return cnt && vlan < NETADDR_VLAN_CNT ? (int)vlan : -1;
}

bool netaddr_parse_vlans(const char *text, uint64_t vlans[NETADDR_VLAN_WORDS])
{
	memset(vlans, 0, NETADDR_VLAN_WORDS * sizeof(*vlans));
	for (;;) {
		int first = parse_vlan(&text);
		int last = first;

		if (*text == '-') {
			text++;
			last = parse_vlan(&text);
		}
		if (first < 0 || last < first)
			return false;
		for (int vlan = first; vlan <= last; vlan++)
			vlans[vlan / 64] |= 1ull << vlan % 64;
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

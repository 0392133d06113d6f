/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAC addresses and lists of VLANs as people write them. Not what a switch does with them.
 */
#ifndef PARIO_CONTROL_NETADDR_H
#define PARIO_CONTROL_NETADDR_H

#include <stdbool.h>
#include <stdint.h>

#define NETADDR_MAC_BYTES 6
#define NETADDR_MAC_TEXT_BYTES 18
#define NETADDR_VLAN_CNT 4095 /* 0 to 4094; 0: untagged */
#define NETADDR_VLAN_WORDS 64 /* of a set: bit = VLAN */

/* Six pairs of hexadecimal digits with colons between them. False: mac is unchanged. */
bool netaddr_parse_mac(const char *text, uint8_t mac[NETADDR_MAC_BYTES]);
void netaddr_format_mac(const uint8_t mac[NETADDR_MAC_BYTES], char text[NETADDR_MAC_TEXT_BYTES]);
/* Neither a group's address nor all zeroes. */
bool netaddr_is_unicast(const uint8_t mac[NETADDR_MAC_BYTES]);
/* A locally administered address, the same for the same name on every machine. */
void netaddr_mac_of_name(const char *name, uint8_t mac[NETADDR_MAC_BYTES]);

/* "10,20-30", in any order. False when it is wrong; vlans is not defined then. */
bool netaddr_parse_vlans(const char *text, uint64_t vlans[NETADDR_VLAN_WORDS]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hexadecimal digit is worth, whatever the locale; addresses and keys share it.
 * Not the texts around the digits (netaddr.c, rss_text.c).
 */
#ifndef PARIO_CONTROL_HEX_DIGIT_H
#define PARIO_CONTROL_HEX_DIGIT_H

/* 0 to 15; -1: c is none. Any thread. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter programs: how they are written, which are refused, what real ones match.
 * Not libpcap's compiler, though it makes the programs here.
 */
/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "network/capture_filter.h"

/* As tcpdump -ddd prints it; the caller's to free. */
static char *compile(const char *expression)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	struct bpf_program program;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(pcap);
	assert_non_null(out);
	if (pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0)
		fail_msg("%s: %s", expression, pcap_geterr(pcap));
	fprintf(out, "%u\n", program.bf_len);
	for (unsigned i = 0; i < program.bf_len; i++)
		fprintf(out, "%u %u %u %u\n", program.bf_insns[i].code, program.bf_insns[i].jt,
			program.bf_insns[i].jf, program.bf_insns[i].k);
	fclose(out);
	pcap_freecode(&program);
	pcap_close(pcap);
	return text;
}

static const uint8_t arp[42] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06,
};
static const uint8_t tcp4[54] = {
	2,    0,  0, 0, 0,  2, 2, 0, 0,  0, 0,    1, 0x08, 0x00, 0x45, 0, 0,    40,
	0,    0,  0, 0, 64, 6, 0, 0, 10, 0, 0,    1, 10,   0,    0,    2, 0x30, 0x39,
	0x00, 80, 0, 0, 0,  1, 0, 0, 0,  0, 0x50, 2, 0,    0,    0,    0, 0,    0,
};
static const uint8_t udp6[62] = {
	2, 0, 0,  0,  0,    2,    2,        0,    0,    0,        0, 1,  0x86, 0xdd, 0x60, 0, 0, 0,
	0, 8, 17, 64, 0xfe, 0x80, [37] = 1, 0xfe, 0x80, [53] = 2, 0, 53, 0x30, 0x39, 0,    8, 0, 0,
};

static void real_programs_match_what_they_say(void **state)
{
	static const struct {
		const char *expression;
		bool arp, tcp4, udp6;
	} rows[] = {
		{"arp", true, false, false},
		{"ip", false, true, false},
		{"ip6", false, false, true},
		{"tcp", false, true, false},
		{"udp port 53", false, false, true},
		{"port 80", false, true, false},
		{"port 81", false, false, false},
		{"host 10.0.0.2", false, true, false},
		{"src host 10.0.0.2", false, false, false},
		{"ether src 02:00:00:00:00:01", true, true, true},
		{"ether host 02:00:00:00:00:02", false, true, true},
		{"arp or udp", true, false, true},
		{"not arp and not tcp", false, false, true},
		{"greater 54", false, true, true},
		{"less 42", true, false, false},
		{"tcp[tcpflags] & tcp-syn != 0", false, true, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = compile(rows[i].expression);
		struct capture_filter *filter;
		struct err err = ERR_INIT;

		if (capture_filter_parse(text, &filter, &err))
			fail_msg("%s: %s", rows[i].expression, err.text);
		if (capture_filter_match(filter, arp, sizeof(arp), sizeof(arp)) != rows[i].arp ||
		    capture_filter_match(filter, tcp4, sizeof(tcp4), sizeof(tcp4)) !=
			    rows[i].tcp4 ||
		    capture_filter_match(filter, udp6, sizeof(udp6), sizeof(udp6)) != rows[i].udp6)
			fail_msg("\"%s\" does not match as it should", rows[i].expression);
		capture_filter_free(filter);
		free(text);
	}
}

static void bytes_that_are_not_there_do_not_match(void **state)
{
	char *text = compile("port 80");
	struct capture_filter *filter;

	(void)state;
	assert_int_equal(capture_filter_parse(text, &filter, NULL), 0);
	for (uint32_t bytes = 0; bytes <= sizeof(tcp4); bytes++) {
		uint8_t *exact = malloc(bytes + !bytes); /* so that ASan sees what is beyond */

		assert_non_null(exact);
		memcpy(exact, tcp4, bytes);
		assert_int_equal(capture_filter_match(filter, exact, bytes, sizeof(tcp4)),
				 bytes >= 38);
		free(exact);
	}
	capture_filter_free(filter);
	free(text);
}

static void written_with_commas_too(void **state)
{
	struct capture_filter *filter;

	(void)state;
	assert_int_equal(capture_filter_parse("4,40 0 0 12,21 0 1 2054,6 0 0 262144,6 0 0 0",
					      &filter, NULL),
			 0);
	assert_true(capture_filter_match(filter, arp, sizeof(arp), sizeof(arp)));
	assert_false(capture_filter_match(filter, tcp4, sizeof(tcp4), sizeof(tcp4)));
	capture_filter_free(filter);
	capture_filter_free(NULL);
}

static void what_is_no_safe_program_is_refused(void **state)
{
	static const struct {
		const char *text;
		const char *complaint;
	} rows[] = {
		{"", "number of steps"},
		{"arp", "number of steps"},
		{"0", "number of steps"},
		{"-1 6 0 0 0", "number of steps"},
		{"1025 6 0 0 0", "number of steps"},
		{"99999999999999999999999 6 0 0 0", "number of steps"},
		{"1", "not 1 steps"},
		{"1 6 0 0", "not 1 steps"},
		{"1 6 0 0 0 0", "not 1 steps"},
		{"1 6 0 0 0 x", "not 1 steps"},
		{"2 6 0 0 0", "not 2 steps"},
		{"1 65536 0 0 0", "not 1 steps"},
		{"1 6 256 0 0", "not 1 steps"},
		{"1 6 0 0 4294967296", "not 1 steps"},
		{"1 65535 0 0 0", "not safe"},              /* no such step */
		{"1 40 0 0 12", "not safe"},                /* no end */
		{"2 21 1 0 0 6 0 0 0", "not safe"},         /* beyond the end */
		{"2 5 0 0 4294967295 6 0 0 0", "not safe"}, /* back to itself */
		{"2 5 0 0 4294967294 6 0 0 0", "not safe"}, /* back */
		{"2 2 0 0 16 6 0 0 0", "not safe"},         /* the 17th scratch word */
		{"2 96 0 0 4294967295 6 0 0 0", "not safe"},
		{"2 52 0 0 0 6 0 0 0", "not safe"}, /* by zero */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct capture_filter *filter = (void *)&filter;
		struct err err = ERR_INIT;

		if (capture_filter_parse(rows[i].text, &filter, &err) != -EINVAL)
			fail_msg("\"%s\" is taken", rows[i].text);
		assert_null(filter);
		if (!strstr(err.text, rows[i].complaint))
			fail_msg("\"%s\": %s", rows[i].text, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_programs_match_what_they_say),
		cmocka_unit_test(bytes_that_are_not_there_do_not_match),
		cmocka_unit_test(written_with_commas_too),
		cmocka_unit_test(what_is_no_safe_program_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line of `pario-bench net`.
 * What the back end has to do with it is session.c's.
 */
#include "netload/opts.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netload/frame.h"
#include "numbers.h"

#define BURST_BYTES (128u << 10)
#define BUFFER_BYTES_SMALL 2048u  /* plain frames in one buffer */
#define BUFFER_BYTES_MERGED 4096u /* long frames in several */

enum {
	OPT_SIZE = 1000,
	OPT_IMIX,
	OPT_GSO,
	OPT_CSUM,
	OPT_FLOWS,
	OPT_MACS,
	OPT_MAC,
	OPT_PEER_MAC,
	OPT_VLAN,
	OPT_DIRECTION,
	OPT_ANSWERS,
	OPT_LOOP,
	OPT_RATE,
	OPT_SPACING,
	OPT_RUNTIME,
	OPT_WARMUP,
	OPT_VERIFY,
	OPT_NO_LOSS,
	OPT_LATENCY,
	OPT_DIRTY,
	OPT_MEMCPY,
	OPT_BURST,
	OPT_QUEUE_PAIRS,
	OPT_RING,
	OPT_QUEUE_SIZE,
	OPT_NOTIFY,
	OPT_CPUS,
	OPT_MERGEABLE,
	OPT_GUEST_TSO,
	OPT_RX_BUFFERS,
	OPT_RX_BUFFER_BYTES,
	OPT_SEGMENT,
	OPT_INDIRECT,
	OPT_NO_EVENT_IDX,
	OPT_IN_ORDER,
	OPT_LISTEN,
	OPT_WAIT,
	OPT_TIMEOUT,
	OPT_JSON,
	OPT_SERVER_PID,
	OPT_HELP,
};

static const struct option longopts[] = {
	{"size", required_argument, NULL, OPT_SIZE},
	{"imix", no_argument, NULL, OPT_IMIX},
	{"gso", required_argument, NULL, OPT_GSO},
	{"csum", no_argument, NULL, OPT_CSUM},
	{"flows", required_argument, NULL, OPT_FLOWS},
	{"macs", required_argument, NULL, OPT_MACS},
	{"mac", required_argument, NULL, OPT_MAC},
	{"peer-mac", required_argument, NULL, OPT_PEER_MAC},
	{"vlan", required_argument, NULL, OPT_VLAN},
	{"direction", required_argument, NULL, OPT_DIRECTION},
	{"answers", no_argument, NULL, OPT_ANSWERS},
	{"loop", no_argument, NULL, OPT_LOOP},
	{"rate", required_argument, NULL, OPT_RATE},
	{"spacing", required_argument, NULL, OPT_SPACING},
	{"runtime", required_argument, NULL, OPT_RUNTIME},
	{"warmup", required_argument, NULL, OPT_WARMUP},
	{"verify", no_argument, NULL, OPT_VERIFY},
	{"no-loss", no_argument, NULL, OPT_NO_LOSS},
	{"latency", no_argument, NULL, OPT_LATENCY},
	{"dirty", no_argument, NULL, OPT_DIRTY},
	{"memcpy", no_argument, NULL, OPT_MEMCPY},
	{"burst", required_argument, NULL, OPT_BURST},
	{"queue-pairs", required_argument, NULL, OPT_QUEUE_PAIRS},
	{"ring", required_argument, NULL, OPT_RING},
	{"queue-size", required_argument, NULL, OPT_QUEUE_SIZE},
	{"notify", required_argument, NULL, OPT_NOTIFY},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"mergeable", required_argument, NULL, OPT_MERGEABLE},
	{"guest-tso", required_argument, NULL, OPT_GUEST_TSO},
	{"rx-buffers", required_argument, NULL, OPT_RX_BUFFERS},
	{"rx-buffer-bytes", required_argument, NULL, OPT_RX_BUFFER_BYTES},
	{"segment", required_argument, NULL, OPT_SEGMENT},
	{"indirect", no_argument, NULL, OPT_INDIRECT},
	{"no-event-idx", no_argument, NULL, OPT_NO_EVENT_IDX},
	{"in-order", no_argument, NULL, OPT_IN_ORDER},
	{"listen", no_argument, NULL, OPT_LISTEN},
	{"wait", required_argument, NULL, OPT_WAIT},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"json", no_argument, NULL, OPT_JSON},
	{"server-pid", required_argument, NULL, OPT_SERVER_PID},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

bool netload_mac_parse(const char *text, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		char *end;

		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
			return false;
		mac[i] = (uint8_t)strtoul(text, &end, 16);
		if (end != text + 2 || *end != (i == 5 ? '\0' : ':'))
			return false;
		text = end + 1;
	}
	return !(mac[0] & 1);
}

uint32_t netload_rx_buffer_bytes(const struct netload_opts *o, bool mergeable)
{
	if (o->rx_buffer_bytes)
		return o->rx_buffer_bytes;
	if (o->size_bytes <= FRAME_BYTES_PLAIN)
		return BUFFER_BYTES_SMALL;
	return mergeable ? BUFFER_BYTES_MERGED : NET_HEADER_BYTES + FRAME_BYTES_MAX + 4;
}

static int take_size(const char *name, const char *text, uint64_t min, uint64_t max, uint32_t *out)
{
	uint64_t bytes;

	if (!number_parse_size(text, &bytes))
		return options_reject(name, "'%s' is not a size such as 60, 1514 or 64k", text);
	if (bytes < min || bytes > max)
		return options_reject(name, "%s given, %llu to %llu allowed", text,
				      (unsigned long long)min, (unsigned long long)max);
	*out = (uint32_t)bytes;
	return BENCH_OK;
}

static int take_mac(const char *name, const char *text, uint8_t mac[6])
{
	if (netload_mac_parse(text, mac))
		return BENCH_OK;
	return options_reject(
		name, "'%s' is not a MAC address of one station such as 02:00:00:00:00:01", text);
}

static int take_onoff(const char *name, const char *text, bool *off)
{
	static const char *const word[] = {"on", "off"};
	unsigned int which = 0;
	int rc = options_take_word(name, text, word, 2, &which);

	*off = which == 1;
	return rc;
}

static int take_rate(struct netload_opts *o, const char *text)
{
	uint64_t count = 0;
	int rc = BENCH_OK;

	if (strcmp(text, "max") != 0)
		rc = options_take_count("--rate", text, 1, 1000000000, &count);
	o->rate = (double)count;
	return rc;
}

static int take_spacing(struct netload_opts *o, const char *text)
{
	static const char *const word[] = {"even", "bursts", "poisson"};
	unsigned int which = 0;
	int rc = options_take_word("--spacing", text, word, 3, &which);

	o->spacing = (enum netload_spacing)which;
	return rc;
}

static int take_what(struct netload_opts *o, int opt, const char *arg)
{
	static const char *const direction[] = {"a-b", "both"};
	unsigned int word = 0;
	int rc;

	switch (opt) {
	case OPT_SIZE:
		return take_size("--size", arg, FRAME_BYTES_MIN, FRAME_BYTES_MAX + 1,
				 &o->size_bytes);
	case OPT_GSO:
		rc = options_take_uint("--gso", arg, 0, 65000, &word);
		o->gso_size = (uint16_t)word;
		return rc;
	case OPT_FLOWS:
		return options_take_uint("--flows", arg, 1, FRAME_FLOW_MAX, &o->flow_cnt);
	case OPT_MACS:
		return options_take_uint("--macs", arg, 1, FRAME_MAC_MAX, &o->mac_cnt);
	case OPT_MAC:
		return take_mac("--mac", arg, o->mac[0]);
	case OPT_PEER_MAC:
		return take_mac("--peer-mac", arg, o->mac[1]);
	case OPT_VLAN:
		rc = options_take_uint("--vlan", arg, 1, 4094, &word);
		o->vlan = (uint16_t)word;
		return rc;
	case OPT_DIRECTION:
		rc = options_take_word("--direction", arg, direction, 2, &word);
		o->back = word == 1;
		return rc;
	case OPT_RATE:
		return take_rate(o, arg);
	case OPT_SPACING:
		return take_spacing(o, arg);
	case OPT_RUNTIME:
		return options_take_seconds("--runtime", arg, 0.01, &o->runtime_s);
	default:
		return options_take_seconds("--warmup", arg, 0, &o->warmup_s);
	}
}

static int take_how(struct netload_opts *o, int opt, const char *arg)
{
	unsigned int word = 0;
	int rc;

	switch (opt) {
	case OPT_BURST:
		return options_take_uint("--burst", arg, 1, NETLOAD_BURST_MAX, &o->burst);
	case OPT_QUEUE_PAIRS:
		return options_take_uint("--queue-pairs", arg, 1, NETLOAD_PAIR_MAX, &o->pairs);
	case OPT_RING:
		return options_take_format("--ring", arg, &o->format);
	case OPT_QUEUE_SIZE:
		return options_take_uint("--queue-size", arg, 1, RING_SIZE_MAX, &o->ring_size);
	case OPT_NOTIFY:
		return options_take_notify("--notify", arg, &o->irq);
	case OPT_CPUS:
		return options_take_cpus(o->cpu, &o->cpu_cnt, arg);
	case OPT_MERGEABLE:
		return take_onoff("--mergeable", arg, &o->no_mergeable);
	case OPT_GUEST_TSO:
		return take_onoff("--guest-tso", arg, &o->no_guest_tso);
	case OPT_RX_BUFFERS:
		return options_take_uint("--rx-buffers", arg, 0, RING_SIZE_MAX, &o->rx_buffer_cnt);
	case OPT_RX_BUFFER_BYTES:
		return take_size("--rx-buffer-bytes", arg, NET_HEADER_BYTES, 1u << 20,
				 &o->rx_buffer_bytes);
	case OPT_SEGMENT:
		return take_size("--segment", arg, NET_HEADER_BYTES, 1u << 20, &o->segment_bytes);
	case OPT_WAIT:
		return options_take_seconds("--wait", arg, 0, &o->wait_s);
	case OPT_TIMEOUT:
		return options_take_seconds("--timeout", arg, 0.1, &o->timeout_s);
	default:
		rc = options_take_uint("--server-pid", arg, 1, INT32_MAX, &word);
		o->server_pid = (pid_t)word;
		return rc;
	}
}

/* The flag of an option without a value; NULL for one with a value. */
static bool *flag_of(struct netload_opts *o, int opt)
{
	switch (opt) {
	case OPT_IMIX:
		return &o->imix;
	case OPT_CSUM:
		return &o->csum;
	case OPT_ANSWERS:
		return &o->answers;
	case OPT_LOOP:
		return &o->loop;
	case OPT_VERIFY:
		return &o->verify;
	case OPT_NO_LOSS:
		return &o->no_loss;
	case OPT_LATENCY:
		return &o->stamps;
	case OPT_DIRTY:
		return &o->dirty;
	case OPT_MEMCPY:
		return &o->memcpy_only;
	case OPT_INDIRECT:
		return &o->indirect;
	case OPT_NO_EVENT_IDX:
		return &o->no_event_idx;
	case OPT_IN_ORDER:
		return &o->in_order;
	case OPT_LISTEN:
		return &o->listen;
	case OPT_JSON:
		return &o->json;
	default:
		return NULL;
	}
}

static int check_frames(struct netload_opts *o)
{
	if (o->imix && o->size_bytes)
		return options_reject("--imix", "given with --size, one of them allowed");
	if (o->size_bytes > FRAME_BYTES_MAX)
		o->size_bytes = FRAME_BYTES_MAX; /* "64k", by its usual name */
	if (o->imix)
		o->size_bytes = FRAME_BYTES_PLAIN;
	if (o->size_bytes == 0)
		o->size_bytes = FRAME_BYTES_MIN;
	if (o->size_bytes <= FRAME_BYTES_PLAIN)
		o->gso_size = 0;
	if (o->burst == 0) {
		/* Long frames in smaller bursts, so that receiving is not kept waiting. */
		o->burst = BURST_BYTES / o->size_bytes;
		o->burst = o->burst < 1 ? 1 : o->burst > 32 ? 32 : o->burst;
	}
	if (o->flow_cnt == 0)
		o->flow_cnt = o->pairs > 16 ? o->pairs : 16;
	if (o->flow_cnt < o->pairs)
		return options_reject("--flows", "%u given, %u queue pairs need at least as many",
				      o->flow_cnt, o->pairs);
	if (memcmp(o->mac[0], o->mac[1], o->mac_cnt > 1 ? 4 : 6) == 0)
		return options_reject("--peer-mac", "the same as --mac%s given",
				      o->mac_cnt > 1 ? " in the four bytes that do not vary" : "");
	return BENCH_OK;
}

static int check(struct netload_opts *o)
{
	int rc = check_frames(o);

	if (rc == BENCH_OK)
		rc = options_check_ring_size("--queue-size", o->format, o->ring_size);
	if (rc != BENCH_OK)
		return rc;
	if (o->rx_buffer_cnt != UINT32_MAX && o->rx_buffer_cnt > o->ring_size)
		return options_reject("--rx-buffers", "%u given, the ring has %u (--queue-size)",
				      o->rx_buffer_cnt, o->ring_size);
	if (o->verify && o->cpu_cnt > 1)
		return options_reject("--verify", "given with %u CPUs, one thread checks all",
				      o->cpu_cnt);
	if (o->socket_cnt == 1 && o->back)
		return options_reject("--direction", "both given, that takes two sockets");
	if (o->answers && !o->back)
		return options_reject("--answers", "given without --direction both");
	if (o->socket_cnt == 2 && o->loop)
		return options_reject("--loop", "given with two sockets, one allowed");
	if (o->spacing != NETLOAD_EVEN && o->rate == 0)
		return options_reject("--spacing", "given with --rate max, it takes a rate");
	if (o->verify && o->pairs > 1 && o->in_order && o->format == RING_PACKED)
		return options_reject(
			"--verify", "given with --queue-pairs, --ring packed and --in-order: what "
				    "such a ring has used cannot be told before it is taken");
	if (o->rate > 0)
		o->stamps = true;
	return BENCH_OK;
}

static int sockets_take(struct netload_opts *o, int argc, char **argv)
{
	unsigned int given = (unsigned int)(argc - optind);

	if (o->memcpy_only && given == 0)
		return BENCH_OK;
	if (o->memcpy_only)
		return options_reject("--memcpy", "given with the socket '%s', none allowed",
				      argv[optind]);
	if (given == 0)
		return options_reject("net", "the socket of a back end is missing: pario-bench net "
					     "SOCKET_A [SOCKET_B] [OPTION]...");
	if (given > 2)
		return options_reject("net", "'%s' given after two sockets, two sockets allowed",
				      argv[optind + 2]);
	for (o->socket_cnt = 0; o->socket_cnt < given; o->socket_cnt++)
		o->socket[o->socket_cnt] = argv[optind + (int)o->socket_cnt];
	return BENCH_OK;
}

static int take(struct netload_opts *o, int opt, const char *arg)
{
	bool *flag = flag_of(o, opt);

	if (!flag)
		return opt <= OPT_WARMUP ? take_what(o, opt, arg) : take_how(o, opt, arg);
	*flag = true;
	return BENCH_OK;
}

int netload_options_parse(struct netload_opts *o, int argc, char **argv)
{
	int opt, rc;

	*o = (struct netload_opts){
		.gso_size = 1448,
		.mac_cnt = 1,
		.mac = {{2, 0x70, 0x61, 0x0a, 0, 1}, {2, 0x70, 0x61, 0x0b, 0, 1}},
		.runtime_s = 10,
		.warmup_s = 0.5,
		.pairs = 1,
		.ring_size = 256,
		.rx_buffer_cnt = UINT32_MAX,
		.timeout_s = 30,
	};
	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, ":", longopts, NULL)) != -1) {
		if (opt == OPT_HELP) {
			fputs(netload_help, stdout);
			return -1;
		}
		if (opt == ':' || opt == '?')
			return options_reject_word(argv[0], opt, argv[optind - 1]);
		rc = take(o, opt, optarg);
		if (rc != BENCH_OK)
			return rc;
	}
	rc = sockets_take(o, argc, argv);
	return rc == BENCH_OK ? check(o) : rc;
}

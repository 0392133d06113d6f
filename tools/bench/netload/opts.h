/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `pario-bench net` was asked to do.
 * Only what can be judged without a back end is judged here; session.c holds the rest against it.
 */
#ifndef PARIO_BENCH_NETLOAD_OPTS_H
#define PARIO_BENCH_NETLOAD_OPTS_H

#include "driver/ring.h"
#include "options.h"

#define NETLOAD_PAIR_MAX 64
#define NETLOAD_BURST_MAX 256

enum netload_spacing {
	NETLOAD_EVEN,    /* a frame each interval; what is due together goes together */
	NETLOAD_BURSTS,  /* as many as a burst has at once, and a pause */
	NETLOAD_POISSON, /* at random, single frames, the rate on average */
};

struct netload_opts {
	const char *socket[2];
	unsigned int socket_cnt;
	bool memcpy_only; /* no back end: two threads and memcpy() between the same buffers */

	uint32_t size_bytes; /* of a frame, vnet header not counted; the longest of imix */
	bool imix;
	uint16_t gso_size; /* 0: never */
	bool csum;
	uint32_t flow_cnt, mac_cnt;
	uint8_t mac[2][6]; /* of the first socket's side, and of the second's */
	uint16_t vlan;     /* 0: none */
	bool back;         /* the second socket sends too */
	bool answers;      /* what the second sends belongs to the flows of the first */
	bool loop;         /* one socket: what was sent is to come back */
	double rate;       /* frames a second in each direction; 0: as fast as possible */
	enum netload_spacing spacing; /* of frames with a rate */
	double runtime_s, warmup_s;

	unsigned int burst;
	unsigned int pairs;
	enum ring_format format;
	unsigned int ring_size;
	bool irq;
	bool no_mergeable, no_guest_tso, no_event_idx, in_order, indirect;
	uint32_t rx_buffer_cnt;   /* UINT32_MAX: as many as the ring has; 0: none, ever */
	uint32_t rx_buffer_bytes; /* 0: chosen by what was negotiated */
	uint32_t segment_bytes;   /* of what is sent; 0: one descriptor */
	bool dirty;
	bool verify, no_loss;
	bool stamps; /* latency is measured */

	bool listen;
	double wait_s, timeout_s;
	int cpu[BENCH_CPU_MAX];
	unsigned int cpu_cnt; /* 0: one thread, not pinned */
	pid_t server_pid;     /* 0: whoever listens on the first socket */
	bool json;
};

extern const char netload_help[];

/* As options_parse(); argv[0] is the word "net". */
int netload_options_parse(struct netload_opts *o, int argc, char **argv);

/* Of a receive buffer, as asked for or by default. */
uint32_t netload_rx_buffer_bytes(const struct netload_opts *o, bool mergeable);

/* "02:00:00:00:00:01"; false for anything else, and for group addresses. */
bool netload_mac_parse(const char *text, uint8_t mac[6]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two sides of a capture: the ring and its records.
 * Not for anybody outside capture*.c and their tests.
 *
 * A ring is a power of two of bytes. Records lie in it one behind another, each in one piece and at
 * a multiple of 8; where the rest up to the end is too short for one, a record that is to be
 * skipped fills it. Positions count up and are taken modulo the size. CAPTURE_PUB (ordering.h) is
 * the edge in both directions: `written` for records, `taken` for room.
 */
#ifndef PARIO_NETWORK_CAPTURE_PRIV_H
#define PARIO_NETWORK_CAPTURE_PRIV_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "network/capture.h"
#include "network/capture_filter.h"
#include "network/netport.h"
#include "network/pcapng.h"

#define CAPTURE_SKIP UINT32_MAX

struct capture_record {
	uint32_t record_bytes;   /* with all that follows, a multiple of 8 */
	uint32_t captured_bytes; /* of data; CAPTURE_SKIP: the members from here on are not there */
	uint32_t original_bytes;
	uint16_t vlan; /* of an untagged frame, in the switch; 0: none */
	uint16_t gso_bytes;
	uint64_t time_ns;  /* clock_now_ns() scale */
	uint8_t direction; /* enum capture_direction */
	uint8_t drop;      /* enum netport_drop */
	uint8_t gso;       /* enum frame_gso */
	bool gso_ecn;
	bool csum_partial;
	uint8_t unused[3];
	uint8_t data[];
};
static_assert(sizeof(struct capture_record) == 32, "records begin at multiples of 8");

/* What a worker counts. */
struct capture_ring_stats {
	uint64_t seen;
	uint64_t accepted;
	uint64_t missed;
};

struct capture_ring { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	/* constant */
	uint8_t *bytes;
	uint32_t size_bytes;
	uint32_t snaplen;
	bool wants[CAPTURE_DIRECTION_MAX_];
	bool drops_only;
	const struct capture_filter *filter;
	const struct netport *port;

	/* the worker's */
	uint64_t write_pos CACHE_ALIGNED; /* behind its last record, published or not */
	uint64_t taken_seen;              /* `taken`, as it was last looked at */
	unsigned burst_cnt;               /* records that are not published */
	struct {
		const struct frame *frame;
		struct capture_record *record;
	} burst[NETPORT_BURST];
	struct capture_ring_stats stats;
	uint64_t written CACHE_ALIGNED; /* the worker stores, control loads */

	/* control stores, the worker loads */
	uint64_t taken CACHE_ALIGNED;
};

/* Control, from here on. */

/*
 * capture_file.c: blocks, and the file that they go to. The size of the file is at most size_bytes,
 * with the last block.
 */
struct capture_file {
	/* set before the first block */
	int fd;
	uint64_t size_bytes;
	uint64_t real_offset_ns; /* from clock_now_ns() to time since 1970 */
	/* capture_file.c */
	struct pcapng_buffer buffer;
	uint64_t buffered_frames; /* in buffer */
	uint64_t buffered_drops;
	uint64_t frames; /* in the file */
	uint64_t drops;
	uint64_t written_bytes;
};

/* 0 or -ENOMEM. */
int capture_file_init(struct capture_file *file);
/* Closes it. */
void capture_file_fini(struct capture_file *file);
int capture_file_put_head(struct capture_file *file, const char *port_name, uint32_t snaplen);
/* False: the limit is reached, and the record is not in the file. May write; *status as below. */
bool capture_file_put(struct capture_file *file, const struct capture_record *record, int *status);
int capture_file_put_totals(struct capture_file *file, const struct pcapng_statistics *totals);
/* Writes what was put: all of it, or nothing and -errno. So do the functions above. */
int capture_file_flush(struct capture_file *file);

/* 0 or -ENOMEM. The rest of the constant part is the caller's to set. */
int capture_ring_init(struct capture_ring *ring, uint32_t size_bytes);
void capture_ring_fini(struct capture_ring *ring);
/* The oldest record, or NULL. It stays where it is until capture_ring_take(). */
const struct capture_record *capture_ring_peek(struct capture_ring *ring);
void capture_ring_take(struct capture_ring *ring, const struct capture_record *record);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small vhost-user-blk back end for testing front ends: a RAM disk with both ring formats, and
 * faults to order. One thread, one front end.
 * It is not pario, shares no code with it, and trusts its front end: tests own both.
 */
#ifndef PARIO_FAKE_FAKE_BACKEND_H
#define PARIO_FAKE_FAKE_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "fake/fake_ring.h"

#define FAKE_QUEUE_MAX 8
#define FAKE_REGION_MAX 64

enum fake_fault {
	FAULT_NONE,
	FAULT_SILENT,        /* answers no message */
	FAULT_BAD_FLAGS,     /* replies with need_reply left set */
	FAULT_BAD_CONFIG,    /* GET_CONFIG of another size than asked */
	FAULT_REFUSE,        /* acknowledges SET_MEM_TABLE with 1 */
	FAULT_CLOSE,         /* from here on: after `after` requests */
	FAULT_STALL,         /* completes nothing more */
	FAULT_IOERR,         /* one request fails */
	FAULT_CORRUPT,       /* one read has a wrong byte */
	FAULT_LOSE_WRITE,    /* one write is not done */
	FAULT_MISPLACE,      /* one write goes one sector too far */
	FAULT_KEEP_ZEROES,   /* write-zeroes does nothing */
	FAULT_NO_DATA,       /* one read moves no data */
	FAULT_NO_STATUS,     /* one status byte is not written */
	FAULT_BAD_ID,        /* one used id is not in flight */
	FAULT_ERROR_FD,      /* signals the error fd and stops the queue */
	FAULT_BAD_BASE,      /* GET_VRING_BASE is one off */
	FAULT_CONFIG_CHANGE, /* no fault: sends a config-change message that wants a reply */
	FAULT_MAX_
};
extern const char *const fake_fault_name[FAULT_MAX_];

struct fake_region {
	uint64_t gpa, bytes, uva;
	uint8_t *hva;
};

struct fake_queue {
	struct fake_ring ring;
	int kick_fd, call_fd, err_fd;
	bool enabled, running;
	uint32_t base;
	uint64_t desc_uva, used_uva, avail_uva;
};

struct fake_backend {
	int sock, channel;
	uint64_t offered; /* features */
	uint64_t features, protocol;
	struct fake_region region[FAKE_REGION_MAX];
	unsigned int region_cnt;
	struct fake_queue queue[FAKE_QUEUE_MAX];

	uint8_t *disk;
	uint64_t disk_bytes;
	uint32_t block_bytes;
	bool null_disk; /* completes at once without looking at what is asked: fast */
	bool shuffle;   /* uses requests in another order than they came */
	enum fake_fault fault;
	uint64_t after; /* the fault happens at this request */
	uint64_t done;  /* requests */
	bool faulted;
	bool end;
	bool driver_error; /* the driver broke a rule of the ring */
	uint8_t *arena;    /* address space of the regions */
};

#define FAKE_TIMEOUT_MS 10000

/*
 * Takes the socket. Fields that are 0 get defaults: what a disk offers, 64 MiB, blocks of 512.
 * 0 or -errno.
 */
int fake_backend_init(struct fake_backend *b, int sock);
/* Takes one message and answers it; sets b->end when the front end has gone. */
void fake_backend_message(struct fake_backend *b);
/* Returns when the front end has gone, or by a fault. */
void fake_backend_serve(struct fake_backend *b);
void fake_backend_fini(struct fake_backend *b);

uint8_t *fake_backend_map(void *ctx, uint64_t gpa, uint64_t bytes);

/* Serves one queue for a while; true when it did something. fake_disk.c */
bool fake_disk_turn(struct fake_backend *b, struct fake_queue *q);

#endif

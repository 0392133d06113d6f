/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of the pcapng file format (draft-ietf-opsawg-pcapng), of one section with one Ethernet
 * interface and times in nanoseconds, in the byte order of this machine.
 * Not a file: blocks are put into a buffer of the caller's.
 *
 * Pure.
 */
#ifndef PARIO_NETWORK_PCAPNG_H
#define PARIO_NETWORK_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text of a block at most; longer ones are cut. */
#define PCAPNG_TEXT_BYTES 512
/* What a packet block adds to its data at most. */
#define PCAPNG_PACKET_BYTES (64 + PCAPNG_TEXT_BYTES)
/* A statistics block at most. */
#define PCAPNG_STATISTICS_BYTES (160 + PCAPNG_TEXT_BYTES)

struct pcapng_buffer {
	uint8_t *bytes; /* the caller's */
	size_t len;
	size_t max;
};

enum pcapng_direction {
	PCAPNG_INBOUND = 1, /* values of epb_flags, bits 0 and 1 */
	PCAPNG_OUTBOUND = 2,
};

struct pcapng_packet {
	uint64_t time_ns; /* since 1970, as all times here */
	const void *data;
	uint32_t captured_bytes;
	uint32_t original_bytes;
	enum pcapng_direction direction;
	const char *comment; /* NULL or "": none */
};

struct pcapng_statistics {
	uint64_t time_ns;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t received;   /* isb_ifrecv */
	uint64_t accepted;   /* isb_filteraccept */
	uint64_t dropped;    /* isb_ifdrop */
	uint64_t delivered;  /* isb_usrdeliv */
	const char *comment; /* as above */
};

/* Each puts one block behind what is there. False: there is no room, and nothing was put. */
bool pcapng_put_section(struct pcapng_buffer *buffer, const char *application);
bool pcapng_put_interface(struct pcapng_buffer *buffer, const char *name, uint32_t snaplen);
bool pcapng_put_packet(struct pcapng_buffer *buffer, const struct pcapng_packet *packet);
bool pcapng_put_statistics(struct pcapng_buffer *buffer,
			   const struct pcapng_statistics *statistics);

#endif

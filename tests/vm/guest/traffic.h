/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the program traffic share: its options and its clock.
 * Not linked with pario: it runs in guests, without a library beside it.
 */
#ifndef PARIO_TESTS_VM_GUEST_TRAFFIC_H
#define PARIO_TESTS_VM_GUEST_TRAFFIC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define TRAFFIC_FLOWS_MAX 1024
#define TRAFFIC_BYTES_MAX 9000

struct traffic_options {
	const char *address; /* of the other end */
	uint16_t port;
	uint16_t first_port; /* flow i comes from this one + i; 0: any */
	bool udp;
	unsigned flows;
	unsigned bytes; /* of a message */
	double seconds; /* 0: until it is told to stop */
	double rate;    /* messages per second; 0: as many as can be */
	bool filter;    /* take only what came with this hash of its NIC */
	uint32_t hash;
};

/* Ends the program with what could not be done, and why. */
void traffic_die(const char *what) __attribute__((noreturn));
uint64_t traffic_now_ns(void);
void traffic_sleep_until(uint64_t due_ns);
/* A connected socket of flow idx. */
int traffic_connect(const struct traffic_options *options, unsigned idx);
/* A socket that is bound to the port, and listens if it is TCP. */
int traffic_bind(const struct traffic_options *options, bool udp);
/* Room for bursts in a socket's queue, where that is allowed. */
void traffic_widen(int fd);

/* Each is one of the program's commands and prints one line of JSON; it serves, or is a client. */
void traffic_serve(const struct traffic_options *options);
void traffic_ask(const struct traffic_options *options);
void traffic_ping(const struct traffic_options *options);
void traffic_send(const struct traffic_options *options);
void traffic_sink(const struct traffic_options *options);

/* traffic_times.c: how long one took; one was lost; the report on all of them. */
void traffic_note(uint64_t ns);
void traffic_note_lost(void);
void traffic_report(uint64_t took_ns);

/* What a message of traffic_send() begins with; host's byte order, for both ends are x86. */
struct traffic_mark {
	uint64_t seq;
	uint64_t total; /* not 0: the last one, and how many were before it */
};

#endif

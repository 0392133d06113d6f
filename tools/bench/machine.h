/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that figures were measured on, in words, from /proc and /sys.
 * Whatever the kernel does not say is "unknown": nothing here fails.
 */
#ifndef PARIO_BENCH_MACHINE_H
#define PARIO_BENCH_MACHINE_H

#include <stdbool.h>
#include <sys/types.h>

#define MACHINE_TEXT 160

struct machine {
	char cpu[MACHINE_TEXT]; /* model */
	char cores[MACHINE_TEXT];
	char smt[MACHINE_TEXT];
	char numa[MACHINE_TEXT];
	char idle[MACHINE_TEXT]; /* how a core sleeps: driver and governor */
	char memory[MACHINE_TEXT];
	char kernel[MACHINE_TEXT];
	char hypervisor[MACHINE_TEXT];
	char file_system[MACHINE_TEXT];  /* of the file, see machine_read_file() */
	char block_device[MACHINE_TEXT]; /* below it */
	/* Queues of that block device, 0 when there is none or it is not known. */
	unsigned int block_queues;
	/* Where the kernel's setting for its completions is, below root, and what it was; -1: none.
	 */
	char rq_affinity_path[MACHINE_TEXT];
	int rq_affinity;
};

/* root: "" for this machine, or a directory that holds proc/ and sys/. */
void machine_read(struct machine *m, const char *root);
/* For an open file or block device on that machine: file system and block device. */
void machine_read_file(struct machine *m, const char *root, int fd);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `pario-bench blk` was asked to do.
 * Only what can be judged without a back end is judged here; session.c holds the rest against it.
 */
#ifndef PARIO_BENCH_OPTIONS_H
#define PARIO_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/ring.h"

#define BENCH_CPU_MAX 256
#define BENCH_QUEUE_MAX 64
#define BENCH_DEPTH_MAX 1024

/* Exit statuses of the program. */
enum bench_status { BENCH_OK = 0, BENCH_FAILED = 1, BENCH_USAGE = 2 };

enum bench_rw {
	RW_READ,
	RW_WRITE,
	RW_RANDREAD,
	RW_RANDWRITE,
	RW_RANDRW,
	RW_TRIM,
	RW_VERIFY,
	RW_MAX_
};

extern const char *const bench_rw_name[RW_MAX_];

struct bench_opts {
	const char *socket;
	enum bench_rw rw;
	uint32_t bs_min_bytes, bs_max_bytes;
	uint32_t segment_bytes; /* 0: one data descriptor unless the device limits them */
	unsigned int iodepth;   /* of each queue */
	unsigned int queues;
	double runtime_s; /* 0: none given, run until ios are done */
	double warmup_s;
	uint64_t ios;        /* 0: no limit */
	uint64_t size_bytes; /* 0: all of the disk from offset on */
	uint64_t offset_bytes;
	enum ring_format format;
	unsigned int ring_size; /* 0: chosen to fit iodepth */
	bool irq;
	bool no_indirect;
	bool no_event_idx;
	bool in_order;
	unsigned int rwmixread; /* percent */
	double rate;            /* requests a second over all queues; 0: as fast as possible */
	uint64_t seed;
	unsigned int regions;
	bool cross_regions;
	bool listen;
	double wait_s;
	double timeout_s;
	int cpu[BENCH_CPU_MAX];
	unsigned int cpu_cnt; /* 0: one thread, not pinned */
	pid_t server_pid;     /* 0: whoever listens on the socket */
	bool json;
	bool probe;
	bool progress;
};

extern const char options_help[];

/*
 * argv[0] is the word "blk". BENCH_OK, BENCH_USAGE with a line on standard error, or -1 when --help
 * was given and everything is said.
 */
int options_parse(struct bench_opts *o, int argc, char **argv);

/* One line on standard error: "pario-bench: --what: ..."; returns BENCH_USAGE. */
int options_reject(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * options_take.c: the value of the option `name`. BENCH_OK, or BENCH_USAGE with a line on standard
 * error.
 */
int options_take_count(const char *name, const char *text, uint64_t min, uint64_t max,
		       uint64_t *out);
int options_take_uint(const char *name, const char *text, unsigned int min, unsigned int max,
		      unsigned int *out);
int options_take_seconds(const char *name, const char *text, double min, double *out);
/* *out is the index of the word. */
int options_take_word(const char *name, const char *text, const char *const *word, unsigned int cnt,
		      unsigned int *out);
int options_take_format(const char *name, const char *text, enum ring_format *out);
int options_take_notify(const char *name, const char *text, bool *irq);
/* At most BENCH_CPU_MAX, all of which this process may use. */
int options_take_cpus(int *cpu, unsigned int *cnt, const char *text);
/* No thread, nor the caller, leaves these CPUs from now on; cnt 0: nothing is done. */
void options_keep_cpus(const int *cpu, unsigned int cnt);
/* A split ring's size is a power of two; 0 is not judged. */
int options_check_ring_size(const char *name, enum ring_format format, unsigned int size);
/* A word that getopt_long() answered with opt, ':' or '?'. */
int options_reject_word(const char *command, int opt, const char *word);

#endif

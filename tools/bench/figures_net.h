/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench figures net`: the evaluation of efficient interrupt coalescing and virtual RSS,
 * redone on this machine. This header is the data that its steps share; figures.h is the disks'.
 *
 * Theory of operation
 *
 * As figures.h has it: a plan of points, those that this machine cannot show with their reason;
 * points of one group measured in turns; a daemon of its own for each run. The first group finds
 * the highest rate of each frame size; points with a share of it come after that.
 */
#ifndef PARIO_BENCH_FIGURES_NET_H
#define PARIO_BENCH_FIGURES_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "figures.h"

#define NETFIG_SIZES_MAX 2u
#define NETFIG_SIZE_SMALL 60u
#define NETFIG_SIZE_FULL 1514u
/* VPP's defaults, as a plain coalescer to stand beside. */
#define NETFIG_STATIC_PACKETS 32
#define NETFIG_STATIC_USECS 1000
#define NETFIG_FLOWS 256

enum netfig_figure {
	NETFIG_MAX, /* the highest rate: what shares are of */
	NETFIG_RATE,
	NETFIG_SCALE,
	NETFIG_LADDER,
	NETFIG_FIGURE_MAX_,
};

enum netfig_mode { NETFIG_OFF, NETFIG_STATIC, NETFIG_ADAPTIVE, NETFIG_MODE_MAX_ };

enum netfig_step {
	NETFIG_BASELINE, /* one queue, one worker, a call for each burst */
	NETFIG_COALESCED,
	NETFIG_VRSS,
	NETFIG_BOTH,
	NETFIG_STEP_MAX_,
};

enum netfig_metric {
	NETFIG_PPS,   /* received */
	NETFIG_CALLS, /* of receive queues, for each frame received */
	NETFIG_CALLS_PER_S,
	NETFIG_P50_US,
	NETFIG_P99_US,
	NETFIG_CPU_US, /* of the daemon, for each frame received */
	NETFIG_LOST,   /* part of those that were sent */
	NETFIG_METRIC_MAX_,
};

extern const char *const netfig_figure_name[NETFIG_FIGURE_MAX_];
extern const char *const netfig_mode_name[NETFIG_MODE_MAX_];
extern const char *const netfig_step_name[NETFIG_STEP_MAX_];

struct netfig_point {
	enum netfig_figure figure;
	enum netfig_mode mode;
	enum netfig_step step; /* of NETFIG_LADDER only */
	unsigned int size_bytes, queues, workers;
	unsigned int share; /* of the highest rate, in percent; 0: as fast as possible */
	bool irq; /* the load is called, as a guest is; else it polls, and so does pariod */
	bool rss; /* the ports' frames are spread by steering.mode=rss */
	unsigned int group;

	char note[FIGURES_NOTE]; /* "" or why there are no values */
	bool failed;
	unsigned int run_cnt;
	double value[NETFIG_METRIC_MAX_][FIGURES_ROUNDS_MAX]; /* NAN: not known */
};

/* Pure values. */
struct netfig_input {
	unsigned int worker_cnt; /* CPUs for workers, at least 1 */
	unsigned int size[NETFIG_SIZES_MAX], size_cnt;
	const char *no_adaptive, *no_rss; /* NULL, or why this daemon has none */
	bool quick;
};

struct netfig_plan {
	struct netfig_point *point;
	unsigned int cnt, size;
	bool failed; /* out of memory */
};

void netfig_plan_make(struct netfig_plan *plan, const struct netfig_input *input);
void netfig_plan_free(struct netfig_plan *plan);

struct spread netfig_spread(const struct netfig_point *p, enum netfig_metric metric);

struct netfig_opts {
	const char *out, *daemon;
	double runtime_s, warmup_s;
	unsigned int rounds;
	bool quick;
	unsigned int size[NETFIG_SIZES_MAX], size_cnt;
	int cpu[BENCH_CPU_MAX];
	unsigned int cpu_cnt;
};

struct netfig {
	struct netfig_opts opts;
	char self[FIGURES_PATH];
	char daemon[FIGURES_PATH];
	char tmp[72];
	char version[MACHINE_TEXT];
	char date[32];
	char command_line[1024];
	struct machine machine;
	struct wakeup wakeup;
	unsigned int load_cnt;
	struct netfig_input input;
	struct netfig_plan plan;
	unsigned int failed_cnt;
};

/* Frames a second that a share is of; NAN when it has not been found. */
double netfig_max_pps(const struct netfig *f, unsigned int size_bytes);
/* What the point was offered, in frames a second; NAN: as fast as possible, or not known. */
double netfig_rate(const struct netfig *f, const struct netfig_point *p);

/* argv[0] is the word "net"; program is how this program was called. An enum bench_status. */
int figures_net_main(int argc, char **argv, const char *program);
/* figures_net_options.c: as options_parse() of options.h. */
int netfig_options_parse(struct netfig_opts *o, int argc, char **argv);

/* figures_net_point.c: one run; p->run_cnt grows, or p->note says what went wrong. */
void netfig_point_run(const struct netfig *f, struct netfig_point *p);
/* figures_net_parse.c: the report of `pario-bench net --json`; false: not that of a good run. */
bool netfig_report_parse(const char *json, double value[NETFIG_METRIC_MAX_]);

/* figures_net_page.c: false when the file could not be written; errno is set. */
bool netfig_write_csv(const char *path, const struct netfig *f);
bool netfig_write_page(const char *path, const struct netfig *f);

/* figures_net_plots.c */
void netfig_plot_rate(FILE *out, const struct netfig *f);
void netfig_plot_scale(FILE *out, const struct netfig *f);
void netfig_plot_ladder(FILE *out, const struct netfig *f);

#endif

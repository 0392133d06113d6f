/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench figures block`: the evaluation of the paper that pario follows, redone on this
 * machine (ports: figures_net.h). This header is the data that its steps share; nothing of it is in
 * any load's path.
 *
 * Theory of operation
 *
 * figures_plan.c writes down every point that the figures have, from the CPUs and programs that
 * there are. A point that this machine cannot show is in the plan as well, with the reason, and
 * goes into the CSV and the page as that reason: no value is ever invented. figures_run.c measures
 * the points of one group in turns, round by round, so that drift of the machine meets all of them
 * alike. Each run has a back end of its own, started for it and ended after it: one that polls
 * without anything to do would disturb the others. figures_csv.c and figures_page.c write what
 * came of it, as medians of the runs with minimum and maximum.
 */
#ifndef PARIO_BENCH_FIGURES_H
#define PARIO_BENCH_FIGURES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "machine.h"
#include "options.h"
#include "wakeup.h"

#define FIGURES_ROUNDS_MAX 21u
#define FIGURES_NOTE 256
#define FIGURES_PATH 1024 /* bytes of a path, its end included */

/* The modelled drive: what it can do is a figure of the page. */
#define FIGURES_FLASH_CHANNELS 32
#define FIGURES_FLASH_READ_US 80

enum figure {
	FIGURE_DEPTH,  /* (a) */
	FIGURE_SCALE,  /* (b) */
	FIGURE_LADDER, /* (c) and (d) */
	FIGURE_MAX_,
};

enum figures_backend { FIGURES_NULL, FIGURES_FLASH, FIGURES_FILE, FIGURES_BACKEND_MAX_ };

enum figures_server { SERVER_PARIOD, SERVER_QSD, SERVER_FIO, SERVER_MAX_ };

enum figures_poll { FIGURES_ALWAYS, FIGURES_ADAPTIVE, FIGURES_NEVER, FIGURES_POLL_MAX_ };

enum ladder_step {
	STEP_BASELINE,
	STEP_PARALLEL,
	STEP_POLLING,
	STEP_DEDICATED,
	STEP_AFFINITY,
	STEP_ADAPTIVE,
	STEP_MAX_,
};

enum metric {
	METRIC_IOPS,
	METRIC_P50_US,
	METRIC_P99_US,
	METRIC_CPU_US, /* of the server, for each request */
	METRIC_CALLS,  /* for each request */
	METRIC_KICKS,
	METRIC_MAX_,
};

extern const char *const figures_name[FIGURE_MAX_];
extern const char *const figures_backend_name[FIGURES_BACKEND_MAX_];
extern const char *const figures_server_name[SERVER_MAX_];
extern const char *const figures_poll_name[FIGURES_POLL_MAX_];
extern const char *const ladder_step_name[STEP_MAX_];

struct point {
	enum figure figure;
	enum figures_backend backend;
	enum figures_server server;
	enum figures_poll poll; /* of pariod only */
	enum ladder_step step;  /* of FIGURE_LADDER only */
	unsigned int queues, workers, depth;
	bool irq;      /* the load sleeps until it is called, as a guest does */
	bool overlap;  /* the first worker has the CPU of a thread of the load */
	bool affinity; /* completions are directed to the CPU that submitted */
	unsigned int group;

	char note[FIGURES_NOTE]; /* "" or why there are no values */
	bool failed;             /* the note is about an error, not about the machine */
	unsigned int run_cnt;
	double value[METRIC_MAX_][FIGURES_ROUNDS_MAX]; /* NAN: not known */
};

struct plan {
	struct point *point;
	unsigned int cnt, size;
	bool failed; /* out of memory */
};

/* What a plan is made from; pure values. Reasons are NULL for what is there. */
struct plan_input {
	unsigned int load_cnt, worker_cnt; /* CPUs of either kind, at least 1 */
	bool backend[FIGURES_BACKEND_MAX_];
	const char *no_fio, *no_qsd, *no_affinity;
	bool quick;
};

void plan_make(struct plan *plan, const struct plan_input *input);
void plan_free(struct plan *plan);

/* Splits CPUs between the load, which gets the first ones, and workers: each at least one. */
void plan_split_cpus(unsigned int cpu_cnt, unsigned int *load_cnt, unsigned int *worker_cnt);

/* Of all runs that know the value. */
struct spread {
	double median, min, max; /* NAN: no run knows it */
};
/* At most FIGURES_ROUNDS_MAX values. */
struct spread spread_of(const double *value, unsigned int run_cnt);
struct spread point_spread(const struct point *p, enum metric metric);

struct figures_opts {
	const char *out;
	const char *daemon, *fio, *qsd; /* NULL: searched; "none": not to be used */
	const char *file;               /* NULL: one is made */
	double runtime_s, warmup_s;
	unsigned int rounds;
	bool quick;
	bool backend[FIGURES_BACKEND_MAX_];
	int cpu[BENCH_CPU_MAX];
	unsigned int cpu_cnt;
};

struct figures {
	struct figures_opts opts;
	char self[FIGURES_PATH]; /* this program */
	char daemon[FIGURES_PATH];
	char file[FIGURES_PATH];
	char tmp[72]; /* sockets and what programs write to standard error */
	char pariod_version[MACHINE_TEXT], fio_version[MACHINE_TEXT], qsd_version[MACHINE_TEXT];
	char date[32];
	char command_line[1024];
	struct machine machine;
	struct wakeup wakeup;
	struct plan_input input;
	struct plan plan;
	unsigned int failed_cnt;
};

/* figures.c; argv[0] is the word "figures". An enum bench_status. */
int figures_main(int argc, char **argv);

/* figures_options.c: as options_parse() of options.h. */
int figures_options_parse(struct figures_opts *o, int argc, char **argv);

/* figures_point.c: one run; p->run_cnt grows, or p->note says what went wrong. */
void point_run(const struct figures *f, struct point *p);
/* figures_parse.c: reports of programs. False: not the report of a good run. */
bool report_parse_blk(const char *json, double value[METRIC_MAX_]);
bool report_parse_fio(const char *json, double value[METRIC_MAX_]);

/* figures_csv.c and figures_page.c: false when the file could not be written; errno is set. */
bool figures_write_csv(const char *path, const struct figures *f);
bool figures_write_page(const char *path, const struct figures *f);

/* figures_plots.c: the plots of one figure and sentences that say what they show. */
void figures_plot_depth(FILE *out, const struct figures *f);
void figures_plot_scale(FILE *out, const struct figures *f);
void figures_plot_ladder(FILE *out, const struct figures *f);
void figures_plot_cpu(FILE *out, const struct figures *f);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench figures`: prepares, runs the plan round by round, writes, and cleans up.
 * See figures.h for how the parts fit together.
 */
#include "figures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "figures_net.h"
#include "figures_start.h"
#include "random.h"

#define FILE_BYTES (UINT64_C(1) << 30)
#define FILE_BYTES_QUICK (UINT64_C(32) << 20)
#define FILE_CHUNK_BYTES (UINT64_C(1) << 20)

/* An optional program: its word for the command line, or why it is missing. */
static const char *peer_find(const struct figures *f, const char **program, const char *name,
			     char *version)
{
	if (*program && strcmp(*program, "none") == 0) {
		snprintf(version, MACHINE_TEXT, "not used");
		return "not asked for";
	}
	if (!*program)
		*program = name;
	if (figures_version_read(f->tmp, *program, version))
		return NULL;
	snprintf(version, MACHINE_TEXT, "not found");
	return "the program for it is not installed";
}

static int file_make(struct figures *f)
{
	uint64_t bytes = f->opts.quick ? FILE_BYTES_QUICK : FILE_BYTES;
	uint64_t *chunk = malloc(FILE_CHUNK_BYTES);
	struct random rng = {1};
	bool ok = false;
	int fd;

	snprintf(f->file, sizeof(f->file), "%.1000s/figures-block.img", f->opts.out);
	fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && chunk)
		for (uint64_t i = 0; i < FILE_CHUNK_BYTES / 8; i++)
			chunk[i] = random_next(&rng);
	for (uint64_t done = 0; fd >= 0 && chunk && done < bytes; done += FILE_CHUNK_BYTES) {
		chunk[0] = done; /* so that nothing below finds two equal blocks */
		ok = write(fd, chunk, FILE_CHUNK_BYTES) == (ssize_t)FILE_CHUNK_BYTES;
		if (!ok || child_interrupted())
			break;
	}
	ok = ok && fsync(fd) == 0;
	if (!ok)
		figures_fail(f->file, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(chunk);
	return ok ? BENCH_OK : BENCH_FAILED;
}

static int file_prepare(struct figures *f)
{
	int fd, rc = BENCH_OK;

	if (!f->opts.backend[FIGURES_FILE])
		return BENCH_OK;
	if (f->opts.file)
		snprintf(f->file, sizeof(f->file), "%s", f->opts.file);
	else
		rc = file_make(f);
	if (rc != BENCH_OK)
		return rc;
	fd = open(f->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return figures_fail(f->file, strerror(errno));
	machine_read_file(&f->machine, "", fd);
	close(fd);
	return BENCH_OK;
}

/* Whether pariod can be told where completions interrupt, and whether that can matter here. */
static const char *affinity_find(const struct figures *f)
{
	if (f->machine.block_queues < 2)
		return "the block device below the file has fewer than two hardware queues, or is "
		       "not known";
	if (f->machine.rq_affinity < 0 || access(f->machine.rq_affinity_path, W_OK) < 0)
		return "rq_affinity of the block device cannot be written; it takes root";
	return figures_daemon_has(f->tmp, f->daemon, "rq-affinity")
		       ? NULL
		       : "this pariod has no key rq-affinity";
}

static int prepare(struct figures *f, const char *argv0)
{
	int rc = figures_places_make(f->opts.out, f->self, f->tmp, sizeof(f->tmp));

	if (rc != BENCH_OK)
		return rc;
	figures_date_now(f->date, sizeof(f->date));
	rc = figures_daemon_find(f->opts.daemon, argv0, f->self, f->tmp, f->daemon,
				 f->pariod_version);
	if (rc == BENCH_OK)
		machine_read(&f->machine, "");
	if (rc == BENCH_OK)
		rc = file_prepare(f);
	if (rc != BENCH_OK)
		return rc;
	f->input = (struct plan_input){.quick = f->opts.quick};
	f->input.no_fio = peer_find(f, &f->opts.fio, "fio", f->fio_version);
	f->input.no_qsd = peer_find(f, &f->opts.qsd, "qemu-storage-daemon", f->qsd_version);
	f->input.no_affinity = affinity_find(f);
	memcpy(f->input.backend, f->opts.backend, sizeof(f->input.backend));
	plan_split_cpus(f->opts.cpu_cnt, &f->input.load_cnt, &f->input.worker_cnt);
	plan_make(&f->plan, &f->input);
	return f->plan.failed ? figures_fail("figures", "out of memory") : BENCH_OK;
}

static void progress(const struct figures *f, const struct point *p, unsigned int at)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%u of %u points: %s, %s, depth %u, %u queues%20s", at,
			f->plan.cnt, figures_name[p->figure], figures_backend_name[p->backend],
			p->depth, p->queues, "");
}

/* The points of a group, [first, end), in turns; each round begins with another one. */
static void group_run(struct figures *f, unsigned int first, unsigned int end)
{
	unsigned int cnt = end - first;

	for (unsigned int round = 0; round < f->opts.rounds; round++)
		for (unsigned int i = 0; i < cnt && !child_interrupted(); i++) {
			struct point *p = &f->plan.point[first + (round + i) % cnt];

			if (!p->note[0])
				point_run(f, p);
		}
	for (unsigned int i = first; i < end; i++) {
		const struct point *p = &f->plan.point[i];

		if (!p->failed || child_interrupted())
			continue;
		f->failed_cnt++;
		fprintf(stderr, "pario-bench: %s, %s, %s, depth %u: %s\n", figures_name[p->figure],
			figures_backend_name[p->backend], figures_server_name[p->server], p->depth,
			p->note);
	}
}

static void plan_run(struct figures *f)
{
	unsigned int first = 0;

	wakeup_measure(&f->wakeup, f->opts.cpu[0], f->opts.cpu[f->input.load_cnt],
		       f->opts.quick ? 0.1 : 1);
	for (unsigned int i = 1; i <= f->plan.cnt && !child_interrupted(); i++) {
		if (i < f->plan.cnt && f->plan.point[i].group == f->plan.point[first].group)
			continue;
		progress(f, &f->plan.point[first], first);
		group_run(f, first, i);
		first = i;
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%79s\r", "");
}

static int results_write(const struct figures *f)
{
	char path[FIGURES_PATH];

	snprintf(path, sizeof(path), "%.1000s/figures-block.csv", f->opts.out);
	if (!figures_write_csv(path, f))
		return figures_fail(path, strerror(errno));
	printf("%s\n", path);
	snprintf(path, sizeof(path), "%.1000s/figures-block.html", f->opts.out);
	if (!figures_write_page(path, f))
		return figures_fail(path, strerror(errno));
	printf("%s\n", path);
	if (f->failed_cnt == 0)
		return BENCH_OK;
	fprintf(stderr, "pario-bench: %u of %u points failed; the page and the CSV say why\n",
		f->failed_cnt, f->plan.cnt);
	return BENCH_FAILED;
}

/* Points have set it as their step wants it. */
static void rq_affinity_restore(const struct figures *f)
{
	FILE *file;

	if (!f->plan.cnt || f->input.no_affinity)
		return;
	file = fopen(f->machine.rq_affinity_path, "we");
	if (!file || fprintf(file, "%d\n", f->machine.rq_affinity) < 0 || fclose(file) != 0)
		fprintf(stderr, "pario-bench: %s: cannot be set back to %d: %s\n",
			f->machine.rq_affinity_path, f->machine.rq_affinity, strerror(errno));
}

static void clean_up(struct figures *f)
{
	figures_tmp_remove(f->tmp);
	rq_affinity_restore(f);
	if (!f->opts.file && f->file[0])
		(void)unlink(f->file);
	plan_free(&f->plan);
}

int figures_main(int argc, char **argv)
{
	static struct figures f;
	int status;

	if (argc > 1 && strcmp(argv[1], "net") == 0)
		return figures_net_main(argc - 1, argv + 1, argv[-1]);
	/* Before getopt_long() puts the words into its own order. */
	figures_command_line(f.command_line, sizeof(f.command_line), argc, argv);
	status = figures_options_parse(&f.opts, argc, argv);
	if (status != BENCH_OK)
		return status < 0 ? BENCH_OK : status;
	child_catch_signals();
	/* argv[0] is the command; the program's own name stands before it. */
	status = prepare(&f, argv[-1]);
	if (status == BENCH_OK) {
		plan_run(&f);
		status = child_interrupted()
				 ? figures_fail("figures", "interrupted, nothing is written")
				 : results_write(&f);
	}
	clean_up(&f);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench figures`: prepares, runs the plan round by round, writes, and cleans up.
 * See figures.h for how the parts fit together.
 */
#include "figures.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "random.h"

#define FILE_BYTES (UINT64_C(1) << 30)
#define FILE_BYTES_QUICK (UINT64_C(32) << 20)
#define FILE_CHUNK_BYTES (UINT64_C(1) << 20)

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "pario-bench: %s: %s\n", what, why);
	return BENCH_FAILED;
}

/* First line of what a program says about its version. False: it cannot be run. */
static bool version_read(const struct figures *f, const char *program, char *version)
{
	struct args args = {0};
	char err_path[128];
	char *out = NULL;
	int rc;

	snprintf(err_path, sizeof(err_path), "%s/version.err", f->tmp);
	args_add(&args, "%s", program);
	args_add(&args, "--version");
	rc = child_capture(&args, NULL, 0, 30, err_path, &out);
	args_free(&args);
	snprintf(version, MACHINE_TEXT, "%.*s", out ? (int)strcspn(out, "\n") : 0, out ? out : "");
	free(out);
	return rc == 0;
}

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
	if (version_read(f, *program, version))
		return NULL;
	snprintf(version, MACHINE_TEXT, "not found");
	return "the program for it is not installed";
}

/* The build tree has links to both programs in one directory; so has an installation. */
static int daemon_find(struct figures *f, const char *argv0)
{
	const char *beside[] = {argv0, f->self};
	char dir[FIGURES_PATH];

	if (f->opts.daemon) {
		snprintf(f->daemon, sizeof(f->daemon), "%s", f->opts.daemon);
	} else {
		snprintf(f->daemon, sizeof(f->daemon), "pariod");
		for (unsigned int i = 0; i < 2; i++) {
			snprintf(dir, sizeof(dir), "%s", beside[i]);
			if (!strchr(dir, '/'))
				continue;
			snprintf(f->daemon, sizeof(f->daemon), "%.1000s/pariod", dirname(dir));
			if (access(f->daemon, X_OK) == 0)
				break;
			snprintf(f->daemon, sizeof(f->daemon), "pariod");
		}
	}
	if (version_read(f, f->daemon, f->pariod_version))
		return BENCH_OK;
	return fail(f->daemon, "cannot be run; give the path of pariod with --daemon");
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
		fail(f->file, strerror(errno));
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
		return fail(f->file, strerror(errno));
	machine_read_file(&f->machine, "", fd);
	close(fd);
	return BENCH_OK;
}

/* Whether pariod can be told where completions interrupt, and whether that can matter here. */
static const char *affinity_find(const struct figures *f)
{
	struct args args = {0};
	char err_path[128];
	char *help = NULL;
	bool has_key;

	if (f->machine.block_queues < 2)
		return "the block device below the file has fewer than two hardware queues, or is "
		       "not known";
	if (f->machine.rq_affinity < 0 || access(f->machine.rq_affinity_path, W_OK) < 0)
		return "rq_affinity of the block device cannot be written; it takes root";
	snprintf(err_path, sizeof(err_path), "%s/help.err", f->tmp);
	args_add(&args, "%s", f->daemon);
	args_add(&args, "--help");
	(void)child_capture(&args, NULL, 0, 30, err_path, &help);
	args_free(&args);
	has_key = help && strstr(help, "rq-affinity");
	free(help);
	return has_key ? NULL : "this pariod has no key rq-affinity";
}

/* In TMPDIR, unless that is too long for the path of a socket. */
static int tmp_make(struct figures *f)
{
	static const char name[] = "pario-bench-XXXXXX";
	const char *dir = getenv("TMPDIR");

	if (!dir || dir[0] != '/' || strlen(dir) + sizeof(name) + 1 > sizeof(f->tmp))
		dir = "/tmp";
	snprintf(f->tmp, sizeof(f->tmp), "%s/%s", dir, name);
	if (mkdtemp(f->tmp))
		return BENCH_OK;
	fail(f->tmp, strerror(errno));
	f->tmp[0] = '\0';
	return BENCH_FAILED;
}

static int prepare(struct figures *f, const char *argv0)
{
	time_t now = time(NULL);
	struct tm utc;
	ssize_t len;
	int rc;

	/* realpath() would do, but this program may have been replaced since it started. */
	len = readlink("/proc/self/exe", f->self, sizeof(f->self) - 1);
	if (len <= 0)
		return fail("/proc/self/exe", strerror(errno));
	f->self[len] = '\0';
	if (mkdir(f->opts.out, 0777) < 0 && errno != EEXIST)
		return fail(f->opts.out, strerror(errno));
	if (tmp_make(f) != BENCH_OK)
		return BENCH_FAILED;
	strftime(f->date, sizeof(f->date), "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
	rc = daemon_find(f, argv0);
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
	return f->plan.failed ? fail("figures", "out of memory") : BENCH_OK;
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
		return fail(path, strerror(errno));
	printf("%s\n", path);
	snprintf(path, sizeof(path), "%.1000s/figures-block.html", f->opts.out);
	if (!figures_write_page(path, f))
		return fail(path, strerror(errno));
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
	static const char *const name[] = {"server.err", "load.err", "version.err", "help.err",
					   "disk.sock"};
	char path[128];

	for (unsigned int i = 0; f->tmp[0] && i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->tmp, name[i]);
		(void)unlink(path);
	}
	if (f->tmp[0])
		(void)rmdir(f->tmp);
	rq_affinity_restore(f);
	if (!f->opts.file && f->file[0])
		(void)unlink(f->file);
	plan_free(&f->plan);
}

int figures_main(int argc, char **argv)
{
	static struct figures f;
	size_t len = 0;
	int status;

	/* Before getopt_long() puts the words into its own order. */
	for (int i = 0; i < argc && len < sizeof(f.command_line); i++)
		len += (size_t)snprintf(f.command_line + len, sizeof(f.command_line) - len, " %s",
					argv[i]);
	status = figures_options_parse(&f.opts, argc, argv);
	if (status != BENCH_OK)
		return status < 0 ? BENCH_OK : status;
	child_catch_signals();
	/* argv[0] is the command; the program's own name stands before it. */
	status = prepare(&f, argv[-1]);
	if (status == BENCH_OK) {
		plan_run(&f);
		status = child_interrupted() ? fail("figures", "interrupted, nothing is written")
					     : results_write(&f);
	}
	clean_up(&f);
	return status;
}

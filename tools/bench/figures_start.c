/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs found, directories made, options shared by the pages of figures. Nothing is measured.
 */
#include "figures_start.h"

#include <errno.h>
#include <libgen.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "figures.h"
#include "numbers.h"

int figures_fail(const char *what, const char *why)
{
	fprintf(stderr, "pario-bench: %s: %s\n", what, why);
	return BENCH_FAILED;
}

/* What the program says to one option, named without its dashes; *out is the caller's to free. */
static int program_ask(const char *tmp, const char *program, const char *option, char **out)
{
	struct args args = {0};
	char err_path[128];
	int rc;

	snprintf(err_path, sizeof(err_path), "%s/%s.err", tmp, option);
	args_add(&args, "%s", program);
	args_add(&args, "--%s", option);
	rc = child_capture(&args, NULL, 0, 30, err_path, out);
	args_free(&args);
	return rc;
}

bool figures_version_read(const char *tmp, const char *program, char *version)
{
	char *out = NULL;
	int rc = program_ask(tmp, program, "version", &out);

	snprintf(version, MACHINE_TEXT, "%.*s", out ? (int)strcspn(out, "\n") : 0, out ? out : "");
	free(out);
	return rc == 0;
}

/* The build tree has links to both programs in one directory; so has an installation. */
static void daemon_search(const char *argv0, const char *self, char *daemon)
{
	const char *beside[] = {argv0, self};
	char dir[FIGURES_PATH];

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir), "%s", beside[i]);
		if (!strchr(dir, '/'))
			continue;
		snprintf(daemon, FIGURES_PATH, "%.1000s/pariod", dirname(dir));
		if (access(daemon, X_OK) == 0)
			return;
	}
	snprintf(daemon, FIGURES_PATH, "pariod");
}

int figures_daemon_find(const char *given, const char *argv0, const char *self, const char *tmp,
			char *daemon, char *version)
{
	if (given)
		snprintf(daemon, FIGURES_PATH, "%s", given);
	else
		daemon_search(argv0, self, daemon);
	if (figures_version_read(tmp, daemon, version))
		return BENCH_OK;
	return figures_fail(daemon, "cannot be run; give the path of pariod with --daemon");
}

bool figures_daemon_has(const char *tmp, const char *daemon, const char *key)
{
	char *help = NULL;
	bool has;

	(void)program_ask(tmp, daemon, "help", &help);
	has = help && strstr(help, key);
	free(help);
	return has;
}

/* In TMPDIR, unless that is too long for the path of a socket. */
static int tmp_make(char *tmp, size_t size)
{
	static const char name[] = "pario-bench-XXXXXX";
	const char *dir = getenv("TMPDIR");

	if (!dir || dir[0] != '/' || strlen(dir) + sizeof(name) + 1 > size)
		dir = "/tmp";
	snprintf(tmp, size, "%s/%s", dir, name);
	if (mkdtemp(tmp))
		return BENCH_OK;
	figures_fail(tmp, strerror(errno));
	tmp[0] = '\0';
	return BENCH_FAILED;
}

int figures_places_make(const char *out, char *self, char *tmp, size_t size)
{
	/* realpath() would do, but this program may have been replaced since it started. */
	ssize_t len = readlink("/proc/self/exe", self, FIGURES_PATH - 1);

	if (len <= 0)
		return figures_fail("/proc/self/exe", strerror(errno));
	self[len] = '\0';
	if (mkdir(out, 0777) < 0 && errno != EEXIST)
		return figures_fail(out, strerror(errno));
	return tmp_make(tmp, size);
}

void figures_tmp_remove(const char *tmp)
{
	static const char *const name[] = {
		"server.err", "load.err", "version.err", "help.err", "disk.sock", "a", "b"};
	char path[128];

	if (!tmp[0])
		return;
	for (unsigned int i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", tmp, name[i]);
		(void)unlink(path);
	}
	(void)rmdir(tmp);
}

void figures_date_now(char *date, size_t size)
{
	time_t now = time(NULL);
	struct tm utc;

	strftime(date, size, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
}

void figures_command_line(char *line, size_t size, int argc, char **argv)
{
	size_t len = 0;

	for (int i = 0; i < argc && len < size; i++)
		len += (size_t)snprintf(line + len, size - len, " %s", argv[i]);
}

void figures_cpu_list(char *text, size_t size, const int *cpu, unsigned int cnt)
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < cnt && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%d", i ? "," : "", cpu[i]);
}

int figures_take_cpus(const char *text, int *cpu, unsigned int *cnt)
{
	cpu_set_t allowed;

	if (!number_parse_cpus(text, cpu, BENCH_CPU_MAX, cnt))
		return options_reject("--cpus", "'%s' is not a list of CPUs such as 0 or 2-3,5",
				      text);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (unsigned int i = 0; i < *cnt; i++) {
		if (cpu[i] >= CPU_SETSIZE || !CPU_ISSET(cpu[i], &allowed))
			return options_reject("--cpus",
					      "CPU %d given, this process may use %d CPUs and not "
					      "that one, or it is listed twice",
					      cpu[i], CPU_COUNT(&allowed));
		CPU_CLR(cpu[i], &allowed);
	}
	return BENCH_OK;
}

int figures_take_runtime(const char *text, double *seconds)
{
	if (!number_parse_seconds(text, seconds))
		return options_reject("--runtime", "'%s' is not a time such as 1, 1s, 500ms or 2m",
				      text);
	if (*seconds < 0.01 || *seconds > 3600)
		return options_reject("--runtime", "%s given, 10ms to 60m allowed", text);
	return BENCH_OK;
}

int figures_take_rounds(const char *text, unsigned int *rounds)
{
	uint64_t n;

	if (!number_parse_u64(text, &n) || n < 1 || n > FIGURES_ROUNDS_MAX)
		return options_reject("--rounds", "'%s' given, 1 to %u allowed", text,
				      FIGURES_ROUNDS_MAX);
	*rounds = (unsigned int)n;
	return BENCH_OK;
}

int figures_path_check(const char *name, const char *path)
{
	if (path && (path[0] == '\0' || strlen(path) > FIGURES_PATH - 32))
		return options_reject(name, "a path of %zu bytes given, 1 to %d allowed",
				      strlen(path), FIGURES_PATH - 32);
	return BENCH_OK;
}

int figures_cpus_check(int *cpu, unsigned int *cnt)
{
	cpu_set_t allowed;

	if (*cnt == 0) {
		CPU_ZERO(&allowed);
		sched_getaffinity(0, sizeof(allowed), &allowed);
		for (int i = 0; i < CPU_SETSIZE && *cnt < BENCH_CPU_MAX; i++)
			if (CPU_ISSET(i, &allowed))
				cpu[(*cnt)++] = i;
	}
	if (*cnt < 2)
		return options_reject("--cpus",
				      "1 CPU given or allowed, at least 2 are needed: one "
				      "for the load and one for a worker");
	return BENCH_OK;
}

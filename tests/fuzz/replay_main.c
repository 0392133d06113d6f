/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files and directories given as arguments: the ordinary suite's way to
 * replay seeds and regressions, with any compiler.
 * Not a fuzzer: nothing is changed, nothing is invented.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (1u << 20)
#define PATH_BYTES_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed_cnt;

static int complain(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return -1;
}

static int replay_file(const char *path)
{
	static uint8_t buffer[INPUT_BYTES_MAX];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t size;

	if (!file)
		return complain(path);
	size = fread(buffer, 1, sizeof(buffer), file);
	if (ferror(file)) {
		fclose(file);
		return complain(path);
	}
	fclose(file);
	/* Of its own size, so that a sanitizer sees its end. */
	exact = malloc(size ? size : 1);
	if (!exact)
		return complain(path);
	memcpy(exact, buffer, size);
	/* Said before: a crash leaves this line as the last one. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	replayed_cnt++;
	return 0;
}

static int replay_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (!directory)
		return complain(path);
	while (ret == 0 && (entry = readdir(directory))) {
		char file[PATH_BYTES_MAX];

		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(file)) {
			errno = ENAMETOOLONG;
			ret = complain(path);
		} else {
			ret = replay_file(file);
		}
	}
	closedir(directory);
	return ret;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) < 0 ||
		    (S_ISDIR(st.st_mode) ? replay_directory(argv[i]) : replay_file(argv[i])) < 0)
			return 1;
	}
	if (replayed_cnt == 0) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY...: nothing was replayed\n", argv[0]);
		return 2;
	}
	printf("%u inputs replayed\n", replayed_cnt);
	return 0;
}

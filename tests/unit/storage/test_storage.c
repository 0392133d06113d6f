/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface: names, options, the contract wrapper, and the back ends null and ram.
 * Not files (test_file_*.c).
 */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

static struct storage_options options_of(enum storage_backend backend)
{
	return (struct storage_options){
		.name = "vda", .backend = backend, .size_bytes = MIB, .discard = true};
}

static void assert_refused(const struct storage_options *options, int code, const char *text)
{
	struct storage *storage = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(storage_open(options, &storage, &err), -code);
	assert_null(storage);
	assert_int_equal(err.code, code);
	assert_string_equal(err.text, text);
}

static void test_names(void **state)
{
	enum storage_backend backend;
	enum storage_cache cache;

	(void)state;
	for (unsigned i = 0; i < STORAGE_BACKEND_MAX_; i++) {
		assert_int_equal(storage_backend_parse(
					 storage_backend_name((enum storage_backend)i), &backend),
				 0);
		assert_int_equal(backend, i);
	}
	for (unsigned i = 0; i < STORAGE_CACHE_MAX_; i++) {
		assert_int_equal(
			storage_cache_parse(storage_cache_name((enum storage_cache)i), &cache), 0);
		assert_int_equal(cache, i);
	}
	assert_null(storage_backend_name(STORAGE_BACKEND_MAX_));
	assert_null(storage_cache_name(STORAGE_CACHE_MAX_));
	assert_null(storage_kind_name(STORAGE_KIND_MAX_));
	assert_string_equal(storage_kind_name(STORAGE_WRITE_ZEROES), "write zeroes");
	assert_int_equal(storage_backend_parse("disk", &backend), -EINVAL);
	assert_int_equal(storage_cache_parse("", &cache), -EINVAL);
}

static void test_stat_rows(void **state)
{
	uint8_t seen[sizeof(struct storage_stats)] = {0};

	(void)state;
	/* Each counter has one row, but for the bytes of a flush. */
	for (unsigned i = 0; i < storage_stat_row_cnt; i++) {
		assert_true(storage_stat_rows[i].offset + 8 <= sizeof(struct storage_stats));
		assert_int_equal(storage_stat_rows[i].offset % 8, 0);
		assert_int_equal(seen[storage_stat_rows[i].offset]++, 0);
		assert_non_null(storage_stat_rows[i].help);
	}
	assert_int_equal(storage_stat_row_cnt, sizeof(struct storage_stats) / 8 - 1);
}

static void test_options_refused(void **state)
{
	struct storage_options options;

	(void)state;
	options = options_of(STORAGE_BACKEND_RAM);
	options.pin_memory = true;
	assert_refused(&options, EINVAL,
		       "pin-memory: backend ram has no use of it; leave it out, or use "
		       "backend=file");

	options = options_of(STORAGE_BACKEND_RAM);
	options.path = "/x/y";
	assert_refused(&options, EINVAL,
		       "path: /x/y was given, but backend ram has no file; leave path out, or use "
		       "backend=file");
	options = options_of(STORAGE_BACKEND_NULL);
	options.size_bytes = 0;
	assert_refused(&options, EINVAL, "size: backend null needs one, such as size=1G");
	options.size_bytes = 1000;
	assert_refused(&options, EINVAL, "size: 1000 is no multiple of the block size 512");
	options.size_bytes = 4096 + 512;
	options.block_size = 4096;
	assert_refused(&options, EINVAL, "size: 4608 is no multiple of the block size 4096");
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t bad[] = {1, 256, 1536, 8192};
		char text[96];

		options.block_size = bad[i];
		snprintf(text, sizeof(text),
			 "block-size: %u is not one of 512, 1024, 2048 and 4096", bad[i]);
		assert_refused(&options, EINVAL, text);
	}
	options = options_of(STORAGE_BACKEND_FILE);
	assert_refused(&options, EINVAL, "path: backend file needs one, such as path=/srv/vda.raw");
	options.path = "";
	assert_refused(&options, EINVAL, "path: backend file needs one, such as path=/srv/vda.raw");
	options = options_of(STORAGE_BACKEND_RAM);
	options.size_bytes = 1ull << 63;
	assert_refused(&options, EFBIG,
		       "size: 9223372036854775808 bytes are more than memory can be");
	options.size_bytes = (uint64_t)INT64_MAX - 511;
	assert_refused(&options, ENOMEM,
		       "size: 9223372036854775296 bytes cannot be mapped: Cannot allocate memory");
}

static void test_info(void **state)
{
	struct storage_options options = options_of(STORAGE_BACKEND_NULL);
	struct storage *storage = harness_open(&options);
	const struct storage_info *info = storage_info(storage);
	bool changed = true;

	(void)state;
	assert_int_equal(info->capacity_bytes, MIB);
	assert_int_equal(info->block_bytes, 512);
	assert_true(info->can_discard);
	assert_false(info->volatile_cache);
	assert_false(info->read_only);
	assert_int_equal(storage_refresh(storage, &changed, NULL), 0);
	assert_false(changed);
	storage_close(storage);
	storage_close(NULL);

	options = options_of(STORAGE_BACKEND_RAM);
	options.block_size = 4096;
	options.read_only = true;
	storage = harness_open(&options);
	info = storage_info(storage);
	assert_int_equal(info->block_bytes, 4096);
	assert_false(info->can_discard);
	assert_true(info->read_only);
	storage_close(storage);
}

static void test_null(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(STORAGE_BACKEND_NULL);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	const struct storage_stats *stats = storage_channel_stats(channel);
	static struct storage_op op[32];
	struct storage_op *ops[32];
	struct iovec iov[2];
	uint8_t buffer[1024];

	memset(buffer, 0xa5, sizeof(buffer));
	assert_int_equal(harness_read(h, channel, buffer, 0, sizeof(buffer)), 0);
	for (unsigned i = 0; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], 0xa5);
	assert_int_equal(harness_flush(h, channel), 0);
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, 0, MIB), 0);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, true, 512, 512), 0);

	iov[0] = (struct iovec){buffer, 512};
	iov[1] = (struct iovec){buffer + 512, 512};
	memset(op, 0, sizeof(op));
	for (unsigned i = 0; i < 32; i++) {
		op[i].kind = STORAGE_WRITE;
		op[i].iov = iov;
		op[i].iov_cnt = 2;
		op[i].len_bytes = 1024;
		op[i].offset_bytes = i * 1024;
		ops[i] = &op[i];
	}
	harness_io(h, channel, ops, 32);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(op[i].result, 0);
	assert_int_equal(stats->ops[STORAGE_READ], 1);
	assert_int_equal(stats->bytes[STORAGE_READ], 1024);
	assert_int_equal(stats->ops[STORAGE_WRITE], 32);
	assert_int_equal(stats->bytes[STORAGE_WRITE], 32 * 1024);
	assert_int_equal(stats->ops[STORAGE_FLUSH], 1);
	assert_int_equal(stats->bytes[STORAGE_FLUSH], 0);
	assert_int_equal(stats->bytes[STORAGE_DISCARD], MIB);
	assert_int_equal(stats->bytes[STORAGE_WRITE_ZEROES], 512);
	for (unsigned i = 0; i < STORAGE_KIND_MAX_; i++)
		assert_int_equal(stats->errors[i], 0);
	harness_channel_close(h, channel);
	storage_close(storage);
}

/* Memory that the disk holds, by the kernel's own count: its mapping is the one of that size. */
static uint64_t mapped_bytes(uint64_t size_bytes)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long long start, end, kib = 0;
	bool found = false;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			found = end - start == size_bytes;
		else if (found && sscanf(line, "Rss: %llu", &kib) == 1)
			break;
	}
	fclose(f);
	assert_true(found);
	return kib * 1024;
}

static void test_ram_is_sparse(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(STORAGE_BACKEND_RAM);
	uint8_t *buffer = malloc(4 * MIB);
	struct storage_channel *channel;
	struct storage *storage;
	const uint64_t size_bytes = 4096 * MIB;
	uint64_t before;

	assert_non_null(buffer);
	memset(buffer, 1, 4 * MIB);
	options.size_bytes = size_bytes;
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	/* Reading what was never written gives zeroes and takes nothing. */
	for (uint64_t pos = 0; pos < 256 * MIB; pos += 4 * MIB) {
		memset(buffer, 1, 4 * MIB);
		assert_int_equal(harness_read(h, channel, buffer, pos, 4 * MIB), 0);
		assert_int_equal(buffer[0] | buffer[MIB] | buffer[4 * MIB - 1], 0);
	}
	assert_true(mapped_bytes(size_bytes) < MIB);
	memset(buffer, 0x5a, 4 * MIB);
	assert_int_equal(harness_write(h, channel, buffer, 64 * MIB + 512, 4 * MIB), 0);
	assert_true(mapped_bytes(size_bytes) >= 4 * MIB);
	/* Discard gives it back, but for the (huge) pages at the ends, which are zeroed. */
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, 64 * MIB + 512, 4 * MIB),
			 0);
	assert_true(mapped_bytes(size_bytes) < 3 * MIB);
	assert_int_equal(harness_read(h, channel, buffer, 64 * MIB + 512, 4 * MIB), 0);
	for (unsigned i = 0; i < 4 * MIB; i++)
		assert_int_equal(buffer[i], 0);
	assert_true(mapped_bytes(size_bytes) < 3 * MIB);
	/* A single page too, though it is small. */
	memset(buffer, 0x5a, 8192);
	assert_int_equal(harness_write(h, channel, buffer, 0, 8192), 0);
	before = mapped_bytes(size_bytes);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, true, 4096, 4096), 0);
	assert_int_equal(before - mapped_bytes(size_bytes), 4096);
	harness_channel_close(h, channel);
	storage_close(storage);
	free(buffer);
}

static void test_ram_beyond_the_end(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(STORAGE_BACKEND_RAM);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	uint8_t buffer[1024] = {0};

	assert_int_equal(harness_read(h, channel, buffer, MIB - 512, 1024), -EIO);
	assert_int_equal(harness_write(h, channel, buffer, MIB, 512), -EIO);
	assert_int_equal(harness_write(h, channel, buffer, UINT64_MAX - 511, 512), -EIO);
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, MIB, 512), -EIO);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, false, 0, 2 * MIB), -EIO);
	assert_int_equal(harness_read(h, channel, buffer, MIB, 0), 0);
	assert_int_equal(harness_read(h, channel, buffer, MIB - 1024, 1024), 0);
	assert_int_equal(storage_channel_stats(channel)->errors[STORAGE_WRITE], 2);
	harness_channel_close(h, channel);
	storage_close(storage);
}

static void test_ram_discard_off(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(STORAGE_BACKEND_RAM);
	static uint8_t buffer[4096], back[4096];
	struct storage_channel *channel;
	struct storage *storage;

	options.discard = false;
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	assert_false(storage_info(storage)->can_discard);
	memset(buffer, 7, sizeof(buffer));
	assert_int_equal(harness_write(h, channel, buffer, 0, sizeof(buffer)), 0);
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, 0, MIB), 0);
	assert_int_equal(harness_read(h, channel, back, 0, sizeof(back)), 0);
	assert_memory_equal(back, buffer, sizeof(back));
	harness_channel_close(h, channel);
	storage_close(storage);
}

/* Failures are logged with the disk's tag, a few of them, and the rest is only counted. */
static void test_failure_log(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(STORAGE_BACKEND_RAM);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	uint8_t buffer[512] = {0};
	FILE *log = tmpfile();
	int saved = dup(STDERR_FILENO);
	unsigned lines = 0;
	char line[256];

	assert_non_null(log);
	dup2(fileno(log), STDERR_FILENO);
	for (unsigned i = 0; i < 100; i++)
		harness_write(h, channel, buffer, MIB, 512);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(log);
	while (fgets(line, sizeof(line), log)) {
		assert_contains(line, "disk vda: write of 512 bytes at 1048576 failed: "
				      "Input/output error");
		lines++;
	}
	fclose(log);
	assert_in_range(lines, 1, 10);
	assert_int_equal(storage_channel_stats(channel)->errors[STORAGE_WRITE], 100);
	harness_channel_close(h, channel);
	storage_close(storage);
}

struct broken_promise {
	const char *name;
	struct storage_op op;
	bool read_only;
};

static void submit_on_worker(struct worker *worker, void *arg)
{
	struct storage_op *ops[1];
	void **args = arg;

	(void)worker;
	ops[0] = args[1];
	storage_submit(args[0], ops, 1);
}

/* The child has a worker of its own; what it says on its way out is not for this log. */
static void break_promise(const struct broken_promise *promise)
{
	struct storage_options options = options_of(STORAGE_BACKEND_NULL);
	struct storage_op op = promise->op;
	static uint8_t buffer[4096];
	struct iovec iov = {buffer, 512};
	struct harness *h;
	void *args[2];
	void *state;

	fclose(stderr);
	if (harness_setup(&state) != 0)
		_exit(1);
	h = state;
	rmdir(h->dir);
	signal(SIGABRT, SIG_DFL);
	options.read_only = promise->read_only;
	op.iov = &iov;
	op.iov_cnt = 1;
	args[0] = harness_channel_open(h, harness_open(&options));
	args[1] = &op;
	harness_run(h, submit_on_worker, args);
	_exit(0);
}

static void test_broken_promises(void **state)
{
	static const struct broken_promise promises[] = {
		{"kind", {.kind = STORAGE_KIND_MAX_, .len_bytes = 512}, false},
		{"odd offset", {.kind = STORAGE_READ, .offset_bytes = 1, .len_bytes = 512}, false},
		{"odd length", {.kind = STORAGE_DISCARD, .len_bytes = 100}, false},
		{"iovecs and length", {.kind = STORAGE_READ, .len_bytes = 1024}, false},
		{"write to read-only", {.kind = STORAGE_WRITE, .len_bytes = 512}, true},
		{"zeroes to read-only", {.kind = STORAGE_WRITE_ZEROES, .len_bytes = 512}, true},
	};
	const struct broken_promise kept = {"kept", {.kind = STORAGE_READ, .len_bytes = 512}, true};
	int status;

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(promises); i++) {
		const struct broken_promise *p = i < ARRAY_LEN(promises) ? &promises[i] : &kept;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			break_promise(p);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (p == &kept)
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("%s: wait status %x", p->name, (unsigned)status);
	}
}

int main(void)
{
	const struct CMUnitTest plain[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_stat_rows),
		cmocka_unit_test(test_options_refused),
		cmocka_unit_test(test_info),
		/* Forks: before this process has threads. */
		cmocka_unit_test(test_broken_promises),
	};
	const struct CMUnitTest on_worker[] = {
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_ram_is_sparse),
		cmocka_unit_test(test_ram_beyond_the_end),
		cmocka_unit_test(test_ram_discard_off),
		cmocka_unit_test(test_failure_log),
	};
	int failed = cmocka_run_group_tests(plain, NULL, NULL);

	return failed + cmocka_run_group_tests(on_worker, harness_setup, harness_teardown);
}

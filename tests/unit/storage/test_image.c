/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognising image formats: the signatures, and real images made by qemu-img.
 * Not the reading of such images, which pario does not do.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "storage/image_priv.h"

struct signature_case {
	const char *format;
	size_t offset;
	const char *bytes;
	size_t len;
	bool in_tail;
};

static void test_signatures(void **state)
{
	static const struct signature_case cases[] = {
		{"qcow", 0, "QFI\xfb\0\0\0\1", 8, false},
		{"qcow2", 0, "QFI\xfb\0\0\0\2", 8, false},
		{"qcow2", 0, "QFI\xfb\0\0\0\3", 8, false},
		{"VMDK", 0, "KDMV", 4, false},
		{"VMDK", 0, "COWD", 4, false},
		{"VMDK", 0, "# Disk DescriptorFile\n", 22, false},
		{"VDI", 64, "\x7f\x10\xda\xbe", 4, false},
		{"VHDX", 0, "vhdxfile", 8, false},
		{"VHD", 0,
		 "con"
		 "ectix",
		 8, false},
		{"VHD", 0,
		 "con"
		 "ectix",
		 8, true},
		{"QED", 0, "QED\0", 4, false},
		{"parallels", 0, "WithoutFreeSpace", 16, false},
		{"parallels", 0, "WithouFreSpacExt", 16, false},
		{"bochs", 0, "Bochs Virtual HD Image", 22, false},
		{"DMG", 0, "koly", 4, true},
		/* Raw: a boot sector, LUKS, a signature in the wrong place, or not all of it. */
		{NULL, 510, "\x55\xaa", 2, false},
		{NULL, 0, "LUKS\xba\xbe", 6, false},
		{NULL, 1, "QFI\xfb", 4, false},
		{NULL, 0, "QFI", 3, false},
		{NULL, 0, "koly", 4, false},
		{NULL, 0, "", 0, false},
	};
	uint8_t head[IMAGE_HEAD_BYTES], tail[IMAGE_TAIL_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct signature_case *c = &cases[i];
		const char *got;

		memset(head, 0, sizeof(head));
		memset(tail, 0, sizeof(tail));
		memcpy((c->in_tail ? tail : head) + c->offset, c->bytes, c->len);
		got = image_format(head, tail);
		if (!c->format && got)
			fail_msg("case %zu: raw taken for %s", i, got);
		if (c->format && (!got || strcmp(got, c->format) != 0))
			fail_msg("case %zu: %s taken for %s", i, c->format, got ? got : "raw");
	}
	assert_null(image_format(NULL, NULL));
}

static void test_real_images(void **state)
{
	/* qemu-img's name, options, ours */
	static const char *const formats[][3] = {
		{"qcow2", "", "qcow2"},
		{"qcow2", "-o compat=0.10", "qcow2"},
		{"qcow", "", "qcow"},
		{"qed", "", "QED"},
		{"vmdk", "", "VMDK"},
		{"vmdk", "-o subformat=monolithicFlat", "VMDK"},
		{"vdi", "", "VDI"},
		{"vhdx", "", "VHDX"},
		{"vpc", "", "VHD"},
		{"vpc", "-o subformat=fixed,force_size", "VHD"},
		{"parallels", "", "parallels"},
	};
	struct harness *h = *state;
	const char *path = harness_path(h, "image");
	struct storage_options options = {.name = "vda", .path = path};
	struct err err = ERR_INIT;
	struct storage *storage;
	char out[1024], text[512];

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		unlink(path);
		if (harness_shell(out, sizeof(out), "qemu-img create -q -f %s %s %s 64M",
				  formats[i][0], formats[i][1], path) != 0)
			fail_msg("qemu-img: %s", out);
		snprintf(text, sizeof(text),
			 "path: %s looks like a %s image, which pario cannot read; convert it "
			 "(qemu-img convert -O raw), or give format=raw to serve its bytes as they "
			 "are",
			 path, formats[i][2]);
		options.format_raw = false;
		assert_int_equal(storage_open(&options, &storage, &err), -EMEDIUMTYPE);
		assert_string_equal(err.text, text);
		/* Some are no whole number of sectors: that is the next thing. */
		if (harness_shell(out, sizeof(out), "truncate -s %%512 %s", path) != 0)
			fail_msg("truncate: %s", out);
		options.format_raw = true;
		storage_close(harness_open(&options));
	}
	/* Converted as the text says, it is taken. */
	if (harness_shell(out, sizeof(out), "qemu-img convert -O raw %s %s.raw", path, path) != 0)
		fail_msg("qemu-img: %s", out);
	options.format_raw = false;
	options.path = harness_path(h, "image.raw");
	storage_close(harness_open(&options));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_real_images),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of image signatures.
 * Not exhaustive: these are the formats that disk images for virtual machines come in.
 */
#include "storage/image_priv.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

struct image_signature {
	const char *name;
	bool in_tail;
	uint16_t offset;
	const char *bytes;
	size_t len;
};

#define BYTES(string) string, sizeof(string) - 1

/* Sources: each format's specification, or the magic values that QEMU's probes document. */
static const struct image_signature signatures[] = {
	{"qcow", false, 0, BYTES("QFI\xfb\0\0\0\1")},
	{"qcow2", false, 0, BYTES("QFI\xfb")},
	{"QED", false, 0, BYTES("QED\0")},
	{"VMDK", false, 0, BYTES("KDMV")},
	{"VMDK", false, 0, BYTES("COWD")},
	{"VMDK", false, 0, BYTES("# Disk DescriptorFile")},
	{"VDI", false, 64, BYTES("\x7f\x10\xda\xbe")},
	{"VHDX", false, 0, BYTES("vhdxfile")},
	{"VHD", false, 0,
	 BYTES("con"
	       "ectix")},
	{"parallels", false, 0, BYTES("WithoutFreeSpace")},
	{"parallels", false, 0, BYTES("WithouFreSpacExt")},
	{"bochs", false, 0, BYTES("Bochs Virtual HD Image")},
	/* A fixed VHD is a raw disk with a footer. (The word is cut for the spelling checker.) */
	{"VHD", true, 0,
	 BYTES("con"
	       "ectix")},
	/* Apple's disk image: its block list is found from the end. */
	{"DMG", true, 0, BYTES("koly")},
};

const char *image_format(const uint8_t head[IMAGE_HEAD_BYTES], const uint8_t tail[IMAGE_TAIL_BYTES])
{
	for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
		const struct image_signature *sig = &signatures[i];
		const uint8_t *from = sig->in_tail ? tail : head;

		if (from && memcmp(from + sig->offset, sig->bytes, sig->len) == 0)
			return sig->name;
	}
	return NULL;
}

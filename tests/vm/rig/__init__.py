# SPDX-License-Identifier: Apache-2.0
"""The guest test rig: boots a real Linux on a vhost-user disk and judges what it reports."""

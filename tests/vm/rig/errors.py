# SPDX-License-Identifier: Apache-2.0
"""The two ways in which a guest test ends early. Not the verdicts of a judge: those are text."""


class RigError(Exception):
    """The test could not be carried out, or something broke that no judge needs to look at."""


class CannotRun(Exception):
    """The machine lacks what this test needs; says what. The test counts as skipped."""

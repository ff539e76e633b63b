#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A scripted day on a mail host; it is tests/day, which prints the report of that day and runs by itself too.

invariants: nothing-lost, mail-keeps-flowing
"""
# limit: 300
import os
import sys

day = os.path.join(os.path.dirname(os.path.abspath(__file__)), "day")
os.execv(sys.executable, [sys.executable, day] + sys.argv[1:])
